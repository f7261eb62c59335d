/* SPDX-License-Identifier: MIT */
/* Mamba's selective scan, a head for each channel, and Mamba-2's SSD, as the gated rule. */
#include <math.h>
#include <string.h>

#include "conformance_forms.h"

static const double tolerance = 1e-5;

static const float *values_of(const conformance_case *c, const char *name) {
    const conformance_tensor *tensor = conformance_find(c, name);
    return tensor ? tensor->values : NULL;
}

/* The file's state is [B][H][value][key]. */
static float *turn_states(conformance_case *c, const recurrence *r, const float *from, bool keys_last) {
    size_t key = r->shape.key_dim, value = r->shape.value_dim, heads = r->batches * r->shape.heads;
    return recurrence_swap(c, from, heads, keys_last ? value : key, keys_last ? key : value, 1);
}

static void expect_ssd(conformance_case *c, const recurrence *r, const void *unused) {
    (void)unused;
    conformance_expect(c, r->past ? "out.y_init" : "out.y", r->output, tolerance);
    conformance_expect(c, r->past ? "out.S_init" : "out.S", turn_states(c, r, r->S, false), tolerance);
}

/* S = exp(dt A) S + B (dt x)ᵀ, y = Cᵀ S */
static void run_ssd(conformance_case *c) {
    const conformance_tensor *x, *dt, *A, *B, *C, *S;
    if (!conformance_need(c, "in.x", &x) || !conformance_need(c, "in.dt", &dt) ||
        !conformance_need(c, "in.A", &A) || !conformance_need(c, "in.B", &B) ||
        !conformance_need(c, "in.C", &C) || !conformance_need(c, "in.S0", &S))
        return;
    size_t heads = A->count;
    float *values = conformance_floats(c, x->count), *log_decay = conformance_floats(c, dt->count);
    for (size_t i = 0; i < x->count; i++) values[i] = x->values[i] * dt->values[i / x->shape[3]];
    for (size_t i = 0; i < dt->count; i++) log_decay[i] = dt->values[i] * A->values[i % heads];
    recurrence r = {.batches = x->shape[0]};
    r.shape = (rill_attention_shape){.rule = RILL_RULE_GATED,
                                     .decay = RILL_DECAY_STEP_HEAD,
                                     .heads = heads,
                                     .query_heads = heads,
                                     .key_dim = B->shape[3],
                                     .value_dim = x->shape[3],
                                     .scale = 1};
    r.steps = (rill_sequence){.length = x->shape[1],
                              .queries = C->values,
                              .keys = B->values,
                              .values = values,
                              .log_decay = log_decay};
    recurrence_run_forms(c, &r, expect_ssd, NULL);
    r.past = turn_states(c, &r, S->values, true);
    recurrence_run_forms(c, &r, expect_ssd, NULL);
}

/* y = (C x + D u) silu(z), channels first */
static void expect_scan(conformance_case *c, const recurrence *r, const void *unused) {
    (void)unused;
    size_t channels = r->shape.heads, length = r->steps.length;
    const float *u = values_of(c, "in.u"), *D = values_of(c, "in.D"), *z = values_of(c, "in.z");
    float *y = recurrence_swap(c, r->output, r->batches, length, channels, 1);
    for (size_t i = 0; i < r->batches * channels * length; i++) {
        if (D) y[i] += D[i / length % channels] * u[i];
        if (z) y[i] *= z[i] / (1 + expf(-z[i]));
    }
    conformance_expect(c, "out.y", y, tolerance);
    conformance_expect(c, "out.last_state", r->S, tolerance);
}

/* x = exp(dt A) x + B (dt u), dt = softplus(delta + bias) or delta */
static void run_scan(conformance_case *c) {
    const conformance_tensor *u, *delta, *A, *B, *C;
    if (!conformance_need(c, "in.u", &u) || !conformance_need(c, "in.delta", &delta) ||
        !conformance_need(c, "in.A", &A) || !conformance_need(c, "in.B", &B) ||
        !conformance_need(c, "in.C", &C))
        return;
    size_t batches = u->shape[0], channels = u->shape[1], length = u->shape[2], dim = A->shape[1];
    size_t rows = batches * length * channels;
    const char *softplus = conformance_text(c, "delta_softplus");
    const float *bias = values_of(c, "in.delta_bias");
    float *q = conformance_floats(c, rows * dim), *k = conformance_floats(c, rows * dim),
          *log_decay = conformance_floats(c, rows * dim), *v = conformance_floats(c, rows);
    for (size_t row = 0; row < rows; row++) {
        size_t d = row % channels, t = row / channels % length, b = row / channels / length;
        size_t at = (b * channels + d) * length + t;
        float dt = delta->values[at] + (bias ? bias[d] : 0);
        if (softplus && strcmp(softplus, "true") == 0) dt = log1pf(expf(dt));
        v[row] = dt * u->values[at];
        for (size_t n = 0; n < dim; n++) {
            q[row * dim + n] = C->values[(b * dim + n) * length + t];
            k[row * dim + n] = B->values[(b * dim + n) * length + t];
            log_decay[row * dim + n] = dt * A->values[d * dim + n];
        }
    }
    recurrence r = {.batches = batches};
    r.shape = (rill_attention_shape){.rule = RILL_RULE_GATED,
                                     .decay = RILL_DECAY_STEP_KEY,
                                     .heads = channels,
                                     .query_heads = channels,
                                     .key_dim = dim,
                                     .value_dim = 1,
                                     .scale = 1};
    r.steps = (rill_sequence){.length = length, .queries = q, .keys = k, .values = v, .log_decay = log_decay};
    recurrence_run_forms(c, &r, expect_scan, NULL);
}

static void run(conformance_case *c) {
    if (conformance_file_starts(c, "ssd_"))
        run_ssd(c);
    else
        run_scan(c);
}

static bool knows(const conformance_case *c) {
    return strcmp(conformance_folder(c), "mamba") == 0 &&
           (conformance_file_starts(c, "ssd_") || conformance_file_starts(c, "selective_scan_"));
}

const conformance_family conformance_mamba = {"Mamba", knows, run};
