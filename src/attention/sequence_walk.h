/* SPDX-License-Identifier: MIT */
/* Walks a sequence: blocks of steps outside (their rows stay in cache), heads inside; leaves bad steps out.
 */
#ifndef RILL_SEQUENCE_WALK_H
#define RILL_SEQUENCE_WALK_H

#include <rill/attention.h>

#include "kernels/kernels.h"

/* Some state heads' share of a sequence: what the kernels take, and the inputs of the other rules, which lie
 * as theirs. */
typedef struct rill_head_run {
    rill_heads_sequence steps; /* query_group 0, queries and output NULL: nothing is read */
    const float *transition_read, *transition_write; /* rows as the keys'; NULL: not the rank-one rule */
    const float *bonus;                              /* [key_dim] or NULL */
} rill_head_run;

/* How the run's state heads are taken over its steps, which are good; context is the walk's. */
typedef void rill_head_form(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run,
                            void *context);

/* Pushes the sequence through its heads of the state by that form, at most block_steps steps at a time, and
 * one head at a time unless the form takes several. Without output nothing is read. A step that is bad in a
 * head (see <rill/attention.h>) leaves that head's state as it was and its output NaN. Returns how many of
 * them there were. */
size_t rill_sequence_walk(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                          float *output, size_t block_steps, bool several_heads, rill_head_form *form,
                          void *context);

/* The same for forms that look at keys and values themselves, as rill_kernels' chunk and delta_chunk do. */
typedef size_t rill_looking_form(const rill_attention_shape *shape, float *S, float *z,
                                 const rill_head_run *run);
void rill_sequence_walk_looking(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                                float *output, size_t block_steps, rill_looking_form *form);

enum {
    rill_block_steps = 64
}; /* 64 rows of 8 heads of 64 values: 128 KiB each of q, k, v, within a second-level cache */

/* NaN where step t of a head is bad, in the outputs that are there already. */
void rill_sequence_spoil(const rill_attention_shape *shape, const rill_sequence *sequence, float *output);

bool rill_rule_is_delta(rill_update_rule rule);

/* Does the rule take away what the state held, beyond its decay? */
bool rill_rule_erases(rill_update_rule rule);

/* Floats of log decay of a head and step. */
size_t rill_decay_width(const rill_attention_shape *shape);

/* S and z of one head; z is NULL without a normalizer. */
float *rill_state_of_head(const rill_attention_shape *shape, const void *state, size_t head, float **z);

#endif
