/* SPDX-License-Identifier: MIT */
/* cosFormer's product depends on the distance of positions, however late they are. */
#include "feature_rows.h"

/* Sine and cosine rounded to float, then two products a pair: 4 u of Σ relu(q) relu(k). */
Test(cosformer, product_weighs_by_distance) {
    random_seed(1);
    for (int round = 0; round < 60; round++) {
        size_t heads = 1 + random_below(3), dim = 1 + random_below(20), length = 1 + random_below(30);
        uint64_t horizon = 1 + random_below(round % 2 ? 50 : 100000),
                 first = round % 3 ? random_below(100) : random_bits() / 2;
        feature_rows rows = feature_rows_make(length * heads, dim, 2 * dim, 2);
        rill_feature_map_cosformer(length, heads, dim, first, horizon, rows.x.data, rows.features.data);
        for (size_t i = 0; i < rows.count; i++) {
            size_t j = random_below(rows.count);
            double rectified = 0, distance = (double)(i / heads) - (double)(j / heads);
            for (size_t d = 0; d < dim; d++)
                rectified +=
                    fmax((double)rows.x.data[i * dim + d], 0) * fmax((double)rows.x.data[j * dim + d], 0);
            double want = rectified * cos(1.5707963267948966 * distance / (double)horizon);
            double got =
                double_dot(2 * dim, rows.features.data + i * 2 * dim, rows.features.data + j * 2 * dim);
            cr_assert(fabs(got - want) <= 8 * U * rectified, "horizon %g, first %g: %g, want %g",
                      (double)horizon, (double)first, got, want);
        }
        feature_rows_free(&rows);
    }
}

static void map_cosformer(feature_rows *rows, void *unused) {
    (void)unused;
    rill_feature_map_cosformer(rows->count, 1, rows->dim, 3, 10, rows->x.data, rows->features.data);
}

Test(cosformer, nan_stays_in_its_row) {
    random_seed(2);
    feature_rows rows = feature_rows_make(8, 5, 10, 1);
    expect_nan_stays(&rows, map_cosformer, NULL);
    feature_rows_free(&rows);
}
