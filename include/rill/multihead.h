/* SPDX-License-Identifier: MIT */
/* Multi-head attention with its four projections (Vaswani et al., 1706.03762, section 3.2.2):
 *
 *     q = W_q x_q + b_q, k = W_k x_k + b_k, v = W_v x_v + b_v     cut into heads of successive columns
 *     o_h = attention(q_h, k_h, v_h)
 *     y = W_o concat_h(o_h) + b_o
 *
 * Heads attend by softmax with the scale 1/√key_dim (nn.MultiheadAttention; fast-transformers' "full"), or
 * linearly on φ = elu + 1 with a normalizer (2006.16236; fast-transformers' "linear" and "causal-linear").
 *
 * Rows are time-major, [length][dim], one sequence a call: a batch is one call for each, so lengths may
 * differ. A key that is out of sight has no part in any output, whatever it holds. NaN or an infinity in a
 * query enters its own row only; in a key or value, the rows that see it. Linear heads leave such a key and
 * value out instead: causal, its own row is NaN and no other, else none.
 *
 * Threads: all functions are pure in their arguments. */
#ifndef RILL_MULTIHEAD_H
#define RILL_MULTIHEAD_H

#include <stdbool.h>
#include <stddef.h>

#include <rill/dense.h>
#include <rill/softmax.h>
#include <rill/status.h>
#include <rill/weights.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rill_multihead_kind { RILL_MULTIHEAD_SOFTMAX, RILL_MULTIHEAD_LINEAR } rill_multihead_kind;

/* With heads × key_dim = query.outputs = key.outputs and heads × value_dim = value.outputs = output.inputs.
 */
typedef struct rill_multihead {
    rill_multihead_kind kind;
    size_t heads;
    float epsilon; /* of the linear kind's normalizer; 0 means 1e-6, as the authors' */
    rill_dense_weights query, key, value, output;
    /* Softmax only, for nn.MultiheadAttention's add_bias_kv and add_zero_attn: a learned key and value
     * [key.outputs], [value.outputs] or NULL, and a key and value of zeros, each one more after the others
     * that every query sees. */
    const float *extra_key, *extra_value;
    bool zero_key;
} rill_multihead;

/* RILL_OK when the dimensions fit each other; else RILL_BAD_ARGUMENT and why. Real-time safe. */
RILL_API rill_status rill_multihead_check(const rill_multihead *multihead, rill_error *why);

/* Finds the weights under the names that start with prefix ("layers.0.self_attn.", "" for a module alone):
 *
 *     nn.MultiheadAttention   in_proj_weight or q_proj_weight, k_proj_weight, v_proj_weight; in_proj_bias;
 *                             out_proj.weight, out_proj.bias; bias_k, bias_v
 *     fast-transformers       {query,key,value,out}_projection.{weight,bias}
 *
 * All biases may be absent. RILL_OK, or RILL_BAD_FORMAT (missing, of the wrong shape, not finite),
 * RILL_UNSUPPORTED (not F32), RILL_BAD_ARGUMENT (heads that do not divide the rows). Everything stays the
 * weights'; zero_key and epsilon are for the caller to set. Does not allocate. */
RILL_API rill_status rill_multihead_read(const rill_weights *weights, const char *prefix,
                                         rill_multihead_kind kind, size_t heads, rill_multihead *multihead,
                                         rill_error *why);

/* Which query sees which key. Zeroed: each sees all. Pointers are borrowed for the call. */
typedef struct rill_sight {
    bool causal;                        /* key j is seen from query i when j ≤ i */
    bool windowed;                      /* … and when i − window_before ≤ j ≤ i + window_after */
    size_t window_before, window_after; /* RILL_UNBOUNDED: that side is open */
    /* … and where mask is true: row of query i, head h at mask + h · mask_head_stride + i ·
     * mask_query_stride, keys_length values; strides of 0: one row for all, which hides padding. */
    const bool *mask;
    size_t mask_head_stride, mask_query_stride;
    const float *bias; /* added to the scores, laid out as the mask; −∞ hides a key */
    size_t bias_head_stride, bias_query_stride;
} rill_sight;
/* The linear kind knows causal and a mask with strides of 0, and asserts that nothing else is asked for. */

typedef struct rill_multihead_input {
    size_t queries_length, keys_length; /* 0 is allowed */
    const float *queries;               /* [queries_length][query.inputs] */
    const float *keys;                  /* [keys_length][key.inputs] */
    const float *values;                /* [keys_length][value.inputs] */
    rill_sight sight;
    /* Softmax only, when not NULL: gets α′, what each query gives to each key,
     * [heads][queries_length][keys_length + extra keys]. */
    float *weights;
} rill_multihead_input;

/* Bytes of the workspace that rill_multihead_apply needs. Real-time safe. */
RILL_API size_t rill_multihead_workspace_size(const rill_multihead *multihead, size_t queries_length,
                                              size_t keys_length);

/* output [queries_length][output.outputs] may not overlap the inputs; workspace is the caller's, aligned as
 * malloc aligns, overlaps nothing and holds nothing between calls. The multihead must be one that
 * rill_multihead_check accepts. Real-time safe; takes time in proportion to queries × keys, the linear kind
 * to queries + keys. */
RILL_API void rill_multihead_apply(const rill_multihead *multihead, const rill_multihead_input *input,
                                   float *output, void *workspace);

#ifdef __cplusplus
}
#endif
#endif
