/* SPDX-License-Identifier: MIT */
/* The linear and gated recurrence, `steps` steps for one pass over S.
 *
 * With G_t = Π_{i ≤ t} g_i and G_{j→t} = Π_{j < i ≤ t} g_i (all ≤ 1: nothing is divided), steps
 * 0 … n − 1 give
 *
 *     S' = G_{n-1} S + Σ_j (G_{j→n-1} k_j) v_jᵀ
 *     o_t = (G_t q_t)ᵀ S + Σ_{j ≤ t} (q_tᵀ G_{j→t} k_j) v_j
 *
 * so every element of S meets its coefficients in registers: one load and one store for n steps. */
#include "kernels/vector.h"

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
