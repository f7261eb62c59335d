/* SPDX-License-Identifier: MIT */
/* Any rule, several steps for one read and one write of a head's state. */
#ifndef RILL_WY_CHUNK_H
#define RILL_WY_CHUNK_H

#include "attention/sequence_walk.h"

enum { rill_wy_chunk_steps = 16 };

/* Takes S [key_dim][value_dim] and, when not NULL, z [key_dim] over the run, steps ≤ rill_wy_chunk_steps at a
 * time. Reads nothing when the run's query_group is 0; with a z that is the only run allowed: the rules and
 * bonuses that come here to be read have no normalizer. */
void rill_wy_chunks(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run,
                    size_t steps);

/* Do the delta kernels take such states, and all their heads at once? */
bool rill_delta_by_kernel(const rill_attention_shape *shape);

/* The rules that erase, and bonuses: step by step by the delta kernels where they can, else in the WY form,
 * one head at a time and, when chunked, several steps for a pass over S. */
void rill_delta_or_wy(const rill_attention_shape *shape, float *S, const rill_head_run *run, bool chunked);

#endif
