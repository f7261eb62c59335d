/* SPDX-License-Identifier: MIT */
/* Attention with everything in sight, as OpenNMT's GlobalAttention: dot-product, general and additive scores,
 * their softmax, the context, and the layer behind it. Keys are values. */
#include "conformance.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <rill/scores.h>

static const double tolerance = 1e-6; /* sums in double here; float32 sums of up to 65 terms there */

/* y [rows][outputs] = W x + b of the file; without a bias b is 0 */
static float *linear(conformance_case *c, const char *scope, size_t rows, size_t inputs, size_t outputs,
                     const float *x) {
    char name[64];
    const conformance_tensor *weight, *bias;
    snprintf(name, sizeof name, "weight.%s.bias", scope);
    bias = conformance_find(c, name);
    snprintf(name, sizeof name, "weight.%s.weight", scope);
    if (!conformance_need(c, name, &weight)) return NULL;
    float *y = conformance_floats(c, rows * outputs);
    for (size_t i = 0; i < rows * outputs; i++) {
        double sum = bias ? (double)bias->values[i % outputs] : 0;
        for (size_t d = 0; d < inputs; d++)
            sum += (double)weight->values[i % outputs * inputs + d] * (double)x[i / outputs * inputs + d];
        y[i] = (float)sum;
    }
    return y;
}

static void run(conformance_case *c) {
    const conformance_tensor *query, *keys, *lengths, *v = conformance_find(c, "weight.v.weight");
    if (!conformance_need(c, "in.query", &query) || !conformance_need(c, "in.keys", &keys) ||
        !conformance_need(c, "in.lengths", &lengths))
        return;
    const size_t count = query->shape[0], queries = query->shape[1], length = keys->shape[1],
                 dim = query->shape[2], pairs = queries * length;
    const bool additive = conformance_file_starts(c, "mlp_"),
               general = conformance_file_starts(c, "general_");
    const float *q = query->values, *k = keys->values;
    if (general) q = linear(c, "linear_in", count * queries, dim, dim, q);
    if (additive) q = linear(c, "linear_query", count * queries, dim, dim, q);
    if (additive) k = linear(c, "linear_context", count * length, dim, dim, k);
    if (!q || !k || (additive && !v)) {
        conformance_fail(c, "weights are missing");
        return;
    }
    float *scores = conformance_floats(c, count * pairs), *weights = conformance_floats(c, count * pairs),
          *context = conformance_floats(c, query->count), *both = conformance_floats(c, 2 * query->count);
    bool *seen = conformance_memory(c, length);
    for (size_t n = 0; n < count; n++) {
        const float *queries_n = q + n * queries * dim, *keys_n = k + n * length * dim;
        if (additive)
            rill_scores_additive(queries, length, dim, queries_n, keys_n, v->values, scores + n * pairs);
        else
            rill_scores_dot_product(queries, length, dim, 1, queries_n, keys_n, scores + n * pairs);
        memcpy(weights + n * pairs, scores + n * pairs, pairs * sizeof *weights);
        for (size_t j = 0; j < length; j++) seen[j] = (float)j < lengths->values[n];
        rill_scores_hide_keys(queries, length, seen, weights + n * pairs);
        rill_scores_softmax(queries, length, weights + n * pairs, weights + n * pairs);
        rill_scores_mix(queries, length, dim, weights + n * pairs, keys->values + n * length * dim,
                        context + n * queries * dim);
    }
    for (size_t i = 0; i < query->count; i++) {
        both[i / dim * 2 * dim + i % dim] = context[i];
        both[i / dim * 2 * dim + dim + i % dim] = query->values[i];
    }
    float *y = linear(c, "linear_out", count * queries, 2 * dim, dim, both);
    for (size_t i = 0; y && !additive && i < query->count; i++) y[i] = tanhf(y[i]);
    conformance_expect(c, "out.score", scores, tolerance);
    conformance_expect(c, "out.weights", weights, tolerance);
    conformance_expect(c, "out.context", context, tolerance);
    if (y) conformance_expect(c, "out.y", y, tolerance);
}

static bool knows(const conformance_case *c) {
    return strcmp(conformance_folder(c), "additive") == 0;
}

const conformance_family conformance_additive = {"attention in sight", knows, run};
