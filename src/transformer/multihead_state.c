/* SPDX-License-Identifier: MIT */
#include "transformer/multihead_state.h"

#include <assert.h>
#include <string.h>

#include <rill/steady_state.h>

#include "transformer/workspace.h"

/* A memory for softmax heads: this, then keys [capacity][key.outputs], values [capacity][value.outputs], and
 * which are seen [capacity]. */
typedef struct kept_rows {
    size_t capacity, length;
    unsigned char padding[64 - 2 * sizeof(size_t)];
} kept_rows;

typedef struct kept_parts {
    kept_rows *head;
    float *keys, *values;
    bool *mask;
    size_t size;
} kept_parts;

static size_t rounded(size_t size) {
    rill_parts parts = {NULL, 0};
    rill_parts_take(&parts, size);
    return parts.size;
}

size_t rill_multihead_state_size(const rill_multihead *m, size_t capacity) {
    if (m->kind == RILL_MULTIHEAD_LINEAR) {
        const rill_attention_shape shape = rill_multihead_linear_shape(m);
        return rill_steady_check(&shape, NULL) == RILL_OK ? rounded(rill_steady_size(&shape)) : SIZE_MAX;
    }
    const rill_softmax_shape shape = rill_multihead_softmax_shape(m);
    return rill_key_value_cache_check(&shape, capacity, NULL) == RILL_OK
               ? rounded(rill_key_value_cache_size(&shape, capacity))
               : SIZE_MAX;
}

void rill_multihead_state_init(const rill_multihead *m, void *state, size_t capacity) {
    if (m->kind == RILL_MULTIHEAD_LINEAR) {
        const rill_attention_shape shape = rill_multihead_linear_shape(m);
        rill_steady_init(&shape, state);
    } else {
        const rill_softmax_shape shape = rill_multihead_softmax_shape(m);
        rill_key_value_cache_init(&shape, state, capacity);
    }
}

void rill_multihead_state_step(const rill_multihead *m, void *state, size_t length, const float *queries,
                               const float *keys, const float *values, float *output, void *workspace) {
    assert(!m->extra_key && !m->zero_key);
    const rill_multihead_parts at = rill_multihead_parts_at(m, length, length, workspace);
    rill_multihead_project(&m->query, length, queries, at.queries);
    rill_multihead_project(&m->key, length, keys, at.keys);
    rill_multihead_project(&m->value, length, values, at.values);
    const rill_sequence sequence = {
        .length = length, .queries = at.queries, .keys = at.keys, .values = at.values};
    if (m->kind == RILL_MULTIHEAD_LINEAR) {
        const rill_attention_shape shape = rill_multihead_linear_shape(m);
        rill_feature_map_elu1(length * m->query.outputs, at.queries, at.queries);
        rill_feature_map_elu1(length * m->key.outputs, at.keys, at.keys);
        rill_steady_attention(&shape, state, &sequence, at.attended);
    } else {
        const rill_softmax_shape shape = rill_multihead_softmax_shape(m);
        rill_key_value_cache_step(&shape, state, &sequence, at.attended);
    }
    rill_multihead_project(&m->output, length, at.attended, output);
}

static kept_parts kept_at(const rill_multihead *m, void *memory, size_t capacity) {
    rill_parts parts = {memory, 0};
    kept_parts kept = {0};
    kept.head = rill_parts_take(&parts, sizeof *kept.head);
    kept.keys = rill_parts_floats(&parts, capacity, m->key.outputs);
    kept.values = rill_parts_floats(&parts, capacity, m->value.outputs);
    kept.mask = rill_parts_take(&parts, capacity);
    kept.size = parts.size;
    return kept;
}

size_t rill_multihead_memory_size(const rill_multihead *m, size_t capacity) {
    if (m->kind == RILL_MULTIHEAD_SOFTMAX) return kept_at(m, NULL, capacity).size;
    const rill_attention_shape shape = rill_multihead_linear_shape(m);
    return rill_attention_check(&shape, NULL) == RILL_OK ? rounded(rill_attention_size(&shape)) : SIZE_MAX;
}

void rill_multihead_memory_init(const rill_multihead *m, void *memory, size_t capacity) {
    memset(memory, 0, rill_multihead_memory_size(m, capacity));
    if (m->kind == RILL_MULTIHEAD_SOFTMAX) ((kept_rows *)memory)->capacity = capacity;
}

static void write_linear(const rill_multihead *m, void *memory, size_t length, const float *keys,
                         const float *values, const bool *mask, void *workspace) {
    const rill_attention_shape shape = rill_multihead_linear_shape(m);
    const rill_multihead_parts at = rill_multihead_parts_at(m, 0, length, workspace);
    rill_multihead_project(&m->key, length, keys, at.keys);
    rill_multihead_project(&m->value, length, values, at.values);
    rill_feature_map_elu1(length * m->key.outputs, at.keys, at.keys);
    rill_multihead_hide(length, m->key.outputs, mask, at.keys);
    rill_multihead_hide(length, m->value.outputs, mask, at.values);
    const rill_sequence sequence = {.length = length, .keys = at.keys, .values = at.values};
    rill_attention_init(&shape, memory);
    rill_attention_write(&shape, memory, &sequence);
}

void rill_multihead_memory_write(const rill_multihead *m, void *memory, size_t length, const float *keys,
                                 const float *values, const bool *mask, void *workspace) {
    assert(!m->extra_key && !m->zero_key);
    if (m->kind == RILL_MULTIHEAD_LINEAR) {
        write_linear(m, memory, length, keys, values, mask, workspace);
        return;
    }
    kept_rows *head = memory;
    assert(length <= head->capacity);
    const kept_parts kept = kept_at(m, memory, head->capacity);
    rill_multihead_project(&m->key, length, keys, kept.keys);
    rill_multihead_project(&m->value, length, values, kept.values);
    for (size_t i = 0; i < length; i++) kept.mask[i] = !mask || mask[i];
    head->length = length;
}

void rill_multihead_memory_read(const rill_multihead *m, const void *memory, size_t queries_length,
                                const float *queries, float *output, void *workspace) {
    const rill_multihead_parts at = rill_multihead_parts_at(m, queries_length, 0, workspace);
    rill_multihead_project(&m->query, queries_length, queries, at.queries);
    if (m->kind == RILL_MULTIHEAD_LINEAR) {
        const rill_attention_shape shape = rill_multihead_linear_shape(m);
        rill_feature_map_elu1(queries_length * m->query.outputs, at.queries, at.queries);
        rill_attention_read(&shape, memory, queries_length, at.queries, at.attended);
    } else {
        const rill_softmax_shape shape = rill_multihead_softmax_shape(m);
        const kept_rows *head = memory;
        const kept_parts kept = kept_at(m, (void *)memory, head->capacity); /* only read */
        const rill_softmax_input input = {.queries_length = queries_length,
                                          .keys_length = head->length,
                                          .queries = at.queries,
                                          .keys = kept.keys,
                                          .values = kept.values,
                                          .mask = kept.mask};
        rill_softmax_attention(&shape, &input, at.attended);
    }
    rill_multihead_project(&m->output, queries_length, at.attended, output);
}
