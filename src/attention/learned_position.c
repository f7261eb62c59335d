/* SPDX-License-Identifier: MIT */
/* Positions as rows of trained tables. */
#include <rill/position.h>

#include <assert.h>
#include <string.h>

void rill_position_learned(size_t rows, size_t dim, const float *table, size_t first, size_t count,
                           float *out) {
    assert(first <= rows && count <= rows - first);
    (void)rows;
    if (count > 0) memcpy(out, table + first * dim, count * dim * sizeof *out);
}

void rill_position_learned_2d(size_t height, size_t width, size_t features, size_t column_rows,
                              const float *column_table, size_t row_rows, const float *row_table,
                              float *out) {
    assert(width <= column_rows && height <= row_rows);
    (void)column_rows, (void)row_rows;
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++, out += 2 * features) {
            memcpy(out, column_table + x * features, features * sizeof *out);
            memcpy(out + features, row_table + y * features, features * sizeof *out);
        }
}
