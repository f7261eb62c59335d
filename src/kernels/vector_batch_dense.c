/* SPDX-License-Identifier: MIT */
/* Dense layers from packed weights (kernels.h), of so many frames that it pays to widen the weights of some
 * inputs and outputs to floats once: a first tile widens them as it goes, and leaves them in the first level
 * for the others. In packed_dense each tile widens them anew, and where registers are few that leaves none
 * for more than four frames. */
#include "kernels/vector_packed.h"

enum {
    batch_frames = 6, /* of a tile, by batch_wide vectors of outputs: twelve sums of sixteen registers */
    batch_few = 4,    /* of the tile that widens, and of those that fill up */
    batch_wide = 2,
    batch_columns = batch_wide * lanes,
    batch_inputs = 256 /* of a block at most */
};

/* Some inputs of batch_columns outputs from `output` on, for all frames. */
typedef struct batch_block {
    const rill_packed_dense *layer;
    size_t output, input, inputs; /* input: the first of them, a multiple of batch_inputs */
    const uint32_t *words;        /* its first */
    float *weights;               /* [inputs][batch_columns]: where the first tile leaves them */
    uintptr_t next;               /* the words of the block that follows, which the other tiles fetch */
} batch_block;

INLINE size_t batch_width(const rill_packed_dense *layer, size_t output) {
    return layer->outputs - output < batch_columns ? layer->outputs - output : batch_columns;
}

INLINE void load_batch_words(const uint32_t *from, bits *words) {
    UNROLL
    for (size_t c = 0; c < batch_wide; c++) words[c] = load_words(from + c * lanes);
}

/* total[f][c] += weights · x for input i; where the tile widens, of weight `place` of the words, left at
 * weights [batch_columns] for the tiles that follow. */
INLINE void batch_input(rill_weight_type type, bool widens, size_t frames, const float *const *x, size_t i,
                        const bits *words, size_t place, float *weights, vector (*total)[batch_wide]) {
    vector weight[batch_wide];
    UNROLL
    for (size_t c = 0; c < batch_wide; c++) {
        weight[c] = widens ? packed_weights(type, words[c], place) : load(weights + c * lanes);
        if (widens) store(weights + c * lanes, weight[c]);
    }
    UNROLL
    for (size_t f = 0; f < frames; f++) {
        const vector value = splat(x[f][i]);
        UNROLL
        for (size_t c = 0; c < batch_wide; c++) total[f][c] += value * weight[c];
    }
}

/* y of a row of a tile: its sums beside those of the inputs before, times the scales, plus the bias */
INLINE void batch_row(const batch_block *block, size_t width, const vector *total, float *y) {
    const rill_packed_dense *layer = block->layer;
    const bool last = block->input + block->inputs == layer->inputs;
    UNROLL
    for (size_t c = 0; c < batch_wide; c++) {
        const size_t at = c * lanes, output = block->output + at, left = width - at;
        if (at >= width) continue;
        vector sum = total[c];
        if (block->input) sum += load_up_to(y + at, left);
        if (last && layer->type == RILL_WEIGHTS_I8) sum *= load_up_to(layer->scales + output, left);
        if (last) sum += load_up_to(layer->bias + output, left);
        store_up_to(y + at, left, sum);
    }
}

/* Some rows of a tile's sums from memory: rows of a layer's last outputs, of which there is no whole tile,
 * are not to cost the others registers. */
static __attribute__((noinline)) void batch_part(const batch_block *block, size_t frames,
                                                 vector (*total)[batch_wide], float *y) {
    for (size_t f = 0; f < frames; f++)
        batch_row(block, batch_width(block->layer, block->output), total[f], y + f * block->layer->outputs);
}

/* x and y: the first of `frames` rows; what comes before block is constant */
INLINE void batch_tile(rill_weight_type type, bool widens, size_t frames, const batch_block *block,
                       const float *x, float *y) {
    const size_t in_word = rill_packed_in_word(type), inputs = block->inputs;
    const float *rows[batch_frames];
    float *weights = block->weights;
    const uint32_t *words = block->words;
    uintptr_t next = block->next;
    vector total[batch_frames][batch_wide];
    bits word[batch_wide];
    UNROLL
    for (size_t f = 0; f < frames; f++) {
        rows[f] = x + f * block->layer->inputs + block->input;
        UNROLL
        for (size_t c = 0; c < batch_wide; c++) total[f][c] = splat(0);
    }
    size_t i = 0;
    for (; i + packed_step <= inputs; i += packed_step, weights += packed_step * batch_columns) UNROLL
    for (size_t k = 0; k < packed_step; k++) {
        if (k % in_word == 0) {
            if (widens)
                load_batch_words(words, word);
            else
                __builtin_prefetch((const void *)next);
            words += RILL_PACKED_COLUMNS, next += RILL_PACKED_COLUMNS * sizeof(uint32_t);
        }
        batch_input(type, widens, frames, rows, i + k, word, k % in_word, weights + k * batch_columns, total);
    }
    for (; i < inputs; i++, weights += batch_columns) {
        if (widens) load_batch_words(words + (i % packed_step) / in_word * RILL_PACKED_COLUMNS, word);
        batch_input(type, widens, frames, rows, i, word, i % in_word, weights, total);
    }
    y += block->output;
    if (batch_width(block->layer, block->output) < batch_columns) {
        vector kept[batch_frames][batch_wide];
        memcpy(kept, total, sizeof kept);
        batch_part(block, frames, kept, y);
        return;
    }
    UNROLL
    for (size_t f = 0; f < frames; f++)
        batch_row(block, batch_columns, total[f], y + f * block->layer->outputs);
}

/* Functions of their own, where a tile has all registers. */
typedef void batch_rows(const batch_block *block, const float *x, float *y);
#define TILE(name, type, widens, frames)                                                                     \
    static __attribute__((noinline)) void name(const batch_block *block, const float *x, float *y) {         \
        batch_tile(type, widens, frames, block, x, y);                                                       \
    }
#define TILES(name, type)                                                                                    \
    TILE(widen_##name, type, true, batch_few)                                                                \
    TILE(four_##name, type, false, batch_few)                                                                \
    TILE(six_##name, type, false, batch_frames)
TILES(f32, RILL_WEIGHTS_F32)
TILES(bf16, RILL_WEIGHTS_BF16)
TILES(i8, RILL_WEIGHTS_I8)
#undef TILES
#undef TILE

/* Where the words of a block begin; beyond the end of a layer too, where in a model the next one begins. */
INLINE size_t batch_words(rill_weight_type type, const rill_packed_dense *layer, size_t output,
                          size_t input) {
    const size_t in_word = rill_packed_in_word(type), row = (layer->inputs + in_word - 1) / in_word;
    return (output / RILL_PACKED_COLUMNS * row + input / in_word) * RILL_PACKED_COLUMNS +
           output % RILL_PACKED_COLUMNS;
}

INLINE void batch_dense_of(rill_weight_type type, batch_rows *widening, batch_rows *six, batch_rows *four,
                           size_t count, const rill_packed_dense *layer, const float *x, float *y) {
    _Alignas(RILL_VECTOR_BYTES) float weights[batch_inputs * batch_columns];
    batch_block block = {.layer = layer, .weights = weights};
    while (block.output < layer->outputs) {
        const size_t left = layer->inputs - block.input;
        const bool last = left <= batch_inputs;
        const size_t output = block.output + (last ? batch_columns : 0),
                     input = last ? 0 : block.input + batch_inputs;
        block.inputs = last ? left : batch_inputs;
        block.next = (uintptr_t)layer->words + batch_words(type, layer, output, input) * sizeof *layer->words;
        block.words = layer->words + batch_words(type, layer, block.output, block.input);
        widening(&block, x, y);
        for (size_t f = batch_few, taken; f < count; f += taken) {
            taken = (count - f) % batch_frames ? batch_few : batch_frames;
            (taken == batch_few ? four : six)(&block, x + f * layer->inputs, y + f * layer->outputs);
        }
        block.output = output;
        block.input = input;
    }
}

/* How many of `count` frames are a batch: two tiles of four, or more of four and six. */
INLINE size_t batch_taken(size_t count) {
    return many_registers || count < 2 * batch_few ? 0 : count - count % 2;
}

/* count: as batch_taken says */
static void batch_dense(size_t count, const rill_packed_dense *layer, const float *x, float *y) {
    if (layer->type == RILL_WEIGHTS_F32)
        batch_dense_of(RILL_WEIGHTS_F32, widen_f32, six_f32, four_f32, count, layer, x, y);
    else if (layer->type == RILL_WEIGHTS_BF16)
        batch_dense_of(RILL_WEIGHTS_BF16, widen_bf16, six_bf16, four_bf16, count, layer, x, y);
    else
        batch_dense_of(RILL_WEIGHTS_I8, widen_i8, six_i8, four_i8, count, layer, x, y);
}
