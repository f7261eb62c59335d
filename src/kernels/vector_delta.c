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

enum {
    tile_columns = 2, /* vectors */
    tile_width = tile_columns * lanes,
    tile_rows = many_registers ? 4 : 3,
    group_steps = many_registers ? 4 : 2,
    group_pairs = many_registers ? 8 : 4
};

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

/* A tile fetches two lines for a step or two, and goes through all steps before the next lines. */
typedef struct group_fetch {
    row_fetch rows;
    size_t left;  /* steps, for these lines */
    size_t turns; /* steps for a tile */
} group_fetch;

/* Where a pass takes its columns of S from, and where it leaves them. */
typedef struct group_pass {
    size_t rows;
    const float *from;
    float *to;
    size_t from_stride, to_stride;
    const float *start, *end;
    size_t decay_stride;
    const float *queries, *keys, *erases; /* [steps][panel_rows] of the first panel */
    size_t panel;                         /* from one to the next */
    const float *values;                  /* [steps][columns] */
    float *output;
    size_t output_stride;
} group_pass;

/* Where its tiles have come to. */
typedef struct group_place {
    const float *from, *start, *end, *query, *key, *erase;
    float *to;
    size_t from_stride, to_stride, decay_stride;
    const float *fetch;
    size_t fetch_step, fetch_line, fetch_left;
} group_place;

INLINE void fetch_next(group_place *at) {
    if (at->fetch_left == 0) return;
    __builtin_prefetch(at->fetch, 0, 2);
    __builtin_prefetch(at->fetch + at->fetch_line, 0, 2);
    at->fetch += at->fetch_step;
    at->fetch_left--;
}

/* Goes on with the lines that the last pass left, or with the next ones. */
INLINE void begin_fetch(group_fetch *fetch, group_place *at) {
    row_fetch *rows = &fetch->rows;
    if (fetch->left == 0 && rows->which < rows->count) {
        rows->at += 2;
        if (rows->at >= rows->rows[rows->which].lines) rows->at = 0, rows->which++;
        fetch->left = rows->steps;
    }
    at->fetch_left = 0;
    if (rows->which == rows->count) return;
    const wanted_rows *wanted = rows->rows + rows->which;
    at->fetch = wanted->first + rows->at * wanted->line + (rows->steps - fetch->left) * wanted->step;
    at->fetch_step = wanted->step;
    at->fetch_line = wanted->line;
    at->fetch_left = fetch->left;
}

INLINE void delta_rows(size_t writes, size_t reads, size_t rows, size_t columns, group_place *at,
                       const group_writes *known, vector out[group_steps][tile_columns],
                       vector erased[group_steps][tile_columns]) {
    vector s[tile_rows][tile_columns];
    const float *from = writes > 0 && reads > 0 ? at->to : at->from;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) s[r][c] = load(from + r * at->from_stride + c * lanes);
    if (writes == 0 && at->start) {
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) s[r][c] *= splat(at->start[r * at->decay_stride]);
        at->start += rows * at->decay_stride;
    }
    UNROLL
    for (size_t t = 0; t < writes; t++) {
        vector omega[tile_columns];
        for (size_t c = 0; c < columns; c++) omega[c] = load(known->omega[t] + c * lanes);
        for (size_t r = 0; r < rows; r++) {
            const vector k = splat_at(at->key + t * panel_rows + r);
            for (size_t c = 0; c < columns; c++) s[r][c] += k * omega[c];
        }
        for (size_t r = 0; r < rows; r++) {
            const vector q = splat_at(at->query + t * panel_rows + r);
            for (size_t c = 0; c < columns; c++) out[t][c] += q * s[r][c];
        }
    }
    UNROLL
    for (size_t t = 0; t < reads; t++)
        for (size_t r = 0; r < rows; r++) {
            const vector e = splat_at(at->erase + t * panel_rows + r);
            for (size_t c = 0; c < columns; c++) erased[t][c] += e * s[r][c];
        }
    if (reads == 0 && at->end) {
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) s[r][c] *= splat(at->end[r * at->decay_stride]);
        at->end += rows * at->decay_stride;
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) store(at->to + r * at->to_stride + c * lanes, s[r][c]);
    at->from += rows * at->from_stride, at->to += rows * at->to_stride;
    at->query += rows, at->key += rows, at->erase += rows;
}

/* Takes on `writes` steps from t on and finds what the `reads` steps after them write. */
INLINE void delta_pass(size_t writes, size_t reads, size_t columns, const delta_block *delta,
                       const group_pass *p, group_fetch *fetch, size_t t, size_t width, group_writes *known) {
    vector out[group_steps][tile_columns], erased[group_steps][tile_columns];
    UNROLL
    for (size_t i = 0; i < group_steps; i++) UNROLL
    for (size_t c = 0; c < columns; c++) out[i][c] = erased[i][c] = splat(0);
    /* what is taken on has been packed, what is read for more stays so */
    group_place at = {.from = p->from,
                      .to = p->to,
                      .from_stride = writes > 0 ? columns * lanes : p->from_stride,
                      .to_stride = reads > 0 ? columns * lanes : p->to_stride,
                      .start = p->start,
                      .end = p->end,
                      .decay_stride = p->decay_stride};
    begin_fetch(fetch, &at);
    for (size_t d = 0; d < p->rows; d += panel_rows) {
        const size_t rows = p->rows - d < panel_rows ? p->rows - d : panel_rows,
                     panel = d / panel_rows * p->panel;
        at.query = p->queries + panel, at.key = p->keys + panel, at.erase = p->erases + panel;
        for (size_t tiles = rows / tile_rows; tiles > 0; tiles--) {
            delta_rows(writes, reads, tile_rows, columns, &at, known, out, erased);
            fetch_next(&at);
            if (fetch->turns > 1) fetch_next(&at);
        }
        for (size_t left = rows % tile_rows; left > 0; left--)
            delta_rows(writes, reads, 1, columns, &at, known, out, erased);
    }
    if (fetch->rows.which < fetch->rows.count) fetch->left = at.fetch_left;
    UNROLL
    for (size_t i = 0; i < writes; i++) UNROLL
    for (size_t c = 0; c < columns; c++)
        store_up_to(p->output + i * p->output_stride + c * lanes, width,
                    out[i][c] * splat(delta->b.factor[t + i]));
    t += writes;
    const float *scores = delta->score + t / group_steps * group_pairs;
    UNROLL
    for (size_t i = 0; i < reads; i++) UNROLL
    for (size_t c = 0; c < columns; c++) {
        const vector value = load(p->values + (i * columns + c) * lanes);
        UNROLL
        for (size_t j = 0; j < i; j++) erased[i][c] += splat(scores[pair_of(i, j)]) * erased[j][c];
        erased[i][c] = splat(delta->beta[t + i]) * (value - splat(delta->held[t + i]) * erased[i][c]);
        store(known->omega[i] + c * lanes, erased[i][c]);
    }
}

/* Functions of their own, where a tile has all registers. */
#define PASS(name, writes, reads)                                                                            \
    static __attribute__((noinline)) void name(bool both, const delta_block *delta, const group_pass *p,     \
                                               group_fetch *fetch, size_t t, size_t width,                   \
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

/* All steps of the block for some columns of S, packed between the passes; one call's are on the stack. */
static __attribute__((noinline)) void delta_columns(bool both, const one_head *head, const delta_block *delta,
                                                    size_t m, size_t width, group_fetch *fetch) {
    _Alignas(vector) float packed[block_rows * tile_columns * lanes];
    const step_block *b = &delta->b;
    const size_t stride = (both ? tile_columns : 1) * lanes, S_stride = head->value_dim;
    const size_t output_stride = head->strides->output_stride;
    const bool whole = width >= lanes;
    float *S = head->S + b->column + m;
    group_writes known;
    for (size_t d = 0; d < b->rows && !whole; d++)
        store(packed + d * stride, load_part(S + d * S_stride, width));
    for (size_t t = 0, writes = 0, reads = group_at(delta, 0); writes + reads > 0;) {
        const bool from_S = whole && writes == 0, to_S = whole && reads == 0 && head->update;
        const group_pass p = {.rows = b->rows,
                              .from = from_S ? S : packed,
                              .to = to_S ? S : packed,
                              .from_stride = from_S ? S_stride : stride,
                              .to_stride = to_S ? S_stride : stride,
                              .start = b->start,
                              .end = b->end,
                              .decay_stride = b->decay_stride,
                              .queries = b->query[t],
                              .keys = b->key[t],
                              .erases = delta->erases[t + writes],
                              .panel = b->steps * panel_rows,
                              .values = b->value + m * b->steps + (t + writes) * stride,
                              .output = head->output + t * output_stride + b->column + m,
                              .output_stride = output_stride};
        (writes == 0   ? reads == 1 ? start_to_step : start_to_group
         : writes == 1 ? reads == 0 ? step_to_end : step_to_step
         : reads == 0  ? group_to_end
         : reads == 1  ? group_to_step
                       : group_to_group)(both, delta, &p, fetch, t, width, &known);
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

static void pass_delta_columns(const one_head *head, const delta_block *delta, group_fetch *fetch) {
    size_t m = 0;
    for (; m + tile_width <= delta->b.columns; m += tile_width)
        delta_columns(true, head, delta, m, lanes, fetch);
    for (; m < delta->b.columns; m += lanes)
        delta_columns(false, head, delta, m, delta->b.columns - m, fetch);
}

/* false: the block may hold what is not finite, and nothing has been changed */
static bool take_delta_block(const one_head *head, delta_block *delta, group_fetch *fetch) {
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
    pass_delta_columns(head, delta, fetch);
    while (b->column + b->columns < head->value_dim) {
        begin_columns(head, b, b->column + b->columns);
        pack_values(tile_columns, head, b);
        pass_delta_columns(head, delta, fetch);
    }
    return true;
}

INLINE size_t delta_chunk_by(const block_form *form, size_t key_dim, size_t value_dim, float *S, float scale,
                             const rill_heads_sequence *sequence) {
    const all_heads all = {key_dim, value_dim, S, NULL, 0, scale, sequence};
    delta_block block;
    group_fetch fetch = {.turns = value_dim > tile_width ? 1 : 2};
    for (size_t i = 0; i < sequence->heads; i++)
        for (size_t done = 0; done < sequence->length; done += block.b.steps)
            for (size_t group = 0; group < sequence->query_group; group++) {
                one_head head;
                choose_head(&all, i, group, done, &head);
                if (group == 0) begin_block(&head, sequence->length - done, form, &block.b);
                for (size_t t = 0; t < block.b.steps; t++) block.beta[t] = beta_of(sequence, i, done + t);
                plan_fetch(&all, i, group, done, block.b.steps, &fetch.rows);
                fetch.left = block.b.steps;
                if (!take_delta_block(&head, &block, &fetch)) return i * sequence->length + done;
            }
    return sequence->heads * sequence->length;
}

static size_t delta_chunk(size_t key_dim, size_t value_dim, float *S, float scale,
                          const rill_heads_sequence *sequence) {
    return delta_chunk_by(&usual_blocks, key_dim, value_dim, S, scale, sequence);
}

#ifdef __AVX512F__
static size_t long_delta_chunk(size_t key_dim, size_t value_dim, float *S, float scale,
                               const rill_heads_sequence *sequence) {
    return delta_chunk_by(&long_blocks, key_dim, value_dim, S, scale, sequence);
}
#endif
