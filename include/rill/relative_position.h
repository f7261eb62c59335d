/* SPDX-License-Identifier: MIT */
/* Attention of an image's pixels by where they stand to each other, and convolutions written as such
 * attention (Cordonnier, Loukas, Jaggi, *On the relationship between self-attention and convolutional
 * layers*, 1911.03584).
 *
 * A head scores a key by its shift from the query, δ = key − query = (rows down, columns right); all scores
 * of a head are a table over the shifts:
 *
 *     −½ (δ − μ)ᵀ P (δ − μ)          quadratic: looks around query + μ, as narrowly as P is large (eq. 9)
 *     down[δ_row] + right[δ_column]  learned (1906.05909)
 *     0 at δ = μ, −∞ elsewhere       a single pixel, the limit of the first inside the image
 *
 * rill_relative_bias writes it out for <rill/softmax.h>, whose query heads may share one key and value head:
 * so the heads here look at the raw pixels, and what follows is one dense layer over the heads side by side.
 *
 * Tables: [heads][2 height − 1][2 width − 1], shift (y, x) at [height − 1 + y][width − 1 + x]. Pixels are
 * counted row by row. Threads: all functions are pure in their arguments. Real time: nothing here allocates,
 * locks or makes a system call. */
#ifndef RILL_RELATIVE_POSITION_H
#define RILL_RELATIVE_POSITION_H

#include <stddef.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_grid {
    size_t height, width; /* of an image in pixels, 1 … each */
} rill_grid;

/* RILL_OK when the grid has pixels and the biases of so many heads, the larger of what is made here, have a
 * size; else RILL_BAD_ARGUMENT and why. */
RILL_API rill_status rill_grid_check(const rill_grid *grid, size_t heads, rill_error *why);

/* Shifts in a table of one head: (2 height − 1) × (2 width − 1). */
RILL_API size_t rill_relative_shifts(const rill_grid *grid);

/* The quadratic encoding: centres μ [heads][2], precisions P [heads][2][2], which may be any matrix; α of
 * eq. 9 is P = 2 α I. */
RILL_API void rill_relative_quadratic(const rill_grid *grid, size_t heads, const float *centres,
                                      const float *precisions, float *table);

/* The learned encoding: down and right [2 positions − 1][heads], shift 0 in row positions − 1; positions is
 * at least height and width. */
RILL_API void rill_relative_learned(const rill_grid *grid, size_t heads, size_t positions, const float *down,
                                    const float *right, float *table);

/* One pixel a head: shifts [heads][2]. A pixel that would be outside the image is not seen, nor is any
 * other: rill_softmax_attention makes 0 of that, which is padding with zeros. */
RILL_API void rill_relative_pixel(const rill_grid *grid, size_t heads, const ptrdiff_t (*shifts)[2],
                                  float *table);

/* The biases of the queries first … first + count − 1: bias [heads][count][height × width]. Give it to
 * rill_softmax_attention with bias_head_stride count × height × width and bias_query_stride height × width.
 */
RILL_API void rill_relative_bias(const rill_grid *grid, size_t heads, const float *table, size_t first,
                                 size_t count, float *bias);

/* A kernel × kernel convolution with weight [outputs][inputs][kernel][kernel], as PyTorch has it, as kernel²
 * heads (theorem 1): head h looks at shifts[h] = (h / kernel − kernel / 2, h mod kernel − kernel / 2), and
 * the dense layer after them is projection [outputs][kernel²][inputs]. With rill_relative_pixel it is the
 * convolution with zeros around the image, with rill_relative_quadratic of growing precision the one that
 * repeats the image's border. */
RILL_API void rill_convolution_heads(size_t kernel, size_t inputs, size_t outputs, const float *weight,
                                     ptrdiff_t (*shifts)[2], float *projection);

#ifdef __cplusplus
}
#endif
#endif
