/* SPDX-License-Identifier: MIT */
/* Keys and values kept slot by slot, with a mark where a head left a bad step out: what the growing cache and
 * the sliding window are made of. Plain memory without pointers:
 *
 *     rill_remembered_keys, keys [heads][slots][key_dim], values [heads][slots][value_dim],
 *     marks [query_heads][slots]
 *
 * A step reads a head's keys, then its values, each from one end to the other: a stream that the processor
 * fetches ahead by itself. */
#ifndef RILL_REMEMBERED_KEYS_H
#define RILL_REMEMBERED_KEYS_H

#include <rill/softmax.h>

typedef struct rill_remembered_keys {
    size_t slots, held; /* the first held slots are filled, in whatever order */
    size_t next;        /* where the sliding window writes when all are filled */
} rill_remembered_keys;

/* false when the bytes do not fit in size_t */
bool rill_remembered_keys_size(const rill_softmax_shape *shape, size_t slots, size_t *size);

/* Writes one step into a slot; a head whose key or value is not finite is marked as bad there. */
void rill_remembered_keys_write(const rill_softmax_shape *shape, rill_remembered_keys *memory, size_t slot,
                                const float *keys, const float *values);

/* The outputs of length queries over the held slots; with causal, the last query sees all, the one before it
 * one slot less … Where the step in slot_of_first + i was bad in a head, the outputs of query i are NaN. */
void rill_remembered_keys_read(const rill_softmax_shape *shape, const rill_remembered_keys *memory,
                               size_t length, const float *queries, bool causal, size_t slot_of_first,
                               float *output);

/* What the first count slots hold, into a memory of other slots. */
void rill_remembered_keys_copy(const rill_softmax_shape *shape, const rill_remembered_keys *from,
                               rill_remembered_keys *into, size_t count);

#endif
