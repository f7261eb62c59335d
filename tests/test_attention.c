/* SPDX-License-Identifier: MIT */
/* The law of linear attention: every form, on every split of a sequence, after any history, gives the outputs
 * of the definition, which stands here in double. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>

#include <rill/attention.h>

#include "guarded_floats.h"
#include "safetensors_case.h"

#define U ((double)FLT_EPSILON / 2)

typedef struct history {
    rill_attention_shape shape;
    size_t length, decay_width; /* floats of decay a head and step */
    guarded_floats queries, keys, values, log_decay;
    double *output,
        *output_size; /* [length][query_heads][value_dim]: the definition, and that of magnitudes */
    double *S, *z;    /* at the end */
} history;

static float *query_of(const history *h, size_t t, size_t head) {
    return h->queries.data + (t * h->shape.query_heads + head) * h->shape.key_dim;
}
static float *key_of(const history *h, size_t t, size_t head) {
    return h->keys.data + (t * h->shape.heads + head) * h->shape.key_dim;
}
static float *value_of(const history *h, size_t t, size_t head) {
    return h->values.data + (t * h->shape.heads + head) * h->shape.value_dim;
}
static float *decay_of(const history *h, size_t t, size_t head) {
    size_t row = h->shape.decay == RILL_DECAY_HEAD ? 0 : t;
    return h->log_decay.data + (row * h->shape.heads + head) * h->decay_width;
}

static bool step_is_bad(const history *h, size_t t, size_t head) {
    bool bad = false;
    for (size_t d = 0; d < h->shape.key_dim; d++) bad |= !isfinite(key_of(h, t, head)[d]);
    for (size_t m = 0; m < h->shape.value_dim; m++) bad |= !isfinite(value_of(h, t, head)[m]);
    for (size_t i = 0; i < h->decay_width; i++) bad |= !(decay_of(h, t, head)[i] <= 0);
    return bad;
}

static double magnitude(double x, bool absolute) {
    return absolute ? fabs(x) : x;
}

/* S_t = g_t S_{t-1} + k_t v_tᵀ, z_t = g_t z_{t-1} + k_t and what the queries read; NaN where the step is bad
 */
static void define_head(history *h, size_t head, bool absolute) {
    const rill_attention_shape *s = &h->shape;
    double *S = h->S + head * s->key_dim * s->value_dim, *z = h->z + head * s->key_dim;
    memset(S, 0, s->key_dim * s->value_dim * sizeof *S);
    memset(z, 0, s->key_dim * sizeof *z);
    size_t group = s->query_heads / s->heads;
    for (size_t t = 0; t < h->length; t++) {
        bool bad = step_is_bad(h, t, head);
        for (size_t d = 0; d < s->key_dim && !bad; d++) {
            double g = h->decay_width ? exp((double)decay_of(h, t, head)[h->decay_width > 1 ? d : 0]) : 1;
            double k = magnitude((double)key_of(h, t, head)[d], absolute);
            for (size_t m = 0; m < s->value_dim; m++)
                S[d * s->value_dim + m] =
                    g * S[d * s->value_dim + m] + k * magnitude((double)value_of(h, t, head)[m], absolute);
            z[d] = g * z[d] + k;
        }
        for (size_t i = 0; i < group * s->value_dim; i++) {
            size_t query_head = head * group + i / s->value_dim, m = i % s->value_dim;
            double sum = 0, normalizer = (double)s->epsilon;
            for (size_t d = 0; d < s->key_dim; d++) {
                double q = magnitude((double)query_of(h, t, query_head)[d], absolute);
                sum += q * S[d * s->value_dim + m];
                normalizer += q * z[d];
            }
            double o = s->normalize ? sum / normalizer : sum * (double)s->scale;
            (absolute ? h->output_size : h->output)[(t * s->query_heads + query_head) * s->value_dim + m] =
                bad ? (double)NAN : o;
        }
    }
}

static void history_define(history *h) {
    for (size_t head = 0; head < h->shape.heads; head++) define_head(h, head, true);
    for (size_t head = 0; head < h->shape.heads; head++) define_head(h, head, false);
}

static rill_attention_shape random_shape(void) {
    rill_attention_shape shape = {.decay = (rill_decay)random_below(4), .epsilon = 1e-6f, .scale = 0.25f};
    shape.rule = shape.decay == RILL_DECAY_NONE ? RILL_RULE_LINEAR : RILL_RULE_GATED;
    shape.heads = 1 + random_below(3);
    shape.query_heads = shape.heads * (1 + random_below(3));
    shape.key_dim = 1 + random_below(random_below(6) ? 24 : 300);
    shape.value_dim = random_below(2) ? 1 + random_below(40) : 8 * (1 + random_below(8));
    shape.normalize = random_below(2);
    return shape;
}

/* Keys and queries are positive when normalized, as a feature map makes them; some decays forget everything.
 */
static history history_make(rill_attention_shape shape, size_t length) {
    double low = shape.normalize ? 0.001 : -1;
    history h = {.shape = shape, .length = length};
    h.decay_width = shape.decay == RILL_DECAY_NONE       ? 0
                    : shape.decay == RILL_DECAY_STEP_KEY ? shape.key_dim
                                                         : 1;
    h.queries = guarded_input(length * shape.query_heads * shape.key_dim, low, 1);
    h.keys = guarded_input(length * shape.heads * shape.key_dim, low, 1);
    h.values = guarded_input(length * shape.heads * shape.value_dim, -1, 1);
    size_t decay_rows = shape.decay == RILL_DECAY_HEAD ? 1 : length;
    h.log_decay = guarded_input(decay_rows * shape.heads * h.decay_width, -0.2, 0);
    for (size_t i = 0; i < h.log_decay.count; i++) {
        const float rare[] = {-INFINITY, -0.0f, -90, -1e-30f, -FLT_MAX};
        if (random_below(60) == 0) h.log_decay.data[i] = rare[random_below(5)];
    }
    size_t outputs = length * shape.query_heads * shape.value_dim;
    h.output = calloc(outputs + 1, sizeof *h.output);
    h.output_size = calloc(outputs + 1, sizeof *h.output_size);
    h.S = calloc(shape.heads * shape.key_dim * shape.value_dim, sizeof *h.S);
    h.z = calloc(shape.heads * shape.key_dim, sizeof *h.z);
    return h;
}

static void history_free(history *h) {
    guarded_free(&h->queries);
    guarded_free(&h->keys);
    guarded_free(&h->values);
    guarded_free(&h->log_decay);
    free(h->output);
    free(h->output_size);
    free(h->S);
    free(h->z);
}

static rill_sequence part_of(const history *h, size_t start, size_t length) {
    bool decays = h->decay_width > 0;
    return (rill_sequence){.length = length,
                           .queries = query_of(h, start, 0),
                           .keys = key_of(h, start, 0),
                           .values = value_of(h, start, 0),
                           .log_decay = decays ? decay_of(h, start, 0) : NULL};
}

enum { by_recurrent, by_chunkwise, by_either };

/* Pushes it all through in parts of 1 … longest steps. */
static void push_in_parts(const history *h, void *state, float *output, size_t longest, int form) {
    for (size_t t = 0; t < h->length;) {
        size_t length = 1 + random_below(longest);
        if (length > h->length - t) length = h->length - t;
        rill_sequence part = part_of(h, t, length);
        bool chunkwise = form == by_either ? random_below(2) : form == by_chunkwise;
        (chunkwise ? rill_attention_chunkwise : rill_attention_recurrent)(
            &h->shape, state, &part, output + t * h->shape.query_heads * h->shape.value_dim);
        t += length;
    }
}

/* A product that entered the state is rounded on entry and at most 6 units in each later step (decay of 2
 * ulp, product, sum); reading adds key_dim + 6, and the normalizer as much again. */
static double relative_error(const history *h) {
    return ((double)(6 * (h->length + 1) + h->shape.key_dim + 6) * U) * (h->shape.normalize ? 2 : 1);
}

static void expect_definition(const history *h, const float *output) {
    size_t row = h->shape.query_heads * h->shape.value_dim;
    for (size_t i = 0; i < h->length * row; i++) {
        double want = h->output[i], tolerance = relative_error(h) * h->output_size[i] + 1e-36;
        cr_assert(
            isnan(want) ? isnan(output[i]) : fabs((double)output[i] - want) <= tolerance,
            "step %zu of %zu, output %zu: %.9g, want %.9g ± %.3g (key_dim %zu, value_dim %zu, heads %zu/%zu, "
            "decay %d, normalize %d)",
            i / row, h->length, i % row, (double)output[i], want, tolerance, h->shape.key_dim,
            h->shape.value_dim, h->shape.heads, h->shape.query_heads, (int)h->shape.decay,
            h->shape.normalize);
    }
}

static void *state_make(const rill_attention_shape *shape) {
    void *state = malloc(rill_attention_size(shape));
    memset(state, 0xff, rill_attention_size(shape));
    rill_attention_init(shape, state);
    return state;
}

static void expect_on_split(const history *h, size_t longest, int form) {
    void *state = state_make(&h->shape);
    guarded_floats output = guarded_output(h->length * h->shape.query_heads * h->shape.value_dim);
    for (size_t i = 0; i < output.count; i++) output.data[i] = 7; /* so that NaN is written, not left over */
    push_in_parts(h, state, output.data, longest, form);
    expect_definition(h, output.data);
    guarded_free(&output);
    free(state);
}

Test(forms, agree_on_every_split) {
    random_seed(2006);
    for (int round = 0; round < 60; round++) {
        history h = history_make(random_shape(), random_below(200));
        history_define(&h);
        for (int form = by_recurrent; form <= by_either; form++) {
            expect_on_split(&h, 1 + random_below(9), form);
            expect_on_split(&h, 200, form);
        }
        history_free(&h);
    }
}

Test(forms, leave_bad_steps_out_head_by_head) {
    random_seed(16236);
    const float bad[] = {NAN, INFINITY, -INFINITY}, bad_decay[] = {NAN, INFINITY, 1e-6f};
    for (int round = 0; round < 60; round++) {
        history h = history_make(random_shape(), 1 + random_below(150));
        for (size_t n = 1 + random_below(6); n--;) {
            h.keys.data[random_below(h.keys.count)] = bad[random_below(3)];
            h.values.data[random_below(h.values.count)] = bad[random_below(3)];
            if (h.log_decay.count && random_below(2))
                h.log_decay.data[random_below(h.log_decay.count)] = bad_decay[random_below(3)];
        }
        history_define(&h);
        for (int form = by_recurrent; form <= by_either; form++) expect_on_split(&h, 150, form);
        history_free(&h);
    }
}

/* … which is why it need not be looked for. */
Test(forms, a_bad_query_spoils_its_own_row_only) {
    random_seed(3);
    for (int round = 0; round < 40; round++) {
        history h = history_make(random_shape(), 1 + random_below(30));
        history_define(&h);
        size_t t = random_below(h.length), head = random_below(h.shape.query_heads);
        query_of(&h, t, head)[random_below(h.shape.key_dim)] = NAN;
        for (size_t m = 0; m < h.shape.value_dim; m++)
            h.output[(t * h.shape.query_heads + head) * h.shape.value_dim + m] = (double)NAN;
        for (int form = by_recurrent; form <= by_either; form++) expect_on_split(&h, 30, form);
        history_free(&h);
    }
}

/* A sequence after any history: the copy goes on as the original does, and neither feels the other. */
Test(state, a_copy_is_a_fork) {
    random_seed(4);
    for (int round = 0; round < 40; round++) {
        history past = history_make(random_shape(), random_below(80));
        history future = history_make(past.shape, 1 + random_below(40));
        size_t size = rill_attention_size(&past.shape),
               outputs = future.length * past.shape.query_heads * past.shape.value_dim;
        void *state = state_make(&past.shape), *copy = malloc(size);
        float *output =
            calloc(4 * outputs + past.length * past.shape.query_heads * past.shape.value_dim, sizeof(float));
        push_in_parts(&past, state, output + 4 * outputs, 80, by_either);
        memcpy(copy, state, size);
        rill_sequence whole = part_of(&future, 0, future.length);
        rill_attention_chunkwise(&past.shape, copy, &whole, output);
        rill_attention_chunkwise(&past.shape, state, &whole, output + outputs);
        cr_assert_arr_eq(output, output + outputs, outputs * sizeof(float));
        cr_assert_arr_eq(copy, state, size);
        rill_attention_reset(&past.shape, copy);
        rill_attention_recurrent(&past.shape, copy, &whole, output + 2 * outputs);
        rill_attention_init(&past.shape, state);
        rill_attention_recurrent(&past.shape, state, &whole, output + 3 * outputs);
        cr_assert_arr_eq(output + 2 * outputs, output + 3 * outputs, outputs * sizeof(float));
        free(output);
        free(copy);
        free(state);
        history_free(&past);
        history_free(&future);
    }
}

Test(state, zero_steps_change_nothing) {
    random_seed(5);
    history h = history_make(random_shape(), 20);
    size_t size = rill_attention_size(&h.shape);
    void *state = state_make(&h.shape), *before = malloc(size);
    float *output = malloc(20 * h.shape.query_heads * h.shape.value_dim * sizeof(float));
    push_in_parts(&h, state, output, 20, by_either);
    memcpy(before, state, size);
    rill_attention_recurrent(&h.shape, state, &(rill_sequence){0}, NULL);
    rill_attention_chunkwise(&h.shape, state, &(rill_sequence){0}, NULL);
    cr_assert_arr_eq(before, state, size);
    free(output);
    free(before);
    free(state);
    history_free(&h);
}

/* The half-life of a head's past is ln 2 / −log decay steps. */
Test(state, decays_by_half_in_its_half_life) {
    rill_attention_shape shape = {RILL_RULE_GATED, RILL_DECAY_HEAD, 1, 1, 1, 1, false, 0, 1};
    float one = 1, zeros[1000] = {0}, ones[1000], output[1000], log_decay = -(float)(log(2) / 1000);
    for (size_t i = 0; i < 1000; i++) ones[i] = 1;
    void *state = state_make(&shape);
    const rill_sequence spoken = {
        .length = 1, .queries = &one, .keys = &one, .values = &one, .log_decay = &log_decay};
    const rill_sequence silence = {
        .length = 1000, .queries = ones, .keys = zeros, .values = zeros, .log_decay = &log_decay};
    rill_attention_recurrent(&shape, state, &spoken, output);
    cr_assert_float_eq(output[0], 1, 1e-6);
    rill_attention_chunkwise(&shape, state, &silence, output);
    cr_assert_float_eq(output[999], 0.5, 6 * 1001 * U);
    free(state);
}

Test(state, its_size_is_that_of_its_shape) {
    rill_attention_shape shape = {RILL_RULE_LINEAR, RILL_DECAY_NONE, 4, 8, 32, 32, true, 1e-6f, 1};
    cr_assert_eq(rill_attention_size(&shape), 4 * 32 * 33 * sizeof(float));
    shape.normalize = false;
    cr_assert_eq(rill_attention_size(&shape), 4 * 32 * 32 * sizeof(float));
    shape.key_dim = 1, shape.value_dim = 1, shape.heads = 1;
    cr_assert_eq(rill_attention_size(&shape), 64);
}

static void refused(rill_attention_shape shape, const char *word) {
    rill_error why = {""};
    cr_assert_eq(rill_attention_check(&shape, &why), RILL_BAD_ARGUMENT);
    cr_assert(strstr(why.message, word), "\"%s\" should speak of %s", why.message, word);
    cr_assert_eq(rill_attention_check(&shape, NULL), RILL_BAD_ARGUMENT);
}

Test(shape, is_checked) {
    const rill_attention_shape good = {RILL_RULE_GATED, RILL_DECAY_HEAD, 4, 8, 32, 32, true, 1e-6f, 1};
    rill_error why = {"untouched"};
    cr_assert_eq(rill_attention_check(&good, &why), RILL_OK);
    cr_assert_str_eq(why.message, "untouched");
    rill_attention_shape shape;
    shape = good, shape.rule = (rill_update_rule)7, refused(shape, "rule 7");
    shape = good, shape.decay = (rill_decay)-1, refused(shape, "decay -1");
    shape = good, shape.decay = RILL_DECAY_NONE, refused(shape, "needs a decay");
    shape = good, shape.rule = RILL_RULE_LINEAR, refused(shape, "has no decay");
    shape = good, shape.heads = 0, refused(shape, "0 heads");
    shape = good, shape.key_dim = 0, refused(shape, "key dimension 0");
    shape = good, shape.value_dim = 0, refused(shape, "value dimension 0");
    shape = good, shape.query_heads = 0, refused(shape, "query heads");
    shape = good, shape.query_heads = 6, refused(shape, "6 query heads");
    shape = good, shape.epsilon = NAN, refused(shape, "epsilon");
    shape = good, shape.epsilon = -1, refused(shape, "epsilon");
    shape = good, shape.normalize = false, shape.scale = INFINITY, refused(shape, "scale");
    shape = good, shape.key_dim = SIZE_MAX / 64, refused(shape, "size");
    shape = good, shape.value_dim = SIZE_MAX, refused(shape, "size");
    shape = good, shape.key_dim = (size_t)1 << 30, shape.value_dim = ((size_t)1 << 30) - 1,
    refused(shape, "size");
    shape = good, shape.key_dim = 1, shape.value_dim = SIZE_MAX / 16 - 1, refused(shape, "size");
}

Test(feature_map, elu1_is_the_exponential_below_zero) {
    float x[41], phi[41];
    for (int i = 0; i < 41; i++) x[i] = (float)(i - 20) / 2;
    rill_feature_map_elu1(41, x, phi);
    for (int i = 0; i < 41; i++) {
        double want = i > 20 ? (double)x[i] + 1 : exp((double)x[i]);
        cr_assert(fabs((double)phi[i] - want) <= 2 * (double)FLT_EPSILON * want);
    }
    rill_feature_map_elu1(41, x, x);
    cr_assert_arr_eq(x, phi, sizeof x);
}

/* --- values that others computed --- */

static bool case_open(const char *folder, const char *name, safetensors_case *c) {
    char path[512];
    snprintf(path, sizeof path, RILL_SHARED "/conformance/%s/%s.safetensors", folder, name);
    if (safetensors_case_open(path, c)) return true;
    cr_skip_test("SKIPPED: %s is not here", path);
    return false;
}

static void expect_near(const char *name, const float *got, const float *want, size_t count,
                        double tolerance) {
    for (size_t i = 0; i < count; i++)
        cr_assert(fabs((double)got[i] - (double)want[i]) <= tolerance, "%s [%zu]: %.9g, want %.9g ± %.3g",
                  name, i, (double)got[i], (double)want[i], tolerance);
}

/* The authors' own feature map: expm1 first, so that below −17.3 it is exactly 0. Only where the case is
 * about that do the two differ by more than rounding. */
static void authors_elu1(size_t count, const float *x, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = (x[i] > 0 ? x[i] : expm1f(x[i])) + 1;
}

/* fast-transformers, [N][L][H][E]; rows after a sequence's length hold no key. Tolerance: 2 L roundings of
 * numbers up to the largest value. */
static void expect_authors(const char *name, void (*feature_map)(size_t, const float *, float *)) {
    safetensors_case c;
    if (!case_open("papers/fast_transformers", name, &c)) return;
    size_t key_shape[4], value_shape[4], unused[4];
    const float *queries = safetensors_case_tensor(&c, "in.queries", key_shape);
    const float *keys = safetensors_case_tensor(&c, "in.keys", unused);
    const float *values = safetensors_case_tensor(&c, "in.values", value_shape);
    const float *want = safetensors_case_tensor(&c, "out.values", unused);
    const float *lengths = safetensors_case_tensor(&c, "in.key_lengths", unused);
    cr_assert(queries && keys && values && want, "%s lacks a tensor", name);
    size_t length = key_shape[1], heads = key_shape[2];
    rill_attention_shape shape = {RILL_RULE_LINEAR,
                                  RILL_DECAY_NONE,
                                  heads,
                                  heads,
                                  key_shape[3],
                                  value_shape[3],
                                  true,
                                  (float)safetensors_case_number(&c, "eps", 1e-6),
                                  1};
    size_t key_row = heads * shape.key_dim, value_row = heads * shape.value_dim;
    float *phi_q = calloc(length * key_row, sizeof(float)), *phi_k = calloc(length * key_row, sizeof(float));
    float *output = calloc(length * value_row, sizeof(float)), largest = 0;
    for (size_t i = 0; i < key_shape[0] * length * value_row; i++) largest = fmaxf(largest, fabsf(values[i]));
    for (size_t n = 0; n < key_shape[0]; n++) {
        size_t heard = lengths ? (size_t)lengths[n] : length;
        feature_map(length * key_row, queries + n * length * key_row, phi_q);
        memset(phi_k, 0, length * key_row * sizeof(float));
        feature_map(heard * key_row, keys + n * length * key_row, phi_k);
        for (int form = by_recurrent; form <= by_chunkwise; form++) {
            void *state = state_make(&shape);
            rill_sequence sequence = {
                .length = length, .queries = phi_q, .keys = phi_k, .values = values + n * length * value_row};
            (form == by_chunkwise ? rill_attention_chunkwise : rill_attention_recurrent)(&shape, state,
                                                                                         &sequence, output);
            expect_near(name, output, want + n * length * value_row, length * value_row,
                        4 * (double)(length + shape.key_dim + 8) * U * (double)largest);
            free(state);
        }
    }
    free(phi_q);
    free(phi_k);
    free(output);
    safetensors_case_close(&c);
}

Test(golden, causal_linear_attention_of_its_authors) {
    expect_authors("causal_linear_n1_l1_h1_e4_m4", rill_feature_map_elu1);
    expect_authors("causal_linear_n1_l2_h4_e4_m3", rill_feature_map_elu1);
    expect_authors("causal_linear_n1_l64_h4_e8_m8", rill_feature_map_elu1);
    expect_authors("causal_linear_n1_l65_h1_e16_m24", rill_feature_map_elu1);
    expect_authors("causal_linear_n1_l130_h1_e32_m32", rill_feature_map_elu1);
    expect_authors("causal_linear_n2_l7_h1_e5_m3_lens", rill_feature_map_elu1);
    expect_authors("causal_linear_n2_l7_h4_e8_m6", rill_feature_map_elu1);
    expect_authors("causal_linear_n2_l130_h4_e8_m6_lens", rill_feature_map_elu1);
    expect_authors("causal_linear_large_inputs", authors_elu1);
    expect_authors("causal_linear_eps_matters", authors_elu1);
    expect_authors("causal_linear_phi_granularity", authors_elu1);
    expect_authors("causal_linear_underflow_eps_dominates", authors_elu1);
}
