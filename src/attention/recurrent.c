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
    (void)unused;
    if (run->beta && run->steps.length == 1 && shape->key_dim <= RILL_DELTA_KEY_DIM_MAX)
        rill_kernels_get()->delta(shape->key_dim, shape->value_dim, S, shape->scale, run->beta,
                                  run->beta_stride,
                                  &run->steps); /* a stream: 1.3 to 2 times faster to 64 keys */
    else
        rill_wy_chunks(shape, S, z, run, 1);
}

void rill_attention_recurrent(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                              float *output) {
    if (rill_rule_erases(shape->rule) || sequence->bonus)
        rill_sequence_walk(shape, state, sequence, output, rill_block_steps, false, replace, NULL);
    else
        rill_sequence_walk(shape, state, sequence, output, rill_block_steps, true, sum_up, NULL);
}
