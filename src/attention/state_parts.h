/* SPDX-License-Identifier: MIT */
/* Saving what is made of several plain states of one shape, and floats of its own behind them; the layout
 * stands in <rill/saved_state.h>. */
#ifndef RILL_STATE_PARTS_H
#define RILL_STATE_PARTS_H

#include <stdint.h>

#include <rill/attention.h>

/* What follows a header. */
typedef struct rill_saved_kind {
    uint32_t version, states;
    size_t more; /* floats behind the states */
} rill_saved_kind;

enum { RILL_STEADY_PARTS = 2 }; /* plain states in a steady one: total, and what its sums took too much */

/* Floats of the keys and values that a steady state keeps. */
size_t rill_steady_kept(const rill_attention_shape *shape);

/* How a plain state or a steady one is saved today. */
rill_saved_kind rill_saved_kind_of(const rill_attention_shape *shape, bool steady);

/* Floats of S and z. */
size_t rill_state_floats(const rill_attention_shape *shape);

/* Bytes when saved. */
size_t rill_state_parts_saved_size(const rill_attention_shape *shape, const rill_saved_kind *kind);

/* states: rill_attention_size bytes each, one behind the other, and the other floats behind them; steps: the
 * header's number. */
void rill_state_parts_save(const rill_attention_shape *shape, const rill_saved_kind *kind, uint32_t steps,
                           const void *states, void *bytes);

/* Fails unless the bytes hold such a state of this shape, of any version, which *kind then tells. */
rill_status rill_state_parts_check(const rill_attention_shape *shape, bool steady, const char *name,
                                   const void *bytes, size_t size, rill_saved_kind *kind, uint32_t *steps,
                                   rill_error *why);

/* RILL_BAD_FORMAT: a saved number, or what is made of several, is not finite. */
rill_status rill_state_parts_overflowed(const char *name, rill_error *why);

/* count saved floats from that one on, of bytes that were checked. */
void rill_state_parts_read(const void *bytes, size_t first, size_t count, float *to);

#endif
