/* SPDX-License-Identifier: MIT */
/* A causal transformer that is trained here (<rill/transformer.h> runs what was trained elsewhere) and then
 * runs step by step: symbols in, at every step the logits of what comes next. With linear attention
 * (2006.16236) its memory is constant; with softmax attention, to compare, it is a cache that grows with the
 * sequence. All else is the same for both.
 *
 *     x = Σ embedding[symbol] of the step's symbols
 *     for each layer:  x += output · attention(query · a, key · a, value · a),  a = norm(x)
 *                      x += project · silu(expand · norm(x))
 *     logits = head · norm(x)
 *
 * Parameters are one array of floats, so that an optimiser, a file or a copy need not know what they are; so
 * are their gradients. In this order, a dense layer being weight [outputs][inputs] then bias [outputs], a
 * norm weight [dim] then bias [dim]: embedding [symbols][dim]; of each layer attention norm, query, key,
 * value, output [dim][dim], feed-forward norm, expand [feed_forward_dim][dim], project
 * [dim][feed_forward_dim]; norm; head [classes][dim].
 *
 * A step whose symbols' embeddings are finite but whose sums overflow has logits that are not finite.
 *
 * Sizes are SIZE_MAX when they are no number of bytes.
 *
 * Threads: all functions are pure in their arguments. Nothing here allocates, locks or makes a system call;
 * memory is the caller's, aligned as malloc aligns. */
#ifndef RILL_SYMBOL_MODEL_H
#define RILL_SYMBOL_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include <rill/learning.h>
#include <rill/softmax.h>
#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RILL_SYMBOL_MODEL_MAX ((size_t)1 << 20) /* of every number of a shape */

typedef struct rill_symbol_model_shape {
    rill_similarity similarity; /* PRODUCT: linear attention, φ = elu + 1; SOFTMAX: of q·k/√(dim / heads) */
    size_t symbols;             /* rows of the embedding, 1 … */
    size_t symbols_per_step;    /* 1 … */
    size_t classes;             /* logits a step, 1 … */
    size_t layers;              /* 1 … 1024 */
    size_t dim;                 /* a multiple of heads */
    size_t heads;               /* 1 … */
    size_t feed_forward_dim;    /* 1 … */
} rill_symbol_model_shape;

RILL_API rill_status rill_symbol_model_check(const rill_symbol_model_shape *shape, rill_error *why);

/* Floats of the parameters. */
RILL_API size_t rill_symbol_model_parameters(const rill_symbol_model_shape *shape);

/* Where training begins: normal numbers, of deviation 1/2 in the embedding and 1/√(3 inputs) in dense layers;
 * biases 0, norms 1. The same for the same seed, up to the rounding of log, sqrt, cos. */
RILL_API void rill_symbol_model_draw(const rill_symbol_model_shape *shape, uint64_t seed, float *parameters);

/* Bytes of what a stream remembers. Linear: whatever capacity is, and it may be 0. Softmax: for up to
 * capacity steps. Plain memory without pointers; memcpy moves it, a copy forks it. */
RILL_API size_t rill_symbol_model_size(const rill_symbol_model_shape *shape, size_t capacity);
RILL_API void rill_symbol_model_init(const rill_symbol_model_shape *shape, size_t capacity, void *memory);
RILL_API void rill_symbol_model_reset(const rill_symbol_model_shape *shape, size_t capacity, void *memory);

/* Takes length steps: symbols [length][symbols_per_step], each below shape->symbols; logits
 * [length][classes]. Any split of a sequence gives the same logits to rounding. workspace:
 * rill_symbol_model_workspace_size(shape, length) bytes; it holds nothing between calls. Real-time safe. */
RILL_API void rill_symbol_model_step(const rill_symbol_model_shape *shape, const float *parameters,
                                     size_t capacity, void *memory, size_t length, const uint32_t *symbols,
                                     float *logits, void *workspace);
RILL_API size_t rill_symbol_model_workspace_size(const rill_symbol_model_shape *shape, size_t length);

/* Of a whole sequence from its start: returns the loss Σ −ln p(target) of rill_cross_entropy, in nats, and
 * adds its gradient to parameters_gradient. workspace: rill_symbol_model_gradient_size(shape, length) bytes.
 */
RILL_API double rill_symbol_model_gradient(const rill_symbol_model_shape *shape, const float *parameters,
                                           size_t length, const uint32_t *symbols, const uint32_t *targets,
                                           float *parameters_gradient, void *workspace);
RILL_API size_t rill_symbol_model_gradient_size(const rill_symbol_model_shape *shape, size_t length);

#ifdef __cplusplus
}
#endif
#endif
