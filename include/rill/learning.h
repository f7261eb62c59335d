/* SPDX-License-Identifier: MIT */
/* What a small network is trained with: layers forward and back, a loss, an optimiser. The gradients of
 * attention itself are in <rill/gradient.h>; <rill/symbol_model.h> is a network made of all of them.
 *
 * One sequence at a time, rows are steps: x [count][inputs]. With L the loss, X_gradient stands for ∂L/∂X in
 * the shape of X. Layers that have weights add to every gradient that they write, so that what is used twice,
 * the branches of a residual and the sequences of a batch meet in a sum: begin with zeros. Maps without
 * weights take a gradient on in place.
 *
 * Float32, sums in float where a kernel takes them, else in double; no parameter need be aligned. What is not
 * finite stays in the rows it comes in, but for the gradients of weights, which are sums over all rows.
 *
 * Threads: all functions are pure in their arguments. Nothing here allocates, locks or makes a system call.
 */
#ifndef RILL_LEARNING_H
#define RILL_LEARNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* y = x Wᵀ + b: x [count][inputs], weight [outputs][inputs], bias [outputs], y [count][outputs], which may
 * not overlap the others. */
RILL_API void rill_dense(size_t count, size_t inputs, size_t outputs, const float *x, const float *weight,
                         const float *bias, float *y);

/* ∂L/∂x += y_gradient W, ∂L/∂W += y_gradientᵀ x, ∂L/∂b += Σ_n y_gradient_n. x_gradient NULL: not wanted. */
RILL_API void rill_dense_gradient(size_t count, size_t inputs, size_t outputs, const float *x,
                                  const float *weight, const float *y_gradient, float *x_gradient,
                                  float *weight_gradient, float *bias_gradient);

/* y = (x − mean) / √(variance + epsilon) · weight + bias over each row of dim (1607.06450); y may be x. */
RILL_API void rill_layer_norm(size_t count, size_t dim, const float *x, const float *weight,
                              const float *bias, float epsilon, float *y);
RILL_API void rill_layer_norm_gradient(size_t count, size_t dim, const float *x, const float *weight,
                                       float epsilon, const float *y_gradient, float *x_gradient,
                                       float *weight_gradient, float *bias_gradient);

/* y = x · sigmoid(x) (1702.03118); y may be x. Back: gradient *= sigmoid(x) (1 + x − y). */
RILL_API void rill_silu(size_t count, const float *x, float *y);
RILL_API void rill_silu_gradient(size_t count, const float *x, const float *y, float *gradient);

/* Back through rill_feature_map_elu1, from its features alone: gradient *= min(features, 1). */
RILL_API void rill_elu1_gradient(size_t count, const float *features, float *gradient);

/* A step is told by symbols_per_step symbols at once (a pixel's value, its row, its column): x_n = Σ_i
 * table[n's symbol i]. symbols [count][symbols_per_step], each below the rows of table [..][dim]. */
RILL_API void rill_embed(size_t count, size_t symbols_per_step, size_t dim, const uint32_t *symbols,
                         const float *table, float *x);
RILL_API void rill_embed_gradient(size_t count, size_t symbols_per_step, size_t dim, const uint32_t *symbols,
                                  const float *x_gradient, float *table_gradient);

#define RILL_NO_TARGET UINT32_MAX /* a step that is not asked about */

/* Σ_n −ln softmax(logits_n)[target_n], in nats, over the steps that have a target; logits [count][classes],
 * targets [count], each below classes or RILL_NO_TARGET. logits_gradient (written; may be logits; NULL: not
 * wanted) = softmax − one at the target, 0 where there is none. */
RILL_API double rill_cross_entropy(size_t count, size_t classes, const float *logits, const uint32_t *targets,
                                   float *logits_gradient);

/* Adam (1412.6980): m and v are decaying means of the gradient and of its square, and
 *
 *     parameter −= rate · m̂ / (√v̂ + epsilon),  m̂ and v̂ freed of their start at 0 */
typedef struct rill_adam {
    float rate;                     /* 0 … */
    float mean_decay, square_decay; /* 0.9 and 0.999 in the paper; 0 … below 1 */
    float epsilon;                  /* 1e-8 in the paper; above 0 */
} rill_adam;

RILL_API rill_adam rill_adam_defaults(float rate); /* the paper's */
RILL_API rill_status rill_adam_check(const rill_adam *adam, rill_error *why);

/* Its memory: plain, without pointers, 2 · count floats and a counter; aligned as malloc aligns. */
RILL_API size_t rill_adam_size(size_t count);
RILL_API void rill_adam_init(size_t count, void *state);
RILL_API void rill_adam_reset(size_t count, void *state);

#define RILL_GRADIENT_MAX 1e18f /* its square is a float */

/* One step along gradient [count]. False when it holds a NaN or what is beyond ±RILL_GRADIENT_MAX: then
 * nothing changes, so that one bad batch spoils neither parameters nor state. */
RILL_API bool rill_adam_step(const rill_adam *adam, size_t count, void *state, const float *gradient,
                             float *parameters);

#ifdef __cplusplus
}
#endif
#endif
