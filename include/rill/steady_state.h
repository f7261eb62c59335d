/* SPDX-License-Identifier: MIT */
/* A state of the linear rule that stays right for ever.
 *
 * The linear rule only adds, so the rounding errors of a plain float state grow with the sequence (see
 * <rill/attention.h>: 5e-3 after 28 hours at 100 steps a second). A steady state sums blocks of
 * RILL_STEADY_BLOCK_STEPS steps on their own and folds each block into the total with compensation (Kahan
 * 1965), a slice of the state at each step: its error is a few units in the last place of the magnitudes
 * summed, at every length.
 *
 * With u = 2⁻²⁴, φ(k) v summed over the n steps since the start, and P = Σ |φ(k)| |v|:
 *
 *     |S − Σ φ(k) vᵀ| ≤ ((4 · RILL_STEADY_BLOCK_STEPS + 5) u + n u² / 8) P       entry by entry; z likewise
 *
 * Outputs are those of rill_attention_chunkwise on that state. What a bad step does stands in
 * <rill/attention.h>: it leaves its head's state as it was and is counted in the block.
 *
 * Cost: the bytes of four plain states and 64 more; two passes where a plain state takes one, and one over
 * all four parts for each block: a little more than twice the time, the same at every step. (Steps come one
 * by one or several at a time: between two folds of a slice lie up to 2 · RILL_STEADY_BLOCK_STEPS of them.)
 *
 * Threads and real time: as <rill/attention.h>. A steady state holds no pointers: memcpy moves it, a copy
 * forks it. */
#ifndef RILL_STEADY_STATE_H
#define RILL_STEADY_STATE_H

#include <stddef.h>

#include <rill/attention.h>
#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RILL_STEADY_BLOCK_STEPS 16

/* RILL_OK when rill_attention_check accepts the shape, its rule is RILL_RULE_LINEAR and four of its states
 * have a size; else RILL_BAD_ARGUMENT and why. A decayed state forgets its errors and needs none of this; the
 * shapes below are those accepted here. */
RILL_API rill_status rill_steady_check(const rill_attention_shape *shape, rill_error *why);

/* Bytes of one steady state: 4 × rill_attention_size + 64. */
RILL_API size_t rill_steady_size(const rill_attention_shape *shape);

/* The empty history, in the caller's memory of rill_steady_size bytes, aligned for float. */
RILL_API void rill_steady_init(const rill_attention_shape *shape, void *steady);

/* Forgets everything: the same as init. */
RILL_API void rill_steady_reset(const rill_attention_shape *shape, void *steady);

/* Pushes a sequence of any length, 1 for a step, through the state: the function of rill_attention_chunkwise.
 * output [length][query_heads][value_dim] may not overlap the inputs or the state. */
RILL_API void rill_steady_attention(const rill_attention_shape *shape, void *steady,
                                    const rill_sequence *sequence, float *output);

/* S and z as they are now, a plain state inside the steady one: to be read, or copied to go on without
 * compensation. */
RILL_API const void *rill_steady_plain(const rill_attention_shape *shape, const void *steady);

/* As rill_attention_saved_size, rill_attention_save and rill_attention_load of <rill/saved_state.h>; what
 * goes on from the loaded state gives the same bits as what goes on from the saved one. */
RILL_API size_t rill_steady_saved_size(const rill_attention_shape *shape);
RILL_API void rill_steady_save(const rill_attention_shape *shape, const void *steady, void *bytes);
RILL_API rill_status rill_steady_load(const rill_attention_shape *shape, const char *name, const void *bytes,
                                      size_t size, void *steady, rill_error *why);

#ifdef __cplusplus
}
#endif
#endif
