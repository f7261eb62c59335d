/* SPDX-License-Identifier: MIT */
/* The last steps in a ring, and the first ones for ever: softmax attention in constant memory. */
#include <assert.h>
#include <string.h>

#include "attention/remembered_keys.h"
#include "failure.h"

static bool size_of(const rill_sliding_window_shape *shape, size_t *size) {
    return shape->sinks <= SIZE_MAX - shape->window &&
           rill_remembered_keys_size(&shape->softmax, shape->sinks + shape->window, size);
}

rill_status rill_sliding_window_check(const rill_sliding_window_shape *shape, rill_error *why) {
    rill_status status = rill_softmax_check(&shape->softmax, why);
    size_t size;
    if (status != RILL_OK) return status;
    if (shape->window == 0)
        return rill_fail(why, RILL_BAD_ARGUMENT, "softmax: a window of 0 steps sees nothing");
    if (!size_of(shape, &size))
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "softmax: a window of %zu + %zu steps has no size in this machine", shape->sinks,
                         shape->window);
    return RILL_OK;
}

size_t rill_sliding_window_size(const rill_sliding_window_shape *shape) {
    assert(rill_sliding_window_check(shape, NULL) == RILL_OK);
    size_t size = 0;
    size_of(shape, &size);
    return size;
}

void rill_sliding_window_init(const rill_sliding_window_shape *shape, void *state) {
    memset(state, 0, rill_sliding_window_size(shape));
    rill_remembered_keys *memory = state;
    memory->slots = shape->sinks + shape->window;
    memory->next = shape->sinks;
}

void rill_sliding_window_reset(const rill_sliding_window_shape *shape, void *state) {
    rill_sliding_window_init(shape, state);
}

/* The order of the slots is of no account: softmax does not know it. */
static size_t take_slot(const rill_sliding_window_shape *shape, rill_remembered_keys *memory) {
    if (memory->held < memory->slots) return memory->held++;
    size_t slot = memory->next;
    memory->next = slot + 1 < memory->slots ? slot + 1 : shape->sinks;
    return slot;
}

void rill_sliding_window_step(const rill_sliding_window_shape *shape, void *state,
                              const rill_sequence *sequence, float *output) {
    const rill_softmax_shape *softmax = &shape->softmax;
    rill_remembered_keys *memory = state;
    assert(!sequence->log_decay && memory->slots == shape->sinks + shape->window);
    for (size_t t = 0; t < sequence->length; t++) {
        size_t slot = take_slot(shape, memory);
        rill_remembered_keys_write(softmax, memory, slot,
                                   sequence->keys + t * softmax->heads * softmax->key_dim,
                                   sequence->values + t * softmax->heads * softmax->value_dim);
        rill_remembered_keys_read(softmax, memory, 1,
                                  sequence->queries + t * softmax->query_heads * softmax->key_dim, false,
                                  slot, output + t * softmax->query_heads * softmax->value_dim);
    }
}
