/* SPDX-License-Identifier: MIT */
/* Walks a sequence: blocks of steps outside (their rows stay in cache), heads inside; leaves bad steps out.
 */
#ifndef RILL_SEQUENCE_WALK_H
#define RILL_SEQUENCE_WALK_H

#include <rill/attention.h>

#include "kernels/kernels.h"

/* How one state head is taken over a run of steps with good keys, values and decays. */
typedef void rill_head_form(const rill_attention_shape *shape, float *S, float *z,
                            const rill_head_sequence *run);

/* Pushes the sequence through every head of the state by that form. A step whose key, value or decay is bad
 * in a head (see <rill/attention.h>) leaves that head's state as it was and its output NaN. */
void rill_sequence_walk(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                        float *output, rill_head_form *form);

#endif
