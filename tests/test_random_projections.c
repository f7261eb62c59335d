/* SPDX-License-Identifier: MIT */
/* Projections are normal, the same for a seed, and orthogonal in blocks when asked. */
#include "feature_rows.h"

static guarded_floats draw(uint64_t seed, bool orthogonal, size_t count, size_t dim) {
    guarded_floats projections = guarded_output(count * dim);
    rill_random_projections_draw(seed, orthogonal, count, dim, projections.data);
    return projections;
}

Test(random_projections, follow_from_the_seed) {
    for (int orthogonal = 0; orthogonal < 2; orthogonal++) {
        guarded_floats a = draw(7, orthogonal, 30, 9), b = draw(7, orthogonal, 30, 9),
                       c = draw(8, orthogonal, 30, 9);
        cr_assert(memcmp(a.data, b.data, a.count * sizeof(float)) == 0);
        cr_assert(memcmp(a.data, c.data, a.count * sizeof(float)) != 0);
        guarded_free(&a);
        guarded_free(&b);
        guarded_free(&c);
    }
}

/* Entries are rounded to float: each product may be off by 2 u, the sum of dim of them by as much for each.
 */
Test(random_projections, are_orthogonal_in_blocks) {
    random_seed(1);
    for (int round = 0; round < 40; round++) {
        size_t dim = 1 + random_below(40), count = random_below(100);
        guarded_floats projections = draw(random_bits(), true, count, dim);
        for (size_t r = 0; r < count; r++)
            for (size_t s = r / dim * dim; s < r; s++) {
                const float *a = projections.data + r * dim, *b = projections.data + s * dim;
                double along = double_dot(dim, a, b) / sqrt(double_dot(dim, a, a) * double_dot(dim, b, b));
                cr_assert(fabs(along) <= 2 * (double)(dim + 1) * U, "round %d: rows %zu and %zu of %zu: %g",
                          round, r, s, dim, along);
            }
        guarded_free(&projections);
    }
}

/* Of N(0, I) rows: entries have mean 0 and variance 1 (the mean of n squares varies by 2/n), lengths² have
 * mean dim and variance 2 dim: within 4 standard deviations. */
Test(random_projections, are_normal) {
    enum { count = 4000, dim = 8, total = count * dim };
    for (int orthogonal = 0; orthogonal < 2; orthogonal++) {
        guarded_floats projections = draw(11, orthogonal, count, dim);
        double sum = 0, squares = 0, fourth = 0, lengths_variance = 0;
        for (size_t i = 0; i < total; i++) {
            double x = (double)projections.data[i];
            sum += x;
            squares += x * x;
            fourth += x * x * x * x;
        }
        for (size_t r = 0; r < count; r++) {
            double off = double_dot(dim, projections.data + r * dim, projections.data + r * dim) - dim;
            lengths_variance += off * off / count;
        }
        cr_assert(fabs(sum / total) <= 4 / sqrt(total));
        cr_assert(fabs(squares / total - 1) <= 4 * sqrt(2.0 / total));
        cr_assert(fabs(fourth / total - 3) <= 4 * sqrt(96.0 / total), "kurtosis %g", fourth / total);
        cr_assert(fabs(lengths_variance / (2 * dim) - 1) <= 4 * sqrt((2 + 12.0 / dim) / count), "%g",
                  lengths_variance);
        guarded_free(&projections);
    }
}
