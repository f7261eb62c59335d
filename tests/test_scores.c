/* SPDX-License-Identifier: MIT */
/* Attention in sight: each line against its definition, and all of them against <rill/softmax.h>. */
#include "guarded_floats.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#include <rill/scores.h>
#include <rill/softmax.h>

static const double U = (double)FLT_EPSILON / 2;

typedef struct sight {
    size_t queries_length, keys_length, dim, value_dim;
    guarded_floats queries, keys, values, v;
} sight;

static sight sight_make(void) {
    sight s = {1 + random_below(12),
               1 + random_below(40),
               1 + random_below(20),
               1 + random_below(9),
               {0},
               {0},
               {0},
               {0}};
    s.queries = guarded_input(s.queries_length * s.dim, -2, 2);
    s.keys = guarded_input(s.keys_length * s.dim, -2, 2);
    s.values = guarded_input(s.keys_length * s.value_dim, -3, 3);
    s.v = guarded_input(s.dim, -1, 1);
    return s;
}

static void sight_free(sight *s) {
    guarded_free(&s->queries);
    guarded_free(&s->keys);
    guarded_free(&s->values);
    guarded_free(&s->v);
}

/* tanhf of a rounded sum: off by u |q + k| and 2 ulp of at most 1 */
Test(scores, additive_is_its_definition) {
    random_seed(14090473);
    for (int round = 0; round < 50; round++) {
        sight s = sight_make();
        guarded_floats scores = guarded_output(s.queries_length * s.keys_length);
        rill_scores_additive(s.queries_length, s.keys_length, s.dim, s.queries.data, s.keys.data, s.v.data,
                             scores.data);
        for (size_t n = 0; n < scores.count; n++) {
            double want = 0, bound = 0;
            for (size_t d = 0; d < s.dim; d++) {
                const double sum = (double)s.queries.data[n / s.keys_length * s.dim + d] +
                                   (double)s.keys.data[n % s.keys_length * s.dim + d];
                want += (double)s.v.data[d] * tanh(sum);
                bound += fabs((double)s.v.data[d]) * U * (fabs(sum) + 4);
            }
            cr_assert(fabs((double)scores.data[n] - want) <= bound + U * fabs(want), "%g, want %g",
                      (double)scores.data[n], want);
        }
        guarded_free(&scores);
        sight_free(&s);
    }
}

/* Two ways to the same outputs: the softmax's own tests hold it to the definition in double. */
Test(scores, dot_product_softmax_and_mix_are_softmax_attention) {
    random_seed(1706);
    for (int round = 0; round < 60; round++) {
        sight s = sight_make();
        const bool causal = round % 2, masked = round % 3 == 0;
        const float scale = 1 / sqrtf((float)s.dim);
        bool *seen = malloc(s.keys_length);
        for (size_t j = 0; j < s.keys_length; j++) seen[j] = !masked || random_below(3) > 0;
        guarded_floats weights = guarded_output(s.queries_length * s.keys_length),
                       other = guarded_output(weights.count),
                       output = guarded_output(s.queries_length * s.value_dim),
                       reference = guarded_output(output.count);
        rill_scores_dot_product(s.queries_length, s.keys_length, s.dim, scale, s.queries.data, s.keys.data,
                                weights.data);
        rill_scores_hide_keys(s.queries_length, s.keys_length, seen, weights.data);
        if (causal) rill_scores_hide_future(s.queries_length, s.keys_length, weights.data);
        rill_scores_softmax(s.queries_length, s.keys_length, weights.data, weights.data);
        for (size_t j = 0; j < s.keys_length; j++) /* what is hidden may hold anything */
            if (!seen[j]) s.values.data[j * s.value_dim] = NAN;
        rill_scores_mix(s.queries_length, s.keys_length, s.value_dim, weights.data, s.values.data,
                        output.data);
        const rill_softmax_shape shape = {
            .heads = 1, .query_heads = 1, .key_dim = s.dim, .value_dim = s.value_dim, .scale = scale};
        const rill_softmax_input input = {.queries_length = s.queries_length,
                                          .keys_length = s.keys_length,
                                          .queries = s.queries.data,
                                          .keys = s.keys.data,
                                          .values = s.values.data,
                                          .causal = causal,
                                          .mask = seen,
                                          .scores = other.data,
                                          .scores_kind = RILL_SCORES_NORMALIZED};
        rill_softmax_attention(&shape, &input, reference.data);
        /* scores are below 4 √20 and off by 22 u of that in either; weights by twice the score's error */
        const double relative = 4 * 22 * U * 4 * sqrt((double)s.dim) + (double)(s.keys_length + 50) * U;
        for (size_t n = 0; n < weights.count; n++)
            cr_assert(fabs((double)weights.data[n] - (double)other.data[n]) <=
                          relative * (double)other.data[n] + 1e-36,
                      "weight %g, there %g", (double)weights.data[n], (double)other.data[n]);
        for (size_t n = 0; n < output.count; n++)
            cr_assert(fabs((double)output.data[n] - (double)reference.data[n]) <= 3 * relative,
                      "output %g, there %g", (double)output.data[n], (double)reference.data[n]);
        free(seen);
        guarded_free(&weights);
        guarded_free(&other);
        guarded_free(&output);
        guarded_free(&reference);
        sight_free(&s);
    }
}

Test(scores, relu_keeps_what_is_positive_and_nan) {
    const float scores[] = {-INFINITY, -3, -0.0f, 0, 2.5f, NAN, INFINITY};
    float weights[7];
    rill_scores_relu(1, 7, scores, weights);
    for (size_t j = 0; j < 4; j++) cr_assert(weights[j] == 0);
    cr_assert(weights[4] == 2.5f && isnan(weights[5]) && isinf(weights[6]));
}

Test(scores, a_row_that_sees_nothing_gives_zeros) {
    float scores[2][3] = {{-INFINITY, -INFINITY, -INFINITY}, {0, 0, -INFINITY}}, output[2];
    const float values[3] = {1, 3, NAN};
    rill_scores_softmax(2, 3, scores[0], scores[0]);
    rill_scores_mix(2, 3, 1, scores[0], values, output);
    cr_assert(output[0] == 0 && output[1] == 2);
    rill_scores_softmax(2, 0, NULL, NULL);
    rill_scores_mix(2, 0, 1, NULL, NULL, output);
    cr_assert(output[0] == 0 && output[1] == 0);
}

/* Wherever it stands, even between scores of −∞. */
Test(scores, nan_and_infinity_spoil_their_own_row_only) {
    const float bad[] = {NAN, INFINITY};
    for (size_t which = 0; which < 2; which++)
        for (size_t place = 0; place < 3; place++)
            for (int hidden = 0; hidden < 2; hidden++) {
                float scores[2][3] = {{1, 2, 3}, {1, 2, 3}};
                for (size_t j = 0; hidden && j < 3; j++) scores[0][j] = -INFINITY;
                scores[0][place] = bad[which];
                rill_scores_softmax(2, 3, scores[0], scores[0]);
                cr_assert(isnan(scores[0][place]));
                cr_assert(fabsf(scores[1][0] + scores[1][1] + scores[1][2] - 1) < 1e-6f);
            }
}
