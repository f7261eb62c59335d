/* SPDX-License-Identifier: MIT */
/* A window on linear attention: truncated self-attention with the kernel φ(q)·φ(k), exact, for ever.
 *
 *     o_t = Σ_j φ(q_t)·φ(k_j) v_j / (Σ_j φ(q_t)·φ(k_j) + ε),  j = t − window + 1 … t
 *
 * and with scale instead of the quotient where the shape has no normalizer. A state can only be added to: to
 * subtract what leaves the window would leave its rounding behind, for ever. So nothing is subtracted. The
 * last steps lie in a ring; the ring is cut into blocks, a block's keys and values are summed into a state
 * when the last of its steps is written, and a tree of sums over the blocks gives the state of all but the
 * one block being written, which is read step by step. What left the window has no part in any number that is
 * kept: once window steps have come, nothing before them is left in the state, not its rounding either.
 *
 * A block has B = key_dim × value_dim / (key_dim + value_dim) steps, so that reading it costs what reading a
 * state costs. In multiply-adds, a step of a head takes 3 key_dim × value_dim in the mean, whatever the
 * window, and B + 2 log2(window / B) times key_dim × value_dim more at most, when a block ends. Rounding is
 * that of B + log2(window / B) sums.
 *
 * Shapes, sequences and bad steps are those of <rill/attention.h>, with the linear rule: a step that is bad
 * in a head gives NaN there and is left out. A state is plain memory without pointers, aligned for float:
 * memcpy moves it, a copy forks it. Threads: all functions are pure in their arguments. Real time: nothing
 * here allocates, locks or makes a system call. */
#ifndef RILL_LINEAR_WINDOW_H
#define RILL_LINEAR_WINDOW_H

#include <stddef.h>

#include <rill/attention.h>
#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_linear_window_shape {
    rill_attention_shape attention; /* of the linear rule */
    size_t window;                  /* steps, 1 … */
} rill_linear_window_shape;

/* RILL_OK when rill_attention_check accepts the shape, its rule is the linear one, and the window has a size;
 * else RILL_BAD_ARGUMENT and why. */
RILL_API rill_status rill_linear_window_check(const rill_linear_window_shape *shape, rill_error *why);

/* Bytes: window × heads × (key_dim + value_dim) floats of the ring, and 2 × window / B states, which are
 * twice as many again. */
RILL_API size_t rill_linear_window_size(const rill_linear_window_shape *shape);

/* The empty history, in the caller's memory of rill_linear_window_size bytes. */
RILL_API void rill_linear_window_init(const rill_linear_window_shape *shape, void *state);
RILL_API void rill_linear_window_reset(const rill_linear_window_shape *shape, void *state);

/* Pushes a sequence of any length, 1 for a step, through the window: any split gives the same bits. output
 * [length][query_heads][value_dim] may not overlap the inputs or the state. */
RILL_API void rill_linear_window_step(const rill_linear_window_shape *shape, void *state,
                                      const rill_sequence *sequence, float *output);

#ifdef __cplusplus
}
#endif
#endif
