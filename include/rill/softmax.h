/* SPDX-License-Identifier: MIT */
/* Softmax attention, the yardstick: every query looks at every key it may see.
 *
 *     o_i = Σ_j sim(q_i, k_j) v_j / Σ_j sim(q_i, k_j)                           (2006.16236, eq. 3)
 *     sim(q, k) = exp(cap(scale q·k) + bias_ij)   softmax (1706.03762, eq. 1; ONNX Attention, opset 23–27)
 *     sim(q, k) = scale q·k                       the quadratic form of linear attention, on φ(q) and φ(k)
 *
 * One pass over the keys with a running maximum (1805.02867, 2205.14135): no score matrix, unless one is
 * asked for. Cost: queries × keys × (key_dim + value_dim) multiply-adds a head, keys out of sight by position
 * not counted.
 *
 * Shapes are time-major as in <rill/attention.h>: queries [queries_length][query_heads][key_dim], keys
 * [keys_length][heads][key_dim], values [keys_length][heads][value_dim], output
 * [queries_length][query_heads][value_dim]. Query head h reads head h / (query_heads / heads). A batch is one
 * call for each sequence, so lengths may differ.
 *
 * A key that a query may not see has no part in its output, whatever it and its value hold (NaN too); neither
 * has one whose score is −∞. A query that sees no key, or only scores of −∞, has the output 0 (ONNX); so has
 * a product, but for one normalized with epsilon 0, where it is 0/0 = NaN. NaN or +∞ in a query or in a key
 * that is seen makes NaN in the rows that it enters, and in no other. A value that is not finite enters the
 * rows that see it, unless its weight underflows: then it may or may not.
 *
 * Threads: all functions are pure in their arguments. Real time: nothing here allocates, locks or makes a
 * system call; a step of the cache costs time in proportion to what it holds, one of the window does not. */
#ifndef RILL_SOFTMAX_H
#define RILL_SOFTMAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/attention.h>
#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rill_similarity {
    RILL_SIMILARITY_SOFTMAX, /* exp(score) */
    RILL_SIMILARITY_PRODUCT  /* the score itself: linear attention, when queries and keys are features */
} rill_similarity;

typedef struct rill_softmax_shape {
    rill_similarity similarity;
    size_t heads;       /* key and value heads, 1 … */
    size_t query_heads; /* a multiple of heads */
    size_t key_dim;     /* 1 … */
    size_t value_dim;   /* 1 … */
    float scale;        /* of q·k; 1/√key_dim by custom, 1 for linear attention */
    float softcap;      /* scores become softcap · tanh(score / softcap); 0: they stay. Softmax only */
    bool normalize;     /* of the product: divide by the sum of weights + epsilon. Softmax always divides */
    float epsilon;      /* 1e-6 in the authors' linear attention; used only with the product and normalize */
} rill_softmax_shape;

/* RILL_OK when the fields are consistent; else RILL_BAD_ARGUMENT and why. */
RILL_API rill_status rill_softmax_check(const rill_softmax_shape *shape, rill_error *why);

/* What ONNX calls qk_matmul_output, by its modes 0 … 3. */
typedef enum rill_scores {
    RILL_SCORES_PRODUCT,   /* scale q·k, for every key, in sight or not */
    RILL_SCORES_CAPPED,    /* the same after softcap */
    RILL_SCORES_BIASED,    /* with the bias; −∞ where the key is out of sight */
    RILL_SCORES_NORMALIZED /* the weights of the values; a query that sees nothing has zeros */
} rill_scores;

#define RILL_UNBOUNDED SIZE_MAX

/* Queries, keys, and which sees which. Zeroed fields mean: everything. Pointers are borrowed for the call. */
typedef struct rill_softmax_input {
    size_t queries_length, keys_length; /* 0 is allowed; keys beyond a sequence's own length are not passed */
    const float *queries, *keys, *values;
    ptrdiff_t
        offset;  /* query i stands at position p = offset + i of the keys: the keys before the first query */
    bool causal; /* key j is seen when j ≤ p */
    bool windowed;                      /* … and when p − window_before ≤ j ≤ p + window_after */
    size_t window_before, window_after; /* RILL_UNBOUNDED: that side is open */
    /* … and where mask is true: row of query i, query head h at mask + h · mask_head_stride + i ·
     * mask_query_stride, keys_length values. NULL: no mask. A stride of 0 repeats the row. */
    const bool *mask;
    size_t mask_head_stride, mask_query_stride;
    /* Added to the scores, laid out as the mask; −∞ hides a key. Softmax only. NULL: none. */
    const float *bias;
    size_t bias_head_stride, bias_query_stride;
    /* When not NULL: gets the scores, [query_heads][queries_length][keys_length]. */
    float *scores;
    rill_scores scores_kind;
} rill_softmax_input;

/* The shape must be one that rill_softmax_check accepts; output [queries_length][query_heads][value_dim] may
 * not overlap the inputs. */
RILL_API void rill_softmax_attention(const rill_softmax_shape *shape, const rill_softmax_input *input,
                                     float *output);

/* Key-value cache: causal attention step by step, over a memory that holds every key and value so far.
 *
 * A state is plain memory without pointers, aligned as malloc aligns: memcpy moves it, a copy forks it. It
 * holds up to capacity steps; when full, the caller copies it into a larger one. One bad step never poisons
 * it: where a key or value of a head is not finite, that head's outputs of the step are NaN and the step is
 * left out of that head ever after. */

/* RILL_OK when the shape is right and the size of a cache of so many steps fits in size_t. */
RILL_API rill_status rill_key_value_cache_check(const rill_softmax_shape *shape, size_t capacity,
                                                rill_error *why);

/* Bytes: capacity × heads × (key_dim + value_dim) floats, capacity × query_heads bytes of marks, and a few
 * more. */
RILL_API size_t rill_key_value_cache_size(const rill_softmax_shape *shape, size_t capacity);

/* Empty, in the caller's memory of rill_key_value_cache_size bytes. */
RILL_API void rill_key_value_cache_init(const rill_softmax_shape *shape, void *cache, size_t capacity);

/* Forgets everything; the capacity stays. */
RILL_API void rill_key_value_cache_reset(const rill_softmax_shape *shape, void *cache);

/* Steps held now, and at most. */
RILL_API size_t rill_key_value_cache_length(const void *cache);
RILL_API size_t rill_key_value_cache_capacity(const void *cache);

/* Takes sequence->length more keys and values in and gives the outputs of as many queries, each seeing what
 * came up to its own step. log_decay is NULL. length + rill_key_value_cache_length must not exceed the
 * capacity. */
RILL_API void rill_key_value_cache_step(const rill_softmax_shape *shape, void *cache,
                                        const rill_sequence *sequence, float *output);

/* Takes steps back: as if only the first length had been taken. length ≤ rill_key_value_cache_length. */
RILL_API void rill_key_value_cache_truncate(void *cache, size_t length);

/* into, initialised with a capacity of at least from's length, holds what from holds. */
RILL_API void rill_key_value_cache_copy(const rill_softmax_shape *shape, const void *from, void *into);

/* Sliding window: the same with a memory of constant size. Step t sees the steps t − window + 1 … t, and the
 * first `sinks` steps for ever (attention sinks, 2309.17453; positions are the caller's: nothing is rotated
 * here). With sinks = 0 it is truncated self-attention, with ONNX's left_window_size = window − 1. Bad steps
 * as in the cache. */
typedef struct rill_sliding_window_shape {
    rill_softmax_shape softmax;
    size_t sinks;  /* 0 … */
    size_t window; /* 1 … */
} rill_sliding_window_shape;

/* RILL_OK when the shape is right, the window not 0 and the size fits in size_t; else RILL_BAD_ARGUMENT. */
RILL_API rill_status rill_sliding_window_check(const rill_sliding_window_shape *shape, rill_error *why);
/* Bytes, as of a cache of sinks + window steps. */
RILL_API size_t rill_sliding_window_size(const rill_sliding_window_shape *shape);
RILL_API void rill_sliding_window_init(const rill_sliding_window_shape *shape, void *state);
/* Forgets everything: the same as init. */
RILL_API void rill_sliding_window_reset(const rill_sliding_window_shape *shape, void *state);
/* As rill_key_value_cache_step, for sequences of any length: what leaves the window is forgotten. */
RILL_API void rill_sliding_window_step(const rill_sliding_window_shape *shape, void *state,
                                       const rill_sequence *sequence, float *output);

#ifdef __cplusplus
}
#endif
#endif
