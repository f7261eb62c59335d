/* SPDX-License-Identifier: MIT */
/* Dense layers from int8 weights (kernels.h) by products of bytes, and of several frames by those of tiles of
 * bytes (Intel AMX): packed weights lie as these take them. A row of x is rounded to 30 bits of its largest
 * and told by four digits,
 *
 *     x = unit · (d₃ 2²⁴ + d₂ 2¹⁶ + d₁ 2⁸ + d₀),  −128 ≤ d < 128,
 *
 * whose sums with weights are integers, and exact: what is rounded is x, by 2⁻³⁰ of its row's largest, and
 * the four sums that make y. */
#include "kernels/vector.h"

#ifdef __AVX512F__
#define TILES_TARGET __attribute__((target("amx-tile,amx-int8")))

enum {
    byte_digits = 4,
    byte_frames = 16,  /* rows of a tile */
    byte_columns = 64, /* inputs, and bytes of its row */
    byte_inputs = 512  /* taken at a time: sums of so many are at most 2²³, which floats hold */
};

/* The digits of some rows of x, tile by tile; 0 beyond the inputs. */
typedef struct byte_rows {
    int8_t digits[byte_inputs / byte_columns][byte_digits][byte_frames][byte_columns];
    float unit[byte_frames]; /* NaN: the row holds what is not finite */
} byte_rows;

INLINE float power_of_two(uint32_t exponent) {
    const uint32_t word = exponent << 23;
    float power;
    memcpy(&power, &word, sizeof power);
    return power;
}

/* The exponent of the largest |x|: as integers, NaN is above ∞ and ∞ above all others. */
INLINE uint32_t largest_exponent(size_t inputs, const float *x) {
    __m512i largest = _mm512_setzero_si512();
    for (size_t i = 0; i < inputs; i += lanes)
        largest = _mm512_max_epi32(largest, (__m512i)((integers)load_up_to(x + i, inputs - i) & 0x7fffffff));
    return (uint32_t)_mm512_reduce_max_epi32(largest) >> 23;
}

/* Row f of them; excess: 0x80808080 where bytes shall be 128 more than the digits, else 0 */
static void find_digits(size_t inputs, const float *x, size_t f, uint32_t excess, byte_rows *rows) {
    const uint32_t found = largest_exponent(inputs, x), exponent = found < 30 ? 30 : found;
    const vector in_units = splat(power_of_two(283 - exponent)); /* the largest: 2²⁹ … 2³⁰ */
    rows->unit[f] = found == 255 ? __builtin_nanf("") : power_of_two(exponent - 29);
    const __m512i by_digit =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m512i together = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (size_t i = 0; i < inputs; i += lanes) {
        const vector v = load_up_to(x + i, inputs - i) * in_units;
        const bits units = ((bits)_mm512_cvtps_epi32((__m512)v) + 0x80808080u) ^ 0x80808080u ^ excess;
        int8_t digits[byte_digits][lanes];
        const __m512i shuffled = _mm512_shuffle_epi8((__m512i)units, by_digit);
        _mm512_storeu_si512(digits, _mm512_permutexvar_epi32(together, shuffled));
        for (size_t k = 0; k < byte_digits; k++)
            memcpy(rows->digits[i / byte_columns][k][f] + i % byte_columns, digits[k], lanes);
    }
}

/* What a call works on: some inputs of all outputs, for some frames. */
typedef struct byte_call {
    size_t frames, inputs;
    const rill_packed_dense *layer;
    const uint32_t *words; /* the first block's of these inputs */
    bool first, last;      /* of the inputs: sums begin at 0; they are finished */
    float *y;
} byte_call;

/* y of up to 16 outputs of a row, from its sums of digits */
INLINE void finish_row(const byte_call *call, float unit, const __m512i *sums_of, vector scale, vector bias,
                       size_t width, float *y) {
    vector digit[byte_digits];
    UNROLL
    for (size_t k = 0; k < byte_digits; k++) digit[k] = (vector)_mm512_cvtepi32_ps(sums_of[k]);
    vector total =
        (digit[3] * splat(0x1p24f) + digit[2] * splat(0x1p16f)) + (digit[1] * splat(0x1p8f) + digit[0]);
    total *= splat(unit);
    if (!call->first) total += load_up_to(y, width);
    if (call->last) total = total * scale + bias;
    store_up_to(y, width, total);
}

typedef int32_t byte_sums[byte_digits][byte_frames][lanes];

/* y of 16 outputs from o on */
static void finish_bytes(const byte_call *call, const byte_rows *rows, byte_sums sums, size_t o) {
    const size_t outputs = call->layer->outputs, width = outputs - o;
    const vector scale = load_up_to(call->layer->scales + o, width);
    const vector bias = load_up_to(call->layer->bias + o, width);
    for (size_t f = 0; f < call->frames; f++) {
        __m512i sum[byte_digits];
        UNROLL
        for (size_t k = 0; k < byte_digits; k++) sum[k] = _mm512_loadu_si512(sums[k][f]);
        finish_row(call, rows->unit[f], sum, scale, bias, width, call->y + f * outputs + o);
    }
}

/* Shapes of the tiles: sums 0 to 3; digits and weights of 64 inputs, 4 and 5; of those that are left, 6 and
 * 7. */
typedef struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes_of_row[16];
    uint8_t rows[16];
} tile_shapes;

TILES_TARGET static void choose_shapes(size_t frames, size_t words_left) {
    const uint8_t rows = (uint8_t)frames, left = (uint8_t)words_left;
    const tile_shapes shapes = {.palette = 1,
                                .bytes_of_row = {64, 64, 64, 64, 64, 64, (uint16_t)(4 * left), 64},
                                .rows = {rows, rows, rows, rows, rows, 16, rows, left}};
    _tile_loadconfig(&shapes);
}

/* Few frames are bound by reading the weights: those of the next block are fetched meanwhile, in a model even
 * beyond the end of a layer. */
INLINE void fetch_weights(size_t frames, uintptr_t words) {
    for (size_t row = 0; row < byte_columns / 4 && frames <= byte_frames / 2; row++)
        __builtin_prefetch((const void *)(words + row * RILL_PACKED_COLUMNS * 4));
}

/* Outputs of a tile are finished while the next one's products are made. */
TILES_TARGET static void byte_tiles(const byte_call *call, const byte_rows *rows) {
    const rill_packed_dense *layer = call->layer;
    const size_t block_words = (layer->inputs + 3) / 4 * RILL_PACKED_COLUMNS;
    const size_t tile_words = byte_columns / 4 * RILL_PACKED_COLUMNS, stride = RILL_PACKED_COLUMNS * 4;
    const size_t whole = call->inputs / byte_columns, left = (call->inputs % byte_columns + 3) / 4;
    byte_sums sums[2];
    choose_shapes(call->frames, left ? left : 1);
    __asm__ volatile("" : : "r"(rows) : "memory"); /* gcc does not know that tiles read it */
    size_t o = 0;
    for (size_t turn = 0; o < layer->outputs; o += lanes, turn ^= 1) {
        const uint32_t *words = call->words + o / RILL_PACKED_COLUMNS * block_words + o % RILL_PACKED_COLUMNS;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
#define TAKE_DIGIT(sum, x, weights, at)                                                                      \
    _tile_loadd(x, rows->digits[at][sum], byte_columns);                                                     \
    _tile_dpbssd(sum, x, weights);
#define TAKE_INPUTS(x, weights, at)                                                                          \
    _tile_loadd(weights, words, stride);                                                                     \
    TAKE_DIGIT(0, x, weights, at)                                                                            \
    TAKE_DIGIT(1, x, weights, at)                                                                            \
    TAKE_DIGIT(2, x, weights, at)                                                                            \
    TAKE_DIGIT(3, x, weights, at)
        for (size_t i = 0; i < whole; i++, words += tile_words) {
            fetch_weights(call->frames, (uintptr_t)words + block_words * 4);
            TAKE_INPUTS(4, 5, i)
        }
        if (left > 0) {
            TAKE_INPUTS(6, 7, whole)
        }
#undef TAKE_INPUTS
#undef TAKE_DIGIT
        if (o > 0) finish_bytes(call, rows, sums[turn ^ 1], o - lanes);
        _tile_stored(0, sums[turn][0], lanes * 4);
        _tile_stored(1, sums[turn][1], lanes * 4);
        _tile_stored(2, sums[turn][2], lanes * 4);
        _tile_stored(3, sums[turn][3], lanes * 4);
    }
    if (o > 0) finish_bytes(call, rows, sums[o / lanes % 2 ^ 1], o - lanes);
    _tile_release();
}

/* sum + Σ of four products of bytes a lane; written so because gcc 12 copies sums to and fro. */
INLINE __m512i add_products(__m512i sum_before, __m512i digits, __m512i weights) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum_before) : "v"(digits), "v"(weights));
    return sum_before;
}

/* One frame by products of bytes, four a lane (VNNI, which what has AMX has, too). Those take digits 128 more
 * than they are, so that 128 Σ weights go from the sums in the end. What bounds them is reading the weights,
 * which are fetched ahead, in a model even beyond the end of a layer. */
static void byte_products(const byte_call *call, const byte_rows *rows) {
    enum { wide = RILL_PACKED_COLUMNS / lanes, ahead = 4096 };
    const rill_packed_dense *layer = call->layer;
    const size_t block_words = (layer->inputs + 3) / 4 * RILL_PACKED_COLUMNS;
    const __m512i excess = _mm512_set1_epi8((char)128);
    for (size_t o = 0; o < layer->outputs; o += RILL_PACKED_COLUMNS) {
        const uint32_t *words = call->words + o / RILL_PACKED_COLUMNS * block_words;
        __m512i sum[wide][byte_digits], more[wide];
        UNROLL
        for (size_t c = 0; c < wide; c++) more[c] = _mm512_setzero_si512();
        UNROLL
        for (size_t k = 0; k < byte_digits; k++) UNROLL
        for (size_t c = 0; c < wide; c++) sum[c][k] = _mm512_setzero_si512();
        for (size_t i = 0; i < call->inputs; i += 4, words += RILL_PACKED_COLUMNS) {
            __m512i word[wide];
            UNROLL
            for (size_t c = 0; c < wide; c++) {
                __builtin_prefetch((const void *)((uintptr_t)(words + c * lanes) + ahead));
                word[c] = _mm512_loadu_si512(words + c * lanes);
                more[c] = add_products(more[c], excess, word[c]);
            }
            UNROLL
            for (size_t k = 0; k < byte_digits; k++) {
                int32_t digit;
                memcpy(&digit, rows->digits[i / byte_columns][k][0] + i % byte_columns, sizeof digit);
                UNROLL
                for (size_t c = 0; c < wide; c++)
                    sum[c][k] = add_products(sum[c][k], _mm512_set1_epi32(digit), word[c]);
            }
        }
        UNROLL
        for (size_t c = 0; c < wide; c++) {
            const size_t at = o + c * lanes, width = layer->outputs - at;
            if (at >= layer->outputs) continue;
            UNROLL
            for (size_t k = 0; k < byte_digits; k++) sum[c][k] = _mm512_sub_epi32(sum[c][k], more[c]);
            finish_row(call, rows->unit[0], sum[c], load_up_to(layer->scales + at, width),
                       load_up_to(layer->bias + at, width), width, call->y + at);
        }
    }
}

static void byte_dense(size_t count, const rill_packed_dense *layer, const float *x, float *y) {
    byte_rows rows;
    for (size_t done = 0, frames; done < count; done += frames) {
        frames = count - done < byte_frames ? count - done : byte_frames;
        for (size_t i = 0, inputs; i < layer->inputs; i += inputs) {
            inputs = layer->inputs - i < byte_inputs ? layer->inputs - i : byte_inputs;
            for (size_t f = 0; f < frames; f++)
                find_digits(inputs, x + (done + f) * layer->inputs + i, f, frames == 1 ? 0x80808080u : 0,
                            &rows);
            const byte_call call = {.frames = frames,
                                    .inputs = inputs,
                                    .layer = layer,
                                    .words = layer->words + i / 4 * RILL_PACKED_COLUMNS,
                                    .first = i == 0,
                                    .last = i + inputs == layer->inputs,
                                    .y = y + done * layer->outputs};
            if (frames == 1)
                byte_products(&call, &rows);
            else
                byte_tiles(&call, &rows);
        }
    }
}

/* Several frames widen the weights once. */
static void vnni_dense(size_t count, const rill_packed_dense *layer, const float *x, float *y) {
    (layer->type == RILL_WEIGHTS_I8 && count == 1 ? byte_dense : packed_dense)(count, layer, x, y);
}

static void amx_dense(size_t count, const rill_packed_dense *layer, const float *x, float *y) {
    (layer->type == RILL_WEIGHTS_I8 ? byte_dense : packed_dense)(count, layer, x, y);
}
#endif
