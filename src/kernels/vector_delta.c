/* SPDX-License-Identifier: MIT */
/* The delta rules, several steps for one pass over S.
 *
 * What a step writes depends on what it reads before, u_t = k_tᵀ S_{t-1}. So a pass over S takes on the
 * writes of one group of steps, which are known, answers their queries, and reads for the keys of the next
 * group, all while a tile of S is in registers: three FMAs for each float and step, the fewest there can be.
 * What the keys of that next group would see of its own writes comes to them afterwards, by their scores:
 *
 *     u_t = k_tᵀ S_{before the group} + Σ_{i of the group, before t} (k_tᵀ k_i) ω_i,  ω_t = β_t (v_t − u_t)
 *
 * which is forward substitution as in the WY form (2406.06484, section 3), of groups so small that it costs
 * next to nothing. Decay is as in vector_block.h: u_t = (G_t k_t)ᵀ Ŝ_{t-1}; with a decay per head, that is
 * G_t² (k_t / G_t)ᵀ Ŝ_{t-1}, of the packed keys there are. */
#include "kernels/vector_block.h"

enum { group_steps = many_registers ? 4 : 2, group_pairs = many_registers ? 8 : 4 };

/* where the steps i and j < i of a group meet, among as many pairs as are summed at once */
INLINE size_t pair_of(size_t i, size_t j) {
    return i * (i - 1) / 2 + j;
}

typedef struct delta_block {
    step_block b;
    _Alignas(vector) float erase[block_steps][panel_rows]; /* with a decay per key; else the block's keys */
    float (*erases)[panel_rows];
    float score[block_steps / group_steps * group_pairs]; /* of a group's pairs: erase_i·k_j / G_j */
    float beta[block_steps], held[block_steps]; /* held: what is read, with its scores, is multiplied with */
} delta_block;

/* What a pass takes on, ω of its steps, and leaves: u, then ω, of the steps of the next. */
typedef struct group_writes {
    _Alignas(vector) float omega[group_steps][tile_columns * lanes];
} group_writes;

INLINE void delta_rows(size_t writes, size_t reads, size_t rows, size_t columns, const column_pass *p,
                       size_t d, const float *key, const float *query, const float *erase,
                       const group_writes *known, vector out[group_steps][tile_columns],
                       vector erased[group_steps][tile_columns]) {
    vector s[tile_rows][tile_columns];
    load_tile(rows, columns, p, d, s);
    UNROLL
    for (size_t t = 0; t < writes; t++) {
        vector omega[tile_columns];
        for (size_t c = 0; c < columns; c++) omega[c] = load(known->omega[t] + c * lanes);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) s[r][c] += splat_at(key + t * panel_rows + r) * omega[c];
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) out[t][c] += splat_at(query + t * panel_rows + r) * s[r][c];
    }
    UNROLL
    for (size_t t = 0; t < reads; t++)
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++)
                erased[t][c] += splat_at(erase + t * panel_rows + r) * s[r][c];
    store_tile(rows, columns, p, d, s);
}

/* Takes on `writes` steps from t on and finds what the `reads` steps after them write. */
INLINE void delta_pass(size_t writes, size_t reads, size_t columns, const delta_block *delta,
                       const column_pass *p, row_fetch *fetch, size_t t, size_t width, group_writes *known) {
    vector out[group_steps][tile_columns], erased[group_steps][tile_columns];
    for (size_t i = 0; i < group_steps; i++)
        for (size_t c = 0; c < columns; c++) out[i][c] = erased[i][c] = splat(0);
    const float *keys = p->keys, *queries = p->queries, *erases = delta->erases[t + writes];
    for (size_t d = 0; d < p->rows;) {
        const size_t left = p->rows - d, end = d + (left < panel_rows ? left : panel_rows);
        const float *key = keys, *query = queries, *erase = erases;
        for (; d + tile_rows <= end;
             d += tile_rows, key += tile_rows, query += tile_rows, erase += tile_rows) {
            delta_rows(writes, reads, tile_rows, columns, p, d, key, query, erase, known, out, erased);
            fetch_step(fetch);
        }
        for (; d < end; d++)
            delta_rows(writes, reads, 1, columns, p, d, key++, query++, erase++, known, out, erased);
        keys += p->panel, queries += p->panel, erases += p->panel;
    }
    for (size_t i = 0; i < writes; i++)
        for (size_t c = 0; c < columns; c++)
            store_up_to(p->output + i * p->output_stride + c * lanes, width,
                        out[i][c] * splat(delta->b.factor[t + i]));
    t += writes;
    const float *values = p->values + writes * columns * lanes;
    const float *scores = delta->score + t / group_steps * group_pairs;
    UNROLL
    for (size_t i = 0; i < reads; i++)
        for (size_t c = 0; c < columns; c++) {
            const vector value = load(values + (i * columns + c) * lanes);
            for (size_t j = 0; j < i; j++) erased[i][c] += splat(scores[pair_of(i, j)]) * erased[j][c];
            erased[i][c] = splat(delta->beta[t + i]) * (value - splat(delta->held[t + i]) * erased[i][c]);
            store(known->omega[i] + c * lanes, erased[i][c]);
        }
}

/* Functions of their own, where a tile has all registers. */
#define PASS(name, writes, reads)                                                                            \
    static __attribute__((noinline)) void name(bool both, const delta_block *delta, const column_pass *p,    \
                                               row_fetch *fetch, size_t t, size_t width,                     \
                                               group_writes *known) {                                        \
        if (both)                                                                                            \
            delta_pass(writes, reads, tile_columns, delta, p, fetch, t, lanes, known);                       \
        else                                                                                                 \
            delta_pass(writes, reads, 1, delta, p, fetch, t, width, known);                                  \
    }
PASS(group_to_group, group_steps, group_steps)
PASS(group_to_step, group_steps, 1)
PASS(group_to_end, group_steps, 0)
PASS(start_to_group, 0, group_steps)
PASS(start_to_step, 0, 1)
PASS(step_to_step, 1, 1)
PASS(step_to_end, 1, 0)
#undef PASS

static size_t group_at(const delta_block *delta, size_t t) {
    const size_t left = delta->b.steps - t;
    return left >= group_steps ? group_steps : left > 0 ? 1 : 0;
}

/* All steps of the block for some columns of S, packed between the passes. */
static void delta_columns(bool both, const one_head *head, const delta_block *delta, size_t m, size_t width) {
    _Alignas(vector) float packed[block_rows * tile_columns * lanes];
    const step_block *b = &delta->b;
    const size_t stride = (both ? tile_columns : 1) * lanes, S_stride = head->value_dim;
    const bool whole = width >= lanes;
    float *S = head->S + b->column + m;
    group_writes known;
    for (size_t d = 0; d < b->rows && !whole; d++)
        store(packed + d * stride, load_part(S + d * S_stride, width));
    row_fetch fetch = choose_fetch(head, b->column + m);
    for (size_t t = 0, writes = 0, reads = group_at(delta, 0); writes + reads > 0;) {
        const column_pass p = choose_pass(head, b, m, t, writes == 0, reads == 0, whole, packed, stride);
        fetch.steps = both && fetch.query ? writes : 0;
        (writes == 0   ? reads == 1 ? start_to_step : start_to_group
         : writes == 1 ? reads == 0 ? step_to_end : step_to_step
         : reads == 0  ? group_to_end
         : reads == 1  ? group_to_step
                       : group_to_group)(both, delta, &p, &fetch, t, width, &known);
        t += writes;
        writes = reads;
        reads = group_at(delta, t + writes);
    }
    for (size_t d = 0; d < b->rows && !whole && head->update; d++)
        store_part(S + d * S_stride, width, load(packed + d * stride));
}

/* What the steps of each group see of the writes before them. */
static void find_scores(delta_block *delta) {
    const step_block *b = &delta->b;
    for (size_t t = 0; t + group_steps <= b->steps; t += group_steps) {
        vector products[group_pairs];
        UNROLL
        for (size_t i = 0; i < group_pairs; i++) products[i] = splat(0);
        for (size_t d = 0; d < b->rows; d += lanes) {
            const size_t panel = d / panel_rows * b->steps + t, at = d % panel_rows;
            UNROLL
            for (size_t i = 1; i < group_steps; i++) {
                const vector read = load(delta->erases[panel + i] + at);
                UNROLL
                for (size_t j = 0; j < i; j++) products[pair_of(i, j)] += read * load(b->key[panel + j] + at);
            }
        }
        UNROLL
        for (size_t i = 0; i < group_pairs; i += 4)
            store_quad(delta->score + t / group_steps * group_pairs + i,
                       sums(products[i], products[i + 1], products[i + 2], products[i + 3]));
    }
}

static void pass_delta_columns(const one_head *head, const delta_block *delta) {
    size_t m = 0;
    for (; m + tile_width <= delta->b.columns; m += tile_width) delta_columns(true, head, delta, m, lanes);
    for (; m < delta->b.columns; m += lanes) delta_columns(false, head, delta, m, delta->b.columns - m);
}

/* false: the block may hold what is not finite, and nothing has been changed */
static bool take_delta_block(const one_head *head, delta_block *delta) {
    step_block *b = &delta->b;
    b->row = 0;
    b->rows = head->key_dim;
    b->first = b->last = true;
    b->erase = delta->erase;
    delta->erases = head->log_decay && head->strides->decay_per_key ? delta->erase : b->key;
    begin_columns(head, b, 0);
    const vector zeros = prepare_block(true, head, b) + pack_values(tile_columns, head, b);
    if (!is_finite(head, b, zeros)) return false;
    find_factors(head, b);
    for (size_t t = 0; t < b->steps; t++) delta->held[t] = b->total[t] * b->total[t];
    find_scores(delta);
    pass_delta_columns(head, delta);
    while (b->column + b->columns < head->value_dim) {
        begin_columns(head, b, b->column + b->columns);
        pack_values(tile_columns, head, b);
        pass_delta_columns(head, delta);
    }
    return true;
}

static size_t delta_chunk(size_t key_dim, size_t value_dim, float *S, float scale,
                          const rill_heads_sequence *sequence) {
    const all_heads all = {key_dim, value_dim, S, NULL, 0, scale, sequence};
    delta_block block;
    for (size_t i = 0; i < sequence->heads; i++)
        for (size_t done = 0; done < sequence->length; done += block.b.steps)
            for (size_t group = 0; group < sequence->query_group; group++) {
                one_head head;
                choose_head_and_next(&all, i, group, done, &head);
                if (group == 0) begin_block(&head, sequence->length - done, &block.b);
                for (size_t t = 0; t < block.b.steps; t++) block.beta[t] = beta_of(sequence, i, done + t);
                if (!take_delta_block(&head, &block)) return i * sequence->length + done;
            }
    return sequence->heads * sequence->length;
}
