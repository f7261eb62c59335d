/* SPDX-License-Identifier: MIT */
/* The law of linear attention: every form, on every split of a sequence, after any history, gives the outputs
 * of the definition, which stands here in double. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>

#include <rill/attention.h>

#include "guarded_floats.h"

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

/* Keys so large that float cannot hold them divided by what a block of steps forgets, on values so small that
 * no product of the definition is large. */
Test(forms, take_large_keys_of_small_values) {
    random_seed(36);
    for (int round = 0; round < 60; round++) {
        rill_attention_shape shape = random_shape();
        shape.normalize = false;
        history h = history_make(shape, 1 + random_below(150));
        for (size_t t = 0; t < h.length; t++)
            for (size_t head = 0; head < shape.heads; head++) {
                if (random_below(8) > 0) continue;
                for (size_t d = 0; d < shape.key_dim; d++) key_of(&h, t, head)[d] *= 0x1p120f;
                for (size_t m = 0; m < shape.value_dim; m++) value_of(&h, t, head)[m] *= 0x1p-120f;
            }
        for (size_t i = 0; i < h.log_decay.count; i++) h.log_decay.data[i] *= 5;
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
