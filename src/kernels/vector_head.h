/* SPDX-License-Identifier: MIT */
/* What the forms of the linear and gated recurrence share: one head of several. */
#ifndef RILL_VECTOR_HEAD_H
#define RILL_VECTOR_HEAD_H

#include "kernels/vector_exponential.h"

enum { block_rows = 128 }; /* rows of S prepared at a time, which bounds the stack */

/* All heads that a kernel is given. */
typedef struct all_heads {
    size_t key_dim, value_dim;
    float *S, *z; /* z NULL: no normalizer */
    float epsilon, scale;
    const rill_heads_sequence *sequence;
} all_heads;

/* One state head, and what one query head of its group sees from some step on. */
typedef struct one_head {
    size_t key_dim, value_dim;
    float *S, *z;
    float epsilon, scale;
    bool update; /* the state is left behind, as by the last of the group */
    const rill_heads_sequence *strides;
    const float *queries, *keys, *values, *log_decay;
    float *output;
} one_head;

/* Written where it is used: what was just stored by parts is slow to copy whole. */
INLINE void choose_head(const all_heads *all, size_t head, size_t group, size_t step, one_head *one) {
    const rill_heads_sequence *sequence = all->sequence;
    size_t query_head = head * sequence->query_group + group;
    size_t decay_width = sequence->decay_per_key ? all->key_dim : 1;
    *one = (one_head){
        .key_dim = all->key_dim,
        .value_dim = all->value_dim,
        .S = all->S + head * all->key_dim * all->value_dim,
        .z = all->z ? all->z + head * all->key_dim : NULL,
        .epsilon = all->epsilon,
        .scale = all->scale,
        .update = group + 1 == sequence->query_group,
        .strides = sequence,
        .queries = sequence->queries + step * sequence->query_stride + query_head * all->key_dim,
        .keys = sequence->keys + step * sequence->key_stride + head * all->key_dim,
        .values = sequence->values + step * sequence->value_stride + head * all->value_dim,
        .log_decay = sequence->log_decay
                         ? sequence->log_decay + step * sequence->decay_stride + head * decay_width
                         : NULL,
        .output = sequence->output + step * sequence->output_stride + query_head * all->value_dim,
    };
}

INLINE float beta_of(const rill_heads_sequence *sequence, size_t head, size_t step) {
    return sequence->beta[step * sequence->beta_stride + (sequence->beta_is_shared ? 0 : head)];
}

#endif
