/* SPDX-License-Identifier: MIT */
/* A batch of padded sequences: one form, many states. */
#include "attention/sequence_walk.h"

#include <assert.h>
#include <string.h>

static const float *at(const float *array, size_t offset) {
    return array ? array + offset : NULL;
}

/* The first length steps of sequence n. */
static rill_sequence sequence_of(const rill_attention_shape *shape, const rill_sequence *padded, size_t n,
                                 size_t length) {
    size_t steps = n * padded->length, keys = steps * shape->heads * shape->key_dim;
    rill_sequence sequence = *padded;
    sequence.length = length;
    sequence.queries = at(padded->queries, steps * shape->query_heads * shape->key_dim);
    sequence.keys = at(padded->keys, keys);
    sequence.values = at(padded->values, steps * shape->heads * shape->value_dim);
    if (shape->decay != RILL_DECAY_HEAD)
        sequence.log_decay = at(padded->log_decay, steps * shape->heads * rill_decay_width(shape));
    sequence.beta = at(padded->beta, padded->beta_is_shared ? steps : steps * shape->heads);
    sequence.transition_read = at(padded->transition_read, keys);
    sequence.transition_write = at(padded->transition_write, keys);
    return sequence;
}

void rill_attention_batch(const rill_attention_shape *shape, rill_attention_form *form, size_t count,
                          void *states, const rill_sequence *padded, const size_t *lengths, float *output) {
    const size_t size = rill_attention_size(shape), row = shape->query_heads * shape->value_dim;
    const size_t heads = padded->head_count ? padded->head_count : shape->heads - padded->first_head;
    const size_t of_head = row / shape->heads; /* outputs of a step that read one state head */
    for (size_t n = 0; n < count; n++) {
        assert(lengths[n] <= padded->length);
        rill_sequence sequence = sequence_of(shape, padded, n, lengths[n]);
        float *rows = output + n * padded->length * row;
        for (size_t t = lengths[n]; t < padded->length; t++)
            memset(rows + t * row + padded->first_head * of_head, 0, heads * of_head * sizeof *rows);
        if (lengths[n] > 0) form(shape, (unsigned char *)states + n * size, &sequence, rows);
    }
}
