/* SPDX-License-Identifier: MIT */
/* The recurrent form: every step reads and writes the whole state. */
#include "attention/wy_chunk.h"

static void sum_up(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run,
                   void *unused) {
    (void)unused;
    rill_kernels_get()->recurrent(shape->key_dim, shape->value_dim, S, z, shape->epsilon, shape->scale,
                                  &run->steps);
}

static void replace(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run,
                    void *unused) {
    (void)z, (void)unused;
    rill_delta_or_wy(shape, S, run, false);
}

void rill_attention_recurrent(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                              float *output) {
    if (rill_rule_erases(shape->rule) || sequence->bonus)
        rill_sequence_walk(shape, state, sequence, output, rill_block_steps, rill_delta_by_kernel(shape),
                           replace, NULL);
    else
        rill_sequence_walk(shape, state, sequence, output, rill_block_steps, true, sum_up, NULL);
}
