/* SPDX-License-Identifier: MIT */
/* Layers one after the other, on the next steps of a stream.
 *
 * A stream is a head, then for each layer what its self-attention has seen and what its cross attention sees,
 * then the workspace of a call. */
#include "transformer/layer_run.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include <rill/steady_state.h>

#include "failure.h"
#include "transformer/multihead_state.h"
#include "transformer/workspace.h"

enum { steps_at_once = 16 }; /* the weights are read from memory once for all of these */

typedef struct stream_head {
    size_t capacity, memory_length, taken;
} stream_head;

typedef struct stream_parts {
    stream_head *head;
    void *seen, *memory; /* of the layer asked for */
    void *workspace;
    size_t size;
} stream_parts;

static stream_parts parts_at(const rill_transformer *transformer, size_t capacity, size_t memory_length,
                             size_t layer_asked, void *stream) {
    rill_parts parts = {stream, 0};
    stream_parts at = {.head = rill_parts_take(&parts, sizeof(stream_head))};
    for (size_t i = 0; i < transformer->layers_count; i++) {
        const rill_transformer_layer *layer = transformer->layers + i;
        void *seen = rill_parts_take(&parts, rill_multihead_state_size(&layer->self, capacity)),
             *memory = NULL;
        if (layer->has_cross)
            memory = rill_parts_take(&parts, rill_multihead_memory_size(&layer->cross, memory_length));
        if (i == layer_asked) {
            at.seen = seen;
            at.memory = memory;
        }
    }
    at.workspace = rill_parts_take(&parts, rill_transformer_workspace_size(transformer, steps_at_once, 0));
    at.size = parts.size;
    return at;
}

static stream_parts parts_of(const rill_transformer *transformer, const void *stream, size_t layer) {
    const stream_head *head = stream;
    return parts_at(transformer, head->capacity, head->memory_length, layer, (void *)stream);
}

rill_status rill_transformer_stream_check(const rill_transformer *transformer, size_t capacity,
                                          size_t memory_length, rill_error *why) {
    rill_status status = rill_transformer_check(transformer, why);
    if (status != RILL_OK) return status;
    for (size_t i = 0; i < transformer->layers_count; i++) {
        const rill_transformer_layer *layer = transformer->layers + i;
        if (layer->self.extra_key || layer->self.zero_key ||
            (layer->has_cross && (layer->cross.extra_key || layer->cross.zero_key)))
            return rill_fail(why, RILL_BAD_ARGUMENT,
                             "transformer: layer %zu has extra keys: not step by step", i);
    }
    if (parts_at(transformer, capacity, memory_length, 0, NULL).size == SIZE_MAX)
        return rill_fail(
            why, RILL_BAD_ARGUMENT,
            "transformer: a stream of %zu steps and %zu rows of memory has no size in this machine", capacity,
            memory_length);
    return RILL_OK;
}

size_t rill_transformer_size(const rill_transformer *transformer, size_t capacity, size_t memory_length) {
    assert(rill_transformer_stream_check(transformer, capacity, memory_length, NULL) == RILL_OK);
    return parts_at(transformer, capacity, memory_length, 0, NULL).size;
}

void rill_transformer_init(const rill_transformer *transformer, void *stream, size_t capacity,
                           size_t memory_length) {
    memset(stream, 0, rill_transformer_size(transformer, capacity, memory_length));
    *(stream_head *)stream = (stream_head){capacity, memory_length, 0};
    for (size_t i = 0; i < transformer->layers_count; i++) {
        const rill_transformer_layer *layer = transformer->layers + i;
        const stream_parts at = parts_of(transformer, stream, i);
        rill_multihead_state_init(&layer->self, at.seen, capacity);
        if (layer->has_cross) rill_multihead_memory_init(&layer->cross, at.memory, memory_length);
    }
}

void rill_transformer_reset(const rill_transformer *transformer, void *stream) {
    stream_head *head = stream;
    head->taken = 0;
    for (size_t i = 0; i < transformer->layers_count; i++)
        rill_multihead_state_init(&transformer->layers[i].self, parts_of(transformer, stream, i).seen,
                                  head->capacity);
}

void rill_transformer_remember(const rill_transformer *transformer, void *stream, size_t length,
                               const float *memory, const float *position, const bool *mask,
                               void *workspace) {
    const stream_head *head = stream;
    (void)head; /* without assertions */
    assert(length <= head->memory_length);
    for (size_t i = 0; i < transformer->layers_count; i++) {
        const rill_multihead *cross = &transformer->layers[i].cross;
        assert(transformer->layers[i].has_cross);
        rill_parts parts = {workspace, 0};
        float *keys = rill_parts_floats(&parts, length, cross->key.inputs);
        void *rest = rill_parts_take(&parts, rill_multihead_workspace_size(cross, 0, length));
        for (size_t j = 0; position && j < length * cross->key.inputs; j++) keys[j] = memory[j] + position[j];
        rill_multihead_memory_write(cross, parts_of(transformer, stream, i).memory, length,
                                    position ? keys : memory, memory, mask, rest);
    }
}

void rill_transformer_step(const rill_transformer *transformer, void *stream, size_t length, const float *x,
                           float *output) {
    stream_head *head = stream;
    const size_t dim = transformer->layers->self.query.inputs;
    if (length > 0 && output != x) memmove(output, x, length * dim * sizeof *output);
    for (size_t done = 0; done < length;) {
        const size_t left = length - done, now = left < steps_at_once ? left : steps_at_once;
        const rill_transformer_input input = {.length = now};
        float *rows = output + done * dim;
        for (size_t i = 0; i < transformer->layers_count; i++) {
            const stream_parts at = parts_of(transformer, stream, i);
            rill_layer_pass(transformer->layers + i, &input, (rill_layer_stream){at.seen, at.memory}, rows,
                            at.workspace);
        }
        rill_transformer_norm(transformer, now, rows);
        head->taken += now;
        done += now;
    }
}

size_t rill_transformer_taken(const void *stream) {
    return ((const stream_head *)stream)->taken;
}

void rill_transformer_state(const rill_transformer *transformer, const void *stream, size_t layer, bool cross,
                            float *state) {
    assert(layer < transformer->layers_count);
    const rill_transformer_layer *asked = transformer->layers + layer;
    const stream_parts at = parts_of(transformer, stream, layer);
    const rill_multihead *multihead = cross ? &asked->cross : &asked->self;
    assert(multihead->kind == RILL_MULTIHEAD_LINEAR && (!cross || asked->has_cross));
    const rill_attention_shape shape = rill_multihead_linear_shape(multihead);
    if (cross)
        memcpy(state, at.memory, rill_attention_size(&shape));
    else
        rill_steady_plain(&shape, at.seen, state);
}
