/* SPDX-License-Identifier: MIT */
/* flash-linear-attention's naive recurrences: one table of which model is which rule. HGRN and the gated
 * delta product are here too; gated slot attention decays along the values, which no rule of ours does. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "conformance_forms.h"

/* Small results are differences of sums as large as the largest one: 16 roundings of that. The file's
 * parallel form takes decays from differences of cumulated logs, themselves rounded: 2 more for each unit of
 * those. */
static double tolerance_of(const conformance_case *c, const char *name) {
    const conformance_tensor *log_decay = conformance_find(c, "in.g_log");
    bool cumulated = log_decay && strcmp(name, "out.o_parallel") == 0;
    double logs = 0;
    for (size_t i = 0; cumulated && i < log_decay->count; i++)
        logs +=
            fabs((double)log_decay->values[i]) / (double)log_decay->shape[0] / (double)log_decay->shape[2];
    const conformance_tensor *want = conformance_find(c, name);
    double largest = 0;
    for (size_t i = 0; want && i < want->count; i++) largest = fmax(largest, fabs((double)want->values[i]));
    return fmax(1e-5, (8 + logs) * (double)FLT_EPSILON * largest);
}

typedef struct model {
    const char *prefix;
    rill_update_rule rule;
    rill_decay decay;
    bool heads_first; /* [B][H][T][D], else [B][T][H][D] */
    const char *log_decay;
} model;

static const model models[] = {
    {"linear_attn_", RILL_RULE_LINEAR, RILL_DECAY_NONE, false, NULL},
    {"retention_", RILL_RULE_GATED, RILL_DECAY_HEAD, true, NULL},
    {"gla_", RILL_RULE_GATED, RILL_DECAY_STEP_KEY, false, "in.gk_log"},
    {"simple_gla_", RILL_RULE_GATED, RILL_DECAY_STEP_HEAD, false, "in.g_log"},
    {"rwkv6_", RILL_RULE_GATED, RILL_DECAY_STEP_KEY, true, "in.w_log"},
    {"delta_rule_", RILL_RULE_DELTA, RILL_DECAY_NONE, true, NULL},
    {"gated_delta_rule_", RILL_RULE_GATED_DELTA, RILL_DECAY_STEP_HEAD, false, "in.g_log"},
    {"gated_delta_product_", RILL_RULE_GATED_DELTA, RILL_DECAY_STEP_HEAD, false, "in.g_log"},
    {"kda_", RILL_RULE_GATED_DELTA, RILL_DECAY_STEP_KEY, false, "in.g_log"},
    {"dplr_rwkv7_", RILL_RULE_RANK_ONE, RILL_DECAY_STEP_KEY, true, "in.gk_log"},
    {"gdn2_", RILL_RULE_RANK_ONE, RILL_DECAY_STEP_KEY, false, "in.g_log"},
    {"rebased_", RILL_RULE_LINEAR, RILL_DECAY_NONE, true, NULL},
    {"hgrn_", RILL_RULE_GATED, RILL_DECAY_STEP_HEAD, false, "in.g_log"},
};

/* What a file may hold: outputs and the state after them, by what is given. */
typedef struct result {
    const char *output, *S, *z;
    bool with_past, scale_is_one, normalized;
} result;

static const result results[] = {
    {"out.o", "out.S", NULL, false, false, false},
    {"out.o_parallel", NULL, NULL, false, false, false},
    {"out.o_chunk16", NULL, NULL, false, false, false},
    {"out.o_chunk32", "out.S_chunk32", NULL, false, false, false},
    {"out.o_chunk64", NULL, NULL, false, false, true},
    {"out.o_scale1", "out.S", NULL, false, true, false},
    {"out.o_chunk32_scale1", NULL, NULL, false, true, false},
    {"out.o_nonorm", NULL, NULL, false, true, false},
    {"out.o_normalized", "out.S", "out.z", false, false, true},
    {"out.o_init", "out.S_init", NULL, true, false, false},
    {"out.o_init_scaled", "out.S_init", NULL, true, false, false},
    {"out.o_chunk16_init", "out.S_chunk16_init", NULL, true, false, false},
    {"out.o_chunk32_init", "out.S_chunk32_init", NULL, true, false, false},
    {"out.o_init_scale1", NULL, NULL, true, true, false},
    {"out.o_norm_init_scale1", NULL, NULL, true, true, true},
};

typedef struct expectation {
    const model *model;
    const result *result;
    size_t skip; /* outputs of only every so many steps are known: the last of each */
} expectation;

static const model *model_of(const conformance_case *c) {
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (conformance_file_starts(c, models[i].prefix)) return models + i;
    return NULL;
}

/* [B][T][H][dim] of a tensor that may be heads first; NULL when it is absent */
static const float *steps_of(conformance_case *c, const model *m, const recurrence *r, const char *name,
                             size_t dim) {
    const conformance_tensor *tensor = name ? conformance_find(c, name) : NULL;
    if (!tensor) return NULL;
    if (!m->heads_first) return tensor->values;
    return recurrence_swap(c, tensor->values, r->batches, r->shape.heads, r->steps.length, dim);
}

/* Heads of keys and queries that value heads share one behind the other. */
static const float *repeat_heads(conformance_case *c, const recurrence *r, const conformance_tensor *from) {
    size_t rows = r->batches * r->steps.length, had = from->count / rows / r->shape.key_dim;
    size_t times = r->shape.heads / had, dim = r->shape.key_dim;
    float *to = conformance_floats(c, from->count * times);
    for (size_t i = 0; i < rows * r->shape.heads; i++)
        memcpy(to + i * dim, from->values + i / times * dim, dim * sizeof *to);
    return to;
}

static float *times(conformance_case *c, size_t count, const float *a, const float *b, float sign) {
    float *product = conformance_floats(c, count);
    for (size_t i = 0; i < count; i++) product[i] = sign * a[i] * (b ? b[i] : 1);
    return product;
}

static const float *retention_decay(conformance_case *c, size_t heads) { /* γ_h = 1 − 2^(−5−h) */
    float *log_decay = conformance_floats(c, heads);
    for (size_t h = 0; h < heads; h++) log_decay[h] = (float)log1p(-exp2(-5 - (double)h));
    return log_decay;
}

static const float *values_of(conformance_case *c, const char *name) {
    const conformance_tensor *tensor = conformance_find(c, name);
    return tensor ? tensor->values : NULL;
}

/* S += k (w v − Sᵀ(b k))ᵀ on the decayed S: a = g b k, read from the undecayed, and b = −k */
static void read_two_gates(conformance_case *c, recurrence *r) {
    size_t keys = r->batches * r->steps.length * r->shape.heads * r->shape.key_dim;
    float *read = times(c, keys, r->steps.keys, values_of(c, "in.b"), 1);
    for (size_t i = 0; i < keys; i++) read[i] *= expf(r->steps.log_decay[i]);
    r->steps.transition_read = read;
    r->steps.transition_write = times(c, keys, r->steps.keys, NULL, -1);
    r->steps.values =
        times(c, keys / r->shape.key_dim * r->shape.value_dim, r->steps.values, values_of(c, "in.w"), 1);
}

/* (q·k)² / K as the product of the features x ⊗ x / √K, of K² dimensions */
static void square_features(conformance_case *c, recurrence *r) {
    size_t dim = r->shape.key_dim, rows = r->batches * r->steps.length * r->shape.heads;
    const float **inputs[] = {&r->steps.queries, &r->steps.keys};
    for (size_t i = 0; i < 2; i++) {
        float *features = conformance_floats(c, rows * dim * dim);
        for (size_t j = 0; j < rows * dim * dim; j++) {
            const float *x = *inputs[i] + j / (dim * dim) * dim;
            features[j] = x[j / dim % dim] * x[j % dim] / sqrtf((float)dim);
        }
        *inputs[i] = features;
    }
    r->shape.key_dim = dim * dim;
}

/* n steps a token: the decay in the first, the query in the last; the others 1 and 0 */
static void spread_product(conformance_case *c, recurrence *r, size_t n) {
    size_t heads = r->shape.heads, dim = r->shape.key_dim, tokens = r->batches * r->steps.length / n;
    float *queries = conformance_floats(c, tokens * n * heads * dim),
          *decay = conformance_floats(c, tokens * n * heads);
    for (size_t i = 0; i < tokens; i++) {
        memcpy(queries + ((i + 1) * n - 1) * heads * dim, r->steps.queries + i * heads * dim,
               heads * dim * sizeof *queries);
        memcpy(decay + i * n * heads, r->steps.log_decay + i * heads, heads * sizeof *decay);
    }
    r->steps.queries = queries;
    r->steps.log_decay = decay;
}

static bool read_case(conformance_case *c, const model *m, recurrence *r) {
    const conformance_tensor *q, *k, *v;
    if (!conformance_need(c, "in.q", &q) || !conformance_need(c, "in.k", &k) ||
        !conformance_need(c, "in.v", &v))
        return false;
    r->batches = v->shape[0];
    r->steps.length = v->shape[m->heads_first ? 2 : 1];
    size_t heads = v->shape[m->heads_first ? 1 : 2];
    r->shape = (rill_attention_shape){.rule = m->rule,
                                      .decay = m->decay,
                                      .heads = heads,
                                      .query_heads = heads,
                                      .key_dim = k->shape[3],
                                      .value_dim = v->shape[3]};
    r->steps.queries = steps_of(c, m, r, "in.q", q->shape[3]);
    r->steps.keys = steps_of(c, m, r, "in.k", k->shape[3]);
    r->steps.values = steps_of(c, m, r, "in.v", v->shape[3]);
    r->steps.log_decay = steps_of(c, m, r, m->log_decay, k->shape[3]);
    if (m->decay == RILL_DECAY_HEAD) r->steps.log_decay = retention_decay(c, heads);
    if (k->count != v->count / v->shape[3] * k->shape[3]) {
        r->steps.queries = repeat_heads(c, r, q);
        r->steps.keys = repeat_heads(c, r, k);
    }
    r->steps.transition_read = steps_of(c, m, r, "in.alpha", k->shape[3]);
    if (r->steps.transition_read)
        r->steps.transition_write = steps_of(c, m, r, "in.beta", k->shape[3]);
    else
        r->steps.beta = steps_of(c, m, r, "in.beta", 1);
    if (conformance_find(c, "in.w")) read_two_gates(c, r);
    r->steps.bonus = values_of(c, "in.u");
    return true;
}

/* Every skip-th row of the output, and heads first if the file has it so. */
static void expect(conformance_case *c, const recurrence *r, const void *with) {
    const expectation *e = with;
    size_t heads = r->shape.heads, dim = r->shape.value_dim, row = heads * dim;
    size_t rows = r->batches * r->steps.length / e->skip;
    float *output = conformance_floats(c, rows * row);
    for (size_t i = 0; i < rows; i++)
        memcpy(output + i * row, r->output + ((i + 1) * e->skip - 1) * row, row * sizeof *output);
    if (e->model->heads_first) output = recurrence_swap(c, output, r->batches, r->steps.length, heads, dim);
    const char *names[] = {e->result->output, e->result->S, e->result->z};
    const float *got[] = {output, r->S, r->z};
    for (size_t i = 0; i < 3; i++)
        if (i == 0 || (names[i] && conformance_find(c, names[i])))
            conformance_expect(c, names[i], got[i], tolerance_of(c, names[i]));
}

/* h = g h + x, each channel a head of 1 × 1 whose key and query are 1 */
static void run_hgrn(conformance_case *c, const model *m) {
    static const result o = {"out.o", "out.h", NULL, true, true, false};
    const conformance_tensor *x;
    if (!conformance_need(c, "in.x", &x)) return;
    float *ones = conformance_floats(c, x->count);
    for (size_t i = 0; i < x->count; i++) ones[i] = 1;
    recurrence r = {.batches = x->shape[0], .past = values_of(c, "in.h0")};
    r.shape = (rill_attention_shape){.rule = m->rule,
                                     .decay = m->decay,
                                     .heads = x->shape[2],
                                     .query_heads = x->shape[2],
                                     .key_dim = 1,
                                     .value_dim = 1,
                                     .scale = 1};
    r.steps = (rill_sequence){.length = x->shape[1],
                              .queries = ones,
                              .keys = ones,
                              .values = x->values,
                              .log_decay = values_of(c, m->log_decay)};
    recurrence_run_forms(c, &r, expect, &(expectation){m, &o, 1});
}

static void run(conformance_case *c) {
    const model *m = model_of(c);
    recurrence r = {0};
    if (conformance_file_starts(c, "hgrn_")) {
        run_hgrn(c, m);
        return;
    }
    if (!read_case(c, m, &r)) return;
    size_t n = (size_t)conformance_number(c, "num_householder", 1);
    bool squares = conformance_file_starts(c, "rebased_");
    if (n > 1) spread_product(c, &r, n);
    if (squares) square_features(c, &r);
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        const result *have = results + i;
        if (!conformance_find(c, have->output)) continue;
        float scale = have->scale_is_one || n > 1 || squares ? 1 : (float)(1 / sqrt((double)r.shape.key_dim));
        r.shape.scale = scale;
        r.shape.normalize =
            have->normalized || (squares && have == results); /* scale q·S / (scale q·z + ε) */
        r.shape.epsilon = (float)(conformance_number(c, "eps", squares ? 1e-6 : 0) / (double)scale);
        r.past = have->with_past ? values_of(c, "in.S0") : NULL;
        r.past_z = have->with_past ? values_of(c, "in.z0") : NULL;
        recurrence_run_forms(c, &r, expect, &(expectation){m, have, n});
    }
}

static bool knows(const conformance_case *c) {
    return strcmp(conformance_folder(c), "fla_naive") == 0 && model_of(c);
}

const conformance_family conformance_fla = {"flash-linear-attention", knows, run};
