/* SPDX-License-Identifier: MIT */
/* What dense layers from int8 weights share where they are products of integers. A row of x is rounded to 30
 * bits of its largest and told by digits; by four where they are bytes,
 *
 *     x = unit · (d₃ 2²⁴ + d₂ 2¹⁶ + d₁ 2⁸ + d₀),  −128 ≤ d < 128,
 *
 * whose sums with weights are integers, and exact: what is rounded is x, by 2⁻³⁰ of its row's largest, and
 * the four sums that make y. */
#ifndef RILL_VECTOR_DIGITS_H
#define RILL_VECTOR_DIGITS_H

#include <immintrin.h>

#include "kernels/vector.h"

enum {
    byte_digits = 4,
    byte_inputs = 512 /* taken at a time at most: sums of so many are at most 2²³, which floats hold */
};

INLINE float power_of_two(uint32_t exponent) {
    const uint32_t word = exponent << 23;
    float power;
    memcpy(&power, &word, sizeof power);
    return power;
}

/* The exponent of the largest |x|: as integers, NaN is above ∞ and ∞ above all others. */
INLINE uint32_t largest_exponent(size_t inputs, const float *x) {
    integers largest = {0};
    for (size_t i = 0; i < inputs; i += lanes)
        largest = larger(largest, (integers)load_up_to(x + i, inputs - i) & 0x7fffffff);
    int32_t most = 0;
#ifdef __AVX512F__
    most = _mm512_reduce_max_epi32((__m512i)largest);
#else
    UNROLL
    for (size_t i = 0; i < lanes; i++) most = largest[i] > most ? largest[i] : most;
#endif
    return (uint32_t)most >> 23;
}

/* *unit of a row, NaN where it holds what is not finite; returns what makes integers of its x, the largest of
 * 2²⁹ … 2³⁰ */
INLINE vector find_unit(size_t inputs, const float *x, float *unit) {
    const uint32_t found = largest_exponent(inputs, x), exponent = found < 30 ? 30 : found;
    *unit = found == 255 ? __builtin_nanf("") : power_of_two(exponent - 29);
    return splat(power_of_two(283 - exponent));
}

/* x to the nearest integers */
INLINE integers to_integers(vector x) {
#ifdef __AVX512F__
    return (integers)_mm512_cvtps_epi32((__m512)x);
#else
    return (integers)_mm256_cvtps_epi32((__m256)x);
#endif
}

/* Each four lanes' 16 bytes in that order. */
INLINE bits reorder(bits x, __m128i order) {
#ifdef __AVX512F__
    return (bits)_mm512_shuffle_epi8((__m512i)x, _mm512_broadcast_i32x4(order));
#else
    return (bits)_mm256_shuffle_epi8((__m256i)x, _mm256_broadcastsi128_si256(order));
#endif
}

/* The digits of x, each 128 more than it is; those of four inputs that share a word of weights in four lanes,
 * d₀ of all of them in the first. */
INLINE bits digits_of(vector x, vector in_units) {
    const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return reorder((bits)to_integers(x * in_units) + 0x80808080u, order);
}

/* What a call works on: some inputs of all outputs, for some frames. */
typedef struct byte_call {
    size_t frames, inputs;
    const rill_packed_dense *layer;
    const uint32_t *words; /* the first block's of these inputs */
    bool first, last;      /* of the inputs: sums begin at 0; they are finished */
    float *y;
} byte_call;

/* What a vector of a row's sums of digits comes to, in units. */
INLINE vector total_of(const integers *sums_of) {
    vector digit[byte_digits];
    UNROLL
    for (size_t k = 0; k < byte_digits; k++) digit[k] = __builtin_convertvector(sums_of[k], vector);
    return (digit[3] * splat(0x1p24f) + digit[2] * splat(0x1p16f)) + (digit[1] * splat(0x1p8f) + digit[0]);
}

/* y of a vector of a row's outputs, from its total in units */
INLINE void finish_row(const byte_call *call, float unit, vector total, vector scale, vector bias,
                       size_t width, float *y) {
    total *= splat(unit);
    if (!call->first) total += load_up_to(y, width);
    if (call->last) total = total * scale + bias;
    store_up_to(y, width, total);
}

/* y of some outputs from o on that lie together: digits of call->inputs inputs, one word for each. */
typedef void digit_columns(const byte_call *call, float unit, const uint32_t *digits, const uint32_t *words,
                           size_t o);

/* A frame, `most` inputs, constant, and `wide` outputs at a time; find: the digits of a vector of x. */
INLINE void dense_by_digits(size_t most, size_t wide, bits (*find)(vector x, vector in_units),
                            digit_columns *columns, const rill_packed_dense *layer, const float *x,
                            float *y) {
    const size_t block_words = (layer->inputs + 3) / 4 * RILL_PACKED_COLUMNS;
    uint32_t digits[byte_inputs];
    for (size_t i = 0, inputs; i < layer->inputs; i += inputs) {
        inputs = layer->inputs - i < most ? layer->inputs - i : most;
        float unit;
        const vector in_units = find_unit(inputs, x + i, &unit);
        for (size_t j = 0; j < inputs; j += lanes) {
            const bits found = find(load_up_to(x + i + j, inputs - j), in_units);
            memcpy(digits + j, &found, sizeof found);
        }
        const byte_call call = {.frames = 1,
                                .inputs = inputs,
                                .layer = layer,
                                .words = layer->words + i / 4 * RILL_PACKED_COLUMNS,
                                .first = i == 0,
                                .last = i + inputs == layer->inputs,
                                .y = y};
        for (size_t o = 0; o < layer->outputs; o += wide)
            columns(&call, unit, digits,
                    call.words + o / RILL_PACKED_COLUMNS * block_words + o % RILL_PACKED_COLUMNS, o);
    }
}

#endif
