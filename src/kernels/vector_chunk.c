/* SPDX-License-Identifier: MIT */
/* The linear and gated recurrence, several steps for one pass over S.
 *
 * A tile of S stays in registers while all steps of a block are written to it and read from it, one after the
 * other; the sums of the outputs go through the first-level cache from tile to tile. So nothing is computed
 * but what the definition asks for, no scores between steps, and S is loaded and stored once for a block.
 *
 * Loads have ports of their own, but where they make the core slow its clock (Granite Rapids: 128 FMAs and 88
 * loads, none waiting for another, 1.34 times the FMAs alone), the fewest are the fastest. For an FMA, tiles
 * of r rows and c vectors need 1/c broadcasts and, 1/2r each, loads of values and of sums and stores of sums:
 * 6 rows of 4 vectors are the best that 32 registers allow. Where loads cost nothing (Zen 4, two cycles for
 * an FMA of 512 bits or a store), it is the 24 stores between two tiles that do: 8 rows of 2 vectors. */
#include "kernels/vector_block.h"

enum {
    tallest_tile = 8,
    rows_of_four = 6, /* vectors */
    rows_of_two = many_registers ? 8 : 6,
    rows_of_one = 8
};

/* Rows of S that a tile of so many vectors a row takes at most. */
INLINE size_t rows_beside(size_t columns) {
    return columns == 4 ? rows_of_four : columns == 2 ? rows_of_two : rows_of_one;
}

/* A tile fetches a line or two for each step, as evenly as can be, for only so many may be on their way. */
typedef struct even_fetch {
    row_fetch rows;
    float due, share; /* lines: so many now, so many for each float of S */
} even_fetch;

/* The tiles of some vectors of columns, one below the other, and what they meet. */
typedef struct tile_path {
    size_t steps, rows_left;
    float *S;
    size_t S_stride;
    bool update;
    const float *start, *end;
    size_t decay_stride;
    const float *key, *query; /* [steps][panel_rows] */
    const float *value;       /* [steps][columns] */
    const float *from; /* the outputs before the tile; then they are in sums, and after the last here: */
    size_t from_stride;
    float *sums; /* [steps][columns] */
    float *output;
    size_t output_stride;
    const float *factor; /* of the finished outputs; NULL: they are not */
    even_fetch *fetch;
} tile_path;

/* Where a tile's steps have come to. */
typedef struct tile_place {
    const float *key, *query, *value, *from, *factor;
    float *to;
    size_t from_stride, to_stride;
    const float *fetch;
    size_t fetch_step, fetch_line, fetch_lines;
} tile_place;

INLINE void choose_lines(size_t floats, even_fetch *fetch, tile_place *at) {
    row_fetch *rows = &fetch->rows;
    fetch->due += fetch->share * (float)floats;
    if (fetch->due < 1 || rows->which == rows->count) return;
    const wanted_rows *wanted = rows->rows + rows->which;
    const size_t left = wanted->lines - rows->at;
    at->fetch = wanted->first + rows->at * wanted->line;
    at->fetch_step = wanted->step;
    at->fetch_line = wanted->line;
    at->fetch_lines = fetch->due >= 2 && left > 1 ? 2 : 1;
    fetch->due -= (float)at->fetch_lines;
    rows->at += at->fetch_lines;
    if (at->fetch_lines == left) rows->at = 0, rows->which++;
}

/* inner: the sums are not finished, and stay in sums; fetches: there may be lines to fetch */
INLINE void take_steps(size_t steps, size_t rows, size_t columns, bool inner, bool fetches, tile_place *at,
                       vector s[tallest_tile][panel_columns]) {
    UNROLL
    for (size_t t = 0; t < steps; t++) {
        vector v[panel_columns], out[panel_columns];
        UNROLL
        for (size_t c = 0; c < columns; c++) v[c] = load(at->value + (t * columns + c) * lanes);
        UNROLL
        for (size_t r = 0; r < rows; r++) {
            const vector k = splat_at(at->key + t * panel_rows + r);
            UNROLL
            for (size_t c = 0; c < columns; c++) s[r][c] += k * v[c];
        }
        UNROLL
        for (size_t c = 0; c < columns; c++) out[c] = apart(load(at->from + c * lanes));
        UNROLL
        for (size_t r = 0; r < rows; r++) {
            const vector q = splat_at(at->query + t * panel_rows + r);
            UNROLL
            for (size_t c = 0; c < columns; c++) out[c] += q * s[r][c];
        }
        if (!inner && at->factor) {
            const vector factor = splat_at(at->factor++);
            UNROLL
            for (size_t c = 0; c < columns; c++) out[c] *= factor;
        }
        UNROLL
        for (size_t c = 0; c < columns; c++) store(at->to + c * lanes, out[c]);
        at->from += at->from_stride, at->to += inner ? columns * lanes : at->to_stride;
        if (fetches && at->fetch_lines > 0) {
            __builtin_prefetch(at->fetch, 0, 2);
            if (at->fetch_lines > 1) __builtin_prefetch(at->fetch + at->fetch_line, 0, 2);
            at->fetch += at->fetch_step;
        }
    }
    at->key += steps * panel_rows, at->query += steps * panel_rows, at->value += steps * columns * lanes;
}

INLINE void take_all_steps(size_t steps, size_t rows, size_t columns, bool inner, bool fetches,
                           tile_place *at, vector s[tallest_tile][panel_columns]) {
    /* so many steps a turn that a queue of 144 decoded instructions (Golden Cove) holds the loop */
    const size_t fitting = 32 / (rows * columns), turn = fitting > 4 ? 4 : fitting > 1 ? fitting : 1;
    for (; steps % turn > 0; steps--) take_steps(1, rows, columns, inner, fetches, at, s);
    for (; steps > 0; steps -= turn) take_steps(turn, rows, columns, inner, fetches, at, s);
}

/* gcc keeps addresses that it will need again, as if there were registers for them. */
INLINE tile_path *once_more(tile_path *p) {
    __asm__("" : "+r"(p));
    return p;
}

/* Every row by its decay; returns the next rows'. */
INLINE const float *forget(size_t rows, size_t columns, const float *decay, size_t stride,
                           vector s[tallest_tile][panel_columns]) {
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        UNROLL
        for (size_t c = 0; c < columns; c++) s[r][c] *= splat(decay[r * stride]);
    }
    return decay + rows * stride;
}

/* The next tile's rows, which are far where a first level of 32 KiB is full; there may be fewer of them. */
INLINE void fetch_tile(size_t rows, const float *first, size_t stride) {
    UNROLL
    for (size_t r = 0; r < rows; r++)
        __builtin_prefetch((const void *)((uintptr_t)first + r * stride * sizeof *first), 1, 3);
}

INLINE void take_tile(size_t rows, size_t columns, tile_path *p) {
    vector s[tallest_tile][panel_columns];
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        UNROLL
        for (size_t c = 0; c < columns; c++) s[r][c] = load(p->S + r * p->S_stride + c * lanes);
    }
    if (p->start) p->start = forget(rows, columns, p->start, p->decay_stride, s);
    p = once_more(p);
    const bool last = p->rows_left == rows;
    if (!many_registers && !last) fetch_tile(rows, p->S + rows * p->S_stride, p->S_stride);
    tile_place at = {.key = p->key,
                     .query = p->query,
                     .value = p->value,
                     .from = p->from,
                     .from_stride = p->from_stride,
                     .factor = last ? p->factor : NULL,
                     .to = last ? p->output : p->sums,
                     .to_stride = last ? p->output_stride : columns * lanes};
    choose_lines(rows * columns * lanes, p->fetch, &at);
    /* Of 16 registers fewer FMAs come of an instruction, and what is asked at every step costs as much as
     * they do: most tiles need not ask. */
    if (many_registers || last)
        take_all_steps(p->steps, rows, columns, false, true, &at, s);
    else if (at.fetch_lines > 0)
        take_all_steps(p->steps, rows, columns, true, true, &at, s);
    else
        take_all_steps(p->steps, rows, columns, true, false, &at, s);
    p = once_more(p);
    if (p->update) {
        if (p->end) p->end = forget(rows, columns, p->end, p->decay_stride, s);
        UNROLL
        for (size_t r = 0; r < rows; r++) {
            UNROLL
            for (size_t c = 0; c < columns; c++) store(p->S + r * p->S_stride + c * lanes, s[r][c]);
        }
    }
    p->S += rows * p->S_stride;
    p->key += rows, p->query += rows;
    p->rows_left -= rows;
    p->from = p->sums;
    p->from_stride = columns * lanes;
}

/* Functions of their own, where a tile has all registers. */
#define TILES(rows, columns)                                                                                 \
    static __attribute__((noinline)) void tiles_##rows##_##columns(size_t tiles, tile_path *p) {             \
        for (; tiles > 0; tiles--) take_tile(rows, columns, p);                                              \
    }
TILES(6, 4)
TILES(4, 4)
TILES(1, 4)
TILES(8, 2)
TILES(6, 2)
TILES(4, 2)
TILES(1, 2)
TILES(8, 1)
TILES(4, 1)
TILES(1, 1)
#undef TILES

/* Tiles for that many rows: of two and eight that six leave, eight, for single rows wait for their sums. */
INLINE void take_tiles(size_t columns, size_t rows, tile_path *p) {
    const size_t most = rows_beside(columns);
    size_t tall = rows / most;
    if (most == 6 && tall > 0 && rows % most == 2) tall--;
    const size_t left = rows - tall * most;
    if (columns == 4)
        tiles_6_4(tall, p), tiles_4_4(left / 4, p), tiles_1_4(left % 4, p);
    else if (columns == 2)
        (most == 8 ? tiles_8_2 : tiles_6_2)(tall, p), tiles_4_2(left / 4, p), tiles_1_2(left % 4, p);
    else
        tiles_8_1(tall, p), tiles_4_1(left / 4, p), tiles_1_1(left % 4, p);
}

/* All steps of the block for `columns` vectors of S from m on; one alone may be `width` values wide. */
INLINE void pass_columns(size_t columns, const one_head *head, const step_block *b, size_t m, size_t width,
                         even_fetch *fetch) {
    static const _Alignas(vector) float zeros[panel_columns * lanes];
    _Alignas(vector) float sums[usual_steps * panel_columns * lanes], packed[block_rows * lanes];
    const size_t stride = head->strides->output_stride;
    const bool whole = width >= lanes;
    float *S = head->S + b->row * head->value_dim + b->column + m, *output = head->output + b->column + m;
    for (size_t d = 0; d < b->rows && !whole; d++)
        store(packed + d * lanes, load_part(S + d * head->value_dim, width));
    for (size_t t = 0; t < b->steps && !whole && !b->first; t++)
        store(sums + t * lanes, load_part(output + t * stride, width));
    tile_path p = {.steps = b->steps,
                   .rows_left = b->rows,
                   .S = whole ? S : packed,
                   .S_stride = whole ? head->value_dim : lanes,
                   .update = head->update,
                   .start = b->start,
                   .end = b->end,
                   .decay_stride = b->decay_stride,
                   .value = b->value + m * b->steps,
                   .from = b->first ? zeros
                           : whole  ? output
                                    : sums,
                   .from_stride = b->first ? 0
                                  : whole  ? stride
                                           : columns * lanes,
                   .sums = sums,
                   .output = whole ? output : sums,
                   .output_stride = whole ? stride : columns * lanes,
                   .factor = b->last ? b->factor : NULL,
                   .fetch = fetch};
    for (size_t d = 0; d < b->rows; d += panel_rows) {
        p.key = b->key[d / panel_rows * b->steps];
        p.query = b->query[d / panel_rows * b->steps];
        take_tiles(columns, b->rows - d < panel_rows ? b->rows - d : panel_rows, &p);
    }
    for (size_t d = 0; d < b->rows && !whole && head->update; d++)
        store_part(S + d * head->value_dim, width, load(packed + d * lanes));
    for (size_t t = 0; t < b->steps && !whole; t++)
        store_part(output + t * stride, width, load(sums + t * lanes));
}

static void pass_block(size_t most, const one_head *head, const step_block *b, even_fetch *fetch) {
    size_t m = 0;
    if (panel_columns == 4 && most == 4)
        for (; m + 4 * lanes <= b->columns; m += 4 * lanes) pass_columns(4, head, b, m, lanes, fetch);
    for (; m + 2 * lanes <= b->columns; m += 2 * lanes) pass_columns(2, head, b, m, lanes, fetch);
    for (; m < b->columns; m += lanes) pass_columns(1, head, b, m, b->columns - m, fetch);
}

INLINE float share_of(const row_fetch *rows, const one_head *head) {
    size_t lines = 0;
    for (size_t i = 0; i < rows->count; i++) lines += rows->rows[i].lines;
    return (float)lines / (float)(head->key_dim * head->value_dim);
}

/* The block through one query head; false: it may hold what is not finite, and nothing has been changed. */
static bool take_block(size_t columns, const one_head *head, step_block *b, even_fetch *fetch) {
    const bool one_packing = head->value_dim <= block_columns;
    for (b->row = 0; b->row < head->key_dim; b->row += b->rows) {
        const size_t left = head->key_dim - b->row;
        b->rows = left < block_rows ? left : block_rows;
        b->first = b->row == 0;
        b->last = b->rows == left;
        begin_columns(head, b, 0);
        vector zeros = prepare_block(false, head, b);
        if (b->first || !one_packing) zeros += pack_values(columns, head, b);
        if (b->first && !is_finite(head, b, zeros)) return false;
        keep_normalizer(head, b);
        if (b->last) find_factors(head, b);
        pass_block(columns, head, b, fetch);
        while (b->column + b->columns < head->value_dim) {
            begin_columns(head, b, b->column + b->columns);
            pack_values(columns, head, b);
            pass_block(columns, head, b, fetch);
        }
    }
    return true;
}

static size_t chunk_by(const block_form *form, size_t key_dim, size_t value_dim, float *S, float *z,
                       float epsilon, float scale, const rill_heads_sequence *sequence) {
    const all_heads all = {key_dim, value_dim, S, z, epsilon, scale, sequence};
    step_block b;
    even_fetch fetch;
    for (size_t head = 0; head < sequence->heads; head++)
        for (size_t done = 0; done < sequence->length; done += b.steps)
            for (size_t group = 0; group < sequence->query_group; group++) {
                one_head one;
                choose_head(&all, head, group, done, &one);
                if (group == 0) begin_block(&one, sequence->length - done, form, &b);
                plan_fetch(&all, head, group, done, b.steps, &fetch.rows);
                fetch.due = 0;
                fetch.share = share_of(&fetch.rows, &one);
                if (!take_block(form->columns, &one, &b, &fetch)) return head * sequence->length + done;
            }
    return sequence->heads * sequence->length;
}

static size_t chunk(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                    const rill_heads_sequence *sequence) {
    return chunk_by(&usual_blocks, key_dim, value_dim, S, z, epsilon, scale, sequence);
}

#ifdef __AVX512F__
static size_t long_chunk(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                         const rill_heads_sequence *sequence) {
    return chunk_by(&long_blocks, key_dim, value_dim, S, z, epsilon, scale, sequence);
}

static size_t zen4_chunk(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                         const rill_heads_sequence *sequence) {
    return chunk_by(&zen4_blocks, key_dim, value_dim, S, z, epsilon, scale, sequence);
}
#endif
