/* SPDX-License-Identifier: MIT */
/* Keys and values of every step so far: softmax attention as it is decoded, step by step. */
#include <assert.h>
#include <string.h>

#include "attention/remembered_keys.h"
#include "failure.h"

rill_status rill_key_value_cache_check(const rill_softmax_shape *shape, size_t capacity, rill_error *why) {
    rill_status status = rill_softmax_check(shape, why);
    size_t size;
    if (status != RILL_OK) return status;
    if (!rill_remembered_keys_size(shape, capacity, &size))
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "softmax: %zu steps of %zu heads have no size in this machine", capacity,
                         shape->heads);
    return RILL_OK;
}

size_t rill_key_value_cache_size(const rill_softmax_shape *shape, size_t capacity) {
    assert(rill_key_value_cache_check(shape, capacity, NULL) == RILL_OK);
    size_t size = 0;
    rill_remembered_keys_size(shape, capacity, &size);
    return size;
}

void rill_key_value_cache_init(const rill_softmax_shape *shape, void *cache, size_t capacity) {
    memset(cache, 0, rill_key_value_cache_size(shape, capacity));
    ((rill_remembered_keys *)cache)->slots = capacity;
}

void rill_key_value_cache_reset(const rill_softmax_shape *shape, void *cache) {
    rill_key_value_cache_init(shape, cache, rill_key_value_cache_capacity(cache));
}

size_t rill_key_value_cache_length(const void *cache) {
    return ((const rill_remembered_keys *)cache)->held;
}

size_t rill_key_value_cache_capacity(const void *cache) {
    return ((const rill_remembered_keys *)cache)->slots;
}

void rill_key_value_cache_step(const rill_softmax_shape *shape, void *cache, const rill_sequence *sequence,
                               float *output) {
    rill_remembered_keys *memory = cache;
    size_t start = memory->held;
    assert(sequence->length <= memory->slots - start && !sequence->log_decay);
    for (size_t t = 0; t < sequence->length; t++)
        rill_remembered_keys_write(shape, memory, start + t,
                                   sequence->keys + t * shape->heads * shape->key_dim,
                                   sequence->values + t * shape->heads * shape->value_dim);
    memory->held += sequence->length;
    rill_remembered_keys_read(shape, memory, sequence->length, sequence->queries, true, start, output);
}

void rill_key_value_cache_truncate(void *cache, size_t length) {
    rill_remembered_keys *memory = cache;
    assert(length <= memory->held);
    memory->held = length;
}

void rill_key_value_cache_copy(const rill_softmax_shape *shape, const void *from, void *into) {
    const rill_remembered_keys *source = from;
    rill_remembered_keys *target = into;
    assert(source->held <= target->slots);
    rill_remembered_keys_copy(shape, source, target, source->held);
    target->held = source->held;
}
