/* SPDX-License-Identifier: MIT */
/* One row with rows that lie anywhere: the scores of attention as it is decoded, and what they mix. Both are
 * bound by reading the rows, so that those wanted next are fetched meanwhile. */
#include "kernels/vector.h"

enum { mix_columns = 4 }; /* vectors of the output at a time */

/* rows first … first + 3 of those wanted next */
INLINE void fetch_rows(const rill_rows *next, size_t first) {
    if (!next) return;
    for (size_t j = first; j < first + 4 && j < next->count; j++)
        for (size_t i = 0; i < next->dim; i += 64 / sizeof(float)) __builtin_prefetch(next->rows[j] + i);
}

/* the products of `rows` rows, constant and at most 4, in lanes */
INLINE void multiply_rows(size_t rows, size_t dim, const float *query, const float *const *row,
                          vector *product) {
    for (size_t r = 0; r < rows; r++) product[r] = splat(0);
    size_t i = 0;
    for (; i + lanes <= dim; i += lanes) {
        const vector q = load(query + i);
        for (size_t r = 0; r < rows; r++) product[r] = fused(q, load(row[r] + i), product[r]);
    }
    if (i == dim) return;
    const vector q = load_part(query + i, dim - i);
    for (size_t r = 0; r < rows; r++) product[r] = fused(q, load_part(row[r] + i, dim - i), product[r]);
}

static void score(const rill_rows *keys, float scale, const float *query, const rill_rows *next, float *y) {
    vector product[4];
    size_t j = 0;
    for (; j + 4 <= keys->count; j += 4) {
        fetch_rows(next, j);
        multiply_rows(4, keys->dim, query, keys->rows + j, product);
        const quad four = scale * sums(product[0], product[1], product[2], product[3]);
        store_quad(y + j, four);
    }
    fetch_rows(next, j);
    for (; j < keys->count; j++) {
        multiply_rows(1, keys->dim, query, keys->rows + j, product);
        y[j] = scale * sum(product[0]);
    }
}

/* `columns` vectors of the output from m on; one alone may be `width` values wide */
INLINE void mix_tile(size_t columns, size_t width, const rill_rows *values, const float *weights,
                     const rill_rows *next, size_t m, float *y) {
    vector total[mix_columns];
    for (size_t c = 0; c < columns; c++) total[c] = load_up_to(y + m + c * lanes, width);
    for (size_t j = 0; j < values->count; j++) {
        if (m == 0 && j % 4 == 0) fetch_rows(next, j);
        const vector weight = splat(weights[j]);
        for (size_t c = 0; c < columns; c++)
            total[c] += weight * load_up_to(values->rows[j] + m + c * lanes, width);
    }
    for (size_t c = 0; c < columns; c++) store_up_to(y + m + c * lanes, width, total[c]);
}

static void mix(const rill_rows *values, const float *weights, const rill_rows *next, float *y) {
    size_t m = 0;
    for (; m + mix_columns * lanes <= values->dim; m += mix_columns * lanes)
        mix_tile(mix_columns, lanes, values, weights, next, m, y);
    for (; m + lanes <= values->dim; m += lanes) mix_tile(1, lanes, values, weights, next, m, y);
    if (m < values->dim) mix_tile(1, values->dim - m, values, weights, next, m, y);
}
