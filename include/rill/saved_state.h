/* SPDX-License-Identifier: MIT */
/* States as bytes that outlive the process and move between machines: little-endian, versioned, checksummed.
 *
 *     offset  size  what
 *          0     8  "rillatt" and a zero byte
 *          8     4  version of this layout: 1, or 2 for a steady state
 *         12     4  states that follow: 1, or 2 for a steady state
 *         16     4  of a steady state, the place of the next step among the kept ones, 0 … 7; else 0
 *         20     4  update rule: the number of the rill_update_rule
 *         24     4  decay: the number of the rill_decay
 *         28     4  1 when normalized, else 0
 *         32     8  heads
 *         40     8  query heads
 *         48     8  key dimension
 *         56     8  value dimension
 *         64     4  epsilon, float; 0 when not normalized
 *         68     4  scale, float; 0 when normalized
 *         72   4 n  each state: S [heads][key_dim][value_dim], then z [heads][key_dim] when normalized, float
 *                   of a steady state: total, what its sums took too much; behind them the kept keys, then
 *                   values, [heads][⌈dim / 16⌉][8][16]: 16 columns of each kept step, zeros beyond dim; of a
 *                   key, 0 in the rows of S that have taken it in
 *   72 + 4 n     8  FNV-1a of all bytes before it, 64 bits
 *
 * Version 1 saved a steady state as 4 states (as it is read, total, compensation, a block of steps not yet in
 * the total) and, at 16, the steps in that block, 0 … 15.
 *
 * Later versions of rill load what earlier ones saved. Bytes that differ in one byte from what was saved are
 * always refused, other damage but for one in 2⁶⁴. The checksum is against accidents; bytes made with malice
 * load as a state of finite numbers or not at all.
 *
 * What was saved with one kernel table loads with another: outputs then agree to rounding.
 *
 * Threads: all functions are pure in their arguments. Real time: nothing here allocates, locks or makes a
 * system call; the time is that of a few operations for each byte. */
#ifndef RILL_SAVED_STATE_H
#define RILL_SAVED_STATE_H

#include <stddef.h>

#include <rill/attention.h>
#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that rill_attention_save writes for a state of this shape, which rill_attention_check accepts. */
RILL_API size_t rill_attention_saved_size(const rill_attention_shape *shape);

/* The state as rill_attention_saved_size bytes, which the caller owns. The state is not changed. */
RILL_API void rill_attention_save(const rill_attention_shape *shape, const void *state, void *bytes);

/* Reads a saved state into the caller's memory of rill_attention_size bytes: bit for bit the numbers that
 * were saved. On failure the memory is as it was, and the reason starts with name, which says where the bytes
 * are from:
 * RILL_BAD_FORMAT: no saved state, damaged or truncated, or with a number that is not finite (its products
 * had overflowed before it was saved: start anew);
 * RILL_UNSUPPORTED: of a later version of the layout;
 * RILL_WRONG_MODEL: a state of another shape. */
RILL_API rill_status rill_attention_load(const rill_attention_shape *shape, const char *name,
                                         const void *bytes, size_t size, void *state, rill_error *why);

/* The shape of the state that was saved as these bytes, plain or steady: size is rill_attention_saved_size of
 * it, or rill_steady_saved_size unless a steady state was saved by version 1. Epsilon or scale, whichever the
 * shape does not use, is 0. Fails as rill_attention_load does, and then leaves *shape alone. */
RILL_API rill_status rill_saved_state_shape(const char *name, const void *bytes, size_t size,
                                            rill_attention_shape *shape, rill_error *why);

#ifdef __cplusplus
}
#endif
#endif
