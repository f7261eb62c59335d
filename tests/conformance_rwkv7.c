/* SPDX-License-Identifier: MIT */
/* RWKV-7's time mixing, the layer round the rank-one transition a = κ̂, b = −κ̂ (in-context rate). */
#include <math.h>
#include <string.h>

#include "conformance_forms.h"

static const double tolerance = 1e-5;

static float sigmoid(float x) {
    return 1 / (1 + expf(-x));
}

typedef struct time_mixing {
    conformance_case *c;
    size_t length, dim, heads, head_dim;
    const float *x, *last_x;
} time_mixing;

static const float *need(conformance_case *c, const char *name) {
    const conformance_tensor *tensor = NULL;
    static const float nothing[1];
    return conformance_need(c, name, &tensor) ? tensor->values : nothing;
}

static size_t columns_of(conformance_case *c, const char *name) {
    const conformance_tensor *tensor = conformance_find(c, name);
    return tensor ? tensor->shape[1] : 0;
}

/* x + m (x before it − x) */
static float *mix(const time_mixing *l, const char *name) {
    float *mixed = conformance_floats(l->c, l->length * l->dim);
    const float *m = need(l->c, name);
    for (size_t i = 0; i < l->length * l->dim; i++) {
        float before = i < l->dim ? l->last_x[i] : l->x[i - l->dim];
        mixed[i] = l->x[i] + m[i % l->dim] * (before - l->x[i]);
    }
    return mixed;
}

/* y[t] = x[t] W (from the right), or W x[t] with W transposed: outputs columns */
static float *multiply(const time_mixing *l, const float *x, size_t inputs, const char *name,
                       bool from_left) {
    const float *W = need(l->c, name);
    size_t outputs = columns_of(l->c, name);
    float *y = conformance_floats(l->c, l->length * outputs);
    for (size_t t = 0; t < l->length; t++)
        for (size_t o = 0; o < outputs; o++) {
            double sum = 0;
            for (size_t i = 0; i < inputs; i++)
                sum += (double)x[t * inputs + i] * (double)W[from_left ? o * inputs + i : i * outputs + o];
            y[t * outputs + o] = (float)sum;
        }
    return y;
}

/* f(x W1) W2 + bias, f = tanh, sigmoid or identity */
static float *low_rank(const time_mixing *l, const float *x, const char *first, float (*f)(float),
                       const char *second, const char *bias_name) {
    float *hidden = multiply(l, x, l->dim, first, false);
    size_t rank = columns_of(l->c, first);
    for (size_t i = 0; i < l->length * rank && f; i++) hidden[i] = f(hidden[i]);
    float *y = multiply(l, hidden, rank, second, false);
    const float *bias = bias_name ? need(l->c, bias_name) : NULL;
    for (size_t i = 0; i < l->length * l->dim && bias; i++) y[i] += bias[i % l->dim];
    return y;
}

/* The value of the first layer shines through in later ones. */
static void mix_first_value(const time_mixing *l, const float *xv, float *values) {
    const conformance_tensor *first = conformance_find(l->c, "in.v_first");
    if (!first) return;
    const float *rate = low_rank(l, xv, "weight.Wv1", NULL, "weight.Wv2", "weight.v_bias");
    for (size_t i = 0; i < first->count; i++) values[i] += (first->values[i] - values[i]) * sigmoid(rate[i]);
}

/* k k_k to length 1 in each head */
static float *removal_keys(const time_mixing *l, const float *keys) {
    float *kk = conformance_floats(l->c, l->length * l->dim);
    const float *k_k = need(l->c, "weight.k_k");
    for (size_t i = 0; i < l->length * l->dim; i++) kk[i] = keys[i] * k_k[i % l->dim];
    for (size_t row = 0; row < l->length * l->heads; row++) {
        double norm = 0;
        for (size_t d = 0; d < l->head_dim; d++)
            norm += (double)kk[row * l->head_dim + d] * (double)kk[row * l->head_dim + d];
        for (size_t d = 0; d < l->head_dim; d++) kk[row * l->head_dim + d] /= (float)fmax(sqrt(norm), 1e-12);
    }
    return kk;
}

static rill_sequence inputs_of(const time_mixing *l) {
    const size_t count = l->length * l->dim;
    const float *xv = mix(l, "weight.mv"), *k_a = need(l->c, "weight.k_a");
    float *w = low_rank(l, mix(l, "weight.mw"), "weight.Ww1", tanhf, "weight.Ww2", "weight.w_bias");
    float *rate = low_rank(l, mix(l, "weight.ma"), "weight.Wa1", NULL, "weight.Wa2", "weight.a_bias");
    float *keys = multiply(l, mix(l, "weight.mk"), l->dim, "weight.Wk", true);
    float *values = multiply(l, xv, l->dim, "weight.Wv", true);
    float *kk = removal_keys(l, keys), *write = conformance_floats(l->c, count);
    mix_first_value(l, xv, values);
    for (size_t i = 0; i < count; i++) {
        rate[i] = sigmoid(rate[i]);
        w[i] = -sigmoid(w[i]) / sqrtf(expf(1));
        keys[i] += keys[i] * (rate[i] - 1) * k_a[i % l->dim];
        write[i] = -kk[i] * rate[i];
    }
    return (rill_sequence){.length = l->length,
                           .queries = multiply(l, mix(l, "weight.mr"), l->dim, "weight.Wr", true),
                           .keys = keys,
                           .values = values,
                           .log_decay = w,
                           .transition_read = kk,
                           .transition_write = write};
}

/* W_o ((group norm(o) + (Σ r k r_k) v) g) */
static void expect(conformance_case *c, const recurrence *r, const void *with) {
    const time_mixing *l = with;
    const float *weight = need(c, "weight.ln_w"), *bias = need(c, "weight.ln_b"),
                *r_k = need(c, "weight.r_k");
    const float *gate = low_rank(l, mix(l, "weight.mg"), "weight.Wg1", sigmoid, "weight.Wg2", NULL);
    double epsilon = conformance_number(c, "group_norm_eps", 0);
    float *y = conformance_floats(c, l->length * l->dim);
    for (size_t row = 0; row < l->length * l->heads; row++) {
        size_t at = row * l->head_dim, channel = row % l->heads * l->head_dim;
        double mean = 0, variance = 0, own = 0;
        for (size_t d = 0; d < l->head_dim; d++) {
            mean += (double)r->output[at + d] / (double)l->head_dim;
            own +=
                (double)r->steps.queries[at + d] * (double)r->steps.keys[at + d] * (double)r_k[channel + d];
        }
        for (size_t d = 0; d < l->head_dim; d++)
            variance += pow((double)r->output[at + d] - mean, 2) / (double)l->head_dim;
        for (size_t d = 0; d < l->head_dim; d++)
            y[at + d] = (float)(((((double)r->output[at + d] - mean) / sqrt(variance + epsilon)) *
                                     (double)weight[channel + d] +
                                 (double)bias[channel + d] + own * (double)r->steps.values[at + d]) *
                                (double)gate[at + d]);
    }
    conformance_expect(c, "out.y", multiply(l, y, l->dim, "weight.Wo", true), tolerance);
}

/* S after every step; the file's is [value][key]. */
static void expect_states(conformance_case *c, const recurrence *r) {
    size_t head = r->shape.key_dim * r->shape.value_dim, floats = r->shape.heads * head;
    float *state = conformance_memory(c, rill_attention_size(&r->shape)),
          *states = conformance_floats(c, r->steps.length * floats),
          *output = conformance_floats(c, r->shape.heads * r->shape.value_dim);
    memcpy(state, r->past, floats * sizeof *state);
    for (size_t t = 0; t < r->steps.length; t++) {
        size_t keys = t * r->shape.heads * r->shape.key_dim;
        rill_sequence step = {.length = 1,
                              .queries = r->steps.queries + keys,
                              .keys = r->steps.keys + keys,
                              .values = r->steps.values + t * r->shape.heads * r->shape.value_dim,
                              .log_decay = r->steps.log_decay + keys,
                              .transition_read = r->steps.transition_read + keys,
                              .transition_write = r->steps.transition_write + keys};
        rill_attention_recurrent(&r->shape, state, &step, output);
        memcpy(states + t * floats, state, floats * sizeof *state);
    }
    conformance_expect(
        c, "out.S_steps",
        recurrence_swap(c, states, r->steps.length * r->shape.heads, r->shape.key_dim, r->shape.value_dim, 1),
        tolerance);
}

static void run(conformance_case *c) {
    const conformance_tensor *x, *S0;
    if (!conformance_need(c, "in.x", &x) || !conformance_need(c, "in.S0", &S0)) return;
    time_mixing l = {.c = c,
                     .length = x->shape[0],
                     .dim = x->shape[1],
                     .heads = S0->shape[0],
                     .head_dim = S0->shape[1],
                     .x = x->values,
                     .last_x = need(c, "in.last_x")};
    recurrence r = {.batches = 1, .steps = inputs_of(&l)};
    r.shape = (rill_attention_shape){.rule = RILL_RULE_RANK_ONE,
                                     .decay = RILL_DECAY_STEP_KEY,
                                     .heads = l.heads,
                                     .query_heads = l.heads,
                                     .key_dim = l.head_dim,
                                     .value_dim = l.head_dim,
                                     .scale = 1};
    r.past = recurrence_swap(c, S0->values, l.heads, l.head_dim, l.head_dim, 1);
    recurrence_run_forms(c, &r, expect, &l);
    expect_states(c, &r);
}

static bool knows(const conformance_case *c) {
    return strcmp(conformance_folder(c), "rwkv7") == 0 && conformance_file_starts(c, "time_mixing_");
}

const conformance_family conformance_rwkv7 = {"RWKV-7", knows, run};
