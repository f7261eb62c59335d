/* SPDX-License-Identifier: MIT */
/* A step of the linear rule through a total that keeps what it rounds away. One pass reads S; the rows whose
 * turn it is take in what the kept steps hold for them, while the others are read: the one is bound by
 * multiply-adds, the other by the cache that S lies in.
 */
#include "kernels/vector.h"

enum {
    kept = RILL_STEADY_BLOCK_STEPS,
    panel = RILL_STEADY_PANEL,
    steady_columns = many_registers ? 8 : 4,  /* vectors of S at a time, with as many sums of outputs */
    steady_rows_max = many_registers ? 4 : 2, /* of the slice at a time */
    steady_heads_max = 16
};

_Static_assert(panel % lanes == 0 && kept == 8,
               "a panel's row is whole vectors; the scores of two heads sixteen");

/* where column i of the first kept step lies; that of the next is a panel's row on: rill_steady_kept_at(0,
 * i), which gcc 12, called here, makes 8 % slower steps of at D = 32 */
INLINE size_t in_panels(size_t i) {
    return i / panel * panel * kept + i % panel;
}

/* The sums of sixteen vectors, side by side. */
INLINE void sums_of_sixteen(const vector *v, float *sums_of) {
#ifdef __AVX512F__
    /* halves, then quarters of four vectors a register, so that each sum ends in a lane of its own */
    __m512 half[8], quarter[4];
    UNROLL
    for (size_t i = 0; i < 8; i++)
        half[i] = _mm512_add_ps(_mm512_shuffle_f32x4((__m512)v[2 * i], (__m512)v[2 * i + 1], 0x44),
                                _mm512_shuffle_f32x4((__m512)v[2 * i], (__m512)v[2 * i + 1], 0xee));
    UNROLL
    for (size_t i = 0; i < 4; i++)
        quarter[i] = _mm512_add_ps(_mm512_shuffle_f32x4(half[2 * i], half[2 * i + 1], 0x88),
                                   _mm512_shuffle_f32x4(half[2 * i], half[2 * i + 1], 0xdd));
    const __m512d low = (__m512d)_mm512_add_ps(_mm512_unpacklo_ps(quarter[0], quarter[1]),
                                               _mm512_unpackhi_ps(quarter[0], quarter[1]));
    const __m512d high = (__m512d)_mm512_add_ps(_mm512_unpacklo_ps(quarter[2], quarter[3]),
                                                _mm512_unpackhi_ps(quarter[2], quarter[3]));
    const __m512 mixed =
        _mm512_add_ps((__m512)_mm512_unpacklo_pd(low, high), (__m512)_mm512_unpackhi_pd(low, high));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_ps(sums_of, _mm512_permutexvar_ps(order, mixed));
#else
    for (size_t i = 0; i < 16; i += 4) {
        const quad four = sums(v[i], v[i + 1], v[i + 2], v[i + 3]);
        store_quad(sums_of + i, four);
    }
#endif
}

/* A row in the place of the oldest kept one; NULL: zeros. What a panel has beyond it stays 0. */
INLINE void keep_row(size_t dim, const float *row, float *to) {
    size_t i = 0;
    for (; i + lanes <= dim; i += lanes) store(to + in_panels(i), row ? load(row + i) : splat(0));
    if (i < dim) store(to + in_panels(i), row ? load_part(row + i, dim - i) : splat(0));
}

/* Some heads, and one query of each: what is found for all of them, whose sums then do not wait for one
 * another, before S is touched. */
typedef struct steady_heads {
    const rill_steady_step *step;
    size_t head, heads;
    size_t first_row, end_row;            /* the slice of rows that is folded */
    const float *queries;                 /* of the first head, the next's query_group rows on */
    float scores[steady_heads_max][kept]; /* the query with the kept keys */
    float factor[steady_heads_max + 2];   /* of the outputs: scale, or 1 / (q·z + ε) */
} steady_heads;

INLINE void multiply_kept(size_t width, const float *query, const float *z, const float *keys, vector *scores,
                          vector *normalizer) {
    const vector q = load_up_to(query, width);
    if (z) *normalizer += q * load_up_to(z, width);
    UNROLL
    for (size_t s = 0; s < kept; s++) scores[s] += q * load(keys + s * panel);
}

/* heads: 1, or 2 side by side from the first on, which is even */
INLINE void score_kept(size_t heads, size_t first, steady_heads *h) {
    const rill_steady_step *step = h->step;
    const size_t dim = step->key_dim, ring = rill_steady_kept_floats(dim);
    vector scores[2 * kept], normalizer[2];
    UNROLL
    for (size_t i = 0; i < 2 * kept; i++) scores[i] = splat(0);
    UNROLL
    for (size_t i = 0; i < 2; i++) normalizer[i] = splat(0);
    UNROLL
    for (size_t i = 0; i < heads; i++) {
        const size_t head = h->head + first + i;
        const float *query = h->queries + (first + i) * step->query_group * dim;
        const float *keys = step->kept_keys + head * ring;
        const float *z = step->z ? step->z + head * dim : NULL;
        size_t d = 0;
        for (; d + lanes <= dim; d += lanes)
            multiply_kept(lanes, query + d, z ? z + d : NULL, keys + in_panels(d), scores + i * kept,
                          normalizer + i);
        if (d < dim)
            multiply_kept(dim - d, query + d, z ? z + d : NULL, keys + in_panels(d), scores + i * kept,
                          normalizer + i);
    }
    if (step->z) /* the kept steps are in no z yet: Σ k is read as Σ q·k */
        UNROLL
    for (size_t i = 0; i < 2 * kept; i += 2) normalizer[i / kept] += scores[i] + scores[i + 1];
    sums_of_sixteen(scores, h->scores[first]);
    quad factor = {step->scale, step->scale, 0, 0};
    if (step->z) factor = 1 / (sums(normalizer[0], normalizer[1], splat(0), splat(0)) + step->epsilon);
    store_quad(h->factor + first, factor);
}

/* The rows that are not folded now, from the one behind the slice on. */
typedef struct row_reader {
    size_t left, row, rows, stride;
    const float *S, *query;
} row_reader;

/* `sets` sums of outputs, for a sum waits for its last FMA */
INLINE void read_rows(size_t rows, size_t columns, size_t sets, size_t width, row_reader *r, vector *out) {
    const float *S = r->S + r->row * r->stride, *query = r->query + r->row;
    UNROLL
    for (size_t i = 0; i < rows; i++, S += r->stride) {
        const vector q = splat(query[i]);
        UNROLL
        for (size_t c = 0; c < columns; c++)
            out[i % sets * columns + c] += q * load_up_to(S + c * lanes, width);
    }
    r->left -= rows, r->row += rows;
    if (r->row == r->rows) r->row = 0;
}

/* total + block, with what the sum rounds away (Kahan 1965); returns the total as it was */
INLINE vector fold_vector(size_t width, float *total, float *lost, vector block) {
    const vector before = apart(load_up_to(total, width)), addend = block - load_up_to(lost, width);
    const vector after = before + addend;
    store_up_to(lost, width, (after - before) - addend);
    store_up_to(total, width, after);
    return before;
}

/* `rows` rows of the slice: what the kept steps hold for them is summed from zero, then folded; their query
 * reads them as they were. As many rows of the others are read at each kept step but one. The first rows take
 * the kept steps' own part of the outputs along, by their scores; NULL: they are not the first. */
INLINE void fold_rows(size_t rows, size_t columns, size_t sets, size_t width, float *S, float *lost,
                      const float *query, const float *keys, const float *values, const float *scores,
                      row_reader *others, vector *out) {
    vector block[16];
    UNROLL
    for (size_t i = 0; i < rows * columns; i++) block[i] = splat(0);
    UNROLL
    for (size_t s = 0; s < kept; s++) {
        vector k[steady_rows_max];
        UNROLL
        for (size_t i = 0; i < rows; i++) k[i] = splat(keys[s * panel + i]);
        UNROLL
        for (size_t c = 0; c < columns; c++) {
            const vector v = apart(load(values + s * panel + in_panels(c * lanes)));
            UNROLL
            for (size_t i = 0; i < rows; i++) block[i * columns + c] += k[i] * v;
            if (scores) out[s % sets * columns + c] += splat_at(scores + s) * v;
        }
        if (s + 1 < kept && others->left >= rows) read_rows(rows, columns, sets, width, others, out);
    }
    const size_t stride = others->stride;
    UNROLL
    for (size_t i = 0; i < rows; i++) {
        const vector q = splat(query[i]);
        UNROLL
        for (size_t c = 0; c < columns; c++)
            out[i % sets * columns + c] +=
                q * fold_vector(width, S + i * stride + c * lanes, lost + i * stride + c * lanes,
                                block[i * columns + c]);
    }
}

/* `columns` vectors from column m on of head i of them; one alone may be `width` values wide. */
INLINE void steady_tile(size_t rows, size_t columns, size_t sets, bool fold, size_t stride,
                        const steady_heads *h, size_t i, size_t m, size_t width, float *output) {
    const rill_steady_step *step = h->step;
    const size_t head = h->head + i, begin = fold ? h->first_row : 0;
    const size_t end = fold ? h->end_row : 0;
    const float *query = h->queries + i * step->query_group * step->key_dim;
    const float *values = step->kept_values + head * rill_steady_kept_floats(stride) + in_panels(m);
    const float *keys = step->kept_keys + head * rill_steady_kept_floats(step->key_dim);
    const size_t from = head * step->key_dim * stride + m;
    float *S = step->S + from, *lost = step->S_lost + from;
    vector out[steady_columns];
    UNROLL
    for (size_t c = 0; c < columns * sets; c++) out[c] = splat(0);
    row_reader others = {.left = step->key_dim - (end - begin),
                         .row = end == step->key_dim ? 0 : end,
                         .rows = step->key_dim,
                         .stride = stride,
                         .S = S,
                         .query = query};
    size_t r = begin;
    if (r < end) {
        fold_rows(rows, columns, sets, width, S + r * stride, lost + r * stride, query + r,
                  keys + in_panels(r), values, h->scores[i], &others, out);
        r += rows;
    }
    for (; r < end; r += rows)
        fold_rows(rows, columns, sets, width, S + r * stride, lost + r * stride, query + r,
                  keys + in_panels(r), values, NULL, &others, out);
    while (!fold && others.left >= sets) read_rows(sets, columns, sets, width, &others, out);
    while (others.left > 0) read_rows(1, columns, sets, width, &others, out);
    for (size_t s = 0; s < kept && begin == end; s++) {
        const vector score = splat_at(&h->scores[i][s]);
        UNROLL
        for (size_t c = 0; c < columns; c++)
            out[c] += score * load(values + s * panel + in_panels(c * lanes));
    }
    UNROLL
    for (size_t s = 1; s < sets; s++) UNROLL
    for (size_t c = 0; c < columns; c++) out[c] += out[s * columns + c];
    UNROLL
    for (size_t c = 0; c < columns; c++)
        store_up_to(output + m + c * lanes, width, out[c] * splat(h->factor[i]));
}

/* Functions of their own, where a tile has all registers. */
typedef void steady_function(const steady_heads *h, size_t i, size_t m, size_t width, float *output);
typedef struct steady_functions {
    size_t columns, rows;
    steady_function *read, *fold_row, *fold_rows, *fold_all;
} steady_functions;
#define STEADY(name, rows, columns, sets, fold, stride)                                                      \
    static __attribute__((noinline)) void name(const steady_heads *h, size_t i, size_t m, size_t width,      \
                                               float *output) {                                              \
        steady_tile(rows, columns, sets, fold, stride, h, i, m, (columns) > 1 ? lanes : width, output);      \
    }
#define STEADIES(name, rows, columns, sets)                                                                  \
    STEADY(steady_read_##name, 1, columns, sets, false, h->step->value_dim)                                  \
    STEADY(steady_fold_row_##name, 1, columns, sets, true, h->step->value_dim)                               \
    STEADY(steady_fold_rows_##name, rows, columns, sets, true, h->step->value_dim)                           \
    STEADY(steady_fold_all_##name, rows, columns, sets, true, (columns)*lanes)                               \
    static const steady_functions steady_##name = {(columns)*lanes,         rows,                            \
                                                   steady_read_##name,      steady_fold_row_##name,          \
                                                   steady_fold_rows_##name, steady_fold_all_##name};
STEADIES(whole, many_registers ? 2 : 1, steady_columns, 1)
STEADIES(half, steady_rows_max, steady_columns / 2, 2)
STEADIES(quarter, steady_rows_max, steady_columns / 4, steady_rows_max)
STEADIES(vector, steady_rows_max, 1, steady_rows_max)
#undef STEADIES
#undef STEADY

/* as many rows at a time as make up every slice, or one; where they are as wide as the tile, with constant
 * addresses */
INLINE steady_function *choose_steady(const steady_functions *f, bool fold, const rill_steady_step *step) {
    if (!fold) return f->read;
    if (step->key_dim % (kept * f->rows) != 0) return f->fold_row;
    return step->value_dim == f->columns ? f->fold_all : f->fold_rows;
}

static void steady_output(bool fold, const steady_heads *h, size_t i, float *output) {
    const size_t value_dim = h->step->value_dim;
    static const steady_functions *const tiles[] = {&steady_whole, &steady_half, &steady_quarter,
                                                    &steady_vector};
    size_t m = 0;
    for (size_t t = 0; t < sizeof tiles / sizeof *tiles; t++)
        for (; m + tiles[t]->columns <= value_dim; m += tiles[t]->columns)
            choose_steady(tiles[t], fold, h->step)(h, i, m, lanes, output);
    if (m < value_dim) choose_steady(&steady_vector, fold, h->step)(h, i, m, value_dim - m, output);
}

/* z of a vector of rows, and no row of the slice in the kept keys any more */
static void fold_normalizer(const steady_heads *h, size_t i) {
    const rill_steady_step *step = h->step;
    const size_t dim = step->key_dim;
    float *keys = step->kept_keys + (h->head + i) * rill_steady_kept_floats(dim);
    integers lane;
    for (int32_t l = 0; l < (int32_t)lanes; l++) lane[l] = l;
    for (size_t d = h->first_row / lanes * lanes; d < h->end_row; d += lanes) {
        const int32_t begin = (int32_t)h->first_row - (int32_t)d, end = (int32_t)h->end_row - (int32_t)d;
        const integers folded = (lane >= begin) & (lane < end);
        vector block = splat(0);
        UNROLL
        for (size_t s = 0; s < kept; s++) {
            float *row = keys + in_panels(d) + s * panel;
            const vector k = load(row);
            block += k;
            store(row, choose(folded, splat(0), k));
        }
        if (!step->z) continue;
        float *z = step->z + (h->head + i) * dim + d, *lost = step->z_lost + (h->head + i) * dim + d;
        const vector before = load_up_to(z, dim - d), lost_before = load_up_to(lost, dim - d);
        const vector addend = block - lost_before, after = before + addend;
        store_up_to(lost, dim - d, choose(folded, (after - before) - addend, lost_before));
        store_up_to(z, dim - d, choose(folded, after, before));
    }
}

static void keep_step(const steady_heads *h) {
    const rill_steady_step *step = h->step;
    const size_t key_dim = step->key_dim, value_dim = step->value_dim;
    for (size_t head = h->head; head < h->head + h->heads; head++) {
        keep_row(key_dim, step->keys ? step->keys + head * key_dim : NULL,
                 step->kept_keys + head * rill_steady_kept_floats(key_dim) + step->place * panel);
        keep_row(value_dim, step->keys ? step->values + head * value_dim : NULL,
                 step->kept_values + head * rill_steady_kept_floats(value_dim) + step->place * panel);
    }
}

static void score_heads(steady_heads *h) {
    size_t i = 0;
    for (; i + 2 <= h->heads; i += 2) score_kept(2, i, h);
    if (i < h->heads) score_kept(1, i, h);
}

static void steady_step(const rill_steady_step *step) {
    const size_t key_dim = step->key_dim, group = step->query_group;
    steady_heads h;
    h.step = step;
    h.first_row = key_dim * step->place / kept;
    h.end_row = key_dim * (step->place + 1) / kept;
    for (h.head = 0; h.head < step->heads; h.head += h.heads) {
        const size_t left = step->heads - h.head;
        h.heads = left < steady_heads_max ? left : steady_heads_max;
        keep_step(&h);
        for (size_t g = 0; g < group; g++) {
            const size_t query_head = h.head * group + g;
            h.queries = step->queries + query_head * key_dim;
            score_heads(&h);
            for (size_t i = 0; i < h.heads; i++)
                steady_output(g + 1 == group, &h, i,
                              step->output + (query_head + i * group) * step->value_dim);
        }
        for (size_t i = 0; i < h.heads; i++) fold_normalizer(&h, i);
    }
}
