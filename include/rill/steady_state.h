/* SPDX-License-Identifier: MIT */
/* A state of the linear rule that stays right for ever.
 *
 * The linear rule only adds, so the rounding errors of a plain float state grow with the sequence (see
 * <rill/attention.h>: 5e-3 after 28 hours at 100 steps a second). A steady state keeps the keys and values of
 * the last RILL_STEADY_BLOCK_STEPS steps. At each step one slice of its rows takes in what these hold for it:
 * their products are summed on their own, and that sum is folded into the total with compensation (Kahan
 * 1965). Its error is a few units in the last place of the magnitudes summed, at every length.
 *
 * With u = 2⁻²⁴, B = RILL_STEADY_BLOCK_STEPS, φ(k) v summed over the n steps since the start, and
 * P = Σ |φ(k)| |v|, what rill_steady_plain writes is, entry by entry and z likewise, within
 *
 *     |S − Σ φ(k) vᵀ| ≤ ((B + 2) u + n u² · 2 / B) P
 *
 * B u for a block's sum from zero, u for its compensation's addition, u for the result; each of the n / B
 * folds rounds a compensation, which is at most u |S|, twice.
 *
 * Outputs are those of rill_attention_recurrent on that state, the same bits on every split of a sequence.
 * What a bad step does stands in <rill/attention.h>: it leaves its head's state as it was, and is kept as a
 * key of zeros.
 *
 * Cost: the bytes of two plain states, of 8 keys and values a head, and 64 more; a step reads S once and
 * writes an eighth of it, and of its compensation: a third to two thirds longer than a plain step, and no
 * step longer than another. Any sequence is taken step by step.
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

#define RILL_STEADY_BLOCK_STEPS 8

/* RILL_OK when rill_attention_check accepts the shape, its rule is RILL_RULE_LINEAR and its steady state
 * has a size; else RILL_BAD_ARGUMENT and why. A decayed state forgets its errors and needs none of this; the
 * shapes below are those accepted here. */
RILL_API rill_status rill_steady_check(const rill_attention_shape *shape, rill_error *why);

/* Bytes of one steady state: 2 × rill_attention_size + 4 × heads × RILL_STEADY_BLOCK_STEPS × (key_dim' +
 * value_dim') + 64, these two rounded up to multiples of 16. */
RILL_API size_t rill_steady_size(const rill_attention_shape *shape);

/* The empty history, in the caller's memory of rill_steady_size bytes, aligned for float; to 64 bytes is
 * fastest. */
RILL_API void rill_steady_init(const rill_attention_shape *shape, void *steady);

/* Forgets everything: the same as init. */
RILL_API void rill_steady_reset(const rill_attention_shape *shape, void *steady);

/* Pushes a sequence of any length, 1 for a step, through the state: the function of rill_attention_chunkwise.
 * output [length][query_heads][value_dim] may not overlap the inputs or the state. */
RILL_API void rill_steady_attention(const rill_attention_shape *shape, void *steady,
                                    const rill_sequence *sequence, float *output);

/* S and z as they are now, as a plain state in the caller's memory of rill_attention_size bytes: to be read,
 * or to go on without compensation. */
RILL_API void rill_steady_plain(const rill_attention_shape *shape, const void *steady, void *state);

/* As rill_attention_saved_size, rill_attention_save and rill_attention_load of <rill/saved_state.h>; what
 * goes on from the loaded state gives the same bits as what goes on from the saved one. States saved by the
 * first version of the layout, which are larger, load too: the block they held is folded. */
RILL_API size_t rill_steady_saved_size(const rill_attention_shape *shape);
RILL_API void rill_steady_save(const rill_attention_shape *shape, const void *steady, void *bytes);
RILL_API rill_status rill_steady_load(const rill_attention_shape *shape, const char *name, const void *bytes,
                                      size_t size, void *steady, rill_error *why);

#ifdef __cplusplus
}
#endif
#endif
