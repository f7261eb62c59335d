/* SPDX-License-Identifier: MIT */
/* The linear and gated recurrence, several steps for one pass over S.
 *
 * A tile of S is held in registers while tile_steps steps are written to it and read from it, one after the
 * other. So nothing is computed but what the definition asks for, no scores between steps, and S is loaded
 * and stored once for all of them. */
#include "kernels/vector_block.h"

INLINE void pass_rows(size_t steps, size_t rows, size_t columns, const column_pass *p, size_t d,
                      const float *key, const float *query, const float *value,
                      vector out[tile_steps][tile_columns]) {
    vector s[tile_rows][tile_columns];
    load_tile(rows, columns, p, d, s);
    UNROLL
    for (size_t t = 0; t < steps; t++) {
        vector v[tile_columns];
        for (size_t c = 0; c < columns; c++) v[c] = load(value + t * tile_width + c * lanes);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) s[r][c] += splat_at(key + t * panel_rows + r) * v[c];
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) out[t][c] += splat_at(query + t * panel_rows + r) * s[r][c];
    }
    store_tile(rows, columns, p, d, s);
}

/* `steps` steps, `columns` vectors; one alone may be `width` values wide */
INLINE void pass(size_t steps, size_t columns, const column_pass *p, row_fetch *fetch, size_t width) {
    vector out[tile_steps][tile_columns];
    UNROLL
    for (size_t i = 0; i < steps; i++)
        for (size_t c = 0; c < columns; c++)
            out[i][c] = p->first ? splat(0) : load_up_to(p->output + i * p->output_stride + c * lanes, width);
    const float *keys = p->keys, *queries = p->queries, *value = p->values;
    /* gcc keeps some of a local array in registers, which is good only where there are few of them */
    _Alignas(vector) float local[tile_steps * tile_width];
    if (!many_registers) {
        UNROLL
        for (size_t i = 0; i < steps; i++)
            for (size_t c = 0; c < columns; c++)
                store(local + i * tile_width + c * lanes, load(value + i * tile_width + c * lanes));
        value = local;
    }
    for (size_t d = 0; d < p->rows;) {
        const size_t left = p->rows - d, end = d + (left < panel_rows ? left : panel_rows);
        const float *key = keys, *query = queries;
        for (; d + tile_rows <= end; d += tile_rows, key += tile_rows, query += tile_rows) {
            pass_rows(steps, tile_rows, columns, p, d, key, query, value, out);
            fetch_step(fetch);
        }
        for (; d < end; d++) pass_rows(steps, 1, columns, p, d, key++, query++, value, out);
        keys += p->panel, queries += p->panel;
    }
    UNROLL
    for (size_t i = 0; i < steps; i++)
        for (size_t c = 0; c < columns; c++) {
            if (p->factor) out[i][c] *= splat(p->factor[i]);
            store_up_to(p->output + i * p->output_stride + c * lanes, width, out[i][c]);
        }
}

/* A function of its own, where a tile has all registers. */
static __attribute__((noinline)) void pass_tile(const column_pass *p, row_fetch *fetch) {
    pass(tile_steps, tile_columns, p, fetch, lanes);
}

/* All steps of the block for `columns` vectors of S. Between passes they lie packed: rows of S may be as far
 * apart as a way of the cache. */
INLINE void pass_columns(size_t columns, const one_head *head, const step_block *b, size_t m, size_t width) {
    _Alignas(vector) float packed[block_rows * tile_width];
    const size_t stride = columns * lanes, S_stride = head->value_dim;
    float *S = head->S + b->row * S_stride + b->column + m;
    const bool whole = width >= lanes;
    for (size_t d = 0; d < b->rows && !whole; d++)
        store(packed + d * stride, load_part(S + d * S_stride, width));
    row_fetch fetch = choose_fetch(head, b->column + m);
    for (size_t t = 0, steps = tile_steps; t < b->steps; t += steps) {
        const size_t left = b->steps - t;
        while (steps > left) steps /= 2;
        const column_pass p = choose_pass(head, b, m, t, t == 0, left == steps, whole, packed, stride);
        if (steps == tile_steps && columns == tile_columns) {
            fetch.steps = fetch.query ? tile_steps : 0;
            pass_tile(&p, &fetch);
        } else if (steps == tile_steps)
            pass(tile_steps, columns, &p, &fetch, width);
        else if (steps == 4)
            pass(4, columns, &p, &fetch, width);
        else if (steps == 2)
            pass(2, columns, &p, &fetch, width);
        else
            pass(1, columns, &p, &fetch, width);
    }
    for (size_t d = 0; d < b->rows && !whole && head->update; d++)
        store_part(S + d * S_stride, width, load(packed + d * stride));
}

static void pass_block(const one_head *head, const step_block *b) {
    size_t m = 0;
    for (; m + tile_width <= b->columns; m += tile_width) pass_columns(tile_columns, head, b, m, lanes);
    for (; m < b->columns; m += lanes) pass_columns(1, head, b, m, b->columns - m);
}

/* The block through one query head; false: it may hold what is not finite, and nothing has been changed. */
static bool take_block(const one_head *head, step_block *b) {
    const bool one_packing = head->value_dim <= block_columns;
    for (b->row = 0; b->row < head->key_dim; b->row += b->rows) {
        const size_t left = head->key_dim - b->row;
        b->rows = left < block_rows ? left : block_rows;
        b->first = b->row == 0;
        b->last = b->rows == left;
        begin_columns(head, b, 0);
        vector zeros = prepare_block(false, head, b);
        if (b->first || !one_packing) zeros += pack_values(head, b);
        if (b->first && !is_finite(head, b, zeros)) return false;
        keep_normalizer(head, b);
        if (b->last) find_factors(head, b);
        pass_block(head, b);
        while (b->column + b->columns < head->value_dim) {
            begin_columns(head, b, b->column + b->columns);
            pack_values(head, b);
            pass_block(head, b);
        }
    }
    return true;
}

static size_t chunk(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                    const rill_heads_sequence *sequence) {
    const all_heads all = {key_dim, value_dim, S, z, epsilon, scale, sequence};
    step_block b;
    for (size_t head = 0; head < sequence->heads; head++)
        for (size_t done = 0; done < sequence->length; done += b.steps)
            for (size_t group = 0; group < sequence->query_group; group++) {
                one_head one;
                choose_head_and_next(&all, head, group, done, &one);
                if (group == 0) begin_block(&one, sequence->length - done, &b);
                if (!take_block(&one, &b)) return head * sequence->length + done;
            }
    return sequence->heads * sequence->length;
}
