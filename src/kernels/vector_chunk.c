/* SPDX-License-Identifier: MIT */
/* The linear and gated recurrence, several steps for one pass over S.
 *
 * A tile of S is held in registers while tile_steps steps are written to it and read from it, one after the
 * other. So nothing is computed but what the definition asks for, no scores between steps, and S is loaded
 * and stored once for all of them. */
#include "kernels/vector_block.h"

INLINE void pass_rows(size_t steps, size_t rows, size_t columns, const column_pass *p, size_t d,
                      const float *value, vector out[tile_steps][tile_columns]) {
    vector s[tile_rows][tile_columns];
    load_tile(rows, columns, p, d, s);
    const float(*keys)[panel_rows] = p->keys + d / panel_rows * p->panel;
    const float(*queries)[panel_rows] = p->queries + d / panel_rows * p->panel;
    UNROLL
    for (size_t t = 0; t < steps; t++) {
        const float *key = keys[t] + d % panel_rows, *query = queries[t] + d % panel_rows;
        vector v[tile_columns];
        for (size_t c = 0; c < columns; c++) v[c] = load(value + (t * tile_columns + c) * lanes);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) s[r][c] += splat(key[r]) * v[c];
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) out[t][c] += splat(query[r]) * s[r][c];
    }
    store_tile(rows, columns, p, d, s);
}

/* What a pointer leads to is read where it is used: gcc would keep it in registers, and the sums that are
 * added to in memory. */
INLINE void hide(const float **from) {
    __asm__("" : "+r"(*from) : : "memory");
}

/* `steps` steps from t on, `columns` vectors from column m on; one alone may be `width` values wide */
INLINE void pass(size_t steps, size_t columns, const one_head *head, const step_block *b,
                 const column_pass *p, size_t t, size_t m, size_t width) {
    _Alignas(vector) float value[tile_steps * tile_columns * lanes];
    vector out[tile_steps][tile_columns];
    const float *values = head->values + t * head->strides->value_stride + m;
    float *output = head->output + t * head->strides->output_stride + m;
    UNROLL
    for (size_t i = 0; i < steps; i++)
        for (size_t c = 0; c < columns; c++) {
            store(value + (i * tile_columns + c) * lanes,
                  load_up_to(values + i * head->strides->value_stride + c * lanes, width));
            out[i][c] = b->first ? splat(0)
                                 : load_up_to(output + i * head->strides->output_stride + c * lanes, width);
        }
    const float *hidden = value;
    if (many_registers) hide(&hidden);
    size_t d = 0, next = head->next_queries || head->strides->ahead ? 0 : steps;
    for (; d + tile_rows <= b->rows; d += tile_rows) {
        pass_rows(steps, tile_rows, columns, p, d, hidden, out);
        if (next < steps) fetch_next(head, t + next++, m);
    }
    for (; d < b->rows; d++) pass_rows(steps, 1, columns, p, d, hidden, out);
    UNROLL
    for (size_t i = 0; i < steps; i++)
        for (size_t c = 0; c < columns; c++) {
            if (b->last) out[i][c] *= splat(b->factor[t + i]);
            store_up_to(output + i * head->strides->output_stride + c * lanes, width, out[i][c]);
        }
}

/* A function of its own, where a tile has all registers. */
static __attribute__((noinline)) void pass_tile(const one_head *head, const step_block *b,
                                                const column_pass *p, size_t t, size_t m) {
    pass(tile_steps, tile_columns, head, b, p, t, m, lanes);
}

/* All steps of the block for `columns` vectors of S. Between passes they lie packed: rows of S may be as far
 * apart as a way of the cache. */
INLINE void pass_columns(size_t columns, const one_head *head, const step_block *b, size_t m, size_t width) {
    _Alignas(vector) float packed[block_rows * tile_columns * lanes];
    const size_t stride = columns * lanes, S_stride = head->value_dim;
    float *S = head->S + b->row * S_stride + m;
    const bool whole = width >= lanes;
    for (size_t d = 0; d < b->rows && !whole; d++)
        store(packed + d * stride, load_part(S + d * S_stride, width));
    for (size_t t = 0, steps = tile_steps; t < b->steps; t += steps) {
        const size_t left = b->steps - t;
        while (steps > left) steps /= 2;
        const bool from_S = whole && t == 0, to_S = whole && head->update && left == steps;
        const column_pass p = {
            .from = from_S ? S : packed,
            .to = to_S ? S : packed,
            .from_stride = from_S ? S_stride : stride,
            .to_stride = to_S ? S_stride : stride,
            .start = t == 0 ? b->start : NULL,
            .end = left == steps ? b->end : NULL,
            .decay_stride = b->decay_stride,
            .queries = b->query + t,
            .keys = b->key + t,
            .panel = b->steps,
        };
        if (steps == tile_steps && columns == tile_columns)
            pass_tile(head, b, &p, t, m);
        else if (steps == tile_steps)
            pass(tile_steps, columns, head, b, &p, t, m, width);
        else if (steps == 4)
            pass(4, columns, head, b, &p, t, m, width);
        else if (steps == 2)
            pass(2, columns, head, b, &p, t, m, width);
        else
            pass(1, columns, head, b, &p, t, m, width);
    }
    for (size_t d = 0; d < b->rows && !whole && head->update; d++)
        store_part(S + d * S_stride, width, load(packed + d * stride));
}

static void pass_block(const one_head *head, const step_block *b) {
    size_t m = 0;
    for (; m + tile_columns * lanes <= head->value_dim; m += tile_columns * lanes)
        pass_columns(tile_columns, head, b, m, lanes);
    for (; m < head->value_dim; m += lanes) pass_columns(1, head, b, m, head->value_dim - m);
}

/* The block through one query head. */
static void take_block(const one_head *head, step_block *b) {
    bool per_key = head->log_decay && head->strides->decay_per_key;
    for (b->row = 0; b->row < head->key_dim; b->row += b->rows) {
        size_t left = head->key_dim - b->row;
        b->rows = left < block_rows ? left : block_rows;
        b->first = b->row == 0;
        b->last = b->rows == left;
        per_key ? prepare(true, false, head, b) : prepare(false, false, head, b);
        if (b->last) find_factors(head, b);
        pass_block(head, b);
    }
}

static void chunk(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                  const rill_heads_sequence *sequence) {
    const all_heads all = {key_dim, value_dim, S, z, epsilon, scale, sequence};
    step_block b;
    for (size_t head = 0; head < sequence->heads; head++)
        for (size_t done = 0; done < sequence->length; done += b.steps)
            for (size_t group = 0; group < sequence->query_group; group++) {
                const one_head one = choose_head_and_next(&all, head, group, done);
                if (group == 0) begin_block(&one, sequence->length - done, &b);
                take_block(&one, &b);
            }
}
