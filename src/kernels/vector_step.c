/* SPDX-License-Identifier: MIT */
/* The recurrence one step at a time: S is read and written in the order of its addresses, and fetched ahead.
 */
#include "kernels/vector_head.h"

enum {
    step_tile = many_registers ? 8 : 4, /* vectors of S at a time: as many of values, and of outputs */
    batch_heads = 16,
    batch_floats = 2048 /* heads, and decays, that are prepared at a time */
};

/* Some rows of the state in one step, and what they are multiplied with. */
typedef struct step_rows {
    size_t rows, stride; /* stride: value_dim */
    float *S;
    const float *query, *key, *value;
    const float *decay; /* of row d at decay + d · decay_stride */
    size_t decay_stride;
    float *output;
    bool first, last; /* the outputs begin at 0; they are finished by factor */
    float factor;
} step_rows;

INLINE void step_row(size_t columns, bool decayed, bool update, const step_rows *b, size_t d, size_t m,
                     size_t width, const vector *value, vector *out) {
    float *S = b->S + d * b->stride + m;
    const vector key = splat(b->key[d]),
                 query = splat(b->query[d]); /* before S, which may be anything, changes */
    const vector decay = decayed ? splat(b->decay[d * b->decay_stride]) : splat(1);
    for (size_t c = 0; c < columns; c++) {
        if (columns > 4) __builtin_prefetch(S + c * lanes + fetch_ahead, 1);
        vector s = load_up_to(S + c * lanes, width);
        if (decayed) s *= decay;
        s += product_of(key, value[c]);
        out[c] += product_of(query, s);
        if (update) store_up_to(S + c * lanes, width, s);
    }
}

/* `columns` vectors from column m on; one alone may be `width` values wide. `sets` rows add to outputs of
 * their own, for a sum waits for its last FMA. */
INLINE void step_columns(size_t columns, size_t sets, bool decayed, bool update, const step_rows *b, size_t m,
                         size_t width) {
    vector value[step_tile], out[step_tile];
    for (size_t c = 0; c < columns; c++) value[c] = load_up_to(b->value + m + c * lanes, width);
    for (size_t i = 0; i < columns * sets; i++) out[i] = splat(0);
    size_t d = 0;
    for (; d + sets <= b->rows; d += sets)
        for (size_t i = 0; i < sets; i++)
            step_row(columns, decayed, update, b, d + i, m, width, value, out + i * columns);
    for (; d < b->rows; d++) step_row(columns, decayed, update, b, d, m, width, value, out);
    for (size_t i = columns; i < columns * sets; i++) out[i % columns] += out[i];
    for (size_t c = 0; c < columns; c++) {
        float *output = b->output + m + c * lanes;
        if (!b->first) out[c] += load_up_to(output, width);
        if (b->last) out[c] *= splat(b->factor);
        store_up_to(output, width, out[c]);
    }
}

INLINE void step_all_columns(bool decayed, bool update, const step_rows *b) {
    size_t m = 0;
    for (; m + step_tile * lanes <= b->stride; m += step_tile * lanes)
        step_columns(step_tile, 1, decayed, update, b, m, lanes);
    for (; m + 4 * lanes <= b->stride; m += 4 * lanes)
        step_columns(4, step_tile / 4, decayed, update, b, m, lanes);
    for (; m + 2 * lanes <= b->stride; m += 2 * lanes)
        step_columns(2, step_tile / 2, decayed, update, b, m, lanes);
    for (; m < b->stride; m += lanes) step_columns(1, 1, decayed, update, b, m, b->stride - m);
}

/* Some heads in one step, or some rows of one head that has many: what is found for all of them, whose sums
 * then do not wait for one another, before S is touched. */
typedef struct step_batch {
    size_t step, head, heads, row, rows;
    float decay[batch_floats]; /* [heads], or [heads][rows] with a decay per key */
    float factor[batch_heads]; /* of the outputs: scale, or 1 / (q·z + ε) */
} step_batch;

static void find_decays(const all_heads *all, step_batch *b) {
    const rill_heads_sequence *sequence = all->sequence;
    const float *log_decay = sequence->log_decay + b->step * sequence->decay_stride;
    log_decay += sequence->decay_per_key ? b->head * all->key_dim + b->row : b->head;
    const size_t count = b->heads * (sequence->decay_per_key ? b->rows : 1);
    for (size_t i = 0; i < count; i += lanes)
        store_up_to(b->decay + i, count - i, exponential(load_up_to(log_decay + i, count - i)));
}

/* z = g z + k for the batch's rows of a head, left behind by an update; the products with q */
INLINE vector step_normalizer(bool update, const one_head *head, const step_batch *b, const float *decay) {
    vector products = splat(0);
    for (size_t d = 0; d < b->rows; d += lanes) {
        const size_t width = b->rows - d, at = b->row + d;
        vector z = load_up_to(head->z + at, width);
        if (head->log_decay) z *= head->strides->decay_per_key ? load_up_to(decay + d, width) : splat(*decay);
        z += load_up_to(head->keys + at, width);
        products += load_up_to(head->queries + at, width) * z;
        if (update) store_up_to(head->z + at, width, z);
    }
    return products;
}

static const float *decay_of(const all_heads *all, const step_batch *b, size_t i) {
    return b->decay + i * (all->sequence->decay_per_key ? b->rows : 1);
}

static void find_step_factors(const all_heads *all, size_t group, step_batch *b) {
    const bool update = group + 1 == all->sequence->query_group;
    for (size_t i = 0; i < b->heads; i += 4) {
        vector products[4] = {{0}};
        for (size_t j = 0; j < 4 && i + j < b->heads && all->z; j++) {
            const one_head head = choose_head(all, b->head + i + j, group, b->step);
            products[j] = step_normalizer(update, &head, b, decay_of(all, b, i + j));
        }
        quad four = sums(products[0], products[1], products[2], products[3]);
        for (size_t j = 0; j < 4; j++) {
            const float before = b->row > 0 ? b->factor[i + j] : all->epsilon;
            b->factor[i + j] = all->z ? before + four[j] : all->scale;
            if (all->z && b->row + b->rows == all->key_dim) b->factor[i + j] = 1 / b->factor[i + j];
        }
    }
}

INLINE void step_heads(bool decayed, bool update, const all_heads *all, size_t group, const step_batch *b) {
    for (size_t i = 0; i < b->heads; i++) {
        const one_head head = choose_head(all, b->head + i, group, b->step);
        const step_rows rows = {.rows = b->rows,
                                .stride = all->value_dim,
                                .S = head.S + b->row * all->value_dim,
                                .query = head.queries + b->row,
                                .key = head.keys + b->row,
                                .value = head.values,
                                .decay = decay_of(all, b, i),
                                .decay_stride = all->sequence->decay_per_key,
                                .output = head.output,
                                .first = b->row == 0,
                                .last = b->row + b->rows == all->key_dim,
                                .factor = b->factor[i]};
        step_all_columns(decayed, update, &rows);
    }
}

/* The last query head of a group leaves the states behind. */
static void take_step(const all_heads *all, step_batch *b) {
    const bool decayed = all->sequence->log_decay;
    if (decayed) find_decays(all, b);
    for (size_t group = 0; group < all->sequence->query_group; group++) {
        find_step_factors(all, group, b);
        if (group + 1 < all->sequence->query_group)
            decayed ? step_heads(true, false, all, group, b) : step_heads(false, false, all, group, b);
        else
            decayed ? step_heads(true, true, all, group, b) : step_heads(false, true, all, group, b);
    }
}

static void recurrent(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                      const rill_heads_sequence *sequence) {
    const all_heads all = {key_dim, value_dim, S, z, epsilon, scale, sequence};
    step_batch b;
    size_t most_rows = sequence->decay_per_key ? batch_floats : key_dim;
    size_t most_heads = sequence->decay_per_key ? batch_floats / key_dim : batch_heads;
    if (most_heads > batch_heads) most_heads = batch_heads;
    if (most_heads == 0) most_heads = 1;
    for (b.step = 0; b.step < sequence->length; b.step++)
        for (b.head = 0; b.head < sequence->heads; b.head += b.heads) {
            b.heads = sequence->heads - b.head < most_heads ? sequence->heads - b.head : most_heads;
            for (b.row = 0; b.row < key_dim; b.row += b.rows) {
                b.rows = key_dim - b.row < most_rows ? key_dim - b.row : most_rows;
                take_step(&all, &b);
            }
        }
}
