/* SPDX-License-Identifier: MIT */
/* Dense layers from int8 weights (kernels.h), of the few frames that fill no tile, by products of pairs of 16
 * bits: for AVX2 and AVX-512 without VNNI. To widen a weight to a float takes more than its FMA; to widen
 * four of an output to two pairs takes three shifts of a word. x is rounded to 30 bits of its row's largest,
 * as for VNNI, and told by two digits,
 *
 *     x = unit · (d₁ 2¹⁶ + d₀),  −2¹⁵ ≤ d₀ < 2¹⁵, −2¹⁴ ≤ d₁ ≤ 2¹⁴.
 */
#include "kernels/vector.h"

#ifdef __AVX2__
#include "kernels/vector_digits.h"

enum {
    pair_inputs = 504, /* taken at a time: sums of 127 words are below 2³¹ */
    pair_words = 4     /* of digits for four inputs: d₁ of 0 and 2, of 1 and 3, d₀ likewise */
};

typedef int16_t shorts __attribute__((vector_size(RILL_VECTOR_BYTES)));

INLINE bits pairs_of(vector x, vector in_units) {
    const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    const integers units = to_integers(x * in_units), low = units << 16 >> 16, high = (units - low) >> 16;
#ifdef __AVX512F__
    return reorder((bits)_mm512_packs_epi32((__m512i)high, (__m512i)low), order);
#else
    return reorder((bits)_mm256_packs_epi32((__m256i)high, (__m256i)low), order);
#endif
}

/* Written so because gcc else copies sums to and fro. */
INLINE integers pair_sum(integers before, integers digits, shorts weights) {
#ifdef __AVX512F__
    const integers products = (integers)_mm512_madd_epi16((__m512i)digits, (__m512i)weights);
    __asm__("vpaddd %1, %0, %0" : "+v"(before) : "v"(products));
#else
    const integers products = (integers)_mm256_madd_epi16((__m256i)digits, (__m256i)weights);
    __asm__("vpaddd %1, %0, %0" : "+x"(before) : "x"(products));
#endif
    return before;
}

/* The outputs that lie together from o on. */
static __attribute__((noinline)) void
pair_columns_of(const byte_call *call, float unit, const uint32_t *digits, const uint32_t *words, size_t o) {
    enum { ahead = 4096, line_words = 64 / sizeof *words, vectors = RILL_PACKED_COLUMNS / lanes };
    const rill_packed_dense *layer = call->layer;
    integers high[vectors], low[vectors];
    UNROLL
    for (size_t c = 0; c < vectors; c++) high[c] = low[c] = (integers){0};
    for (size_t left = (call->inputs + 3) / 4; left > 0;
         left--, words += RILL_PACKED_COLUMNS, digits += pair_words) {
        integers digit[pair_words];
        UNROLL
        for (size_t k = 0; k < pair_words; k++) digit[k] = (integers)((bits){0} + digits[k]);
        UNROLL
        for (size_t c = 0; c < vectors; c++) {
            if (c * lanes % line_words == 0)
                __builtin_prefetch((const void *)((uintptr_t)(words + c * lanes) + ahead));
            shorts word;
            memcpy(&word, words + c * lanes, sizeof word);
            const shorts even = word << 8 >> 8, odd = word >> 8;
            high[c] = pair_sum(pair_sum(high[c], digit[0], even), digit[1], odd);
            low[c] = pair_sum(pair_sum(low[c], digit[2], even), digit[3], odd);
        }
    }
    UNROLL
    for (size_t c = 0; c < vectors; c++) {
        const size_t at = o + c * lanes, width = layer->outputs - at;
        if (at >= layer->outputs) continue;
        const vector total = __builtin_convertvector(high[c], vector) * splat(0x1p16f) +
                             __builtin_convertvector(low[c], vector);
        finish_row(call, unit, total, load_up_to(layer->scales + at, width),
                   load_up_to(layer->bias + at, width), width, call->y + at);
    }
}

static void dense_by_pairs(const rill_packed_dense *layer, const float *x, float *y) {
    dense_by_digits(pair_inputs, RILL_PACKED_COLUMNS, pairs_of, pair_columns_of, layer, x, y);
}

static void pair_dense(size_t count, const rill_packed_dense *layer, const float *x, float *y) {
    few_alone(dense_by_pairs, count, layer, x, y);
}
#endif
