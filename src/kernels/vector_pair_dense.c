/* SPDX-License-Identifier: MIT */
/* Dense layers from int8 weights (kernels.h), of the frames that fill no tile of four, by products of pairs
 * of 16 bits, in registers of 32 bytes: for AVX2 without VNNI. To widen a weight to a float takes more than
 * its FMA; to widen four of an output to two pairs takes three shifts of a word. x is rounded to 30 bits of
 * its row's largest, as for VNNI, and told by two digits,
 *
 *     x = unit · (d₁ 2¹⁶ + d₀),  −2¹⁵ ≤ d₀ < 2¹⁵, −2¹⁴ ≤ d₁ ≤ 2¹⁴.
 */
#include "kernels/vector.h"

#if defined __AVX2__ && !defined __AVX512F__
#include "kernels/vector_digits.h"

enum {
    pair_inputs = 504, /* taken at a time: sums of 127 words are below 2³¹ */
    pair_words = 4     /* of digits for four inputs: d₁ of 0 and 2, of 1 and 3, d₀ likewise */
};

INLINE bits pairs_of(vector x, vector in_units) {
    const __m256i units = _mm256_cvtps_epi32((__m256)(x * in_units));
    const __m256i low = _mm256_srai_epi32(_mm256_slli_epi32(units, 16), 16);
    const __m256i high = _mm256_srai_epi32(_mm256_sub_epi32(units, low), 16);
    const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    return (bits)_mm256_shuffle_epi8(_mm256_packs_epi32(high, low), _mm256_broadcastsi128_si256(order));
}

/* Written so because gcc else copies sums to and fro. */
INLINE __m256i pair_sum(__m256i before, __m256i digits, __m256i weights) {
    const __m256i products = _mm256_madd_epi16(digits, weights);
    __asm__("vpaddd %1, %0, %0" : "+x"(before) : "x"(products));
    return before;
}

/* The outputs that lie together from o on. */
static __attribute__((noinline)) void
pair_columns_of(const byte_call *call, float unit, const uint32_t *digits, const uint32_t *words, size_t o) {
    enum { ahead = 4096, vectors = RILL_PACKED_COLUMNS / lanes };
    const rill_packed_dense *layer = call->layer;
    __m256i high[vectors], low[vectors];
    UNROLL
    for (size_t c = 0; c < vectors; c++) high[c] = low[c] = _mm256_setzero_si256();
    for (size_t left = (call->inputs + 3) / 4; left > 0;
         left--, words += RILL_PACKED_COLUMNS, digits += pair_words) {
        __m256i digit[pair_words];
        UNROLL
        for (size_t k = 0; k < pair_words; k++) digit[k] = _mm256_set1_epi32((int32_t)digits[k]);
        UNROLL
        for (size_t c = 0; c < vectors; c++) {
            if (c % 2 == 0) __builtin_prefetch((const void *)((uintptr_t)(words + c * lanes) + ahead));
            __m256i word;
            memcpy(&word, words + c * lanes, sizeof word);
            const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(word, 8), 8),
                          odd = _mm256_srai_epi16(word, 8);
            high[c] = pair_sum(pair_sum(high[c], digit[0], even), digit[1], odd);
            low[c] = pair_sum(pair_sum(low[c], digit[2], even), digit[3], odd);
        }
    }
    UNROLL
    for (size_t c = 0; c < vectors; c++) {
        const size_t at = o + c * lanes, width = layer->outputs - at;
        if (at >= layer->outputs) continue;
        const vector total =
            (vector)_mm256_cvtepi32_ps(high[c]) * splat(0x1p16f) + (vector)_mm256_cvtepi32_ps(low[c]);
        finish_row(call, unit, total, load_up_to(layer->scales + at, width),
                   load_up_to(layer->bias + at, width), width, call->y + at);
    }
}

static void pair_dense(const rill_packed_dense *layer, const float *x, float *y) {
    dense_by_digits(pair_inputs, RILL_PACKED_COLUMNS, pairs_of, pair_columns_of, layer, x, y);
}

/* Four frames, or a batch, widen the weights once; up to three beside them, one by one, take less than a tile
 * of four. */
static void few_by_pairs(size_t count, const rill_packed_dense *layer, const float *x, float *y) {
    const size_t beside = (count - batch_taken(count)) % packed_frames_max;
    const size_t by_pairs = layer->type == RILL_WEIGHTS_I8 ? beside : 0;
    packed_dense(count - by_pairs, layer, x, y);
    for (size_t n = count - by_pairs; n < count; n++)
        pair_dense(layer, x + n * layer->inputs, y + n * layer->outputs);
}
#endif
