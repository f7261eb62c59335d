/* SPDX-License-Identifier: MIT */
/* The chunkwise form: several steps for each pass over the state. */
#include "attention/wy_chunk.h"

static void chunkwise(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run,
                      void *unused) {
    (void)unused;
    if (rill_rule_erases(shape->rule) || run->bonus)
        rill_wy_chunks(shape, S, z, run, rill_wy_chunk_steps);
    else
        rill_kernels_get()->chunk(shape->key_dim, shape->value_dim, S, z, shape->epsilon, shape->scale,
                                  &run->steps);
}

void rill_attention_chunkwise(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                              float *output) {
    rill_sequence_walk(shape, state, sequence, output, rill_block_steps, chunkwise, NULL);
}
