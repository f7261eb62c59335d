/* SPDX-License-Identifier: MIT */
/* The chunkwise form: several steps for each pass over the state. */
#include "attention/sequence_walk.h"

static void chunk(const rill_attention_shape *shape, float *S, float *z, const rill_head_sequence *run) {
    rill_kernels_get()->chunk(shape->key_dim, shape->value_dim, S, z, shape->epsilon, shape->scale, run);
}

void rill_attention_chunkwise(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                              float *output) {
    rill_sequence_walk(shape, state, sequence, output, chunk);
}
