/* SPDX-License-Identifier: MIT */
/* Dense layers from int8 weights (kernels.h), of the few frames that fill no tile, by products of bytes, four
 * a lane: VNNI, of AVX-512 or of AVX. */
#include "kernels/vector.h"

#ifdef __AVX2__
#include "kernels/vector_digits.h"

/* before + the products of four bytes a lane, those of the digits unsigned. Written so because one function
 * has one instruction set. */
INLINE integers add_products(integers before, integers digits, integers weights) {
#ifdef __AVX512F__
    __asm__("vpdpbusd %2, %1, %0" : "+v"(before) : "v"(digits), "v"(weights));
#else
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(before) : "x"(digits), "x"(weights));
#endif
    return before;
}

enum { word_columns = 2 }; /* vectors of outputs at a time */

/* The digits are 128 more than they are, so that 128 Σ weights go from the sums in the end. What bounds a
 * frame is reading the weights, which are fetched ahead, in a model even beyond the end of a layer. */
static void word_columns_of(const byte_call *call, float unit, const uint32_t *digits, const uint32_t *words,
                            size_t o) {
    enum { ahead = 4096 };
    const rill_packed_dense *layer = call->layer;
    const integers excess = (integers)((bits){0} + 0x80808080u);
    integers sum_of[word_columns][byte_digits], more[word_columns];
    UNROLL
    for (size_t c = 0; c < word_columns; c++) more[c] = (integers){0};
    UNROLL
    for (size_t k = 0; k < byte_digits; k++) UNROLL
    for (size_t c = 0; c < word_columns; c++) sum_of[c][k] = (integers){0};
    for (size_t left = (call->inputs + 3) / 4; left > 0;
         left--, words += RILL_PACKED_COLUMNS, digits += byte_digits) {
        integers word[word_columns];
        UNROLL
        for (size_t c = 0; c < word_columns; c++) {
            __builtin_prefetch((const void *)((uintptr_t)(words + c * lanes) + ahead));
            memcpy(&word[c], words + c * lanes, sizeof word[c]);
            more[c] = add_products(more[c], excess, word[c]);
        }
        UNROLL
        for (size_t k = 0; k < byte_digits; k++) {
            const integers digit = (integers)((bits){0} + digits[k]);
            UNROLL
            for (size_t c = 0; c < word_columns; c++)
                sum_of[c][k] = add_products(sum_of[c][k], digit, word[c]);
        }
    }
    UNROLL
    for (size_t c = 0; c < word_columns; c++) {
        const size_t at = o + c * lanes, width = layer->outputs - at;
        if (at >= layer->outputs) continue;
        UNROLL
        for (size_t k = 0; k < byte_digits; k++) sum_of[c][k] -= more[c];
        finish_row(call, unit, total_of(sum_of[c]), load_up_to(layer->scales + at, width),
                   load_up_to(layer->bias + at, width), width, call->y + at);
    }
}

static void word_dense(const rill_packed_dense *layer, const float *x, float *y) {
    dense_by_digits(byte_inputs, word_columns * lanes, digits_of, word_columns_of, layer, x, y);
}

static void vnni_dense(size_t count, const rill_packed_dense *layer, const float *x, float *y) {
    few_alone(word_dense, count, layer, x, y);
}

#ifdef __AVX512F__
static void amx_dense(size_t count, const rill_packed_dense *layer, const float *x, float *y) {
    if (layer->type == RILL_WEIGHTS_I8 && count > 1)
        tile_dense(count, layer, x, y);
    else
        vnni_dense(count, layer, x, y);
}
#endif
#endif
