/* SPDX-License-Identifier: MIT */
/* DPFP is its definition: z_i z_{i−j} of z = [relu(x), relu(−x)], so never negative. */
#include "feature_rows.h"

static void map_dpfp(feature_rows *rows, void *roll) {
    rill_feature_map_dpfp(rows->count, rows->dim, *(size_t *)roll, rows->x.data, rows->features.data);
}

Test(dpfp, features_are_products_of_rolled_halves) {
    random_seed(1);
    for (int round = 0; round < 40; round++) {
        size_t dim = 1 + random_below(20), roll = random_below(2 * dim);
        feature_rows rows = feature_rows_make(random_below(5), dim, 2 * dim * roll, 2);
        map_dpfp(&rows, &roll);
        for (size_t i = 0; i < rows.features.count; i++) {
            size_t n = i / (2 * dim * roll), j = i / (2 * dim) % roll + 1, at = i % (2 * dim);
            float z[40];
            for (size_t d = 0; d < dim; d++) {
                z[d] = fmaxf(rows.x.data[n * dim + d], 0);
                z[dim + d] = fmaxf(-rows.x.data[n * dim + d], 0);
            }
            cr_assert(rows.features.data[i] == z[at] * z[(at + 2 * dim - j) % (2 * dim)], "round %d", round);
        }
        feature_rows_free(&rows);
    }
}

Test(dpfp, nan_stays_in_its_row) {
    random_seed(2);
    size_t roll = 3;
    feature_rows rows = feature_rows_make(8, 5, 30, 1);
    expect_nan_stays(&rows, map_dpfp, &roll);
    feature_rows_free(&rows);
}
