/* SPDX-License-Identifier: MIT */
/* Dense layers from int8 weights (kernels.h), of several frames, by products of tiles of bytes (Intel AMX):
 * packed weights lie as these take them. */
#include "kernels/vector.h"

#ifdef __AVX512F__
#include "kernels/vector_digits.h"

#define TILES_TARGET __attribute__((target("amx-tile,amx-int8")))

enum {
    byte_frames = 16, /* rows of a tile */
    byte_columns = 64 /* inputs, and bytes of its row */
};

/* The digits of some rows of x, tile by tile; 0 beyond the inputs. */
typedef struct byte_rows {
    int8_t digits[byte_inputs / byte_columns][byte_digits][byte_frames][byte_columns];
    float unit[byte_frames];
} byte_rows;

static void find_digits(size_t inputs, const float *x, size_t f, byte_rows *rows) {
    const vector in_units = find_unit(inputs, x, &rows->unit[f]);
    const __m512i together = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (size_t i = 0; i < inputs; i += lanes) {
        const bits by_word = digits_of(load_up_to(x + i, inputs - i), in_units) ^ 0x80808080u;
        int8_t digits[byte_digits][lanes];
        _mm512_storeu_si512(digits, _mm512_permutexvar_epi32(together, (__m512i)by_word));
        for (size_t k = 0; k < byte_digits; k++)
            memcpy(rows->digits[i / byte_columns][k][f] + i % byte_columns, digits[k], lanes);
    }
}

typedef int32_t byte_sums[byte_digits][byte_frames][lanes];

/* y of 16 outputs from o on */
static void finish_bytes(const byte_call *call, const byte_rows *rows, byte_sums sums, size_t o) {
    const size_t outputs = call->layer->outputs, width = outputs - o;
    const vector scale = load_up_to(call->layer->scales + o, width);
    const vector bias = load_up_to(call->layer->bias + o, width);
    for (size_t f = 0; f < call->frames; f++) {
        integers sum[byte_digits];
        UNROLL
        for (size_t k = 0; k < byte_digits; k++) sum[k] = (integers)_mm512_loadu_si512(sums[k][f]);
        finish_row(call, rows->unit[f], total_of(sum), scale, bias, width, call->y + f * outputs + o);
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

static void tile_dense(size_t count, const rill_packed_dense *layer, const float *x, float *y) {
    byte_rows rows;
    for (size_t done = 0, frames; done < count; done += frames) {
        frames = count - done < byte_frames ? count - done : byte_frames;
        for (size_t i = 0, inputs; i < layer->inputs; i += inputs) {
            inputs = layer->inputs - i < byte_inputs ? layer->inputs - i : byte_inputs;
            for (size_t f = 0; f < frames; f++)
                find_digits(inputs, x + (done + f) * layer->inputs + i, f, &rows);
            const byte_call call = {.frames = frames,
                                    .inputs = inputs,
                                    .layer = layer,
                                    .words = layer->words + i / 4 * RILL_PACKED_COLUMNS,
                                    .first = i == 0,
                                    .last = i + inputs == layer->inputs,
                                    .y = y + done * layer->outputs};
            byte_tiles(&call, &rows);
        }
    }
}
#endif
