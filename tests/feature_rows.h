/* SPDX-License-Identifier: MIT */
/* Rows for feature maps, their features in guarded blocks, and the laws that all maps share. */
#ifndef RILL_TEST_FEATURE_ROWS_H
#define RILL_TEST_FEATURE_ROWS_H

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>

#include <rill/feature_map.h>

#include "guarded_floats.h"

#define U ((double)FLT_EPSILON / 2)

typedef struct feature_rows {
    size_t count, dim, features_dim;
    guarded_floats x, features;
} feature_rows;

static inline feature_rows feature_rows_make(size_t count, size_t dim, size_t features_dim, double reach) {
    return (feature_rows){count, dim, features_dim, guarded_input(count * dim, -reach, reach),
                          guarded_output(count * features_dim)};
}

static inline void feature_rows_free(feature_rows *rows) {
    guarded_free(&rows->x);
    guarded_free(&rows->features);
}

static inline double double_dot(size_t dim, const float *a, const float *b) {
    double sum = 0;
    for (size_t d = 0; d < dim; d++) sum += (double)a[d] * (double)b[d];
    return sum;
}

static inline double absolute_dot(size_t dim, const float *a, const float *b) {
    double sum = 0;
    for (size_t d = 0; d < dim; d++) sum += fabs((double)a[d] * (double)b[d]);
    return sum;
}

/* A NaN in one row is NaN somewhere in its features and nowhere else. `map` maps all rows anew. */
static inline void expect_nan_stays(feature_rows *rows, void (*map)(feature_rows *rows, void *with),
                                    void *with) {
    size_t bad = random_below(rows->count);
    rows->x.data[bad * rows->dim + random_below(rows->dim)] = NAN;
    map(rows, with);
    for (size_t n = 0; n < rows->count; n++) {
        bool found = false;
        for (size_t i = 0; i < rows->features_dim; i++)
            found |= isnan(rows->features.data[n * rows->features_dim + i]);
        cr_assert(found == (n == bad), "row %zu, the bad one is %zu", n, bad);
    }
}

#endif
