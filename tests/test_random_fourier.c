/* SPDX-License-Identifier: MIT */
/* Random Fourier features are their formula, have length 1, and estimate the Gaussian kernel without bias. */
#include "feature_rows.h"

/* An angle is off by (dim + 3) u of its terms, the sine of it by as much and 2 u. */
Test(random_fourier, features_are_their_formula_and_have_length_one) {
    random_seed(1);
    for (int round = 0; round < 40; round++) {
        size_t dim = 1 + random_below(40), count = 1 + random_below(50);
        feature_rows rows = feature_rows_make(random_below(6), dim, 2 * count, 2);
        guarded_floats projections = guarded_output(count * dim);
        float scale = (float)(0.1 + random_uniform());
        rill_random_projections_draw(random_bits(), round % 2, count, dim, projections.data);
        rill_feature_map_random_fourier(rows.count, dim, count, projections.data, scale, rows.x.data,
                                        rows.features.data);
        for (size_t i = 0; i < rows.features.count; i++) {
            const float *w = projections.data + i % count * dim, *x = rows.x.data + i / (2 * count) * dim;
            double angle = sqrt((double)scale) * double_dot(dim, w, x), height = 1 / sqrt((double)count);
            double want = height * (i / count % 2 ? sin(angle) : cos(angle));
            double off =
                height * ((double)(dim + 3) * U * sqrt((double)scale) * absolute_dot(dim, w, x) + 5 * U);
            cr_assert(fabs((double)rows.features.data[i] - want) <= off, "round %d: %g, want %g", round,
                      (double)rows.features.data[i], want);
        }
        for (size_t n = 0; n < rows.count; n++) {
            const float *row = rows.features.data + n * 2 * count;
            cr_assert(fabs(double_dot(2 * count, row, row) - 1) <= 16 * U);
        }
        guarded_free(&projections);
        feature_rows_free(&rows);
    }
}

Test(random_fourier, estimates_the_gaussian_kernel_without_bias) {
    enum { draws = 1000, dim = 8, count = 16 };
    random_seed(2);
    for (int pair = 0; pair < 6; pair++) {
        feature_rows rows = feature_rows_make(2, dim, 2 * count, 1);
        double sum = 0, squares = 0, distance = 0;
        for (size_t d = 0; d < dim; d++)
            distance += pow((double)rows.x.data[d] - (double)rows.x.data[dim + d], 2);
        for (uint64_t draw = 0; draw < draws; draw++) {
            float projections[count * dim];
            rill_random_projections_draw(draw * 2654435761u + 1, true, count, dim, projections);
            rill_feature_map_random_fourier(2, dim, count, projections, 0.5f, rows.x.data,
                                            rows.features.data);
            double estimate = double_dot(2 * count, rows.features.data, rows.features.data + 2 * count);
            sum += estimate;
            squares += estimate * estimate;
        }
        double mean = sum / draws, error = sqrt((squares / draws - mean * mean) / draws),
               want = exp(-0.25 * distance);
        cr_assert(fabs(mean - want) <= 4 * error, "pair %d: %g ± %g, want %g", pair, mean, error, want);
        feature_rows_free(&rows);
    }
}

static void map_fourier(feature_rows *rows, void *projections) {
    rill_feature_map_random_fourier(rows->count, rows->dim, rows->features_dim / 2, projections, 1,
                                    rows->x.data, rows->features.data);
}

Test(random_fourier, nan_stays_in_its_row) {
    float projections[10 * 5];
    random_seed(3);
    rill_random_projections_draw(1, true, 10, 5, projections);
    feature_rows rows = feature_rows_make(8, 5, 20, 1);
    expect_nan_stays(&rows, map_fourier, projections);
    feature_rows_free(&rows);
}
