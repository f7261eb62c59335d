/* SPDX-License-Identifier: MIT */
/* Dense layers from packed weights (kernels.h): a register holds weights of as many outputs, so that sums
 * stay in their lanes, and every word is read once, in the order of its addresses. */
#include "kernels/vector_packed.h"

/* One frame is bound by reading the weights: those so many bytes ahead are fetched meanwhile, beyond the end
 * of a layer too, where in a model the next one begins. */
enum { packed_ahead = 1024 };

enum {
    packed_frames_max = many_registers && lanes == 16 ? 8 : 4,
    /* vectors of outputs in a tile of several frames, which fill two thirds of the registers with sums */
    packed_wide = lanes == 16      ? 2
                  : many_registers ? 4
                                   : 2,
    packed_block = RILL_PACKED_COLUMNS / lanes /* vectors of a block */
};

/* Where a tile reads and writes: x and y of its frames; a frame that there is none of repeats the last. */
typedef struct packed_rows {
    const float *x[packed_frames_max];
    float *y[packed_frames_max];
} packed_rows;

/* total[set][f][c] += weights · x for input i + place; sets share the inputs out: a sum waits for its last
 * FMA. */
INLINE void packed_input(rill_weight_type type, size_t frames, size_t wide, const bits *words, size_t place,
                         const packed_rows *rows, size_t i, vector (*total)[packed_block]) {
    for (size_t c = 0; c < wide; c++) {
        vector weight = packed_weights(type, words[c], place);
        for (size_t f = 0; f < frames; f++) total[f][c] += weight * splat(rows->x[f][i]);
    }
}

/* `frames` × `wide` vectors of outputs from `column` of a block on; both, `sets` and type constant */
INLINE void packed_tile(rill_weight_type type, size_t frames, size_t sets, size_t wide,
                        const rill_packed_dense *layer, size_t output, const packed_rows *rows) {
    const size_t in_word = rill_packed_in_word(type), inputs = layer->inputs;
    const size_t words_of_row = (inputs + in_word - 1) / in_word;
    const uint32_t *words = layer->words + output / RILL_PACKED_COLUMNS * words_of_row * RILL_PACKED_COLUMNS +
                            output % RILL_PACKED_COLUMNS;
    vector total[packed_step][packed_frames_max][packed_block];
    for (size_t s = 0; s < sets; s++)
        for (size_t f = 0; f < frames; f++)
            for (size_t c = 0; c < wide; c++) total[s][f][c] = splat(0);
    size_t i = 0;
    bits word[packed_block];
    for (; i + packed_step <= inputs; i += packed_step)
        for (size_t k = 0; k < packed_step; k++) {
            if (k % in_word == 0) {
                for (size_t c = 0; c < wide; c++) word[c] = load_words(words + c * lanes);
                for (size_t line = 0; frames == 1 && line < RILL_PACKED_COLUMNS; line += 16)
                    __builtin_prefetch((const void *)((uintptr_t)(words + line) + packed_ahead));
                words += RILL_PACKED_COLUMNS;
            }
            packed_input(type, frames, wide, word, k % in_word, rows, i + k, total[k % sets]);
        }
    for (; i < inputs; i++) {
        for (size_t c = 0; c < wide; c++) word[c] = load_words(words + c * lanes);
        packed_input(type, frames, wide, word, i % in_word, rows, i, total[0]);
        if (i % in_word == in_word - 1) words += RILL_PACKED_COLUMNS;
    }
    for (size_t f = 0; f < frames; f++)
        for (size_t c = 0; c < wide; c++) {
            for (size_t s = 1; s < sets; s++) total[0][f][c] += total[s][f][c];
            const size_t o = output + c * lanes;
            if (o >= layer->outputs) continue;
            const size_t width = layer->outputs - o;
            vector y = total[0][f][c];
            if (type == RILL_WEIGHTS_I8) y *= load_up_to(layer->scales + o, width);
            store_up_to(rows->y[f] + o, width, y + load_up_to(layer->bias + o, width));
        }
}

INLINE void packed_frames(rill_weight_type type, size_t frames, size_t sets, size_t wide,
                          const rill_packed_dense *layer, size_t count, const float *x, float *y) {
    packed_rows rows;
    for (size_t f = 0; f < frames; f++) {
        const size_t row = f < count ? f : count - 1;
        rows.x[f] = x + row * layer->inputs;
        rows.y[f] = y + row * layer->outputs;
    }
    for (size_t o = 0; o < layer->outputs; o += wide * lanes)
        packed_tile(type, frames, sets, wide, layer, o, &rows);
}

INLINE void packed_dense_of(rill_weight_type type, size_t count, const rill_packed_dense *layer,
                            const float *x, float *y) {
    while (count > 0) {
        size_t taken = count < (size_t)packed_frames_max ? count : (size_t)packed_frames_max;
        if (taken == 1)
            packed_frames(type, 1, lanes / 4, packed_block, layer, 1, x, y);
        else if (taken <= 4)
            packed_frames(type, 4, 1, packed_wide, layer, taken, x, y);
        else
            packed_frames(type, packed_frames_max, 1, packed_wide, layer, taken, x, y);
        count -= taken;
        x += taken * layer->inputs;
        y += taken * layer->outputs;
    }
}

static void packed_dense(size_t count, const rill_packed_dense *layer, const float *x, float *y) {
    const size_t batch = batch_taken(count);
    if (batch) batch_dense(batch, layer, x, y);
    count -= batch;
    x += batch * layer->inputs;
    y += batch * layer->outputs;
    if (layer->type == RILL_WEIGHTS_F32)
        packed_dense_of(RILL_WEIGHTS_F32, count, layer, x, y);
    else if (layer->type == RILL_WEIGHTS_BF16)
        packed_dense_of(RILL_WEIGHTS_BF16, count, layer, x, y);
    else
        packed_dense_of(RILL_WEIGHTS_I8, count, layer, x, y);
}

/* The same where one frame of int8 weights takes less by itself, as `one` does it, than a share of a tile
 * that widens them: one or two that fill no tile of four and no batch. */
INLINE void few_alone(void (*one)(const rill_packed_dense *layer, const float *x, float *y), size_t count,
                      const rill_packed_dense *layer, const float *x, float *y) {
    const size_t beside = (count - batch_taken(count)) % 4;
    const size_t alone = layer->type == RILL_WEIGHTS_I8 && beside <= 2 ? beside : 0;
    packed_dense(count - alone, layer, x, y);
    for (size_t n = count - alone; n < count; n++) one(layer, x + n * layer->inputs, y + n * layer->outputs);
}
