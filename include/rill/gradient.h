/* SPDX-License-Identifier: MIT */
/* Gradients of the linear and the gated rule, causal and not, in linear time and without keeping the states
 * of the steps (2006.16236, section 3.3.1); and, to compare, of softmax attention.
 *
 * With L the loss, G_t = ∂L/∂o_t scaled as the output is, and R_t = ∂L/∂S_t of all that is read from step t
 * on (queries written q for φ(q), keys k for φ(k)):
 *
 *     ∂L/∂q_t = S_t G_t                                                          (eq. 13)
 *     R_t = g_{t+1} R_{t+1} + q_t G_tᵀ
 *     ∂L/∂k_t = R_t v_t,  ∂L/∂v_t = R_tᵀ k_t                                     (eq. 14–15)
 *     ∂L/∂log g_t = rowsum(R_t ∘ g_t S_{t-1}) = A_t,  A_t = A_{t+1} + q_t ∘ ∂L/∂q_t − k_t ∘ ∂L/∂k_t
 *
 * summed over the key dimension for a decay a head, and over the steps for RILL_DECAY_HEAD. So one walk
 * forward with S and one back with R are enough. A normalizer is one more column of S, whose values are 1
 * and whose gradient is −(∂L/∂o_t · o_t) / (φ(q_t)·z_t + ε).
 *
 * ∂L/∂φ(q) is where these stop: the feature map's own derivative is the caller's.
 *
 * Sums are in double. Where g is 0 the gradient of log g is 0; elsewhere it is a difference of sums, off by
 * up to u Σ |q_s ∘ ∂L/∂q_s| over the steps s ≥ t, u = 2⁻²⁴: with a decay that forgets nearly all, its
 * small gradient is lost in that.
 *
 * A bad step (see <rill/attention.h>) is none: the gradients of its inputs are 0, and the gradient of its
 * output is not looked at. Neither is that of a query that is not finite. An output gradient that is not
 * finite is a loss that is not: it spoils the gradients of what came before it.
 *
 * Shapes of gradients are those of what they are the gradients of: state gradients are laid out as states,
 * rill_attention_size bytes. Shapes must be accepted by rill_attention_check, with rule RILL_RULE_LINEAR or
 * RILL_RULE_GATED; sequences are without a bonus, and of all heads. Memory is the caller's; nothing may
 * overlap, but for a state gradient, which is passed from later to earlier steps in place.
 *
 * Cost: plain C, about 6 · key_dim · value_dim multiply-adds in double a step and head; of softmax attention
 * below.
 * Threads: all functions are pure in their arguments. Real time: nothing here allocates, locks or makes a
 * system call. */
#ifndef RILL_GRADIENT_H
#define RILL_GRADIENT_H

#include <stddef.h>

#include <rill/attention.h>
#include <rill/softmax.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Gradients of a rill_sequence, or of a rill_softmax_input, written whole. */
typedef struct rill_sequence_gradient {
    float *queries;   /* [length][query_heads][key_dim]; not used by rill_attention_write_gradient */
    float *keys;      /* [length][heads][key_dim] */
    float *values;    /* [length][heads][value_dim] */
    float *log_decay; /* shape by rill_decay; NULL when it is not wanted */
} rill_sequence_gradient;

/* Bytes of workspace for a sequence of length steps: those of about two states of one head in double, and
 * with a normalizer two numbers more for each step and query of that head. */
RILL_API size_t rill_attention_gradient_size(const rill_attention_shape *shape, size_t length);

/* The gradient of rill_attention_recurrent, and so of every causal form. state is the one that the sequence
 * started from, and is not changed; output_gradient [length][query_heads][value_dim].
 *
 * *state_gradient holds the gradient of the loss with respect to the state left behind (zeros when only
 * the outputs count), and afterwards that with respect to the state started from. So a long sequence is done
 * in parts, from the last to the first, each with the state that it started from.
 *
 * workspace: rill_attention_gradient_size(shape, length) bytes, aligned for double; it holds nothing between
 * calls. */
RILL_API void rill_attention_gradient(const rill_attention_shape *shape, const void *state,
                                      const rill_sequence *sequence, const float *output_gradient,
                                      void *state_gradient, const rill_sequence_gradient *gradient,
                                      void *workspace);

/* Not causal: of outputs that all read the state as the whole sequence left it, the gradient is
 * rill_attention_read_gradient, then rill_attention_write_gradient. The queries may be those of another
 * sequence (cross attention).
 *
 * Reading: state is not changed; queries [count][query_heads][key_dim], output_gradient
 * [count][query_heads][value_dim]. Writes queries_gradient, and adds to state_gradient what the outputs ask
 * of the state. Bad steps are not known here: outputs that are not to count get a gradient of 0. workspace:
 * rill_attention_gradient_size(shape, 0) bytes. */
RILL_API void rill_attention_read_gradient(const rill_attention_shape *shape, const void *state, size_t count,
                                           const float *queries, const float *output_gradient,
                                           void *state_gradient, float *queries_gradient, void *workspace);

/* Writing: state_left is the state as the sequence left it. *state_gradient as in rill_attention_gradient;
 * the sequence's queries are not looked at. workspace: rill_attention_gradient_size(shape, 0) bytes. */
RILL_API void rill_attention_write_gradient(const rill_attention_shape *shape, const void *state_left,
                                            const rill_sequence *sequence, void *state_gradient,
                                            const rill_sequence_gradient *gradient, void *workspace);

/* The gradient of rill_softmax_attention, whatever is masked, biased (the bias has none), windowed or capped.
 * The shape's similarity must be RILL_SIMILARITY_SOFTMAX: the product's is linear attention. output_gradient
 * [queries_length][query_heads][value_dim]; gradient as the input's queries, keys and values, written whole;
 * log_decay and the input's scores are not looked at.
 *
 * A query that is not finite, or sees a key, a value or a bias that is not, gives nothing: its gradient and
 * what it adds to the others' is 0, and the gradient of its output is not looked at. So does one that sees
 * nothing. Another output gradient that is not finite spoils those of all.
 *
 * Sums in float, tiles of queries by keys. Cost: about 2.5 times the forward pass. workspace:
 * rill_softmax_gradient_size(shape, keys_length) bytes, aligned for float; it holds nothing between calls. */
RILL_API void rill_softmax_gradient(const rill_softmax_shape *shape, const rill_softmax_input *input,
                                    const float *output_gradient, const rill_sequence_gradient *gradient,
                                    void *workspace);

/* Bytes: keys_length · (2 key_dim + value_dim + 49) floats, and a few more. */
RILL_API size_t rill_softmax_gradient_size(const rill_softmax_shape *shape, size_t keys_length);

#ifdef __cplusplus
}
#endif
#endif
