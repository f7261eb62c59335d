/* SPDX-License-Identifier: MIT */
/* A vector with rows that lie one behind the other, by the kernel that takes rows from anywhere. */
#ifndef RILL_ROW_PRODUCTS_H
#define RILL_ROW_PRODUCTS_H

#include "kernels/kernels.h"

/* y[r] = scale Σ_i x[i] rows[r · stride + i], r < count */
static inline void rill_row_products(size_t count, size_t dim, size_t stride, float scale, const float *rows,
                                     const float *x, float *y) {
    enum { rows_at_once = 64 };
    const float *at[rows_at_once];
    for (size_t first = 0; first < count; first += rows_at_once) {
        const size_t left = count - first, now = left < rows_at_once ? left : rows_at_once;
        for (size_t r = 0; r < now; r++) at[r] = rows + (first + r) * stride;
        rill_kernels_get()->score(&(rill_rows){now, dim, at}, scale, x, NULL, y + first);
    }
}

static inline float rill_dot_product(size_t count, const float *a, const float *b) {
    float sum;
    rill_row_products(1, count, count, 1, b, a, &sum);
    return sum;
}

#endif
