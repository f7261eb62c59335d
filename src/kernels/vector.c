/* SPDX-License-Identifier: MIT */
/* The kernels in float, in the compilers' vector types of exactly one register. Compiled once per instruction
 * set by src/CMakeLists.txt, which defines
 *   RILL_VECTOR_TABLE, RILL_VECTOR_NAME   the table's symbol and name
 *   RILL_VECTOR_BYTES                     bytes of a register (a wider type is many times slower)
 *   RILL_VECTOR_REGISTERS                 how many of them there are
 * Tiles are arrays of vectors with constant bounds, which the compilers unroll and keep in registers. Needs
 * __builtin_shufflevector: gcc 12, any clang. */
#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/tables.h"

#define INLINE static inline __attribute__((always_inline))

typedef float vector __attribute__((vector_size(RILL_VECTOR_BYTES)));
typedef int32_t integers __attribute__((vector_size(RILL_VECTOR_BYTES)));
typedef uint32_t bits __attribute__((vector_size(RILL_VECTOR_BYTES)));
typedef float quad __attribute__((vector_size(16)));

enum { lanes = RILL_VECTOR_BYTES / sizeof(float), many_registers = RILL_VECTOR_REGISTERS >= 32 };

INLINE vector load(const float *from) {
    vector v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void store(float *to, vector v) {
    memcpy(to, &v, sizeof v);
}

/* the first count < lanes values, zeros after them */
INLINE vector load_part(const float *from, size_t count) {
    float v[lanes] = {0};
    for (size_t i = 0; i < count; i++) v[i] = from[i];
    return load(v);
}

INLINE void store_part(float *to, size_t count, vector from) {
    float v[lanes];
    store(v, from);
    for (size_t i = 0; i < count; i++) to[i] = v[i];
}

INLINE vector load_up_to(const float *from, size_t count) {
    return count >= lanes ? load(from) : load_part(from, count);
}

INLINE void store_up_to(float *to, size_t count, vector v) {
    if (count >= lanes)
        store(to, v);
    else
        store_part(to, count, v);
}

INLINE vector splat(float x) {
    return x - (vector){0};
}

INLINE vector choose(integers mask, vector yes, vector no) {
    return (vector)(((integers)yes & mask) | ((integers)no & ~mask));
}

INLINE quad fold(vector v) {
    quad part[lanes / 4];
    memcpy(part, &v, sizeof v);
    quad sum = part[0];
    for (size_t i = 1; i < lanes / 4; i++) sum += part[i];
    return sum;
}

/* the sums of four vectors, side by side */
INLINE quad sums(vector a, vector b, vector c, vector d) {
    quad fa = fold(a), fb = fold(b), fc = fold(c), fd = fold(d);
    quad ab = __builtin_shufflevector(fa, fb, 0, 4, 1, 5) + __builtin_shufflevector(fa, fb, 2, 6, 3, 7);
    quad cd = __builtin_shufflevector(fc, fd, 0, 4, 1, 5) + __builtin_shufflevector(fc, fd, 2, 6, 3, 7);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

INLINE float sum(vector v) {
    quad q = fold(v);
    return (q[0] + q[2]) + (q[1] + q[3]);
}

/* exp(x) = 2ⁿ exp(r), n = round(x / ln 2), |r| ≤ ln 2 / 2: exp(r) = 1 + r + r² p(r) with p the minimax
 * polynomial of degree 4 (relative error 3e-9). Adding 1.5 · 2²³ rounds to an integer and leaves it in the
 * low bits. 2ⁿ is applied in two halves, so that subnormal results round once and those above FLT_MAX become
 * ∞. A NaN fails both comparisons and stays NaN. */
INLINE vector exponential(vector x) {
    const vector magic = splat(12582912.0f);
    x = choose(x > splat(89.0f), splat(89.0f), x);
    x = choose(x < splat(-104.0f), splat(-104.0f), x);
    vector shifted = x * splat(1.44269504f) + magic;
    vector n = shifted - magic;
    vector r = x - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
    vector p = splat(0x1.6a242cp-10f);
    p = p * r + splat(0x1.1239e8p-7f);
    p = p * r + splat(0x1.5558f2p-5f);
    p = p * r + splat(0x1.555492p-3f);
    p = p * r + splat(0x1.fffffcp-2f);
    p = (p * r) * r + r + splat(1.0f);
    bits exponent = (bits)shifted - (bits)magic;
    bits half = (bits)((integers)exponent >> 1);
    vector scale_low = (vector)((half + 127) << 23);
    vector scale_high = (vector)((exponent - half + 127) << 23);
    return p * scale_low * scale_high;
}

/* Σ weight[i] x[i] for i from start on: what is left over of a row */
INLINE float rest_of_row(size_t start, size_t inputs, const float *weight, const float *x) {
    float total = 0;
    for (size_t i = start; i < inputs; i++) total += weight[i] * x[i];
    return total;
}

/* y[f][o] = bias[o] + weight[o]·x[f] for frames × rows of them, both constant, rows a multiple of 4; several
 * rows at a time, for a sum waits for its last FMA. One frame is bound by reading the weights: the tile at
 * next is fetched meanwhile, in the order of its addresses, which four streams of rows are not. */
INLINE void dense_tile(size_t frames, size_t rows, size_t inputs, size_t outputs, const float *restrict x,
                       const float *restrict weight, const float *next, const float *restrict bias,
                       float *restrict y) {
    vector product[4][4];
    for (size_t f = 0; f < frames; f++)
        for (size_t o = 0; o < rows; o++) product[f][o] = splat(0);
    size_t i = 0;
    for (; i + lanes <= inputs; i += lanes) {
        vector frame[4];
        for (size_t f = 0; f < frames; f++) frame[f] = load(x + f * inputs + i);
        for (size_t line = 0; frames == 1 && line < rows * lanes; line += 64 / sizeof(float))
            __builtin_prefetch(next + i * rows + line);
        for (size_t o = 0; o < rows; o++) {
            vector row = load(weight + o * inputs + i);
            for (size_t f = 0; f < frames; f++) product[f][o] += row * frame[f];
        }
    }
    for (size_t f = 0; f < frames; f++)
        for (size_t o = 0; o < rows; o += 4) {
            quad four;
            memcpy(&four, bias + o, sizeof four);
            four += sums(product[f][o], product[f][o + 1], product[f][o + 2], product[f][o + 3]);
            memcpy(y + f * outputs + o, &four, sizeof four);
        }
    for (size_t k = 0; k < frames * rows && i < inputs; k++)
        y[k / rows * outputs + k % rows] +=
            rest_of_row(i, inputs, weight + k % rows * inputs, x + k / rows * inputs);
}

INLINE void dense_row(size_t inputs, const float *x, const float *weight, const float *bias, float *y) {
    vector product = splat(0);
    size_t i = 0;
    for (; i + lanes <= inputs; i += lanes) product += load(weight + i) * load(x + i);
    *y = *bias + sum(product) + rest_of_row(i, inputs, weight, x);
}

INLINE void dense_frames(size_t frames, size_t inputs, size_t outputs, const float *x, const float *weight,
                         const float *bias, float *y) {
    enum { rows = 4 };
    size_t o = 0;
    for (; o + rows <= outputs; o += rows) {
        const float *tile = weight + o * inputs;
        const float *next = o + 2 * rows <= outputs ? tile + rows * inputs : tile;
        dense_tile(frames, rows, inputs, outputs, x, tile, next, bias + o, y + o);
    }
    for (; o < outputs; o++)
        for (size_t f = 0; f < frames; f++)
            dense_row(inputs, x + f * inputs, weight + o * inputs, bias + o, y + f * outputs + o);
}

static void dense(size_t count, size_t inputs, size_t outputs, const float *x, const float *weight,
                  const float *bias, float *y) {
    enum { frames = many_registers ? 4 : 3 };
    size_t n = 0;
    for (; n + frames <= count; n += frames)
        dense_frames(frames, inputs, outputs, x + n * inputs, weight, bias, y + n * outputs);
    for (; n < count; n++) dense_frames(1, inputs, outputs, x + n * inputs, weight, bias, y + n * outputs);
}

static void layer_norm(size_t count, size_t dim, const float *x, const float *weight, const float *bias,
                       float epsilon, float *y) {
    for (size_t n = 0; n < count; n++, x += dim, y += dim) {
        vector total = splat(0);
        float mean = 0, variance = 0;
        size_t i = 0;
        for (; i + lanes <= dim; i += lanes) total += load(x + i);
        for (; i < dim; i++) mean += x[i];
        mean = (mean + sum(total)) / (float)dim;
        total = splat(0);
        for (i = 0; i + lanes <= dim; i += lanes) {
            vector centred = load(x + i) - splat(mean);
            total += centred * centred;
        }
        for (; i < dim; i++) variance += (x[i] - mean) * (x[i] - mean);
        variance = (variance + sum(total)) / (float)dim;
        float factor = 1 / __builtin_sqrtf(variance + epsilon);
        for (i = 0; i + lanes <= dim; i += lanes)
            store(y + i, (load(x + i) - splat(mean)) * splat(factor) * load(weight + i) + load(bias + i));
        for (; i < dim; i++) y[i] = (x[i] - mean) * factor * weight[i] + bias[i];
    }
}

INLINE vector elu1_of(vector x) {
    return choose(x > splat(0), x + splat(1), exponential(x));
}

static void elu1(size_t count, const float *x, float *y) {
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) store(y + i, elu1_of(load(x + i)));
    if (i < count) store_part(y + i, count - i, elu1_of(load_part(x + i, count - i)));
}

INLINE vector gate_of(vector a, vector b) {
    return a / (splat(1) + exponential(-b));
}

static void gate(size_t count, const float *a, const float *b, float *y) {
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) store(y + i, gate_of(load(a + i), load(b + i)));
    if (i < count)
        store_part(y + i, count - i, gate_of(load_part(a + i, count - i), load_part(b + i, count - i)));
}

static void silu(size_t count, const float *x, float *y) {
    gate(count, x, x, y);
}

/* width ≤ lanes channels, frames of them (constant) */
INLINE void depthwise_tile(size_t frames, size_t width, size_t channels, size_t taps, const float *restrict x,
                           const float *restrict weight, const float *restrict bias, float *restrict y) {
    vector total[4];
    for (size_t t = 0; t < frames; t++) total[t] = bias ? load_up_to(bias, width) : splat(0);
    for (size_t j = 0; j < taps; j++) {
        float tap[lanes] = {0};
        for (size_t c = 0; c < width; c++) tap[c] = weight[c * taps + j];
        for (size_t t = 0; t < frames; t++) total[t] += load(tap) * load_up_to(x + (t + j) * channels, width);
    }
    for (size_t t = 0; t < frames; t++) store_up_to(y + t * channels, width, total[t]);
}

INLINE void depthwise_channels(size_t width, size_t count, size_t channels, size_t taps, const float *x,
                               const float *weight, const float *bias, float *y) {
    size_t t = 0;
    for (; t + 4 <= count; t += 4)
        depthwise_tile(4, width, channels, taps, x + t * channels, weight, bias, y + t * channels);
    for (; t < count; t++)
        depthwise_tile(1, width, channels, taps, x + t * channels, weight, bias, y + t * channels);
}

static void depthwise(size_t count, size_t channels, size_t taps, const float *x, const float *weight,
                      const float *bias, float *y) {
    size_t c = 0;
    for (; c + lanes <= channels; c += lanes)
        depthwise_channels(lanes, count, channels, taps, x + c, weight + c * taps, bias ? bias + c : NULL,
                           y + c);
    if (c < channels)
        depthwise_channels(channels - c, count, channels, taps, x + c, weight + c * taps,
                           bias ? bias + c : NULL, y + c);
}

static bool within(size_t count, const float *x, float low, float high) {
    integers outside = {0};
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        vector v = load(x + i);
        outside |= ~((v >= splat(low)) & (v <= splat(high)));
    }
    int32_t any = 0;
    for (size_t lane = 0; lane < lanes; lane++) any |= outside[lane];
    for (; i < count; i++) any |= !(x[i] >= low && x[i] <= high);
    return any == 0;
}

enum { product_columns_max = 8 }; /* of one row alone: a sum waits for its last FMA */

/* `rows` × `columns` vectors of the product, both constant; a single column may be `width` values wide. */
INLINE void product_tile(size_t rows, size_t columns, size_t width, const rill_matrix_product *p, size_t r,
                         size_t m) {
    vector total[4][product_columns_max];
    float *out = p->out + r * p->out_stride + m;
    for (size_t f = 0; f < rows; f++)
        for (size_t c = 0; c < columns; c++) {
            total[f][c] = load_up_to(out + f * p->out_stride + c * lanes, width);
            if (p->decay) total[f][c] *= splat(p->decay[r + f]);
        }
    const float *a = p->a + r * p->a_row_stride, *b = p->b + m;
    for (size_t i = 0; i < p->inner; i++, a += p->a_column_stride, b += p->b_stride) {
        vector row[product_columns_max];
        for (size_t c = 0; c < columns; c++) row[c] = load_up_to(b + c * lanes, width);
        for (size_t f = 0; f < rows; f++)
            for (size_t c = 0; c < columns; c++) total[f][c] += splat(a[f * p->a_row_stride]) * row[c];
    }
    for (size_t f = 0; f < rows; f++)
        for (size_t c = 0; c < columns; c++)
            store_up_to(out + f * p->out_stride + c * lanes, width, total[f][c]);
}

INLINE void product_rows(size_t rows, const rill_matrix_product *p, size_t r) {
    enum { columns = many_registers ? 4 : 2 };
    size_t m = 0;
    for (; rows == 1 && m + product_columns_max * lanes <= p->columns; m += product_columns_max * lanes)
        product_tile(1, product_columns_max, lanes, p, r, m);
    for (; m + columns * lanes <= p->columns; m += columns * lanes)
        product_tile(rows, columns, lanes, p, r, m);
    for (; m + lanes <= p->columns; m += lanes) product_tile(rows, 1, lanes, p, r, m);
    if (m < p->columns) product_tile(rows, 1, p->columns - m, p, r, m);
}

static void product(const rill_matrix_product *p) {
    size_t r = 0;
    for (; r + 4 <= p->rows; r += 4) product_rows(4, p, r);
    for (; r < p->rows; r++) product_rows(1, p, r);
}

/* ---- the linear and gated recurrence, `steps` steps for one pass over S ----
 *
 * With G_t = Π_{i ≤ t} g_i and G_{j→t} = Π_{j < i ≤ t} g_i (all ≤ 1: nothing is divided), steps
 * 0 … n − 1 give
 *
 *     S' = G_{n-1} S + Σ_j (G_{j→n-1} k_j) v_jᵀ
 *     o_t = (G_t q_t)ᵀ S + Σ_{j ≤ t} (q_tᵀ G_{j→t} k_j) v_j
 *
 * so every element of S meets its coefficients in registers: one load and one store for n steps. */

enum {
    steps_max = 4,
    block_rows = 128, /* rows of S prepared at a time, which bounds the stack */
    /* vectors of a row of S held at once: four steps need 8 registers a column, for out and value */
    wide = many_registers ? 2 : 1
};

typedef struct coefficients {
    float query[steps_max][block_rows]; /* G_t q_t */
    float key[steps_max][block_rows];   /* G_{j→n-1} k_j */
    float decay[block_rows];            /* G_{n-1} */
} coefficients;

typedef struct head_span {
    size_t key_dim, value_dim;
    float *S, *z;
    float epsilon, scale;
    const rill_head_sequence *sequence;
    size_t start; /* its first step */
    size_t group; /* the query head within the group */
} head_span;

/* What a query head sums up over key_dim: q_tᵀ G_{j→t} k_j for j ≤ t, at score_at(t, j); then (G_t q_t)·z, at
 * scores_max + t */
enum {
    scores_max = steps_max * (steps_max + 1) / 2,
    padded_products = (scores_max + steps_max + 3) / 4 * 4 /* to be folded four at a time */
};

INLINE size_t score_at(size_t t, size_t j) {
    return t * (t + 1) / 2 + j;
}

INLINE vector decay_at(const head_span *span, size_t t, size_t d, size_t count) {
    const rill_head_sequence *sequence = span->sequence;
    const float *log_decay = sequence->log_decay + (span->start + t) * sequence->decay_stride;
    return exponential(sequence->decay_per_key ? load_up_to(log_decay + d, count) : splat(*log_decay));
}

/* width ≤ lanes rows from row on, prepared at `at` */
INLINE void prepare_rows(size_t steps, bool decayed, bool update, const head_span *span, size_t row,
                         size_t width, const vector head_decay[steps_max], coefficients *prepared, size_t at,
                         vector products[padded_products]) {
    const rill_head_sequence *sequence = span->sequence;
    const float *queries =
        sequence->queries + span->start * sequence->query_stride + span->group * span->key_dim + row;
    const float *keys = sequence->keys + span->start * sequence->key_stride + row;
    vector z = span->z ? load_up_to(span->z + row, width) : splat(0);
    vector carried[steps_max], total = splat(1);
    for (size_t t = 0; t < steps; t++) {
        if (decayed) {
            vector g = sequence->decay_per_key ? decay_at(span, t, row, width) : head_decay[t];
            total *= g;
            for (size_t j = 0; j < t; j++) carried[j] *= g;
        }
        carried[t] = load_up_to(keys + t * sequence->key_stride, width);
        vector query = load_up_to(queries + t * sequence->query_stride, width);
        for (size_t j = 0; j <= t; j++) products[score_at(t, j)] += query * carried[j];
        if (decayed) query *= total;
        products[scores_max + t] += query * z;
        store(prepared->query[t] + at, query);
    }
    if (!update) return;
    if (decayed) z *= total;
    for (size_t j = 0; j < steps; j++) {
        z += carried[j];
        store(prepared->key[j] + at, carried[j]);
    }
    if (decayed) store(prepared->decay + at, total);
    if (span->z) store_up_to(span->z + row, width, z);
}

/* Prepares the coefficients of count rows from row on, adds their share to the products and takes z on. */
INLINE void prepare(size_t steps, bool decayed, bool update, const head_span *span, size_t row, size_t count,
                    coefficients *prepared, float product[padded_products]) {
    vector products[padded_products], head_decay[steps_max];
    for (size_t i = 0; i < padded_products; i++) products[i] = splat(0);
    bool steady = decayed && !span->sequence->decay_per_key;
    for (size_t t = 0; t < steps; t++) head_decay[t] = steady ? decay_at(span, t, 0, lanes) : splat(1);
    size_t d = 0;
    for (; d + lanes <= count; d += lanes)
        prepare_rows(steps, decayed, update, span, row + d, lanes, head_decay, prepared, d, products);
    if (d < count)
        prepare_rows(steps, decayed, update, span, row + d, count - d, head_decay, prepared, d, products);
    for (size_t i = 0; i < padded_products; i += 4) {
        quad four;
        memcpy(&four, product + i, sizeof four);
        four += sums(products[i], products[i + 1], products[i + 2], products[i + 3]);
        memcpy(product + i, &four, sizeof four);
    }
}

/* One pass over count rows of S, `columns` vectors of each: out += (G q)ᵀ S, then S = G S + Σ (G k) vᵀ */
INLINE void pass(size_t steps, size_t columns, bool decayed, bool update, size_t count, size_t stride,
                 float *restrict S, const coefficients *restrict prepared, vector value[steps_max][4],
                 vector out[steps_max][4]) {
    for (size_t d = 0; d < count; d++, S += stride) {
        vector s[4];
        for (size_t c = 0; c < columns; c++) s[c] = load(S + c * lanes);
        for (size_t t = 0; t < steps; t++)
            for (size_t c = 0; c < columns; c++) out[t][c] += splat(prepared->query[t][d]) * s[c];
        if (!update) continue;
        for (size_t c = 0; c < columns && decayed; c++) s[c] *= splat(prepared->decay[d]);
        for (size_t t = 0; t < steps; t++)
            for (size_t c = 0; c < columns; c++) s[c] += splat(prepared->key[t][d]) * value[t][c];
        for (size_t c = 0; c < columns; c++) store(S + c * lanes, s[c]);
    }
}

/* The same with one vector of which only width values belong to S. */
INLINE void padded_pass(size_t steps, bool decayed, bool update, size_t count, size_t stride, size_t width,
                        float *restrict S, const coefficients *restrict prepared, vector value[steps_max][4],
                        vector out[steps_max][4]) {
    float padded[block_rows * lanes];
    for (size_t d = 0; d < count; d++) store(padded + d * lanes, load_part(S + d * stride, width));
    pass(steps, 1, decayed, update, count, lanes, padded, prepared, value, out);
    for (size_t d = 0; d < count && update; d++) store_part(S + d * stride, width, load(padded + d * lanes));
}

typedef struct row_block {
    size_t row, rows; /* of S */
    bool first, last;
    const coefficients *prepared;
    const float *product; /* [padded_products]: the sums over key_dim, complete in the last block */
    const float *factor;  /* [steps]: scale, or 1 / (q_t·z_t + ε) */
} row_block;

/* `columns` vectors of S from column m on; one alone may hold fewer than lanes of the row's values: width */
INLINE void read_and_update(size_t steps, size_t columns, bool decayed, bool update, const head_span *span,
                            const row_block *block, size_t m, size_t width) {
    const rill_head_sequence *sequence = span->sequence;
    const float *values = sequence->values + span->start * sequence->value_stride + m;
    float *output =
        sequence->output + span->start * sequence->output_stride + span->group * span->value_dim + m;
    vector value[steps_max][4], out[steps_max][4];
    for (size_t t = 0; t < steps; t++)
        for (size_t c = 0; c < columns; c++) {
            value[t][c] = load_up_to(values + t * sequence->value_stride + c * lanes, width);
            out[t][c] =
                block->first ? splat(0) : load_up_to(output + t * sequence->output_stride + c * lanes, width);
        }
    float *S = span->S + block->row * span->value_dim + m;
    if (width >= lanes)
        pass(steps, columns, decayed, update, block->rows, span->value_dim, S, block->prepared, value, out);
    else
        padded_pass(steps, decayed, update, block->rows, span->value_dim, width, S, block->prepared, value,
                    out);
    for (size_t t = 0; t < steps; t++)
        for (size_t c = 0; c < columns; c++) {
            if (block->last) {
                for (size_t j = 0; j <= t; j++)
                    out[t][c] += splat(block->product[score_at(t, j)]) * value[j][c];
                out[t][c] *= splat(block->factor[t]);
            }
            store_up_to(output + t * sequence->output_stride + c * lanes, width, out[t][c]);
        }
}

INLINE void read_columns(size_t steps, bool decayed, bool update, const head_span *span,
                         const row_block *block) {
    enum { one_step_columns = 4 };
    size_t columns = steps == 1 ? (size_t)one_step_columns : (size_t)wide, m = 0;
    for (; m + columns * lanes <= span->value_dim; m += columns * lanes)
        read_and_update(steps, columns, decayed, update, span, block, m, lanes);
    for (; m < span->value_dim; m += lanes)
        read_and_update(steps, 1, decayed, update, span, block, m, span->value_dim - m);
}

/* One query head over `steps` steps; the last head of a group takes the state on. */
INLINE void advance(size_t steps, bool decayed, bool update, const head_span *span) {
    coefficients prepared;
    float product[padded_products] = {0}, factor[steps_max] = {0};
    for (size_t row = 0; row < span->key_dim; row += block_rows) {
        size_t rows = span->key_dim - row < block_rows ? span->key_dim - row : block_rows;
        bool last = row + rows == span->key_dim;
        prepare(steps, decayed, update, span, row, rows, &prepared, product);
        for (size_t t = 0; last && t < steps; t++) {
            float normalizer = product[scores_max + t] + span->epsilon;
            for (size_t j = 0; j <= t; j++) normalizer += product[score_at(t, j)];
            factor[t] = span->z ? 1 / normalizer : span->scale;
        }
        row_block block = {row, rows, row == 0, last, &prepared, product, factor};
        read_columns(steps, decayed, update, span, &block);
    }
}

INLINE void advance_group(size_t steps, bool decayed, head_span *span) {
    for (span->group = 0; span->group + 1 < span->sequence->query_group; span->group++)
        advance(steps, decayed, false, span);
    advance(steps, decayed, true, span);
}

static void advance_one(bool decayed, head_span *span) {
    if (decayed)
        advance_group(1, true, span);
    else
        advance_group(1, false, span);
}

static void advance_chunk(bool decayed, head_span *span) {
    if (decayed)
        advance_group(steps_max, true, span);
    else
        advance_group(steps_max, false, span);
}

static void recurrent(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                      const rill_head_sequence *sequence) {
    head_span span = {key_dim, value_dim, S, z, epsilon, scale, sequence, 0, 0};
    for (; span.start < sequence->length; span.start++) advance_one(sequence->log_decay != NULL, &span);
}

static void chunk(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                  const rill_head_sequence *sequence) {
    head_span span = {key_dim, value_dim, S, z, epsilon, scale, sequence, 0, 0};
    bool decayed = sequence->log_decay != NULL;
    for (; span.start + steps_max <= sequence->length; span.start += steps_max) advance_chunk(decayed, &span);
    for (; span.start < sequence->length; span.start++) advance_one(decayed, &span);
}

const rill_kernels RILL_VECTOR_TABLE = {
    .name = RILL_VECTOR_NAME,
    .dense = dense,
    .layer_norm = layer_norm,
    .elu1 = elu1,
    .silu = silu,
    .gate = gate,
    .depthwise = depthwise,
    .within = within,
    .product = product,
    .recurrent = recurrent,
    .chunk = chunk,
};
