/* SPDX-License-Identifier: MIT */
/* Where a step stands, told to attention that would not know: sinusoidal, rotary and learned encodings, and
 * DETR's for images.
 *
 * A microphone runs for months: at 100 steps a second, positions pass 2²⁴ (where float32 can no longer count)
 * after two days. Here a position is a uint64_t and its angle, position times frequency, is taken exactly and
 * reduced exactly; the frequency is base^(−2i/dim) as a double. So every table is right to float32's rounding
 * at every position, and a rotation by m steps is the same one wherever it starts.
 *
 * Threads: all functions are pure in their arguments. Real time: nothing here allocates, locks or makes a
 * system call. */
#ifndef RILL_POSITION_H
#define RILL_POSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RILL_POSITION_BASE 10000.0 /* of the papers */

/* Vaswani et al., 1706.03762, section 3.5:
 *
 *     table[p][2i] = sin(p base^(−2i/dim)), table[p][2i + 1] = cos of the same
 *
 * for positions first … first + count − 1; table [count][dim]. To be added to the embeddings. base is above
 * 0. */
RILL_API void rill_position_sinusoidal(uint64_t first, size_t count, size_t dim, double base, float *table);

typedef enum rill_rotary_pairs {
    RILL_ROTARY_NEIGHBOURS, /* features 2i and 2i + 1 are a pair (RoFormer) */
    RILL_ROTARY_HALVES      /* features i and i + rotated/2 (GPT-NeoX, Llama) */
} rill_rotary_pairs;

typedef struct rill_rotary {
    size_t heads, dim;
    size_t rotated; /* the first so many features of a head are turned, the rest stays: even, 2 … dim */
    rill_rotary_pairs pairs;
    double base; /* above 0 */
} rill_rotary;

/* RILL_OK when the fields are consistent; else RILL_BAD_ARGUMENT and why. */
RILL_API rill_status rill_rotary_check(const rill_rotary *rotary, rill_error *why);

/* Rotary position embedding (Su et al., 2104.09864, eq. 15): pair i of the row at position p is turned by the
 * angle p base^(−2i/rotated),
 *
 *     (a, b) → (a cos − b sin, a sin + b cos)
 *
 * so that q_m·k_n depends on m − n only, and lengths stay. x and out [count][heads][dim], rows at positions
 * first … first + count − 1; out may be x. On queries and keys; with linear attention on φ(q) and φ(k), of
 * the numerator only (eq. 19). */
RILL_API void rill_rotary_turn(const rill_rotary *rotary, uint64_t first, size_t count, const float *x,
                               float *out);

/* A learned table [rows][dim]: positions first … first + count − 1 of it, which must be below rows: a learned
 * encoding ends where training did. out [count][dim]. */
RILL_API void rill_position_learned(size_t rows, size_t dim, const float *table, size_t first, size_t count,
                                    float *out);

/* DETR's learned encoding of an image (2005.12872): out [height][width][2 features], the column's row of
 * column_table [column_rows][features], then the row's of row_table [row_rows][features]. */
RILL_API void rill_position_learned_2d(size_t height, size_t width, size_t features, size_t column_rows,
                                       const float *column_table, size_t row_rows, const float *row_table,
                                       float *out);

/* DETR's sinusoidal encoding of an image (2005.12872, appendix A.4). A pixel's y is 1 for the first row of
 * the image that is no padding in its column, its x likewise; normalized, y / (y of the last + 1e-6) · scale.
 *
 *     table[y][x][j] = sin (even j) or cos (odd j) of y temperature^(−2⌊j/2⌋/features), j < features,
 *     and the same of x behind them: table [height][width][2 features] */
typedef struct rill_sine_2d {
    size_t height, width, features;
    bool normalize;
    double scale;       /* 2π in DETR; used only with normalize */
    double temperature; /* 10000 in DETR; above 0 */
} rill_sine_2d;

/* seen [height][width]: false where there is padding; NULL: none. */
RILL_API void rill_position_sine_2d(const rill_sine_2d *sine, const bool *seen, float *table);

#ifdef __cplusplus
}
#endif
#endif
