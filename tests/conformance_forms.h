/* SPDX-License-Identifier: MIT */
/* Every causal form of linear attention, for cases that each of them has to pass. */
#ifndef RILL_CONFORMANCE_FORMS_H
#define RILL_CONFORMANCE_FORMS_H

#include <stdlib.h>

#include <rill/attention.h>

#include "conformance.h"

enum { form_recurrent, form_chunkwise, form_parallel, form_mixed, forms_count };

static inline void conformance_run_parallel(const rill_attention_shape *shape, void *state,
                                            const rill_sequence *sequence, float *output) {
    void *workspace = malloc(rill_attention_parallel_size(shape, sequence->length));
    if (!workspace) abort();
    rill_attention_parallel(shape, state, sequence, output, workspace);
    free(workspace);
}

static inline const float *conformance_later(const float *array, size_t floats) {
    return array ? array + floats : NULL;
}

static inline rill_sequence conformance_part(const rill_attention_shape *shape, const rill_sequence *whole,
                                             size_t start, size_t length) {
    size_t keys = start * shape->heads * shape->key_dim;
    size_t decay = shape->decay == RILL_DECAY_STEP_KEY    ? keys
                   : shape->decay == RILL_DECAY_STEP_HEAD ? start * shape->heads
                                                          : 0;
    rill_sequence part = *whole;
    part.length = length;
    part.queries = conformance_later(part.queries, start * shape->query_heads * shape->key_dim);
    part.keys = conformance_later(part.keys, keys);
    part.values = conformance_later(part.values, start * shape->heads * shape->value_dim);
    part.log_decay = conformance_later(part.log_decay, decay);
    part.beta = conformance_later(part.beta, part.beta_is_shared ? start : start * shape->heads);
    part.transition_read = conformance_later(part.transition_read, keys);
    part.transition_write = conformance_later(part.transition_write, keys);
    return part;
}

/* The sequence by one form, or in parts of 1, 2, 3, … steps by each in turn. */
static inline void conformance_run_form(int form, const rill_attention_shape *shape, void *state,
                                        const rill_sequence *sequence, float *output) {
    static rill_attention_form *const forms[] = {rill_attention_recurrent, rill_attention_chunkwise,
                                                 conformance_run_parallel};
    if (form != form_mixed) {
        forms[form](shape, state, sequence, output);
        return;
    }
    size_t start = 0;
    for (size_t n = 1; start < sequence->length; n++) {
        size_t left = sequence->length - start, length = n < left ? n : left;
        rill_sequence part = conformance_part(shape, sequence, start, length);
        forms[n % 3](shape, state, &part, output + start * shape->query_heads * shape->value_dim);
        start += length;
    }
}

#endif
