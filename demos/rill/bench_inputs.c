/* SPDX-License-Identifier: MIT */
#include "bench_inputs.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *aligned_memory(size_t size) {
    return aligned_alloc(64, (size + 63) / 64 * 64 + 64);
}

/* splitmix64 (Steele, Lea, Flood 2014) */
void fill_random(size_t count, double least, double greatest, float *x) {
    static uint64_t state = 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t z = state += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        x[i] = (float)(least + (greatest - least) * (double)((z ^ z >> 31) >> 40) * 0x1p-24);
    }
}

static void make_unit_rows(size_t rows, size_t dim, float *x) {
    for (size_t r = 0; r < rows; r++, x += dim) {
        double sum = 0;
        for (size_t i = 0; i < dim; i++) sum += (double)x[i] * (double)x[i];
        for (size_t i = 0; i < dim; i++) x[i] = (float)((double)x[i] / sqrt(sum));
    }
}

static bool is_delta(rill_update_rule rule) {
    return rule == RILL_RULE_DELTA || rule == RILL_RULE_GATED_DELTA;
}

bool inputs_make(rill_update_rule rule, bool decay_per_key, size_t heads, size_t dim, size_t length,
                 struct inputs *inputs) {
    const bool decayed = rule == RILL_RULE_GATED || rule == RILL_RULE_GATED_DELTA, delta = is_delta(rule);
    const size_t decays = decayed ? (decay_per_key ? dim : 1) : 0;
    *inputs = (struct inputs){.shape = {.rule = rule,
                                        .decay = !decayed        ? RILL_DECAY_NONE
                                                 : decay_per_key ? RILL_DECAY_STEP_KEY
                                                                 : RILL_DECAY_STEP_HEAD,
                                        .heads = heads,
                                        .query_heads = heads,
                                        .key_dim = dim,
                                        .value_dim = dim,
                                        .normalize = !delta,
                                        .epsilon = 1e-6f,
                                        .scale = 1}};
    const size_t rows = length * heads, row = rows * dim;
    inputs->state_size = rill_attention_size(&inputs->shape);
    inputs->state = aligned_memory(inputs->state_size);
    inputs->output = aligned_memory(row * sizeof(float));
    inputs->memory = aligned_memory((3 * row + rows * (decays + 1)) * sizeof(float));
    if (!inputs->state || !inputs->output || !inputs->memory) {
        inputs_free(inputs);
        return false;
    }
    float *queries = inputs->memory, *keys = queries + row, *values = keys + row, *decay = values + row,
          *beta = decay + rows * decays;
    fill_random(2 * row, 0.05, 1.05, queries);
    fill_random(row, -1, 1, values);
    fill_random(rows * decays, -0.1, 0, decay);
    fill_random(rows, 0.1, 0.9, beta);
    if (delta) make_unit_rows(2 * rows, dim, queries);
    inputs->sequence = (rill_sequence){.length = length,
                                       .queries = queries,
                                       .keys = keys,
                                       .values = values,
                                       .log_decay = decayed ? decay : NULL,
                                       .beta = delta ? beta : NULL};
    memset(inputs->output, 0, row * sizeof(float));
    rill_attention_init(&inputs->shape, inputs->state);
    return true;
}

void inputs_free(struct inputs *inputs) {
    free(inputs->state);
    free(inputs->output);
    free(inputs->memory);
    *inputs = (struct inputs){0};
}

static size_t decays_of(const rill_attention_shape *shape) {
    return shape->decay == RILL_DECAY_NONE ? 0 : shape->decay == RILL_DECAY_STEP_KEY ? shape->key_dim : 1;
}

rill_sequence inputs_step(const struct inputs *inputs, size_t t) {
    const rill_attention_shape *shape = &inputs->shape;
    rill_sequence step = inputs->sequence;
    step.length = 1;
    step.queries += t * shape->heads * shape->key_dim;
    step.keys += t * shape->heads * shape->key_dim;
    step.values += t * shape->heads * shape->value_dim;
    if (step.log_decay) step.log_decay += t * shape->heads * decays_of(shape);
    if (step.beta) step.beta += t * shape->heads;
    return step;
}

/* One head over one step of <rill/attention.h>'s recurrence; S [key_dim][value_dim], z [key_dim]. */
static void define_step(const rill_attention_shape *shape, const rill_sequence *step, size_t head, double *S,
                        double *z, double *output) {
    const size_t D = shape->key_dim, M = shape->value_dim;
    const float *q = step->queries + head * D, *k = step->keys + head * D, *v = step->values + head * M;
    const size_t decays = decays_of(shape);
    for (size_t d = 0; d < D && step->log_decay; d++) {
        double g = exp((double)step->log_decay[head * decays + (decays == 1 ? 0 : d)]);
        for (size_t m = 0; m < M; m++) S[d * M + m] *= g;
        z[d] *= g;
    }
    double normalizer = (double)shape->epsilon;
    for (size_t d = 0; d < D; d++) {
        z[d] += (double)k[d];
        normalizer += (double)q[d] * z[d];
    }
    for (size_t m = 0; m < M; m++) {
        double written = (double)v[m];
        if (is_delta(shape->rule)) {
            for (size_t d = 0; d < D; d++) written -= (double)k[d] * S[d * M + m];
            written *= (double)step->beta[head];
        }
        output[m] = 0;
        for (size_t d = 0; d < D; d++) {
            S[d * M + m] += (double)k[d] * written;
            output[m] += (double)q[d] * S[d * M + m];
        }
        output[m] *= shape->normalize ? 1 / normalizer : (double)shape->scale;
    }
}

double inputs_error(const struct inputs *inputs, size_t steps, const float *output) {
    const rill_attention_shape *shape = &inputs->shape;
    const size_t state = shape->key_dim * (shape->value_dim + 1), M = shape->value_dim;
    double *S = calloc(state + M, sizeof *S), worst = 0, greatest = 0;
    if (!S) return NAN;
    double *z = S + shape->key_dim * M, *row = S + state;
    for (size_t head = 0; head < shape->heads; head++) {
        memset(S, 0, state * sizeof *S);
        for (size_t t = 0; t < steps; t++) {
            rill_sequence step = inputs_step(inputs, t % inputs->sequence.length);
            define_step(shape, &step, head, S, z, row);
            for (size_t m = 0; m < M; m++) {
                double difference = fabs((double)output[(t * shape->heads + head) * M + m] - row[m]);
                if (isnan(difference)) {
                    free(S);
                    return NAN;
                }
                worst = fmax(worst, difference);
                greatest = fmax(greatest, fabs(row[m]));
            }
        }
    }
    free(S);
    return worst / greatest;
}
