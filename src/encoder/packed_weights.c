/* SPDX-License-Identifier: MIT */
#include "encoder/packed_weights.h"

#include <string.h>

#include <rill/encoder.h>

static size_t round_up(size_t size) {
    return (size + RILL_STATE_ALIGNMENT - 1) / RILL_STATE_ALIGNMENT * RILL_STATE_ALIGNMENT;
}

static size_t words_of_row(const rill_dense_tensors *layer) {
    const size_t in_word = rill_packed_in_word(layer->type);
    return (layer->inputs + in_word - 1) / in_word;
}

static size_t words_size(const rill_dense_tensors *layer) {
    const size_t blocks = (layer->outputs + RILL_PACKED_COLUMNS - 1) / RILL_PACKED_COLUMNS;
    return round_up(blocks * words_of_row(layer) * RILL_PACKED_COLUMNS * sizeof(uint32_t));
}

static size_t row_size(const rill_dense_tensors *layer) {
    return round_up(layer->outputs * sizeof(float));
}

size_t rill_packed_size(const rill_dense_tensors *layer) {
    return words_size(layer) + (layer->scales ? 2 : 1) * row_size(layer);
}

/* The bytes of one weight, lowest first: a word's weights follow each other as in the file. */
static void pack_row(const rill_dense_tensors *layer, size_t o, uint32_t *words) {
    const size_t in_word = rill_packed_in_word(layer->type), size = sizeof *words / in_word;
    const unsigned char *row = (const unsigned char *)layer->weight + o * layer->inputs * size;
    uint32_t *first = words + o / RILL_PACKED_COLUMNS * words_of_row(layer) * RILL_PACKED_COLUMNS;
    for (size_t i = 0; i < layer->inputs; i += in_word) {
        const size_t count = layer->inputs - i < in_word ? layer->inputs - i : in_word;
        memcpy(first + i / in_word * RILL_PACKED_COLUMNS + o % RILL_PACKED_COLUMNS, row + i * size,
               count * size);
    }
}

rill_packed_dense rill_pack(const rill_dense_tensors *layer, void *memory) {
    unsigned char *bias = (unsigned char *)memory + words_size(layer), *scales = bias + row_size(layer);
    for (size_t o = 0; o < layer->outputs; o++) pack_row(layer, o, memory);
    memcpy(bias, layer->bias, layer->outputs * sizeof(float));
    if (layer->scales) memcpy(scales, layer->scales, layer->outputs * sizeof(float));
    return (rill_packed_dense){.inputs = layer->inputs,
                               .outputs = layer->outputs,
                               .type = layer->type,
                               .words = memory,
                               .scales = layer->scales ? (const float *)(const void *)scales : NULL,
                               .bias = (const float *)(const void *)bias};
}

size_t rill_packed_taps_size(size_t channels, size_t taps) {
    return round_up(channels * taps * sizeof(float));
}

const float *rill_pack_taps(size_t channels, size_t taps, const float *weight, void *memory) {
    float *packed = memory;
    for (size_t j = 0; j < taps; j++)
        for (size_t c = 0; c < channels; c++) packed[j * channels + c] = weight[c * taps + j];
    return packed;
}
