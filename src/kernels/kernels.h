/* SPDX-License-Identifier: MIT */
/* The only room that knows what a CPU is: one table of function pointers, each with its formula.
 *
 * reference.c gives each its plain meaning, sums in double; vector_*.c compute the same in float, compiled
 * once per instruction set; dispatch.c chooses. Every table is checked against the reference on random shapes
 * (tests/test_kernels.c). Nothing here allocates. Pointers need no alignment; outputs may not overlap inputs
 * unless said. */
#ifndef RILL_KERNELS_H
#define RILL_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/status.h>
#include <rill/steady_state.h>

/* Some state heads' share of a sequence, side by side. Rows of successive steps lie stride floats apart
 * (time-major storage). query_group query heads, 1 …, read each state. */
typedef struct rill_heads_sequence {
    size_t length, heads, query_group;
    const float *queries;   /* φ(q): row t at queries + t · query_stride, [heads][query_group][key_dim] */
    const float *keys;      /* φ(k), [heads][key_dim] */
    const float *values;    /* [heads][value_dim] */
    const float *log_decay; /* [heads] or, decay_per_key, [heads][key_dim]; NULL: no decay */
    const float *beta;      /* [heads] or, beta_is_shared, one for all of them; NULL: not a delta rule */
    size_t query_stride, key_stride, value_stride, beta_stride;
    size_t decay_stride; /* 0: the same at every step */
    bool decay_per_key, beta_is_shared;
    float *output; /* [heads][query_group][value_dim] a row */
    size_t output_stride;
    size_t ahead; /* 0, or: the rows that many steps on, as many, will be wanted next, and may be fetched */
    bool
        in_order; /* and in the order of their addresses: they lie side by side, and fit a cache until then */
    bool fetched; /* so were these */
    bool finite;  /* keys and values are: those that take several steps for a pass need not look */
} rill_heads_sequence;

/* Matrices whose rows lie stride floats apart; a may be a matrix or, by its strides, its transpose. */
typedef struct rill_matrix_product {
    size_t rows, inner, columns;
    const float *a; /* element (r, i) at a + r · a_row_stride + i · a_column_stride */
    size_t a_row_stride, a_column_stride;
    const float *b; /* [inner][columns] */
    size_t b_stride;
    const float *decay; /* [rows]; NULL: 1 */
    float *out;         /* [rows][columns] */
    size_t out_stride;
} rill_matrix_product;

/* Rows of dim floats that lie anywhere. */
typedef struct rill_rows {
    size_t count, dim;
    const float *const *rows;
} rill_rows;

/* How the weights of a dense layer are stored: a bfloat16 is the upper half of a float. */
typedef enum rill_weight_type { RILL_WEIGHTS_F32, RILL_WEIGHTS_BF16, RILL_WEIGHTS_I8 } rill_weight_type;

/* Outputs that lie together, and weights of one output in a 32-bit word: 1, 2 or 4, the first lowest. */
#define RILL_PACKED_COLUMNS ((size_t)32)
static inline size_t rill_packed_in_word(rill_weight_type type) {
    return (size_t)1 << type;
}

/* A dense layer as its kernel reads it: from its first word to its last, whole registers, no row summed
 * across. Outputs and inputs beyond the layer's own are zeros, so that every block and word is full. */
typedef struct rill_packed_dense {
    size_t inputs, outputs;
    rill_weight_type type;
    const uint32_t *words; /* [⌈outputs / 32⌉][⌈inputs / in a word⌉][32] */
    const float *scales;   /* [outputs]: what an I8 is multiplied by; NULL: 1 */
    const float *bias;     /* [outputs] */
} rill_packed_dense;

/* The keys or values that a steady state keeps of a head: panels of 16 columns, in each of them the columns
 * of every kept step, [⌈dim / 16⌉][RILL_STEADY_BLOCK_STEPS][16], zeros beyond dim. */
#define RILL_STEADY_PANEL ((size_t)16)
static inline size_t rill_steady_kept_floats(size_t dim) {
    return (dim + RILL_STEADY_PANEL - 1) / RILL_STEADY_PANEL * RILL_STEADY_PANEL * RILL_STEADY_BLOCK_STEPS;
}

/* Where column i of the step at that place lies among them. */
static inline size_t rill_steady_kept_at(size_t place, size_t i) {
    return i / RILL_STEADY_PANEL * RILL_STEADY_PANEL * RILL_STEADY_BLOCK_STEPS + place * RILL_STEADY_PANEL +
           i % RILL_STEADY_PANEL;
}

/* A step of the linear rule through a steady state. */
typedef struct rill_steady_step {
    size_t heads, query_group, key_dim, value_dim;
    size_t
        place; /* of the step among the kept ones, and the slice of rows that is folded: below their count */
    float *S, *z;                   /* totals, as a plain state's; z NULL: no normalizer */
    float *S_lost, *z_lost;         /* what their sums have taken too much */
    float *kept_keys, *kept_values; /* [heads], rows of keys 0 where they are folded */
    const float *queries;           /* [heads][query_group][key_dim] */
    const float *keys, *values;     /* [heads][key_dim], [heads][value_dim]; keys NULL: nothing comes in */
    float epsilon, scale;
    float *output; /* [heads][query_group][value_dim] */
} rill_steady_step;

/* Rows of S beyond which the delta kernels do not go: all of a column are read before any is written. */
#define RILL_DELTA_KEY_DIM_MAX ((size_t)128)

typedef struct rill_kernels {
    const char *name;

    /* y[n][o] = bias[o] + Σ_i weight[o][i] x[n][i]; x [count][inputs], weight [outputs][inputs], y
     * [count][outputs] */
    void (*dense)(size_t count, size_t inputs, size_t outputs, const float *x, const float *weight,
                  const float *bias, float *y);

    /* y[n][o] = bias[o] + scales[o] Σ_i weight[o][i] x[n][i]; x [count][inputs], y [count][outputs]. With
     * int8 weights, x may be rounded by 2⁻³⁰ of the largest of its row (by 2⁻¹²⁷ where all are tiny), and a
     * row that is not finite gives NaN. */
    void (*packed_dense)(size_t count, const rill_packed_dense *layer, const float *x, float *y);

    /* y = (x − mean) / √(variance + epsilon) · weight + bias over each row of dim; x, y [count][dim]; y may
     * be x */
    void (*layer_norm)(size_t count, size_t dim, const float *x, const float *weight, const float *bias,
                       float epsilon, float *y);

    /* y[i] = elu(x[i]) + 1 = x[i] + 1 for x[i] > 0, else exp(x[i]); y may be x. The exponential is within 2
     * units in the last place, subnormal results to half the smallest one more; exp(−∞) = 0; NaN stays. */
    void (*elu1)(size_t count, const float *x, float *y);

    /* y[i] = exp(x[i]), as exact as elu1's; ∞ where the result is above FLT_MAX; y may be x */
    void (*exponential)(size_t count, const float *x, float *y);

    /* y[i] = x[i] · sigmoid(x[i]), absolute error below 1e-36 where the result is not normal; y may be x.
     * silu(−∞) = −∞ · 0 = NaN. */
    void (*silu)(size_t count, const float *x, float *y);

    /* y[i] = a[i] · sigmoid(b[i]); y may be a or b */
    void (*gate)(size_t count, const float *a, const float *b, float *y);

    /* Causal depthwise convolution: y[t][c] = bias[c] + Σ_j weight[c][j] x[t + j][c], j < taps, oldest tap
     * first; x [count + taps − 1][channels], weight [channels][taps] or, when tap_major and faster,
     * [taps][channels], y [count][channels]; bias NULL: 0 */
    void (*depthwise)(size_t count, size_t channels, size_t taps, const float *x, const float *weight,
                      bool tap_major, const float *bias, float *y);

    /* true when low ≤ x[i] ≤ high for every i (so never with a NaN), and when count is 0 */
    bool (*within)(size_t count, const float *x, float low, float high);

    /* The step is kept in its place. o = qᵀ(S + Σ k vᵀ) · factor over the kept steps, factor = scale or 1 /
     * (q·(z + Σ k) + ε). Then the rows d of the slice, from key_dim · place / kept steps on, are folded: S_d
     * += Σ k_d vᵀ and z_d += Σ k_d, each sum on its own first, what its addition rounds away kept in lost
     * (Kahan, CACM 8(1), 1965), and k_d = 0. Keys and values are finite; a query that is not spoils its own
     * output row only. */
    void (*steady_step)(const rill_steady_step *step);

    /* out[r][m] = decay[r] out[r][m] + Σ_i a(r, i) b[i][m]: several steps' reads of a state, or their writes
     */
    void (*product)(const rill_matrix_product *product);

    /* y[j] = scale Σ_i query[i] keys[j][i], the same bits wherever a key stands. next, here and below: NULL,
     * or rows that will be wanted next and may be fetched. */
    void (*score)(const rill_rows *keys, float scale, const float *query, const rill_rows *next, float *y);

    /* y[m] += Σ_j weights[j] values[j][m] */
    void (*mix)(const rill_rows *values, const float *weights, const rill_rows *next, float *y);

    /* The linear and gated recurrence of <rill/attention.h> step by step: S [heads][key_dim][value_dim]
     * and, when z is not NULL, z [heads][key_dim] are taken on and left behind; output is multiplied by
     * scale, or normalised when z is given. Keys and values are finite, log_decay ≤ 0 (−∞ forgets
     * everything); a query that is not finite spoils its own output row only. */
    void (*recurrent)(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                      const rill_heads_sequence *sequence);

    /* The same, several steps for one pass over S. Returns how many steps it took, all of one head before any
     * of the next: heads · length or, unless sequence->finite, fewer where those to come next may hold a key
     * or a value that is not finite, which has changed nothing yet. */
    size_t (*chunk)(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                    const rill_heads_sequence *sequence);

    /* The delta rules step by step: S = g S; S += k (β (v − kᵀS))ᵀ; o = scale · qᵀS. key_dim ≤
     * RILL_DELTA_KEY_DIM_MAX; β is finite. */
    void (*delta_recurrent)(size_t key_dim, size_t value_dim, float *S, float scale,
                            const rill_heads_sequence *sequence);

    /* The same, several steps for one pass over S, as chunk does. */
    size_t (*delta_chunk)(size_t key_dim, size_t value_dim, float *S, float scale,
                          const rill_heads_sequence *sequence);

    /* So many steps at a time are enough for both, where a head has more than 64 keys or values. */
    size_t wide_block_steps;
} rill_kernels;

/* The table in use: what this CPU does best, or RILL_KERNELS=name when the CPU can run it (an unknown name,
 * or one it cannot run, is as if unset: ask rill_kernels_name()). Chosen at the first call, the same for
 * every thread. Exported for rill's own libraries; no part of the public interface. */
RILL_API const rill_kernels *rill_kernels_get(void);

/* Every table that was compiled in, the reference first; *runs_here tells whether this CPU can run it. NULL
 * past the end. */
RILL_API const rill_kernels *rill_kernels_at(size_t index, bool *runs_here);

/* Bytes of a core's second-level cache. */
size_t rill_second_level_size(void);

/* Puts a table that runs here in the place of the chosen one, for measurements: while no other thread is in
 * the library. */
void rill_kernels_use(const rill_kernels *table);

#endif
