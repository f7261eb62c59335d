/* SPDX-License-Identifier: MIT */
/* What benchmarks feed the attention library: a shape, a random sequence for it, a state, and room for
 * outputs; and the definition in double, which says what the outputs are. */
#ifndef BENCH_INPUTS_H
#define BENCH_INPUTS_H

#include <stdbool.h>
#include <stddef.h>

#include <rill/attention.h>

struct inputs {
    rill_attention_shape shape;
    rill_sequence sequence;
    void *state;
    size_t state_size; /* bytes */
    float *output;     /* [length][heads][value_dim] */
    float *memory;     /* all of the sequence's numbers */
};

/* heads × dim × dim, normalized where the rule allows it, decayed by step and head (or by key) where it
 * demands it. Queries and keys are positive features, of length 1 for the delta rules. False when memory is
 * short. */
bool inputs_make(rill_update_rule rule, bool decay_per_key, size_t heads, size_t dim, size_t length,
                 struct inputs *inputs);
void inputs_free(struct inputs *inputs);

/* Row t of the sequence alone. */
rill_sequence inputs_step(const struct inputs *inputs, size_t t);

/* The greatest difference of the first steps' output from the definition, computed in double from the empty
 * history, over the greatest magnitude; step t reads row t mod length. NaN when one of them is. */
double inputs_error(const struct inputs *inputs, size_t steps, const float *output);

/* Memory aligned to 64 bytes, of a size rounded up to 64. */
void *aligned_memory(size_t size);

/* Uniform in least … greatest, the same on every machine and run. */
void fill_random(size_t count, double least, double greatest, float *x);

#endif
