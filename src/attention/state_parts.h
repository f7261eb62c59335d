/* SPDX-License-Identifier: MIT */
/* Saving what is made of several plain states of one shape; the layout stands in <rill/saved_state.h>. */
#ifndef RILL_STATE_PARTS_H
#define RILL_STATE_PARTS_H

#include <stdint.h>

#include <rill/attention.h>

enum { RILL_STEADY_PARTS = 4 }; /* plain states in a steady one; a plain one is 1 */

/* Bytes of count states when saved. */
size_t rill_state_parts_saved_size(const rill_attention_shape *shape, uint32_t count);

/* states: count of them, rill_attention_size bytes each, one behind the other. */
void rill_state_parts_save(const rill_attention_shape *shape, uint32_t count, uint32_t block_steps,
                           const void *states, void *bytes);

/* Fails, and changes nothing, unless the bytes hold count states of this shape. */
rill_status rill_state_parts_load(const rill_attention_shape *shape, uint32_t count, const char *name,
                                  const void *bytes, size_t size, void *states, uint32_t *block_steps,
                                  rill_error *why);

#endif
