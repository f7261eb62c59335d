/* SPDX-License-Identifier: MIT */
/* Small matrix products in register tiles: several steps' reads of a state, or their writes. */
#include "kernels/vector.h"

enum { product_columns_max = 8 }; /* of one row alone: a sum waits for its last FMA */

/* `rows` × `columns` vectors of the product, both constant; a single column may be `width` values wide. */
INLINE void product_tile(size_t rows, size_t columns, size_t width, const rill_matrix_product *p, size_t r,
                         size_t m) {
    vector total[4][product_columns_max];
    float *out = p->out + r * p->out_stride + m;
    for (size_t f = 0; f < rows; f++)
        for (size_t c = 0; c < columns; c++) {
            total[f][c] = load_up_to(out + f * p->out_stride + c * lanes, width);
            if (p->decay) total[f][c] *= splat(p->decay[r + f]);
        }
    const float *a = p->a + r * p->a_row_stride, *b = p->b + m;
    for (size_t i = 0; i < p->inner; i++, a += p->a_column_stride, b += p->b_stride) {
        vector row[product_columns_max];
        for (size_t c = 0; c < columns; c++) row[c] = load_up_to(b + c * lanes, width);
        for (size_t f = 0; f < rows; f++)
            for (size_t c = 0; c < columns; c++) total[f][c] += splat(a[f * p->a_row_stride]) * row[c];
    }
    for (size_t f = 0; f < rows; f++)
        for (size_t c = 0; c < columns; c++)
            store_up_to(out + f * p->out_stride + c * lanes, width, total[f][c]);
}

INLINE void product_rows(size_t rows, const rill_matrix_product *p, size_t r) {
    enum { columns = many_registers ? 4 : 2 };
    size_t m = 0;
    for (; rows == 1 && m + product_columns_max * lanes <= p->columns; m += product_columns_max * lanes)
        product_tile(1, product_columns_max, lanes, p, r, m);
    for (; m + columns * lanes <= p->columns; m += columns * lanes)
        product_tile(rows, columns, lanes, p, r, m);
    for (; m + lanes <= p->columns; m += lanes) product_tile(rows, 1, lanes, p, r, m);
    if (m < p->columns) product_tile(rows, 1, p->columns - m, p, r, m);
}

static void product(const rill_matrix_product *p) {
    size_t r = 0;
    for (; r + 4 <= p->rows; r += 4) product_rows(4, p, r);
    for (; r < p->rows; r++) product_rows(1, p, r);
}
