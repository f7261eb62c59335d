/* SPDX-License-Identifier: MIT */
/* Linear attention as a recurrence with a state of constant size (Katharopoulos et al., 2006.16236), and the
 * models that change its state by more than a sum.
 *
 * For each head, with decay g_t = exp(log_decay_t), a number or a vector over key_dim (1 where there is
 * none):
 *
 *     S_t = diag(g_t) S_{t-1} + φ(k_t) v_tᵀ                          linear, gated       [key_dim][value_dim]
 *     S_t = S' + β_t k_t (v_t − S'ᵀ k_t)ᵀ, S' = diag(g_t) S_{t-1}    delta, gated delta
 *     S_t = (diag(g_t) + b_t a_tᵀ) S_{t-1} + k_t v_tᵀ                rank one
 *     z_t = g_t z_{t-1} + φ(k_t)                                     linear, gated       [key_dim]
 *     o_t = scale φ(q_t)ᵀ S_t                                        without a normalizer (ONNX opset 27)
 *     o_t = φ(q_t)ᵀ S_t / (φ(q_t)·z_t + ε)                           with one (2006.16236, eq. 18–20)
 *     o_t = scale q_tᵀ (S_{t-1} + diag(u) k_t v_tᵀ)                  with a bonus u (2404.05892, RWKV-6)
 *
 * The rank-one transition holds all the others: with a = g k and b = −β k it is gated delta on values β v.
 * Which model is which:
 */
/* clang-format off */
/*   model                                 rule         decay      beta        also
 *     linear attention (2006.16236)         LINEAR       NONE                   normalize, φ
 *     RetNet (2307.08621), LS-EEND          GATED        HEAD
 *     Mamba-2, SSD (2405.21060)             GATED        STEP_HEAD              q = C, k = B, v = dt x, log g = dt A
 *     GLA (2312.06635)                      GATED        STEP_KEY
 *     Mamba (2312.00752)                    GATED        STEP_KEY               a head for each channel: q = C, k = B,
 *                                                                               v = dt x, value_dim 1, log g = dt A
 *     HGRN (2311.04823)                     GATED        STEP_HEAD              a head for each channel, 1 x 1: q = k = 1
 *     RWKV-6 (2404.05892)                   GATED        STEP_KEY               bonus
 *     DeltaNet (2102.11174, 2406.06484)     DELTA        NONE       STEP_HEAD
 *     Gated DeltaNet (2412.06464)           GATED_DELTA  STEP_HEAD  STEP_HEAD
 *     Kimi delta attention (2510.26692)     GATED_DELTA  STEP_KEY   STEP_HEAD   keys repeated over the value heads
 *     gated DeltaProduct (2502.10297)       GATED_DELTA  STEP_HEAD  STEP_HEAD   n steps a token: decay in its first,
 *                                                                               read in its last
 *     RWKV-7 (2503.14456), DPLR             RANK_ONE     STEP_KEY               a = −κ̂, b = κ̂ (in-context rate)
 *     Gated DeltaNet with two gates (GDN-2) RANK_ONE     STEP_KEY               a = g (gate k), b = −k, v gated */
/* clang-format on */
/* All functions take φ(q) and φ(k): a feature map is a separate, replaceable line (<rill/feature_map.h>), and
 * so is all that a model does to its keys before (to give them length 1, to repeat them over heads).
 *
 * Every form is the same function (state, sequence) → (state, output); the forms differ only in the order of
 * the sums. They may be mixed at will: prefill a prefix in chunks, then step (a step is a sequence of length
 * 1).
 *
 *     form         work of a step                            passes over the state
 *     recurrent    key_dim × value_dim                       one or two each step
 *     chunkwise    the same, and a share of its chunk        one or two each chunk
 *     parallel     length × (key_dim + value_dim)            one
 *     noncausal    write all, then read: every output sees the whole sequence
 *
 * Shapes are time-major: queries [length][query_heads][key_dim], keys [length][heads][key_dim], values
 * [length][heads][value_dim], output [length][query_heads][value_dim]. Query head h reads state head
 * h / (query_heads / heads).
 *
 * One bad step never poisons a state. A step is bad for a head when its key, value, beta or transition
 * vectors hold a NaN or an infinity, or its log decay is NaN or above 0. It leaves that head's state as it
 * was, in every form, and no other step feels it; the outputs of the query heads that read that head are NaN
 * in that step, in the non-causal form too. A log decay of −∞ is g = 0: it forgets everything before the
 * step. A query (or bonus) that is not finite spoils its own output rows only. Finite numbers whose products
 * overflow float (chunkwise with a decay: come within 2¹⁶ of that) are the caller's, and so are transitions
 * that make the state grow: β|k|² beyond 2, |b||a| beyond what the decay takes away.
 *
 * Threads: all functions are pure in their arguments; two threads may work on two states at once.
 * Real time: nothing here allocates, locks or makes a system call. Stack: below 96 KiB. */
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
     * it, use a decay, or a steady state (<rill/steady_state.h>) when a stream may last longer. */
    RILL_RULE_LINEAR,
    RILL_RULE_GATED,       /* S = g S + k vᵀ */
    RILL_RULE_DELTA,       /* S += β k (v − Sᵀk)ᵀ */
    RILL_RULE_GATED_DELTA, /* S = g S, then the same */
    RILL_RULE_RANK_ONE     /* S = (diag(g) + b aᵀ) S + k vᵀ; its decay may be NONE */
} rill_update_rule;

typedef enum rill_decay {
    RILL_DECAY_NONE,      /* the linear and the delta rule */
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
    bool normalize;     /* divide by φ(q)·z + epsilon: linear and gated rule only */
    float epsilon;      /* 1e-6 in the authors' code; used only with normalize */
    float scale;        /* of the output without a normalizer; ONNX's default is 1/√key_dim */
} rill_attention_shape;

/* RILL_OK when the fields are consistent and the state's size fits in size_t; else RILL_BAD_ARGUMENT and why.
 */
RILL_API rill_status rill_attention_check(const rill_attention_shape *shape, rill_error *why);

/* Bytes of one state: heads × key_dim × value_dim floats of S, heads × key_dim of z when normalized, rounded
 * up to a multiple of 64. The shape must be one that rill_attention_check accepts. */
RILL_API size_t rill_attention_size(const rill_attention_shape *shape);

/* The empty history, S = 0 and z = 0, in the caller's memory of rill_attention_size bytes, aligned for float:
 * to 64 bytes is fastest, for a step takes 1.3 to 1.5 times as long where vectors cross a line of the cache.
 * A state holds no pointers: memcpy moves it, a copy forks it. */
RILL_API void rill_attention_init(const rill_attention_shape *shape, void *state);

/* Forgets everything: the same as init. */
RILL_API void rill_attention_reset(const rill_attention_shape *shape, void *state);

/* A sequence to be pushed through a state. Pointers are borrowed for the call; those that the rule does not
 * name are NULL. Best written with names: fields may be added, and 0 always means absent. */
typedef struct rill_sequence {
    size_t length;          /* steps; 0 is allowed and does nothing */
    const float *queries;   /* φ(q) [length][query_heads][key_dim] */
    const float *keys;      /* φ(k) [length][heads][key_dim] */
    const float *values;    /* [length][heads][value_dim] */
    const float *log_decay; /* −∞ … 0, shape by rill_decay; NULL for RILL_DECAY_NONE, and only then */
    const float *beta;      /* [length][heads], the delta rules: how much of the old value is replaced */
    bool beta_is_shared;    /* beta is [length], one for all heads */
    /* a and b of the rank-one rule, each [length][heads][key_dim] */
    const float *transition_read, *transition_write;
    /* u [heads][key_dim] or NULL: linear and gated rule without a normalizer, in the causal forms. With it a
     * query reads the state as it was before its step, and of its own step u · k vᵀ. */
    const float *bonus;
    /* Of the state heads only head_count from first_head on, 0: all, and the query heads that read them.
     * Arrays, state and output are still those of all heads; what belongs to the others is not touched. Heads
     * know nothing of each other, so threads may share out the heads of one state. In the causal forms and
     * rill_attention_write. */
    size_t first_head, head_count;
} rill_sequence;

/* A form: pushes the sequence through the state. The shape must be one that rill_attention_check accepts;
 * output [length][query_heads][value_dim] may not overlap the inputs or the state. */
typedef void rill_attention_form(const rill_attention_shape *shape, void *state,
                                 const rill_sequence *sequence, float *output);

/* Step by step, every one through the whole state. */
RILL_API void rill_attention_recurrent(const rill_attention_shape *shape, void *state,
                                       const rill_sequence *sequence, float *output);

/* The same function, computed chunk by chunk: several steps for one pass over the state, in the WY form where
 * the state is not only summed up (2406.06484, section 3; Bischof & Van Loan 1987). Agrees with
 * rill_attention_recurrent to rounding on every split of a sequence, after any history. */
RILL_API void rill_attention_chunkwise(const rill_attention_shape *shape, void *state,
                                       const rill_sequence *sequence, float *output);

/* The same function as a masked quadratic form (2006.16236, eq. 8; the delta rules by forward
 * substitution, 2406.06484): every step looks back at every step before it, and at the state they came after.
 * Takes length² time. workspace: rill_attention_parallel_size(shape, length) bytes aligned for float, the
 * caller's, overlapping nothing; it holds nothing between calls. */
RILL_API void rill_attention_parallel(const rill_attention_shape *shape, void *state,
                                      const rill_sequence *sequence, float *output, void *workspace);

/* (key_dim + length · (floats of decay a head and step + value_dim when the rule takes away)) floats */
RILL_API size_t rill_attention_parallel_size(const rill_attention_shape *shape, size_t length);

/* Takes in the keys and values of a whole sequence without reading: queries and bonus are not looked at.
 * Returns how many pairs of a head and a step were bad and left out. */
RILL_API size_t rill_attention_write(const rill_attention_shape *shape, void *state,
                                     const rill_sequence *sequence);

/* Reads the state as it is: output [count][query_heads][value_dim] of queries [count][query_heads][key_dim].
 * Cross attention is rill_attention_write of the one sequence, once, and rill_attention_read of the other. */
RILL_API void rill_attention_read(const rill_attention_shape *shape, const void *state, size_t count,
                                  const float *queries, float *output);

/* Not causal: writes the whole sequence, then reads every query (2006.16236, eq. 5–6). Without a bonus. On
 * splits it is another function: what comes later is not seen. */
RILL_API void rill_attention_noncausal(const rill_attention_shape *shape, void *state,
                                       const rill_sequence *sequence, float *output);

/* A batch of padded sequences of different lengths, each through its own state: states [count] of
 * rill_attention_size bytes one behind the other; padded->length is that of the longest, and every array of
 * padded has [count] in front (a RILL_DECAY_HEAD decay and a bonus do not: they are shared); lengths [count],
 * each at most padded->length. Steps from a sequence's length on are not read and their outputs are 0. */
RILL_API void rill_attention_batch(const rill_attention_shape *shape, rill_attention_form *form, size_t count,
                                   void *states, const rill_sequence *padded, const size_t *lengths,
                                   float *output);

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
