/* SPDX-License-Identifier: MIT */
/* Going back: the last K positions of a stream, kept so that steps taken on a guess can be taken back bit for
 * bit.
 *
 *     rill_rollback_keep(&shape, rollback, state);         before a step
 *     rill_attention_recurrent(&attention, state, …);      the step
 *     rill_rollback_return(&shape, rollback, n, state);    as before the last n steps, n ≤ K
 *
 * What is kept are copies, so this works on whatever is plain memory: a state of <rill/attention.h> whatever
 * its rule and form, a steady state, an encoder's. A step may be a sequence of any length.
 *
 * Cost: K × the state's bytes, 64 more, and one memcpy of the state for each position kept, which takes about
 * as long as a step. Where one guess is made and taken back whole, one copy by memcpy does the same.
 *
 * Threads: all functions are pure in their arguments. Real time: nothing here allocates, locks or makes a
 * system call. The memory holds no pointers: memcpy moves it, a copy forks it. */
#ifndef RILL_ROLLBACK_H
#define RILL_ROLLBACK_H

#include <stddef.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_rollback_shape {
    size_t state_size; /* bytes of the state, 1 … */
    size_t positions;  /* K, 1 … */
} rill_rollback_shape;

/* RILL_OK when neither is 0 and all of it has a size; else RILL_BAD_ARGUMENT and why. */
RILL_API rill_status rill_rollback_check(const rill_rollback_shape *shape, rill_error *why);

/* Bytes: positions × state_size + 64. The shape must be one that rill_rollback_check accepts. */
RILL_API size_t rill_rollback_size(const rill_rollback_shape *shape);

/* No position is kept. The memory is the caller's, rill_rollback_size bytes at any address. */
RILL_API void rill_rollback_init(const rill_rollback_shape *shape, void *rollback);

/* Forgets every position: the same as init. */
RILL_API void rill_rollback_reset(const rill_rollback_shape *shape, void *rollback);

/* Keeps the state as it is now; the oldest position is given up when there are K already. */
RILL_API void rill_rollback_keep(const rill_rollback_shape *shape, void *rollback, const void *state);

/* Positions that can be returned to, 0 … K. */
RILL_API size_t rill_rollback_kept(const rill_rollback_shape *shape, const void *rollback);

/* Makes the state what it was when the last but (back − 1) position was kept, 1 ≤ back ≤ rill_rollback_kept,
 * and forgets that position and those after it. */
RILL_API void rill_rollback_return(const rill_rollback_shape *shape, void *rollback, size_t back,
                                   void *state);

#ifdef __cplusplus
}
#endif
#endif
