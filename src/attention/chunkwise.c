/* SPDX-License-Identifier: MIT */
/* The chunkwise form: several steps for each pass over the state. */
#include "attention/wy_chunk.h"

static size_t sum_up(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run) {
    const rill_kernels *kernels = rill_kernels_get();
    const rill_heads_sequence *steps = &run->steps;
    if (steps->length > 1)
        return kernels->chunk(shape->key_dim, shape->value_dim, S, z, shape->epsilon, shape->scale, steps);
    kernels->recurrent(shape->key_dim, shape->value_dim, S, z, shape->epsilon, shape->scale, steps);
    return steps->heads;
}

static size_t replace(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run) {
    (void)z;
    const rill_kernels *kernels = rill_kernels_get();
    const rill_heads_sequence *steps = &run->steps;
    if (steps->length > 1)
        return kernels->delta_chunk(shape->key_dim, shape->value_dim, S, shape->scale, steps);
    kernels->delta_recurrent(shape->key_dim, shape->value_dim, S, shape->scale, steps);
    return steps->heads;
}

static void by_chunks(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run,
                      void *unused) {
    (void)z, (void)unused;
    rill_delta_or_wy(shape, S, run, true);
}

/* So many steps that two blocks of rows, the one at work and the next, stay within a second-level cache of 1
 * MiB; of a smaller one, half of the most where those fill more than a quarter: fewer cost the kernels more.
 */
static size_t block_steps(const rill_attention_shape *shape) {
    const size_t row = (shape->heads + shape->query_heads) * (shape->key_dim + shape->value_dim);
    const size_t least = rill_kernels_get()->wide_block_steps, most_floats = 65536;
    size_t steps = rill_block_steps;
    while (steps > least && steps * row > most_floats) steps /= 2;
    if (steps == rill_block_steps && steps * row > rill_second_level_size() / (4 * sizeof(float))) steps /= 2;
    return steps;
}

/* Up to so many steps, preparing a block costs more than a pass over the state for each of them. */
enum { FEW_STEPS = 3 };

void rill_attention_chunkwise(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                              float *output) {
    const bool delta = rill_delta_by_kernel(shape);
    if (!delta && (rill_rule_erases(shape->rule) || sequence->bonus))
        rill_sequence_walk(shape, state, sequence, output, rill_block_steps, false, by_chunks, NULL);
    else if (sequence->length <= FEW_STEPS)
        rill_attention_recurrent(shape, state, sequence, output);
    else
        rill_sequence_walk_looking(shape, state, sequence, output, block_steps(shape),
                                   delta ? replace : sum_up);
}
