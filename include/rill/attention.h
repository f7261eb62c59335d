/* SPDX-License-Identifier: MIT */
/* Linear attention as a recurrence with a state of constant size (Katharopoulos et al., 2006.16236).
 *
 * For each head, with decay g_t = exp(log_decay_t) (g = 1 for RILL_RULE_LINEAR):
 *
 *     S_t = g_t S_{t-1} + φ(k_t) v_tᵀ          [key_dim][value_dim]
 *     z_t = g_t z_{t-1} + φ(k_t)               [key_dim]
 *     o_t = scale φ(q_t)ᵀ S_t                                       without a normalizer (ONNX opset 27)
 *     o_t = φ(q_t)ᵀ S_t / (φ(q_t)·z_t + ε)                          with one (2006.16236, eq. 18–20)
 *
 * All functions take φ(q) and φ(k): a feature map is a separate, replaceable line (rill_feature_map_*).
 *
 * Every form is the same function (state, sequence) → (state, output); the forms differ only in the order of
 * the sums. They may be mixed at will: prefill a prefix in chunks, then step.
 *
 * Shapes are time-major: queries [length][query_heads][key_dim], keys [length][heads][key_dim], values
 * [length][heads][value_dim], output [length][query_heads][value_dim]. Query head h reads state head
 * h / (query_heads / heads).
 *
 * Threads: all functions are pure in their arguments; two threads may work on two states at once.
 * Real time: nothing here allocates, locks or makes a system call. */
#ifndef RILL_ATTENTION_H
#define RILL_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rill_update_rule {
    /* S += k vᵀ: no decay. S and z grow with the sequence, and plain float sums drift: relative error about
     * 1.5e-5 after 10⁶ steps, 5e-3 after 10⁷ (28 hours at 100 steps a second), and worse from there. Reset
     * it, or use a decay, when a stream may last longer. */
    RILL_RULE_LINEAR,
    RILL_RULE_GATED /* S = g S + k vᵀ */
} rill_update_rule;

typedef enum rill_decay {
    RILL_DECAY_NONE,      /* the linear rule */
    RILL_DECAY_HEAD,      /* log decay [heads], the same at every step (RetNet; the shipped encoder) */
    RILL_DECAY_STEP_HEAD, /* log decay [length][heads] (Mamba-2, ONNX) */
    RILL_DECAY_STEP_KEY   /* log decay [length][heads][key_dim] (GLA, ONNX) */
} rill_decay;

/* What a state is a state of. Plain values; the size of a state depends on nothing else. */
typedef struct rill_attention_shape {
    rill_update_rule rule;
    rill_decay decay;
    size_t heads;       /* key and value heads, 1 … */
    size_t query_heads; /* a multiple of heads */
    size_t key_dim;     /* dimension of φ(q) and φ(k), 1 … */
    size_t value_dim;   /* 1 … */
    bool normalize;     /* divide by φ(q)·z + epsilon */
    float epsilon;      /* 1e-6 in the authors' code; used only with normalize */
    float scale;        /* of the output without a normalizer; ONNX's default is 1/√key_dim */
} rill_attention_shape;

/* RILL_OK when the fields are consistent and the state's size fits in size_t; else RILL_BAD_ARGUMENT and why.
 */
RILL_API rill_status rill_attention_check(const rill_attention_shape *shape, rill_error *why);

/* Bytes of one state: heads × key_dim × value_dim floats of S, heads × key_dim of z when normalized, rounded
 * up to a multiple of 64. The shape must be one that rill_attention_check accepts. */
RILL_API size_t rill_attention_size(const rill_attention_shape *shape);

/* The empty history, S = 0 and z = 0, in the caller's memory of rill_attention_size bytes, aligned for float.
 * A state holds no pointers: memcpy moves it, a copy forks it. */
RILL_API void rill_attention_init(const rill_attention_shape *shape, void *state);

/* Forgets everything: the same as init. */
RILL_API void rill_attention_reset(const rill_attention_shape *shape, void *state);

/* A sequence to be pushed through a state. Pointers are borrowed for the call. */
typedef struct rill_sequence {
    size_t length;          /* steps; 0 is allowed and does nothing */
    const float *queries;   /* φ(q) [length][query_heads][key_dim] */
    const float *keys;      /* φ(k) [length][heads][key_dim] */
    const float *values;    /* [length][heads][value_dim] */
    const float *log_decay; /* −∞ … 0, shape by rill_decay; NULL for RILL_DECAY_NONE, and only then */
} rill_sequence;

/* Step by step, one pass over the state for each. The shape must be one that rill_attention_check accepts;
 * output [length][query_heads][value_dim] may not overlap the inputs or the state.
 *
 * One bad frame never poisons a state: a step with a key or value that is NaN or infinite, or a log decay
 * that is NaN or above 0, in any entry of a head leaves that head's state as it was, and the outputs of the
 * query heads that read it are NaN in that step. A log decay of −∞ is g = 0: it forgets everything before the
 * step. A query that is not finite spoils its own output only. Finite keys and values whose products overflow
 * float are the caller's. */
RILL_API void rill_attention_recurrent(const rill_attention_shape *shape, void *state,
                                       const rill_sequence *sequence, float *output);

/* The same function, computed chunk by chunk: several steps for one pass over the state. Agrees with
 * rill_attention_recurrent to rounding on every split of a sequence, after any history. */
RILL_API void rill_attention_chunkwise(const rill_attention_shape *shape, void *state,
                                       const rill_sequence *sequence, float *output);

/* out = elu(x) + 1 = x + 1 for x > 0, exp(x) otherwise, count values (2006.16236, eq. 7). out may be x. */
RILL_API void rill_feature_map_elu1(size_t count, const float *x, float *out);

/* The kernels in use, e.g. "avx512": chosen once by what the CPU has, or by the environment variable
 * RILL_KERNELS=name when this CPU can run that table; a name it does not know or cannot run is ignored.
 * Static text. */
RILL_API const char *rill_kernels_name(void);

#ifdef __cplusplus
}
#endif
#endif
