/* SPDX-License-Identifier: MIT */
/* A symbol model as a model of images: a pixel's level, told from all pixels before it, row by row. */
#ifndef PIXEL_MODEL_H
#define PIXEL_MODEL_H

#include <time.h>

#include "dice.h"
#include "learner.h"

enum { PIXEL_LEVELS = 4, PIXEL_START = PIXEL_LEVELS, PIXEL_PLACES };

/* An image of side × side pixels has 2 · side more symbols. */
static inline rill_symbol_model_shape pixel_model_shape(rill_similarity similarity, size_t side) {
    return (rill_symbol_model_shape){.similarity = similarity,
                                     .symbols = PIXEL_PLACES + 2 * side,
                                     .symbols_per_step = 3,
                                     .classes = PIXEL_LEVELS,
                                     .layers = 2,
                                     .dim = 32,
                                     .heads = 2,
                                     .feed_forward_dim = 64};
}

/* What step i is told: the pixel before, and the row and column that are asked about. */
static inline void pixel_tell(size_t side, size_t i, const unsigned char *pixels, uint32_t symbols[3]) {
    symbols[0] = i ? pixels[i - 1] : PIXEL_START;
    symbols[1] = (uint32_t)(PIXEL_PLACES + i / side);
    symbols[2] = (uint32_t)(PIXEL_PLACES + side + i % side);
}

/* Draws the pixels from `first` on, each by its probability. Returns the seconds it took. */
static inline double pixel_draw_on(const rill_symbol_model_shape *shape, const float *parameters, size_t side,
                                   size_t first, unsigned char *pixels) {
    void *memory = learner_memory(rill_symbol_model_size(shape, side * side));
    void *workspace = learner_memory(rill_symbol_model_workspace_size(shape, 1));
    const clock_t begin = clock();
    rill_symbol_model_init(shape, side * side, memory);
    for (size_t i = 0; i < side * side; i++) {
        uint32_t symbols[3];
        float logits[PIXEL_LEVELS];
        double sum = 0, point;
        pixel_tell(side, i, pixels, symbols);
        rill_symbol_model_step(shape, parameters, side * side, memory, 1, symbols, logits, workspace);
        if (i < first) continue;
        for (size_t level = 0; level < PIXEL_LEVELS; level++) sum += exp((double)logits[level]);
        point = dice_between(0, sum);
        for (pixels[i] = 0; pixels[i] + 1 < PIXEL_LEVELS; pixels[i]++)
            if ((point -= exp((double)logits[pixels[i]])) < 0) break;
    }
    free(memory), free(workspace);
    return (double)(clock() - begin) / CLOCKS_PER_SEC;
}

#endif
