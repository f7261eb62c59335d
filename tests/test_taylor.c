/* SPDX-License-Identifier: MIT */
/* Taylor features: their product is the polynomial, and attention with them obeys the remainder's bound. */
#include "feature_rows.h"

#include <rill/softmax.h>

/* A product of two features is rounded at most 7 times; then features_dim of them are summed here in double.
 */
Test(taylor, product_is_the_polynomial) {
    random_seed(1);
    for (int round = 0; round < 60; round++) {
        size_t dim = 1 + random_below(40), features_dim = rill_feature_map_taylor_dim(dim);
        feature_rows rows = feature_rows_make(2, dim, features_dim, 2);
        float scale = (float)(2 * random_uniform());
        rill_feature_map_taylor(2, dim, scale, rows.x.data, rows.features.data);
        const float *q = rows.x.data, *k = q + dim, *p = rows.features.data, *r = p + features_dim;
        double a = (double)scale * double_dot(dim, q, k), want = 1 + a + a * a / 2;
        double tolerance = 10 * U * absolute_dot(features_dim, p, r);
        cr_assert(fabs(double_dot(features_dim, p, r) - want) <= tolerance, "dim %zu: %g, want %g", dim,
                  double_dot(features_dim, p, r), want);
        feature_rows_free(&rows);
    }
}

enum { length = 50, value_dim = 3 };

typedef struct history {
    size_t dim;
    float scale;
    guarded_floats q, k, v, output;
} history;

static history history_make(size_t dim, double reach) {
    return (history){dim,
                     (float)(1 / sqrt((double)dim)),
                     guarded_input(length * dim, -reach, reach),
                     guarded_input(length * dim, -reach, reach),
                     guarded_input(length * value_dim, -1, 1),
                     guarded_output(length * value_dim)};
}

static void attend(history *h) {
    size_t features_dim = rill_feature_map_taylor_dim(h->dim);
    guarded_floats q = guarded_output(length * features_dim), k = guarded_output(length * features_dim);
    rill_feature_map_taylor(length, h->dim, h->scale, h->q.data, q.data);
    rill_feature_map_taylor(length, h->dim, h->scale, h->k.data, k.data);
    rill_attention_shape shape = {
        .heads = 1, .query_heads = 1, .key_dim = features_dim, .value_dim = value_dim, .normalize = true};
    rill_sequence sequence = {.length = length, .queries = q.data, .keys = k.data, .values = h->v.data};
    void *state = malloc(rill_attention_size(&shape));
    rill_attention_init(&shape, state);
    rill_attention_recurrent(&shape, state, &sequence, h->output.data);
    free(state);
    guarded_free(&q);
    guarded_free(&k);
}

/* Row t of softmax attention and, with weights w for e = exp(a): o_w − o_e = Σ (w − e)(v − o_e) / Σ w, where
 * |w − e| ≤ max(1, e) |a|³/6, the remainder of order 2 by Lagrange. Rounding: a sum over length steps of
 * features_dim products, twice. */
static void expect_bound(const history *h, size_t t, double *looseness) {
    double a[length], top = -INFINITY, weights = 0, sum = 0, softmax[value_dim] = {0};
    size_t features_dim = rill_feature_map_taylor_dim(h->dim);
    for (size_t j = 0; j <= t; j++) {
        a[j] = (double)h->scale * double_dot(h->dim, h->q.data + t * h->dim, h->k.data + j * h->dim);
        top = fmax(top, a[j]);
        sum += exp(a[j]);
        weights += 1 + a[j] + a[j] * a[j] / 2;
        for (size_t m = 0; m < value_dim; m++) softmax[m] += exp(a[j]) * (double)h->v.data[j * value_dim + m];
    }
    for (size_t m = 0; m < value_dim; m++) {
        double bound = 0, magnitude = 0, o = softmax[m] / sum;
        for (size_t j = 0; j <= t; j++) {
            double v = (double)h->v.data[j * value_dim + m];
            double size =
                (double)h->scale * absolute_dot(h->dim, h->q.data + t * h->dim, h->k.data + j * h->dim);
            bound += fmax(1, exp(a[j])) * pow(fabs(a[j]), 3) / 6 * fabs(v - o) / weights;
            magnitude += (1 + size + size * size / 2) / weights; /* |v| < 1 */
        }
        double rounding = 2 * (double)(6 * (length + 1) + features_dim + 12) * U * magnitude;
        double error = fabs((double)h->output.data[t * value_dim + m] - o);
        cr_assert(error <= bound + rounding, "step %zu, scores up to %g: off by %g, bound %g", t, top, error,
                  bound);
        *looseness = fmax(*looseness, error / (bound + rounding));
    }
}

Test(taylor, attention_obeys_the_remainder_bound) {
    double tightest = 0;
    random_seed(2);
    for (int round = 0; round < 40; round++) {
        history h = history_make(1 + random_below(20), 0.02 + 3 * random_uniform());
        attend(&h);
        for (size_t t = 0; t < length; t++) expect_bound(&h, t, &tightest);
        guarded_free(&h.q);
        guarded_free(&h.k);
        guarded_free(&h.v);
        guarded_free(&h.output);
    }
    cr_assert(tightest > 0.1, "a bound that nothing comes near proves nothing: %g", tightest);
}

static void map_taylor(feature_rows *rows, void *scale) {
    rill_feature_map_taylor(rows->count, rows->dim, *(float *)scale, rows->x.data, rows->features.data);
}

Test(taylor, nan_stays_in_its_row) {
    float scale = 0.5f;
    random_seed(3);
    feature_rows rows = feature_rows_make(8, 5, 21, 1);
    expect_nan_stays(&rows, map_taylor, &scale);
    feature_rows_free(&rows);
}
