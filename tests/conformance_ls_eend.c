/* SPDX-License-Identifier: MIT */
/* LS-EEND's multi-scale retention: the gated rule between dense layers, divided by the root of Σ γ^i. Its
 * parallel form divides by the sum of its row as well; its chunkwise form divides by yet another number
 * (NOTES: they agree to 1.6e-3), which is left out. */
#include <math.h>
#include <string.h>

#include "conformance_forms.h"

static const double tolerance = 1e-5;

static const conformance_tensor *need(conformance_case *c, const char *name) {
    static const float nothing[1];
    static const conformance_tensor absent = {.shape = {0}, .values = (float *)nothing};
    const conformance_tensor *tensor = NULL;
    return conformance_need(c, name, &tensor) ? tensor : &absent;
}

/* W x + b, rows of them */
static float *project(conformance_case *c, size_t rows, const float *x, const char *weight_name,
                      const char *bias_name, double scale) {
    const conformance_tensor *weight = need(c, weight_name), *bias = need(c, bias_name);
    size_t outputs = weight->shape[0], inputs = weight->shape[1];
    float *y = conformance_floats(c, rows * outputs);
    for (size_t i = 0; i < rows * outputs; i++) {
        double sum = (double)bias->values[i % outputs];
        for (size_t j = 0; j < inputs; j++)
            sum += (double)weight->values[i % outputs * inputs + j] * (double)x[i / outputs * inputs + j];
        y[i] = (float)(sum * scale);
    }
    return y;
}

/* Σ γ^i over the steps so far */
static double scale_at(const recurrence *r, size_t t, size_t head) {
    double sum = 0;
    for (size_t i = 0; i <= t; i++) sum += exp((double)i * (double)r->steps.log_decay[head]);
    return sum;
}

/* out_proj(silu(g) · norm(o / divisor)), the divisor [batches][length][heads] of its row */
static float *finish(conformance_case *c, const recurrence *r, const float *gate, const double *divisor) {
    size_t dim = r->shape.value_dim, rows = r->batches * r->steps.length;
    float *y = conformance_floats(c, rows * r->shape.heads * dim);
    for (size_t row = 0; row < rows * r->shape.heads; row++) {
        const float *o = r->output + row * dim;
        double mean = 0, variance = 0;
        for (size_t m = 0; m < dim; m++) mean += (double)o[m] / divisor[row] / (double)dim;
        for (size_t m = 0; m < dim; m++) variance += pow((double)o[m] / divisor[row] - mean, 2) / (double)dim;
        for (size_t m = 0; m < dim; m++) {
            double g = (double)gate[row * dim + m], normed = (double)o[m] / divisor[row] - mean;
            normed /= sqrt(variance + conformance_number(c, "group_norm_eps", 0));
            y[row * dim + m] = (float)(normed * g / (1 + exp(-g)));
        }
    }
    return project(c, rows, y, "weight.out_proj.weight", "weight.out_proj.bias", 1);
}

/* Σ_j γ^(t−j) q_t·k_j: the same recurrence of values that are 1 */
static void keep_sums(conformance_case *c, const recurrence *r, const void *with) {
    float **sums = (float **)(void *)with;
    (void)c;
    *sums = r->output;
}

static float *row_sums(conformance_case *c, const recurrence *r) {
    recurrence ones = {.shape = r->shape, .batches = r->batches, .steps = r->steps};
    float *values = conformance_floats(c, r->batches * r->steps.length * r->shape.heads), *sums = NULL;
    for (size_t i = 0; i < r->batches * r->steps.length * r->shape.heads; i++) values[i] = 1;
    ones.shape.value_dim = 1;
    ones.steps.values = values;
    recurrence_run_forms(c, &ones, keep_sums, (const void *)&sums);
    return sums;
}

typedef struct layer {
    const float *gate, *sums;
} layer;

static void expect(conformance_case *c, const recurrence *r, const void *with) {
    const layer *l = with;
    size_t heads = r->shape.heads, rows = r->batches * r->steps.length, length = r->steps.length;
    double *divisor = conformance_memory(c, rows * heads * sizeof *divisor);
    for (size_t i = 0; i < rows * heads; i++) divisor[i] = sqrt(scale_at(r, i / heads % length, i % heads));
    conformance_expect(c, "out.y_recurrent", finish(c, r, l->gate, divisor), tolerance);
    for (size_t i = 0; i < rows * heads; i++) divisor[i] *= fmax(1, fabs((double)l->sums[i]) / divisor[i]);
    conformance_expect(c, "out.y_parallel", finish(c, r, l->gate, divisor), tolerance);
    size_t head_floats = r->shape.key_dim * r->shape.value_dim;
    float *scales = conformance_floats(c, heads);
    float *S = recurrence_swap(c, r->S, r->batches * heads, r->shape.key_dim, r->shape.value_dim, 1);
    for (size_t h = 0; h < heads; h++) scales[h] = (float)scale_at(r, length - 1, h);
    for (size_t i = 0; i < r->batches * heads * head_floats; i++)
        S[i] /= sqrtf(scales[i / head_floats % heads]);
    conformance_expect(c, "out.kv_final", S, tolerance);
    conformance_expect(c, "out.scale_final", scales, tolerance);
}

static void run(conformance_case *c) {
    const conformance_tensor *x = need(c, "in.x"), *log_decay = need(c, "weight.decay_log"),
                             *v = need(c, "weight.v_proj.weight"), *k = need(c, "weight.k_proj.weight");
    if (x->count == 0 || log_decay->count == 0 || v->count == 0 || k->count == 0) return;
    size_t heads = log_decay->count, rows = x->shape[0] * x->shape[1], key_dim = k->shape[0] / heads;
    recurrence r = {.batches = x->shape[0]};
    r.shape = (rill_attention_shape){.rule = RILL_RULE_GATED,
                                     .decay = RILL_DECAY_HEAD,
                                     .heads = heads,
                                     .query_heads = heads,
                                     .key_dim = key_dim,
                                     .value_dim = v->shape[0] / heads,
                                     .scale = 1};
    r.steps.length = x->shape[1];
    r.steps.queries = project(c, rows, x->values, "weight.q_proj.weight", "weight.q_proj.bias", 1);
    r.steps.keys =
        project(c, rows, x->values, "weight.k_proj.weight", "weight.k_proj.bias", 1 / sqrt((double)key_dim));
    r.steps.values = project(c, rows, x->values, "weight.v_proj.weight", "weight.v_proj.bias", 1);
    r.steps.log_decay = log_decay->values;
    layer l = {project(c, rows, x->values, "weight.g_proj.weight", "weight.g_proj.bias", 1), row_sums(c, &r)};
    recurrence_run_forms(c, &r, expect, &l);
}

static bool knows(const conformance_case *c) {
    return strcmp(conformance_folder(c), "ls_eend") == 0 && conformance_file_starts(c, "retention_");
}

const conformance_family conformance_ls_eend = {"LS-EEND", knows, run};
