/* SPDX-License-Identifier: MIT */
/* FAVOR+: the features are their formula, their product is the softmax kernel on average, and attention with
 * them comes nearer to softmax attention as 1/√m. */
#include "feature_rows.h"

#include <stdio.h>

#include <rill/softmax.h>

/* Each exponent is a sum of two dot products and a constant, off by u for each term; exp adds 2 u. */
Test(favor, features_are_their_formula) {
    random_seed(2);
    for (int round = 0; round < 40; round++) {
        size_t dim = 1 + random_below(40), projections_count = 1 + random_below(50);
        feature_rows rows = feature_rows_make(random_below(6), dim, 2 * projections_count, 2);
        guarded_floats projections = guarded_output(projections_count * dim);
        float scale = (float)(0.1 + random_uniform()), shift = (float)random_uniform();
        rill_random_projections_draw(random_bits(), true, projections_count, dim, projections.data);
        rill_feature_map_favor(rows.count, dim, projections_count, projections.data, scale, shift,
                               rows.x.data, rows.features.data);
        for (size_t i = 0; i < rows.features.count; i++) {
            const float *x = rows.x.data + i / (2 * projections_count) * dim;
            const float *w = projections.data + i % projections_count * dim;
            double s = (double)scale, sign = i / projections_count % 2 ? -1 : 1;
            double constant = (double)shift + log(2 * (double)projections_count) / 2;
            double exponent =
                sign * sqrt(s) * double_dot(dim, w, x) - s * double_dot(dim, x, x) / 2 - constant;
            double size = sqrt(s) * absolute_dot(dim, w, x) + s * double_dot(dim, x, x) / 2 + constant;
            double want = exp(exponent), tolerance = want * expm1((double)(dim + 6) * U * size + 4 * U);
            cr_assert(fabs((double)rows.features.data[i] - want) <= tolerance, "round %d: %g, want %g", round,
                      (double)rows.features.data[i], want);
        }
        guarded_free(&projections);
        feature_rows_free(&rows);
    }
}

enum { dim = 16, keys = 64, value_dim = 4 };
static const double scale = 1; /* the harder, the larger; 1/√dim is usual */

/* uniform in the unit ball's directions, length 0 … 1 */
static void random_row(float *row) {
    double square = 0, length = random_uniform();
    for (size_t d = 0; d < dim; d++) {
        row[d] = (float)(random_uniform() + random_uniform() + random_uniform() - 1.5);
        square += (double)row[d] * (double)row[d];
    }
    for (size_t d = 0; d < dim; d++) row[d] = (float)((double)row[d] * length / sqrt(square));
}

/* φ(q)·φ(k) with m features drawn from a seed */
static double kernel_estimate(uint64_t seed, bool orthogonal, size_t m, const float *q, const float *k) {
    float projections[32 * dim], q_features[64], k_features[64];
    cr_assert(m <= 64);
    rill_random_projections_draw(seed, orthogonal, m / 2, dim, projections);
    rill_feature_map_favor(1, dim, m / 2, projections, (float)scale, 0, q, q_features);
    rill_feature_map_favor(1, dim, m / 2, projections, (float)scale, 0, k, k_features);
    return double_dot(m, q_features, k_features);
}

/* The mean of many draws lies within 4 of its standard errors from exp(scale q·k); orthogonal draws vary
 * less. */
Test(favor, estimates_the_softmax_kernel_without_bias) {
    enum { draws = 1000, m = 32 };
    random_seed(9);
    for (int pair = 0; pair < 6; pair++) {
        float q[dim], k[dim];
        double variance[2];
        random_row(q);
        random_row(k);
        double want = exp(scale * double_dot(dim, q, k));
        for (int orthogonal = 0; orthogonal < 2; orthogonal++) {
            double sum = 0, squares = 0;
            for (uint64_t draw = 0; draw < draws; draw++) {
                double estimate = kernel_estimate(draw * 2654435761u + 1, orthogonal, m, q, k);
                sum += estimate;
                squares += estimate * estimate;
            }
            double mean = sum / draws;
            variance[orthogonal] = squares / draws - mean * mean;
            double standard_error = sqrt(variance[orthogonal] / draws);
            cr_assert(fabs(mean - want) <= 4 * standard_error, "pair %d: %g ± %g, want %g", pair, mean,
                      standard_error, want);
        }
        cr_assert(variance[1] < variance[0], "pair %d: %g orthogonal, %g independent", pair, variance[1],
                  variance[0]);
    }
}

typedef struct history {
    float q[keys * dim], k[keys * dim], v[keys * value_dim], softmax[keys * value_dim];
} history;

static void history_draw(history *h) {
    for (size_t t = 0; t < keys; t++) {
        random_row(h->q + t * dim);
        random_row(h->k + t * dim);
    }
    for (size_t i = 0; i < keys * value_dim; i++) h->v[i] = (float)(2 * random_uniform() - 1);
    rill_softmax_shape shape = {
        .heads = 1, .query_heads = 1, .key_dim = dim, .value_dim = value_dim, .scale = (float)scale};
    rill_softmax_input input = {.queries_length = keys,
                                .keys_length = keys,
                                .queries = h->q,
                                .keys = h->k,
                                .values = h->v,
                                .causal = true};
    rill_softmax_attention(&shape, &input, h->softmax);
}

/* ‖linear − softmax‖ / ‖softmax‖ over the whole causal output, by the recurrent form */
static double attention_error(const history *h, uint64_t seed, size_t m) {
    float *projections = malloc(m / 2 * dim * sizeof(float)), *q = malloc(2 * keys * m * sizeof(float)),
          *k = q + keys * m;
    float output[keys * value_dim];
    rill_random_projections_draw(seed, true, m / 2, dim, projections);
    rill_feature_map_favor(keys, dim, m / 2, projections, (float)scale, 0, h->q, q);
    rill_feature_map_favor(keys, dim, m / 2, projections, (float)scale, 0, h->k, k);
    rill_attention_shape shape = {
        .heads = 1, .query_heads = 1, .key_dim = m, .value_dim = value_dim, .normalize = true};
    rill_sequence sequence = {.length = keys, .queries = q, .keys = k, .values = h->v};
    void *state = malloc(rill_attention_size(&shape));
    rill_attention_init(&shape, state);
    rill_attention_recurrent(&shape, state, &sequence, output);
    double error = 0, size = 0;
    for (size_t i = 0; i < keys * value_dim; i++) {
        error += pow((double)output[i] - (double)h->softmax[i], 2);
        size += pow((double)h->softmax[i], 2);
    }
    free(state);
    free(q);
    free(projections);
    return sqrt(error / size);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The slope of log median error over log m, by least squares, for ‖q‖, ‖k‖ ≤ 1. */
Test(favor, attention_error_falls_as_one_over_the_root_of_features) {
    enum { draws = 25, sizes = 9 };
    double sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
    for (int i = 0; i < sizes; i++) {
        size_t m = (size_t)16 << i;
        double errors[draws];
        random_seed(2009); /* the same histories for every m */
        for (size_t draw = 0; draw < draws; draw++) {
            history h;
            history_draw(&h);
            errors[draw] = attention_error(&h, draw * sizes + (size_t)i, m);
        }
        qsort(errors, draws, sizeof *errors, ascending);
        double x = log((double)m), y = log(errors[draws / 2]);
        printf("favor: m = %4zu: median attention error %.4f\n", m, errors[draws / 2]);
        sum_x += x, sum_y += y, sum_xx += x * x, sum_xy += x * y;
    }
    double slope = (sizes * sum_xy - sum_x * sum_y) / (sizes * sum_xx - sum_x * sum_x);
    printf("favor: slope %.3f\n", slope);
    cr_assert(fabs(slope + 0.5) <= 0.1, "slope %g", slope);
}

/* One shift for all keys, any for a query: the normalizer takes them out. */
Test(favor, a_shift_cancels_in_the_normalizer) {
    random_seed(12);
    history h;
    history_draw(&h);
    enum { m = 32 };
    float projections[m / 2 * dim], *q = malloc(keys * m * sizeof(float)),
                                    *k = malloc(keys * m * sizeof(float));
    float output[2][keys * value_dim];
    rill_random_projections_draw(5, true, m / 2, dim, projections);
    for (int shifted = 0; shifted < 2; shifted++) {
        rill_feature_map_favor(keys, dim, m / 2, projections, (float)scale, shifted ? 3 : 0, h.q, q);
        rill_feature_map_favor(keys, dim, m / 2, projections, (float)scale, shifted ? -2 : 0, h.k, k);
        rill_softmax_shape shape = {.similarity = RILL_SIMILARITY_PRODUCT,
                                    .heads = 1,
                                    .query_heads = 1,
                                    .key_dim = m,
                                    .value_dim = value_dim,
                                    .scale = 1,
                                    .normalize = true};
        rill_softmax_input input = {
            .queries_length = keys, .keys_length = keys, .queries = q, .keys = k, .values = h.v};
        rill_softmax_attention(&shape, &input, output[shifted]);
    }
    /* each feature of each form is off by (dim + 6) u times its exponent's terms, 12 at most here */
    for (size_t i = 0; i < keys * value_dim; i++)
        cr_assert(fabs((double)output[0][i] - (double)output[1][i]) <=
                  2 * ((dim + 6) * 12 * 4 + keys + m + 6) * U);
    free(q);
    free(k);
}

static void map_favor(feature_rows *rows, void *projections) {
    rill_feature_map_favor(rows->count, rows->dim, rows->features_dim / 2, projections, 1, 0, rows->x.data,
                           rows->features.data);
}

Test(favor, nan_stays_in_its_row_and_long_rows_vanish) {
    random_seed(13);
    float projections[10 * 5];
    rill_random_projections_draw(1, true, 10, 5, projections);
    feature_rows rows = feature_rows_make(8, 5, 20, 1);
    expect_nan_stays(&rows, map_favor, projections);
    for (size_t i = 0; i < rows.x.count; i++) rows.x.data[i] = 1e25f; /* |x|² is infinite, ω·x is not */
    map_favor(&rows, projections);
    for (size_t i = 0; i < rows.features.count; i++) cr_assert(rows.features.data[i] == 0);
    feature_rows_free(&rows);
}
