/* SPDX-License-Identifier: MIT */
/* Dense layers: each row of the weights with each frame. */
#include "kernels/vector.h"

/* Σ weight[i] x[i] for i from start on: what is left over of a row */
INLINE float rest_of_row(size_t start, size_t inputs, const float *weight, const float *x) {
    float total = 0;
    for (size_t i = start; i < inputs; i++) total += weight[i] * x[i];
    return total;
}

/* y[f][o] = bias[o] + weight[o]·x[f] for frames × rows of them, both constant, rows a multiple of 4; several
 * rows at a time, for a sum waits for its last FMA. One frame is bound by reading the weights: the tile at
 * next is fetched meanwhile, in the order of its addresses, which four streams of rows are not. */
INLINE void dense_tile(size_t frames, size_t rows, size_t inputs, size_t outputs, const float *restrict x,
                       const float *restrict weight, const float *next, const float *restrict bias,
                       float *restrict y) {
    vector product[4][4];
    for (size_t f = 0; f < frames; f++)
        for (size_t o = 0; o < rows; o++) product[f][o] = splat(0);
    size_t i = 0;
    for (; i + lanes <= inputs; i += lanes) {
        vector frame[4];
        for (size_t f = 0; f < frames; f++) frame[f] = load(x + f * inputs + i);
        for (size_t line = 0; frames == 1 && line < rows * lanes; line += 64 / sizeof(float))
            __builtin_prefetch(next + i * rows + line);
        for (size_t o = 0; o < rows; o++) {
            vector row = load(weight + o * inputs + i);
            for (size_t f = 0; f < frames; f++) product[f][o] += row * frame[f];
        }
    }
    for (size_t f = 0; f < frames; f++)
        for (size_t o = 0; o < rows; o += 4) {
            const quad four = sums(product[f][o], product[f][o + 1], product[f][o + 2], product[f][o + 3]);
            store_quad(y + f * outputs + o, load_quad(bias + o) + four);
        }
    for (size_t k = 0; k < frames * rows && i < inputs; k++)
        y[k / rows * outputs + k % rows] +=
            rest_of_row(i, inputs, weight + k % rows * inputs, x + k / rows * inputs);
}

INLINE void dense_row(size_t inputs, const float *x, const float *weight, const float *bias, float *y) {
    vector product = splat(0);
    size_t i = 0;
    for (; i + lanes <= inputs; i += lanes) product += load(weight + i) * load(x + i);
    *y = *bias + sum(product) + rest_of_row(i, inputs, weight, x);
}

INLINE void dense_frames(size_t frames, size_t inputs, size_t outputs, const float *x, const float *weight,
                         const float *bias, float *y) {
    enum { rows = 4 };
    size_t o = 0;
    for (; o + rows <= outputs; o += rows) {
        const float *tile = weight + o * inputs;
        const float *next = o + 2 * rows <= outputs ? tile + rows * inputs : tile;
        dense_tile(frames, rows, inputs, outputs, x, tile, next, bias + o, y + o);
    }
    for (; o < outputs; o++)
        for (size_t f = 0; f < frames; f++)
            dense_row(inputs, x + f * inputs, weight + o * inputs, bias + o, y + f * outputs + o);
}

static void dense(size_t count, size_t inputs, size_t outputs, const float *x, const float *weight,
                  const float *bias, float *y) {
    enum { frames = many_registers ? 4 : 3 };
    size_t n = 0;
    for (; n + frames <= count; n += frames)
        dense_frames(frames, inputs, outputs, x + n * inputs, weight, bias, y + n * outputs);
    for (; n < count; n++) dense_frames(1, inputs, outputs, x + n * inputs, weight, bias, y + n * outputs);
}
