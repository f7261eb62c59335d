/* SPDX-License-Identifier: MIT */
/* What the passes over S that take several steps share: a block of steps, prepared.
 *
 * Decay costs next to nothing. With G_t = Π_{0 < i ≤ t} g_i over a block of n steps and Ŝ_t = S_t / G_t,
 *
 *     Ŝ_0 = g_0 S + k_0 v_0ᵀ,  Ŝ_t = Ŝ_{t-1} + (k_t / G_t) v_tᵀ,  o_t = (G_t q_t)ᵀ Ŝ_t,  S' = G_{n-1} Ŝ_{n-1}
 *
 * and z likewise: S meets a decay where the block begins and where it ends. A block ends before any G_t falls
 * below decay_least, so that nothing below FLT_MAX · decay_least overflows; a step that forgets more than
 * that by itself begins a block, for g_0 is never divided by. The roundings are those of the definition's
 * sums. */
#ifndef RILL_VECTOR_BLOCK_H
#define RILL_VECTOR_BLOCK_H

#include "kernels/vector_head.h"

enum {
    tile_steps = many_registers ? 8 : 4,
    tile_columns = 2, /* vectors */
    tile_rows = many_registers ? 4 : 2,
    panel_rows = 64,  /* of S, whose queries and keys lie together */
    block_steps = 32, /* half as many for two panels: 8 KiB of queries, as much of keys */
    prepared = 4      /* vectors of rows at a time: their sums do not wait for one another */
};

static const float decay_least = 0x1p-16f, log_decay_least = -11.09f;

/* What the passes over a block's steps multiply with what. */
typedef struct step_block {
    size_t steps;
    size_t row, rows; /* of S */
    bool first, last; /* rows: the outputs begin at 0, and are finished */
    /* [panel of rows][steps][panel_rows]: q_t, or G_t q_t with a decay per key, and k_t / G_t */
    _Alignas(vector) float query[block_steps][panel_rows], key[block_steps][panel_rows];
    float (*erase)[panel_rows]; /* as query, when there is an erasing rule: k_t, or G_t k_t */
    const float *start, *end;   /* g_0 and G_{n-1} of each row, decay_stride apart; NULL: 1 */
    size_t decay_stride;
    float head_start, head_end, start_of_key[block_rows], end_of_key[block_rows];
    float total[block_steps], weight[block_steps]; /* G_t and 1 / G_t; 1 with a decay per key */
    float normalizer[block_steps];                 /* (G_t q_t)·ẑ_t / total, by the rows so far */
    float factor[block_steps];                     /* of the finished outputs */
} step_block;

/* Where a pass takes its columns of S from, and where it leaves them. */
typedef struct column_pass {
    const float *from;
    float *to;
    size_t from_stride, to_stride;
    const float *start, *end;
    size_t decay_stride;
    const float (*queries)[panel_rows], (*keys)[panel_rows]; /* of the first panel */
    size_t panel;                                            /* from one to the next */
} column_pass;

INLINE void load_tile(size_t rows, size_t columns, const column_pass *p, size_t d,
                      vector s[tile_rows][tile_columns]) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) s[r][c] = load(p->from + (d + r) * p->from_stride + c * lanes);
    if (p->start)
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) s[r][c] *= splat(p->start[(d + r) * p->decay_stride]);
}

INLINE void store_tile(size_t rows, size_t columns, const column_pass *p, size_t d,
                       vector s[tile_rows][tile_columns]) {
    if (p->end)
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) s[r][c] *= splat(p->end[(d + r) * p->decay_stride]);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) store(p->to + (d + r) * p->to_stride + c * lanes, s[r][c]);
}

/* Of at most `most` steps, how many make a block, and their G_t. */
static void find_total(const one_head *head, size_t most, step_block *b) {
    float g[block_steps];
    for (size_t i = 0; i < most; i++) g[i] = head->log_decay[i * head->strides->decay_stride];
    for (size_t i = 0; i < most; i += lanes)
        store_up_to(g + i, most - i, exponential(load_up_to(g + i, most - i)));
    size_t t = 1;
    b->total[0] = 1;
    for (float total = 1; t < most && (total *= g[t]) >= decay_least; t++) b->total[t] = total;
    b->steps = t;
    b->head_start = g[0];
    b->head_end = b->total[t - 1];
    for (size_t i = 0; i < t; i += lanes)
        store_up_to(b->weight + i, t - i, splat(1) / load_up_to(b->total + i, t - i));
}

/* Is what the first steps forget above decay_least in every key? */
static bool all_keys_last(const one_head *head, size_t steps) {
    integers below = {0};
    int32_t any = 0;
    for (size_t d = 0; d < head->key_dim; d += lanes) {
        vector logs = splat(0);
        for (size_t t = 1; t < steps; t++)
            logs += load_up_to(head->log_decay + t * head->strides->decay_stride + d, head->key_dim - d);
        below |= logs < splat(log_decay_least);
    }
    for (size_t lane = 0; lane < lanes; lane++) any |= below[lane];
    return any == 0;
}

/* The block that the head's steps begin with. */
static void begin_block(const one_head *head, size_t length, step_block *b) {
    size_t rows = head->key_dim < block_rows ? head->key_dim : block_rows;
    size_t most = rows <= panel_rows ? block_steps : block_steps / 2;
    if (most > length) most = length;
    b->start = b->end = NULL;
    b->decay_stride = head->strides->decay_per_key;
    if (head->log_decay) {
        b->start = head->strides->decay_per_key ? b->start_of_key : &b->head_start;
        b->end = head->strides->decay_per_key ? b->end_of_key : &b->head_end;
        if (!head->strides->decay_per_key) {
            find_total(head, most, b);
            return;
        }
    }
    while (head->log_decay && most > 1 && !all_keys_last(head, most)) most /= 2;
    b->steps = most;
    for (size_t t = 0; t < most; t++) b->weight[t] = b->total[t] = 1;
}

/* `vectors` vectors of rows from row d of the block on, one alone of `width` rows: what the passes multiply
 * with, z through the steps, and the products with it. */
INLINE void prepare_rows(size_t vectors, bool per_key, bool erases, const one_head *head, step_block *b,
                         size_t d, size_t width, vector product[block_steps]) {
    const size_t row = b->row + d;
    vector z[prepared], total[prepared];
    for (size_t c = 0; c < vectors; c++) {
        z[c] = head->z ? load_up_to(head->z + row + c * lanes, width) : splat(0);
        total[c] = splat(1);
        if (per_key)
            store(b->start_of_key + d + c * lanes,
                  exponential(load_up_to(head->log_decay + row + c * lanes, width)));
        if (b->start) z[c] *= per_key ? load(b->start + d + c * lanes) : splat(*b->start);
    }
    const size_t steps = b->steps, query_stride = head->strides->query_stride,
                 key_stride = head->strides->key_stride, decay_stride = head->strides->decay_stride;
    const float *queries = head->queries + row, *keys = head->keys + row, *log_decay = head->log_decay;
    float *query = b->query[d / panel_rows * steps] + d % panel_rows;
    float *key = b->key[d / panel_rows * steps] + d % panel_rows;
    float *erase = erases ? b->erase[d / panel_rows * steps] + d % panel_rows : NULL;
    if (log_decay) log_decay += row;
    for (size_t t = 0; t < steps; t++) {
        vector products = d > 0 ? product[t] : splat(0);
        for (size_t c = 0; c < vectors; c++) {
            vector q = load_up_to(queries + c * lanes, width), k = load_up_to(keys + c * lanes, width);
            if (per_key && t > 0) total[c] *= exponential(load_up_to(log_decay + c * lanes, width));
            if (erases) store(erase + c * lanes, per_key ? k * total[c] : k);
            if (per_key) {
                q *= total[c];
                k /= total[c];
            } else {
                k *= splat(b->weight[t]);
            }
            z[c] += k;
            products += q * z[c];
            store(query + c * lanes, q);
            store(key + c * lanes, k);
        }
        product[t] = products;
        queries += query_stride, keys += key_stride, query += panel_rows, key += panel_rows;
        if (erases) erase += panel_rows;
        if (per_key) log_decay += decay_stride;
    }
    for (size_t c = 0; c < vectors; c++) {
        if (per_key) store(b->end_of_key + d + c * lanes, total[c]);
        if (b->end) z[c] *= per_key ? total[c] : splat(*b->end);
        if (head->z && head->update) store_up_to(head->z + row + c * lanes, width, z[c]);
    }
}

INLINE void prepare(bool per_key, bool erases, const one_head *head, step_block *b) {
    vector product[block_steps];
    size_t d = 0;
    for (; d + prepared * lanes <= b->rows; d += prepared * lanes)
        prepare_rows(prepared, per_key, erases, head, b, d, lanes, product);
    for (; d + 2 * lanes <= b->rows; d += 2 * lanes)
        prepare_rows(2, per_key, erases, head, b, d, lanes, product);
    for (; d < b->rows; d += lanes) prepare_rows(1, per_key, erases, head, b, d, b->rows - d, product);
    for (size_t t = 0; t < b->steps; t += 4) {
        quad four = sums(product[t], product[t + 1], product[t + 2], product[t + 3]), before = {0};
        if (!b->first) memcpy(&before, b->normalizer + t, sizeof before);
        four += before;
        memcpy(b->normalizer + t, &four, sizeof four);
    }
}

/* The head and, for fetch_next, the one after it: the first follows the last. */
INLINE one_head choose_head_and_next(const all_heads *all, size_t head, size_t group, size_t step) {
    const size_t heads = all->sequence->heads, next = head + 1 < heads ? head + 1 : 0;
    one_head one = choose_head(all, head, group, step);
    if (next == 0 && all->sequence->ahead == 0) return one;
    const one_head after = choose_head(all, next, group, step + (next == 0 ? all->sequence->ahead : 0));
    one.next_queries = after.queries;
    one.next_output = after.output;
    return one;
}

/* While one block is computed, rows of step t come nearer, from column m on: queries and outputs of the next
 * head and, since they are looked through before, keys and values of this one's next block. */
INLINE void fetch_next(const one_head *head, size_t t, size_t m) {
    const rill_heads_sequence *strides = head->strides;
    const size_t line = 64 / sizeof(float), end = m + tile_columns * lanes, later = t + strides->ahead;
    for (; m < end; m += line) {
        if (head->next_queries) {
            __builtin_prefetch(head->next_queries + t * strides->query_stride + m, 0, 2);
            __builtin_prefetch(head->next_output + t * strides->output_stride + m, 1, 2);
        }
        if (later > t) {
            __builtin_prefetch(head->keys + later * strides->key_stride + m, 0, 2);
            __builtin_prefetch(head->values + later * strides->value_stride + m, 0, 2);
        }
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
