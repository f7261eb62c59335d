/* SPDX-License-Identifier: MIT */
#include "attention/remembered_keys.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "attention/quadratic.h"
#include "kernels/kernels.h"

enum { size_multiple = 64 }; /* bytes: states side by side share no cache line */

bool rill_remembered_keys_size(const rill_softmax_shape *shape, size_t slots, size_t *size) {
    const size_t most = SIZE_MAX / 2, fixed = sizeof(rill_remembered_keys) + size_multiple - 1;
    if (shape->key_dim > most / sizeof(float) || shape->value_dim > most / sizeof(float) - shape->key_dim)
        return false;
    size_t bytes = (shape->key_dim + shape->value_dim) * sizeof(float),
           group = shape->query_heads / shape->heads;
    if (group * sizeof(bool) > most - bytes) return false;
    bytes += group * sizeof(bool);
    if (bytes > most / shape->heads || bytes * shape->heads > (most - fixed) / (slots ? slots : 1))
        return false;
    *size = (fixed + bytes * shape->heads * slots) / size_multiple * size_multiple;
    return true;
}

typedef struct parts {
    float *keys, *values;
    bool *good;
} remembered_parts;

static remembered_parts parts_of(const rill_softmax_shape *shape, const rill_remembered_keys *memory) {
    float *keys = (float *)(void *)((char *)(void *)memory + sizeof *memory);
    float *values = keys + memory->slots * shape->heads * shape->key_dim;
    return (remembered_parts){keys, values,
                              (bool *)(void *)(values + memory->slots * shape->heads * shape->value_dim)};
}

void rill_remembered_keys_write(const rill_softmax_shape *shape, rill_remembered_keys *memory, size_t slot,
                                const float *keys, const float *values) {
    remembered_parts parts = parts_of(shape, memory);
    const rill_kernels *kernels = rill_kernels_get();
    const size_t key_dim = shape->key_dim, value_dim = shape->value_dim;
    for (size_t head = 0; head < shape->heads; head++) {
        const size_t row = head * memory->slots + slot;
        memcpy(parts.keys + row * key_dim, keys + head * key_dim, key_dim * sizeof(float));
        memcpy(parts.values + row * value_dim, values + head * value_dim, value_dim * sizeof(float));
    }
    for (size_t query_head = 0; query_head < shape->query_heads; query_head++) {
        size_t head = query_head / (shape->query_heads / shape->heads);
        parts.good[query_head * memory->slots + slot] =
            kernels->within(key_dim, keys + head * key_dim, -FLT_MAX, FLT_MAX) &&
            kernels->within(value_dim, values + head * value_dim, -FLT_MAX, FLT_MAX);
    }
}

void rill_remembered_keys_read(const rill_softmax_shape *shape, const rill_remembered_keys *memory,
                               size_t length, const float *queries, bool causal, size_t slot_of_first,
                               float *output) {
    remembered_parts parts = parts_of(shape, memory);
    rill_softmax_input input = {.queries_length = length,
                                .keys_length = memory->held,
                                .queries = queries,
                                .keys = parts.keys,
                                .values = parts.values,
                                .offset = (ptrdiff_t)(memory->held - length),
                                .causal = causal,
                                .mask = parts.good,
                                .mask_head_stride = memory->slots};
    const rill_key_strides strides = {memory->slots * shape->key_dim, shape->key_dim,
                                      memory->slots * shape->value_dim, shape->value_dim};
    rill_quadratic_attend(shape, &input, &strides, output);
    for (size_t row = 0; row < length * shape->query_heads; row++) {
        size_t query_head = row % shape->query_heads, slot = slot_of_first + row / shape->query_heads;
        for (size_t m = 0; m < shape->value_dim && !parts.good[query_head * memory->slots + slot]; m++)
            output[row * shape->value_dim + m] = NAN;
    }
}

void rill_remembered_keys_copy(const rill_softmax_shape *shape, const rill_remembered_keys *from,
                               rill_remembered_keys *into, size_t count) {
    remembered_parts source = parts_of(shape, from), target = parts_of(shape, into);
    for (size_t head = 0; head < shape->heads; head++) {
        const size_t to = head * into->slots, of = head * from->slots;
        memcpy(target.keys + to * shape->key_dim, source.keys + of * shape->key_dim,
               count * shape->key_dim * sizeof(float));
        memcpy(target.values + to * shape->value_dim, source.values + of * shape->value_dim,
               count * shape->value_dim * sizeof(float));
    }
    for (size_t head = 0; head < shape->query_heads; head++)
        memcpy(target.good + head * into->slots, source.good + head * from->slots, count * sizeof(bool));
}
