/* SPDX-License-Identifier: MIT */
/* Scores by shift, as a table a head, and as a bias a query. */
#include <rill/relative_position.h>

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "failure.h"

rill_status rill_grid_check(const rill_grid *grid, size_t heads, rill_error *why) {
    const size_t most = PTRDIFF_MAX / (4 * sizeof(float)); /* a table has less than four times the pixels */
    size_t height = grid->height, width = grid->width;
    if (height == 0 || width == 0 || heads == 0)
        return rill_fail(why, RILL_BAD_ARGUMENT, "image: %zu heads on %zu x %zu pixels: none may be 0", heads,
                         height, width);
    if (height > most / width || height * width > most / (height * width) ||
        heads > most / (height * width) / (height * width))
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "image: %zu heads on %zu x %zu pixels have no size in this machine", heads, height,
                         width);
    return RILL_OK;
}

size_t rill_relative_shifts(const rill_grid *grid) {
    return (2 * grid->height - 1) * (2 * grid->width - 1);
}

/* The shift of entry i of a table: rows down, columns right. */
static void shift_of(const rill_grid *grid, size_t i, ptrdiff_t *down, ptrdiff_t *right) {
    *down = (ptrdiff_t)(i / (2 * grid->width - 1)) - (ptrdiff_t)(grid->height - 1);
    *right = (ptrdiff_t)(i % (2 * grid->width - 1)) - (ptrdiff_t)(grid->width - 1);
}

void rill_relative_quadratic(const rill_grid *grid, size_t heads, const float *centres,
                             const float *precisions, float *table) {
    assert(rill_grid_check(grid, heads, NULL) == RILL_OK);
    const size_t shifts = rill_relative_shifts(grid);
    for (size_t h = 0; h < heads; h++, centres += 2, precisions += 4)
        for (size_t i = 0; i < shifts; i++) {
            ptrdiff_t down, right;
            shift_of(grid, i, &down, &right);
            double y = (double)down - (double)centres[0], x = (double)right - (double)centres[1];
            table[h * shifts + i] =
                (float)(-0.5 * ((double)precisions[0] * y * y + (double)precisions[3] * x * x +
                                ((double)precisions[1] + (double)precisions[2]) * y * x));
        }
}

void rill_relative_learned(const rill_grid *grid, size_t heads, size_t positions, const float *down,
                           const float *right, float *table) {
    assert(rill_grid_check(grid, heads, NULL) == RILL_OK);
    assert(positions >= grid->height && positions >= grid->width);
    const size_t shifts = rill_relative_shifts(grid);
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < shifts; i++) {
            size_t row = i / (2 * grid->width - 1) + positions - grid->height,
                   column = i % (2 * grid->width - 1) + positions - grid->width;
            table[h * shifts + i] = down[row * heads + h] + right[column * heads + h];
        }
}

void rill_relative_pixel(const rill_grid *grid, size_t heads, const ptrdiff_t (*shifts)[2], float *table) {
    assert(rill_grid_check(grid, heads, NULL) == RILL_OK);
    const size_t entries = rill_relative_shifts(grid);
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < entries; i++) {
            ptrdiff_t down, right;
            shift_of(grid, i, &down, &right);
            table[h * entries + i] = down == shifts[h][0] && right == shifts[h][1] ? 0 : -INFINITY;
        }
}

void rill_relative_bias(const rill_grid *grid, size_t heads, const float *table, size_t first, size_t count,
                        float *bias) {
    assert(rill_grid_check(grid, heads, NULL) == RILL_OK);
    const size_t height = grid->height, width = grid->width;
    assert(first <= height * width && count <= height * width - first);
    for (size_t h = 0; h < heads; h++, table += rill_relative_shifts(grid))
        for (size_t query = first; query < first + count; query++)
            for (size_t y = 0; y < height; y++, bias += width) {
                size_t down = y + height - 1 - query / width, right = width - 1 - query % width;
                memcpy(bias, table + down * (2 * width - 1) + right, width * sizeof *bias);
            }
}

void rill_convolution_heads(size_t kernel, size_t inputs, size_t outputs, const float *weight,
                            ptrdiff_t (*shifts)[2], float *projection) {
    const size_t heads = kernel * kernel;
    for (size_t h = 0; h < heads; h++) {
        shifts[h][0] = (ptrdiff_t)(h / kernel) - (ptrdiff_t)(kernel / 2);
        shifts[h][1] = (ptrdiff_t)(h % kernel) - (ptrdiff_t)(kernel / 2);
        for (size_t o = 0; o < outputs; o++)
            for (size_t c = 0; c < inputs; c++)
                projection[(o * heads + h) * inputs + c] = weight[(o * inputs + c) * heads + h];
    }
}
