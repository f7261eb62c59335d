/* SPDX-License-Identifier: MIT */
/* Transformer encoders and decoders (1706.03762, section 3.1) with trained weights under their own names:
 * PyTorch's nn.TransformerEncoder, nn.TransformerDecoder and their layers, DETR's, and fast-transformers'
 * (2006.16236), whole sequences at once, or step by step.
 *
 *     post-norm    h = norm1(x + self(x))          pre-norm    h = x + self(norm1(x))
 *     (norm_first  h = norm2(h + cross(h, m))                  h = h + cross(norm2(h), m)     decoders only
 *      is false)   y = norm3(h + ff(h))                        y = h + ff(norm3(h))
 *
 *     ff(h) = W_2 act(W_1 h + b_1) + b_2            and after the last layer a norm, where there is one
 *
 * (the last norm of an encoder's layer is called norm2 in state_dicts). A position, when given, is added to
 * queries and keys but not to values, in every layer (2005.12872, DETR); one that is added once, to the
 * embeddings, is the caller's line (<rill/position.h>).
 *
 * Step by step, causal self-attention keeps what it has seen: linear heads a state of constant size that
 * stays right for ever (<rill/steady_state.h>), softmax heads their keys and values (<rill/softmax.h>).
 * Both agree with the causal whole sequence to rounding, on every split. One bad step (NaN, an infinity)
 * gives NaN in its own outputs and leaves no trace in the state.
 *
 * Threads: a transformer is only read; two threads may work with it on two streams. */
#ifndef RILL_TRANSFORMER_H
#define RILL_TRANSFORMER_H

#include <stdbool.h>
#include <stddef.h>

#include <rill/dense.h>
#include <rill/multihead.h>
#include <rill/status.h>
#include <rill/weights.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rill_activation {
    RILL_ACTIVATION_RELU,
    RILL_ACTIVATION_GELU /* x Φ(x) with the error function (1606.08415), not its tanh approximation */
} rill_activation;

/* What no tensor tells. Zeroed fields but heads have a meaning: softmax, ReLU, post-norm, the usual ε. */
typedef struct rill_transformer_settings {
    size_t heads;
    rill_multihead_kind self_kind, cross_kind;
    rill_activation activation;
    bool norm_first;
    float norm_epsilon;      /* 0: 1e-5, PyTorch's */
    float attention_epsilon; /* of linear heads; 0: 1e-6 */
} rill_transformer_settings;

typedef struct rill_transformer_layer {
    rill_multihead self;
    bool has_cross; /* a decoder's layer */
    rill_multihead cross;
    rill_norm_weights self_norm, cross_norm, feed_forward_norm; /* [model_dim] */
    rill_dense_weights expand, project;                         /* model_dim → any → model_dim */
    rill_activation activation;
    bool norm_first;
    float norm_epsilon;
} rill_transformer_layer;

/* model_dim is layers[0].self.query.inputs. Plain values: one may be put together by hand. */
typedef struct rill_transformer {
    size_t layers_count; /* 1 … */
    rill_transformer_layer *layers;
    rill_norm_weights norm; /* after the last layer; weight NULL: none */
    float norm_epsilon;
} rill_transformer;

/* RILL_OK when all dimensions fit each other; else RILL_BAD_ARGUMENT and why. Real-time safe. */
RILL_API rill_status rill_transformer_layer_check(const rill_transformer_layer *layer, rill_error *why);
RILL_API rill_status rill_transformer_check(const rill_transformer *transformer, rill_error *why);

/* Finds a layer's weights under the names that start with prefix ("encoder.layers.0.", "" for a layer
 * alone):
 *
 *     PyTorch, DETR        self_attn.*, multihead_attn.* (decoders), linear1, linear2, norm1, norm2, norm3
 *     fast-transformers    attention.* (encoders), self_attention.*, cross_attention.* (decoders), the rest
 *                          alike
 *
 * A layer with a norm3 or with cross attention is a decoder's, and must have both. Biases may be absent.
 * Errors as rill_multihead_read. Everything stays the weights'. Does not allocate. */
RILL_API rill_status rill_transformer_layer_read(const rill_weights *weights, const char *prefix,
                                                 const rill_transformer_settings *settings,
                                                 rill_transformer_layer *layer, rill_error *why);

/* The whole: prefix + layers.0. … layers.N., N the highest that there is a tensor of, and prefix + norm. when
 * it is there. *transformer, to be freed, borrows from the weights. Errors as above, and RILL_OUT_OF_MEMORY;
 * *transformer is NULL then. Allocates. */
RILL_API rill_status rill_transformer_read(const rill_weights *weights, const char *prefix,
                                           const rill_transformer_settings *settings,
                                           rill_transformer **transformer, rill_error *why);

/* NULL does nothing. For what rill_transformer_read gave only. */
RILL_API void rill_transformer_free(rill_transformer *transformer);

/* One sequence. Zeroed fields mean: none, or each sees all. Pointers are borrowed for the call. */
typedef struct rill_transformer_input {
    size_t length;         /* 0 is allowed */
    const float *x;        /* [length][model_dim] */
    const float *position; /* [length][model_dim] or NULL: added to the queries and keys of self-attention
                              and to the queries of cross attention */
    rill_sight sight;      /* of self-attention */
    /* Decoders: what cross attention sees, [memory_length][cross.key.inputs]; its position goes to keys */
    size_t memory_length;
    const float *memory, *memory_position;
    rill_sight memory_sight;
    /* When not NULL: α′ of the (last) layer's softmax heads, [heads][length][length], [heads][length]
     * [memory_length] */
    float *weights, *memory_weights;
} rill_transformer_input;

/* Bytes of the workspace that a call needs. Real-time safe. */
RILL_API size_t rill_transformer_layer_workspace_size(const rill_transformer_layer *layer, size_t length,
                                                      size_t memory_length);
RILL_API size_t rill_transformer_workspace_size(const rill_transformer *transformer, size_t length,
                                                size_t memory_length);

/* output [length][model_dim] may be input->x, and overlaps no other input. workspace is the caller's, aligned
 * as malloc aligns. The layer or transformer must be one that its check accepts. Real-time safe. */
RILL_API void rill_transformer_layer_apply(const rill_transformer_layer *layer,
                                           const rill_transformer_input *input, float *output,
                                           void *workspace);
RILL_API void rill_transformer_apply(const rill_transformer *transformer, const rill_transformer_input *input,
                                     float *output, void *workspace);

/* ---- step by step ----
 *
 * A stream is plain memory without pointers, aligned as malloc aligns, of a size that depends on the
 * transformer, capacity and memory_length only: memcpy moves it, a copy forks it. capacity: how many steps
 * softmax heads can keep; linear heads need none and never end. memory_length: how many rows a decoder's
 * memory may have. */

/* RILL_OK when the transformer is right, can be run step by step (no extra keys) and the size of such a
 * stream fits in size_t; else RILL_BAD_ARGUMENT and why. Real-time safe. */
RILL_API rill_status rill_transformer_stream_check(const rill_transformer *transformer, size_t capacity,
                                                   size_t memory_length, rill_error *why);

/* Bytes. Real-time safe. */
RILL_API size_t rill_transformer_size(const rill_transformer *transformer, size_t capacity,
                                      size_t memory_length);

/* The empty history, and no memory. Real-time safe. */
RILL_API void rill_transformer_init(const rill_transformer *transformer, void *stream, size_t capacity,
                                    size_t memory_length);

/* Forgets the steps; a decoder's memory stays. Real-time safe. */
RILL_API void rill_transformer_reset(const rill_transformer *transformer, void *stream);

/* Decoders: takes in what cross attention will see, instead of what it saw; length ≤ memory_length, mask
 * [length] or NULL hides rows. position as memory_position above. Linear heads keep a state, softmax heads
 * the projected rows. workspace: rill_transformer_workspace_size(transformer, 0, length) bytes.
 * Real-time safe. */
RILL_API void rill_transformer_remember(const rill_transformer *transformer, void *stream, size_t length,
                                        const float *memory, const float *position, const bool *mask,
                                        void *workspace);

/* Takes length more rows of x [length][model_dim] in and gives as many outputs (output may be x): 1 is a
 * step, more is a prefill. With softmax self-attention rill_transformer_taken + length ≤ capacity.
 * Real-time safe. */
RILL_API void rill_transformer_step(const rill_transformer *transformer, void *stream, size_t length,
                                    const float *x, float *output);

/* Steps taken since the start. Real-time safe. */
RILL_API size_t rill_transformer_taken(const void *stream);

/* A linear layer's state as it is now, of self-attention or with cross of the memory, in the caller's memory
 * of rill_attention_size bytes (<rill/attention.h>: S [heads][key_dim][value_dim], then z [heads][key_dim],
 * rounded up to a multiple of 64 bytes). Real-time safe. */
RILL_API void rill_transformer_state(const rill_transformer *transformer, const void *stream, size_t layer,
                                     bool cross, float *state);

#ifdef __cplusplus
}
#endif
#endif
