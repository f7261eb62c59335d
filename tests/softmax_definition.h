/* SPDX-License-Identifier: MIT */
/* Attention by its definition, in double, and how far float may be from it. */
#ifndef RILL_TEST_SOFTMAX_DEFINITION_H
#define RILL_TEST_SOFTMAX_DEFINITION_H

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include <rill/softmax.h>

static inline bool softmax_sees(const rill_softmax_input *input, size_t head, size_t i, size_t j) {
    double p = (double)input->offset + (double)i, at = (double)j;
    if (input->causal && at > p) return false;
    if (input->windowed && input->window_before != RILL_UNBOUNDED && at < p - (double)input->window_before)
        return false;
    if (input->windowed && input->window_after != RILL_UNBOUNDED && at > p + (double)input->window_after)
        return false;
    if (input->mask && !input->mask[head * input->mask_head_stride + i * input->mask_query_stride + j])
        return false;
    return !input->bias ||
           input->bias[head * input->bias_head_stride + i * input->bias_query_stride + j] != -INFINITY;
}

/* The score of a pair in sight. *delta: how far the float score may be off, and its weight relative to that,
 * in units of u: key_dim products and their sum, scale, softcap (a quotient, tanh within 2 ulp, a product),
 * bias. */
static inline double softmax_score(const rill_softmax_shape *shape, const rill_softmax_input *input,
                                   size_t head, size_t i, size_t j, double *delta) {
    const float *q = input->queries + (i * shape->query_heads + head) * shape->key_dim;
    const float *k =
        input->keys + (j * shape->heads + head / (shape->query_heads / shape->heads)) * shape->key_dim;
    double score = 0, magnitude = 0, scale = (double)shape->scale, cap = (double)shape->softcap;
    for (size_t d = 0; d < shape->key_dim; d++) {
        score += (double)q[d] * (double)k[d] * scale;
        magnitude += fabs((double)q[d] * (double)k[d] * scale);
    }
    *delta = ((double)shape->key_dim + 2) * magnitude;
    if (cap > 0) {
        *delta += 6 * fabs(score);
        score = cap * tanh(score / cap);
    }
    if (input->bias) {
        score += (double)input->bias[head * input->bias_head_stride + i * input->bias_query_stride + j];
        *delta += fabs(score);
    }
    return score;
}

/* One query of one head: output [value_dim] and what float may be off, each [value_dim]. Softmax: a weight is
 * off by its score's delta, by the rounding of score − max, and by 4 u of the exponential; the sums by a
 * rounding for each key and, for each of the blocks of 64 keys, by the factor that follows a new maximum. */
static inline void softmax_define_row(const rill_softmax_shape *shape, const rill_softmax_input *input,
                                      size_t head, size_t i, double *output, double *tolerance) {
    const double u = (double)FLT_EPSILON / 2;
    bool product = shape->similarity == RILL_SIMILARITY_PRODUCT;
    size_t keys = input->keys_length, value_head = head / (shape->query_heads / shape->heads);
    double *weights = calloc(2 * keys + 1, sizeof *weights), *sizes = weights + keys;
    double max = -INFINITY, low = INFINITY, delta = 0, sum = 0;
    for (size_t j = 0; j < keys; j++) {
        double off = 0;
        weights[j] = product ? 0 : -INFINITY;
        if (!softmax_sees(input, head, i, j)) continue;
        weights[j] = softmax_score(shape, input, head, i, j, &off);
        max = fmax(max, weights[j]);
        low = fmin(low, weights[j]);
        delta = fmax(delta, off);
        sizes[j] = off / ((double)shape->key_dim + 2);
    }
    for (size_t j = 0; j < keys; j++) {
        if (!product) weights[j] = isinf(max) ? 0 : exp(weights[j] - max);
        if (!product) sizes[j] = weights[j];
        sum += weights[j];
    }
    double spread = isinf(max) ? 0 : max - low, blocks = (double)(keys / 64 + 2);
    double divisor = product ? (shape->normalize ? sum + (double)shape->epsilon : 1) : sum == 0 ? 1 : sum;
    double relative = product ? (double)(shape->key_dim + keys + 6) * u * (shape->normalize ? 2 : 1)
                              : u * (2 * (delta + spread + 4) + (double)keys + blocks * 4 + spread + 8);
    for (size_t m = 0; m < shape->value_dim; m++) {
        double o = 0, magnitude = 0;
        for (size_t j = 0; j < keys; j++) {
            if (weights[j] == 0) continue;
            double v = (double)input->values[(j * shape->heads + value_head) * shape->value_dim + m];
            o += weights[j] * v;
            magnitude += sizes[j] * fabs(v);
        }
        output[m] = o / divisor;
        tolerance[m] = relative * magnitude / divisor + 1e-36;
    }
    free(weights);
}

#endif
