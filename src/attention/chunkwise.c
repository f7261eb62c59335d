/* SPDX-License-Identifier: MIT */
/* The chunkwise form: several steps for each pass over the state. */
#include "attention/wy_chunk.h"

static void sum_up(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run,
                   void *unused) {
    (void)unused;
    const rill_kernels *kernels = rill_kernels_get();
    (run->steps.length == 1 ? kernels->recurrent : kernels->chunk)(shape->key_dim, shape->value_dim, S, z,
                                                                   shape->epsilon, shape->scale, &run->steps);
}

static void replace(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run,
                    void *unused) {
    (void)z, (void)unused;
    rill_delta_or_wy(shape, S, run, true);
}

/* So many steps that two blocks of rows, the one at work and the next, stay within a second-level cache. */
static size_t block_steps(const rill_attention_shape *shape) {
    size_t row = (shape->heads + shape->query_heads) * (shape->key_dim + shape->value_dim);
    size_t steps = rill_block_steps, least = 16, most_floats = 65536;
    while (steps > least && steps * row > most_floats) steps /= 2;
    return steps;
}

void rill_attention_chunkwise(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                              float *output) {
    if (rill_rule_erases(shape->rule) || sequence->bonus)
        rill_sequence_walk(shape, state, sequence, output, rill_block_steps, rill_delta_by_kernel(shape),
                           replace, NULL);
    else
        rill_sequence_walk(shape, state, sequence, output, block_steps(shape), true, sum_up, NULL);
}
