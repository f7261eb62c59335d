/* SPDX-License-Identifier: MIT */
/* Multi-head attention step by step: what causal self-attention has seen, and a memory that stays. Both are
 * plain memory without pointers, of sizes that are multiples of 64, or SIZE_MAX when there is no such size.
 */
#ifndef RILL_MULTIHEAD_STATE_H
#define RILL_MULTIHEAD_STATE_H

#include <rill/attention.h>
#include <rill/multihead.h>
#include <rill/softmax.h>

static inline size_t rill_multihead_key_dim(const rill_multihead *multihead) {
    return multihead->query.outputs / multihead->heads;
}

static inline size_t rill_multihead_value_dim(const rill_multihead *multihead) {
    return multihead->value.outputs / multihead->heads;
}

/* The shapes that the two kinds attend with. */
rill_attention_shape rill_multihead_linear_shape(const rill_multihead *multihead);
rill_softmax_shape rill_multihead_softmax_shape(const rill_multihead *multihead);

/* Causal self-attention over up to capacity steps; linear heads take any number. */
size_t rill_multihead_state_size(const rill_multihead *multihead, size_t capacity);
void rill_multihead_state_init(const rill_multihead *multihead, void *state, size_t capacity);
void rill_multihead_state_step(const rill_multihead *multihead, void *state, size_t length,
                               const float *queries, const float *keys, const float *values, float *output,
                               void *workspace);

/* What cross attention sees: up to capacity rows of keys and values, projected once, and read by any number
 * of queries. mask [length] or NULL. workspace of the writing: rill_multihead_workspace_size(multihead, 0,
 * length); of the reading: (multihead, queries_length, 0). */
size_t rill_multihead_memory_size(const rill_multihead *multihead, size_t capacity);
void rill_multihead_memory_init(const rill_multihead *multihead, void *memory, size_t capacity);
void rill_multihead_memory_write(const rill_multihead *multihead, void *memory, size_t length,
                                 const float *keys, const float *values, const bool *mask, void *workspace);
void rill_multihead_memory_read(const rill_multihead *multihead, const void *memory, size_t queries_length,
                                const float *queries, float *output, void *workspace);

/* As the batch does it: rows through a dense layer; φ in place, and nothing of what is masked. */
void rill_multihead_project(const rill_dense_weights *dense, size_t count, const float *x, float *y);
void rill_multihead_hide(size_t count, size_t dim, const bool *mask, float *rows);

/* Where a call keeps its rows. */
typedef struct rill_multihead_parts {
    float *queries;  /* [queries_length][query.outputs] */
    float *attended; /* [queries_length][value.outputs] */
    float *keys;     /* [keys_length + extra][key.outputs] */
    float *values;   /* [keys_length + extra][value.outputs] */
    void *state;     /* linear heads' */
    bool *mask;      /* with extra keys: [heads][queries_length][keys_length + extra] */
    float *bias;     /* the same */
    size_t size;
} rill_multihead_parts;

rill_multihead_parts rill_multihead_parts_at(const rill_multihead *multihead, size_t queries_length,
                                             size_t keys_length, void *workspace);

#endif
