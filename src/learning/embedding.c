/* SPDX-License-Identifier: MIT */
/* Symbols to rows: a step's is the sum of its symbols' rows of a table. */
#include <rill/learning.h>

#include <string.h>

void rill_embed(size_t count, size_t symbols_per_step, size_t dim, const uint32_t *symbols,
                const float *table, float *x) {
    for (size_t n = 0; n < count; n++, x += dim) {
        memset(x, 0, dim * sizeof *x);
        for (size_t s = 0; s < symbols_per_step; s++) {
            const float *row = table + *symbols++ * dim;
            for (size_t i = 0; i < dim; i++) x[i] += row[i];
        }
    }
}

void rill_embed_gradient(size_t count, size_t symbols_per_step, size_t dim, const uint32_t *symbols,
                         const float *x_gradient, float *table_gradient) {
    for (size_t n = 0; n < count; n++, x_gradient += dim)
        for (size_t s = 0; s < symbols_per_step; s++) {
            float *row = table_gradient + *symbols++ * dim;
            for (size_t i = 0; i < dim; i++) row[i] += x_gradient[i];
        }
}
