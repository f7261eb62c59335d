/* SPDX-License-Identifier: MIT */
/* What the passes over S that take several steps share: a block of steps, its rows packed and prepared.
 *
 * Decay costs next to nothing. With G_t = Π_{0 ≤ i ≤ t} g_i over a block of n steps and Ŝ_t = S_t / G_t,
 *
 *     Ŝ_t = Ŝ_{t-1} + (k_t / G_t) v_tᵀ,  o_t = (G_t q_t)ᵀ Ŝ_t,  S' = G_{n-1} Ŝ_{n-1}
 *
 * and z likewise: S meets a decay where the block ends. A block ends before any G_t falls below decay_least,
 * so that nothing below FLT_MAX · decay_least overflows. A first step that forgets more than that by itself,
 * and the first of a block with a decay per key, are never divided by: there Ŝ_0 = g_0 S + k_0 v_0ᵀ, and G_t
 * is what was forgotten since. The roundings are those of the definition's sums. */
#ifndef RILL_VECTOR_BLOCK_H
#define RILL_VECTOR_BLOCK_H

#include <float.h>

#include "kernels/vector_head.h"

enum {
    panel_columns = many_registers ? 4 : 2, /* vectors */
    panel_rows = 64,                        /* of S, whose queries and keys lie together */
    block_columns = 128,
    usual_steps = 32,
    block_steps = lanes == 16 ? 2 * usual_steps : usual_steps, /* of a block, at most; of two panels half */
    line_floats = 64 / sizeof(float),
    prepared = 4 /* vectors of rows at a time: their sums do not wait for one another */
};

static const float decay_least = 0x1p-16f, log_decay_least = -11.09f;

/* How a table takes its steps. */
typedef struct block_form {
    size_t steps, wide_steps; /* of a block at most: of one panel of rows and columns, and of more */
    size_t columns; /* vectors of columns of a tile, where there are as many; with longer blocks, fewer */
} block_form;

static const block_form usual_blocks = {usual_steps, usual_steps / 2, panel_columns};
#ifdef __AVX512F__
static const block_form long_blocks = {usual_steps, usual_steps, panel_columns};
static const block_form zen4_blocks = {block_steps, usual_steps, panel_columns / 2};
#endif

/* What the passes over a block's steps multiply with what. */
typedef struct step_block {
    size_t steps;
    size_t row, rows;       /* of S */
    size_t column, columns; /* of S */
    bool first, last;       /* rows: the outputs begin at 0, and are finished */
    /* [panel of rows][steps][panel_rows]: q_t, or G_t q_t with a decay per key, and k_t / G_t */
    _Alignas(vector) float query[block_steps][panel_rows], key[block_steps][panel_rows];
    _Alignas(vector) float value[block_steps * panel_rows]; /* [panel of columns][steps][columns] */
    float (*erase)[panel_rows]; /* as query, for an erasing rule with a decay per key: G_t k_t */
    const float *start, *end;   /* g_0, where G_t begins after it, and G_{n-1} of each row, decay_stride
                                   apart; NULL: 1 */
    size_t decay_stride;
    float head_start, head_end, start_of_key[block_rows], end_of_key[block_rows];
    float total[block_steps], weight[block_steps]; /* G_t and 1 / G_t; 1 with a decay per key */
    float normalizer[block_steps + 3];             /* (G_t q_t)·ẑ_t / total, by the rows so far */
    float factor[block_steps];                     /* of the finished outputs */
    float z[block_rows];                           /* after the block; without a normalizer from 0 on */
} step_block;

/* As many columns from `column` on as are packed at once. */
INLINE void begin_columns(const one_head *head, step_block *b, size_t column) {
    const size_t left = head->value_dim - column;
    b->column = column;
    b->columns = left < block_columns ? left : block_columns;
}

/* The values of `columns` vectors of columns, side by side; one alone may be `width` values wide. Adds 0 or,
 * where one is not finite, NaN. */
INLINE void pack_panel(size_t columns, size_t width, const one_head *head, step_block *b, size_t m,
                       vector *zeros) {
    const size_t stride = head->strides->value_stride, steps = b->steps;
    const float *from = head->values + b->column + m;
    float *to = b->value + m * steps;
    vector total[panel_columns];
    for (size_t c = 0; c < columns; c++) total[c] = splat(0);
    for (size_t t = 0; t < steps; t++, from += stride, to += columns * lanes)
        for (size_t c = 0; c < columns; c++) {
            const vector v = load_up_to(from + c * lanes, width);
            total[c] += v;
            store(to + c * lanes, v);
        }
    for (size_t c = 0; c < columns; c++) *zeros += total[c] * splat(0);
}

/* The block's values, side by side in panels of `most` vectors, and what is left in panels of half as many.
 * Returns 0 or, where one is not finite, NaN. */
INLINE vector pack_values(size_t most, const one_head *head, step_block *b) {
    vector zeros = splat(0);
    size_t m = 0;
    if (most == 4)
        for (; m + 4 * lanes <= b->columns; m += 4 * lanes) pack_panel(4, lanes, head, b, m, &zeros);
    for (; m + 2 * lanes <= b->columns; m += 2 * lanes) pack_panel(2, lanes, head, b, m, &zeros);
    for (; m < b->columns; m += lanes) pack_panel(1, b->columns - m, head, b, m, &zeros);
    return zeros;
}

/* G_t = Π_{i ≤ t} g_i in the place of g, up to the first below decay_least; how many there are before it.
 * Where vectors can be shifted, from products of two, four and eight, which wait for one another half as
 * long. */
INLINE size_t multiply_up(size_t count, float *g) {
#ifdef __AVX512F__
    const __m512i ones = (__m512i)splat(1);
    const __m512 least = (__m512)splat(0x1p-20f); /* products of eight are multiplied again: normal numbers */
    __m512 before = (__m512)splat(1);
    for (size_t i = 0; i < count; i += lanes) {
        __m512 p = _mm512_max_ps((__m512)load(g + i), least);
        p *= (__m512)_mm512_alignr_epi32((__m512i)p, ones, 15);
        p *= (__m512)_mm512_alignr_epi32((__m512i)p, ones, 14);
        p = _mm512_max_ps(p, least);
        p *= (__m512)_mm512_alignr_epi32((__m512i)p, ones, 12);
        p *= (__m512)_mm512_alignr_epi32((__m512i)p, ones, 8);
        p = _mm512_max_ps(p, least) * before;
        store(g + i, (vector)p);
        before = _mm512_max_ps(_mm512_permutexvar_ps(_mm512_set1_epi32(15), p), least);
    }
    if (g[count - 1] >= decay_least) return count;
    size_t t = 0;
    while (g[t] >= decay_least) t++;
#else
    float total = g[0];
    size_t t = 1;
    for (; t < count && (total *= g[t]) >= decay_least; t++) g[t] = total;
#endif
    return t;
}

/* Of at most `most` steps, how many make a block, and their G_t. */
static void find_total(const one_head *head, size_t most, step_block *b) {
    float *g = b->total;
    for (size_t i = 0; i < most; i++) g[i] = head->log_decay[i * head->strides->decay_stride];
    for (size_t i = 0; i < most; i += lanes) store(g + i, exponential(load_up_to(g + i, most - i)));
    b->head_start = g[0];
    if (g[0] < decay_least) b->start = &b->head_start, g[0] = 1;
    b->steps = multiply_up(most, g);
    b->head_end = g[b->steps - 1];
    for (size_t i = 0; i < b->steps; i += lanes)
        store(b->weight + i, splat(1) / load_up_to(g + i, b->steps - i));
}

/* Is what the first steps forget above decay_least in every key? */
static bool all_keys_last(const one_head *head, size_t steps) {
    integers below = {0};
    for (size_t d = 0; d < head->key_dim; d += lanes) {
        vector logs = splat(0);
        for (size_t t = 1; t < steps; t++)
            logs += load_up_to(head->log_decay + t * head->strides->decay_stride + d, head->key_dim - d);
        below |= logs < splat(log_decay_least);
    }
    return !any(below);
}

/* The block that the head's steps begin with. */
static void begin_block(const one_head *head, size_t length, const block_form *form, step_block *b) {
    const bool wide = head->key_dim > panel_rows || head->value_dim > panel_rows;
    size_t most = wide ? form->wide_steps : form->steps;
    if (most > length) most = length;
    b->start = b->end = NULL;
    b->decay_stride = head->strides->decay_per_key;
    if (head->log_decay) {
        b->end = head->strides->decay_per_key ? b->end_of_key : &b->head_end;
        if (!head->strides->decay_per_key) {
            find_total(head, most, b);
            return;
        }
        b->start = b->start_of_key;
    }
    while (head->log_decay && most > 1 && !all_keys_last(head, most)) most /= 2;
    b->steps = most;
    for (size_t t = 0; t < most; t++) b->weight[t] = b->total[t] = 1;
}

/* How a block's queries and keys are made from the rows. */
typedef enum block_decay { undecayed, decayed_by_head, decayed_by_key } block_decay;

/* Some vectors of rows of a block, and what the steps so far have made of them. */
typedef struct prepared_rows {
    const float *queries, *keys, *log_decay;
    float *query, *key, *erase;
    vector z[prepared], total[prepared];
} prepared_rows;

/* The next step's queries and keys, `vectors` of them, one alone `width` rows wide, and z; the products of
 * both. */
INLINE vector prepare_step(size_t vectors, block_decay decay, bool erases, const rill_heads_sequence *strides,
                           size_t t, float weight, size_t width, prepared_rows *r) {
    vector products = splat(0);
    UNROLL
    for (size_t c = 0; c < vectors; c++) {
        vector q = apart(load_up_to(r->queries + c * lanes, width)),
               k = load_up_to(r->keys + c * lanes, width);
        if (decay == decayed_by_key && t > 0)
            r->total[c] *= exponential(load_up_to(r->log_decay + c * lanes, width));
        if (decay == decayed_by_key) {
            if (erases) store(r->erase + c * lanes, k * r->total[c]);
            q *= r->total[c];
            k /= r->total[c];
        } else if (decay == decayed_by_head) {
            k *= splat(weight);
        }
        r->z[c] += k;
        products += q * r->z[c];
        store(r->query + c * lanes, q);
        store(r->key + c * lanes, k);
    }
    r->queries += strides->query_stride, r->keys += strides->key_stride;
    r->query += panel_rows, r->key += panel_rows;
    if (decay != decayed_by_key) return products;
    if (erases) r->erase += panel_rows;
    r->log_decay += strides->decay_stride;
    return products;
}

/* Of `steps` steps from t on, 1 or 4. */
INLINE void prepare_steps(size_t steps, size_t vectors, block_decay decay, bool erases,
                          const rill_heads_sequence *strides, size_t t, size_t width, bool first,
                          step_block *b, prepared_rows *r) {
    vector products[4];
    UNROLL
    for (size_t i = 0; i < 4; i++)
        products[i] = i < steps
                          ? prepare_step(vectors, decay, erases, strides, t + i, b->weight[t + i], width, r)
                          : splat(0);
    quad four = sums(products[0], products[1], products[2], products[3]), before = {0};
    if (!first) before = load_quad(b->normalizer + t);
    store_quad(b->normalizer + t, before + four);
}

/* `vectors` vectors of rows from row d of the block on, one alone of `width` rows: what the passes multiply
 * with, z through the steps, and the products with it. Adds 0 or, with a key that is not finite, NaN. */
INLINE void prepare_rows(size_t vectors, block_decay decay, bool erases, const one_head *head, step_block *b,
                         size_t d, size_t width, vector *zeros) {
    const size_t row = b->row + d, steps = b->steps;
    const rill_heads_sequence *strides = head->strides;
    prepared_rows r = {.queries = head->queries + row,
                       .keys = head->keys + row,
                       .log_decay = head->log_decay ? head->log_decay + row : NULL,
                       .query = b->query[d / panel_rows * steps] + d % panel_rows,
                       .key = b->key[d / panel_rows * steps] + d % panel_rows,
                       .erase = erases ? b->erase[d / panel_rows * steps] + d % panel_rows : NULL};
    UNROLL
    for (size_t c = 0; c < vectors; c++) {
        r.z[c] = head->z ? load_up_to(head->z + row + c * lanes, width) : splat(0);
        r.total[c] = splat(1);
        if (decay == decayed_by_key)
            store(b->start_of_key + d + c * lanes,
                  exponential(load_up_to(head->log_decay + row + c * lanes, width)));
        if (b->start) r.z[c] *= decay == decayed_by_key ? load(b->start + d + c * lanes) : splat(*b->start);
    }
    const bool first = b->first && d == 0;
    size_t t = 0;
    for (; t + 4 <= steps; t += 4) prepare_steps(4, vectors, decay, erases, strides, t, width, first, b, &r);
    for (; t < steps; t++) prepare_steps(1, vectors, decay, erases, strides, t, width, first, b, &r);
    UNROLL
    for (size_t c = 0; c < vectors; c++) {
        *zeros += r.z[c] * splat(0);
        if (decay == decayed_by_key) store(b->end_of_key + d + c * lanes, r.total[c]);
        if (b->end) r.z[c] *= decay == decayed_by_key ? r.total[c] : splat(*b->end);
        store(b->z + d + c * lanes, r.z[c]);
    }
}

INLINE vector prepare(block_decay decay, bool erases, const one_head *head, step_block *b) {
    vector zeros = splat(0);
    size_t d = 0;
    for (; d + prepared * lanes <= b->rows; d += prepared * lanes)
        prepare_rows(prepared, decay, erases, head, b, d, lanes, &zeros);
    for (; d + 2 * lanes <= b->rows; d += 2 * lanes)
        prepare_rows(2, decay, erases, head, b, d, lanes, &zeros);
    for (; d < b->rows; d += lanes) prepare_rows(1, decay, erases, head, b, d, b->rows - d, &zeros);
    return zeros;
}

INLINE vector prepare_block(bool erases, const one_head *head, step_block *b) {
    return !head->log_decay                ? prepare(undecayed, false, head, b)
           : !head->strides->decay_per_key ? prepare(decayed_by_head, false, head, b)
                                           : prepare(decayed_by_key, erases, head, b);
}

static bool within(size_t count, const float *x, float low, float high);

/* Is all finite that does not fit into the block? */
static bool rest_is_finite(const one_head *head, const step_block *b) {
    for (size_t t = 0; t < b->steps; t++)
        if (!within(head->key_dim - b->rows, head->keys + t * head->strides->key_stride + b->rows, -FLT_MAX,
                    FLT_MAX) ||
            !within(head->value_dim - b->columns, head->values + t * head->strides->value_stride + b->columns,
                    -FLT_MAX, FLT_MAX))
            return false;
    return true;
}

/* Is all of the block known to be finite, or have the sums of keys and values stayed so? */
static bool is_finite(const one_head *head, const step_block *b, vector zeros) {
    if (head->strides->finite) return true;
    return !any(zeros != zeros) &&
           ((head->key_dim == b->rows && head->value_dim == b->columns) || rest_is_finite(head, b));
}

static void keep_normalizer(const one_head *head, const step_block *b) {
    if (!head->z || !head->update) return;
    for (size_t d = 0; d < b->rows; d += lanes)
        store_up_to(head->z + b->row + d, b->rows - d, load(b->z + d));
}

/* Rows that will be wanted, some lines of them a step of this block. */
typedef struct wanted_rows {
    const float *first;
    size_t step, line; /* floats from the line for a step to that for the next, and to the step's next line */
    size_t lines;
} wanted_rows;

typedef struct row_fetch {
    wanted_rows rows[8];
    size_t count, which, at; /* the next line */
    size_t steps;            /* of the block */
} row_fetch;

INLINE void want(const float *first, size_t step, size_t line, size_t dim, row_fetch *fetch) {
    fetch->rows[fetch->count++] = (wanted_rows){first, step, line, (dim + line_floats - 1) / line_floats};
}

/* What the block's passes fetch. Rows ahead in the order of their addresses, each head its share: so a page
 * is looked up once. Else those of the next head; after the last, of the first. */
INLINE void plan_fetch(const all_heads *all, size_t head, size_t group, size_t step, size_t steps,
                       row_fetch *fetch) {
    const rill_heads_sequence *s = all->sequence;
    const size_t next = head + 1 < s->heads ? head + 1 : 0, K = all->key_dim, M = all->value_dim;
    fetch->count = fetch->which = fetch->at = 0;
    fetch->steps = steps;
    if (!s->fetched && (next > 0 || (s->ahead > 0 && !s->in_order))) {
        one_head after;
        choose_head(all, next, group, step + (next == 0 ? s->ahead : 0), &after);
        want(after.keys, s->key_stride, line_floats, K, fetch);
        want(after.values, s->value_stride, line_floats, M, fetch);
        want(after.queries, s->query_stride, line_floats, K, fetch);
        want(after.output, s->output_stride, line_floats, M, fetch);
    }
    if (s->ahead > 0 && s->in_order) {
        const size_t at = head * s->length + step,
                     query_at = (head * s->query_group + group) * s->length + step;
        if (group == 0) {
            want(s->keys + s->ahead * s->key_stride + at * K, line_floats, steps * line_floats, K, fetch);
            want(s->values + s->ahead * s->value_stride + at * M, line_floats, steps * line_floats, M, fetch);
        }
        want(s->queries + s->ahead * s->query_stride + query_at * K, line_floats, steps * line_floats, K,
             fetch);
        want(s->output + s->ahead * s->output_stride + query_at * M, line_floats, steps * line_floats, M,
             fetch);
    }
}

/* 1 / (q·z + ε), or scale, of outputs that are yet to be multiplied by total */
static void find_factors(const one_head *head, step_block *b) {
    for (size_t t = 0; t < b->steps; t += lanes) {
        size_t width = b->steps - t;
        vector total = load_up_to(b->total + t, width), factor = splat(head->scale);
        if (head->z)
            factor = splat(1) / (total * load_up_to(b->normalizer + t, width) + splat(head->epsilon));
        store_up_to(b->factor + t, width, total * factor);
    }
}

#endif
