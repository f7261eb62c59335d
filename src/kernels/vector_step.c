/* SPDX-License-Identifier: MIT */
/* The recurrence one step at a time: S is read and written in the order of its addresses, and fetched ahead.
 */
#include "kernels/vector_head.h"

enum {
    step_tile = many_registers ? 8 : 4, /* vectors of S at a time: as many of values, and of outputs */
    batch_heads = 16,
    batch_floats = 2048 /* heads, and decays, that are prepared at a time */
};

/* Some rows of some heads of the state in one step, and what they are multiplied with. */
typedef struct step_rows {
    size_t heads, rows, stride; /* stride: value_dim */
    float *S;
    const float *query, *key, *value;
    const float *decay; /* of row d at decay + d · decay_stride */
    size_t decay_stride;
    float *output;
    bool first, last;    /* the outputs begin at 0; they are finished by their head's factor */
    const float *factor; /* [heads] */
    size_t next_S, next_query, next_key, next_decay, next_output; /* from a head to the next */
} step_rows;

INLINE void step_row(size_t columns, bool decayed, bool update, size_t width, float *S, float key,
                     float query, float decay, const vector *value, vector *out) {
    const vector k = splat(key), q = splat(query), g = splat(decay);
    UNROLL
    for (size_t c = 0; c < columns; c++) {
        if (columns > 4) __builtin_prefetch(S + c * lanes + fetch_ahead, 1);
        vector s = load_up_to(S + c * lanes, width);
        if (decayed) s *= g;
        s += product_of(k, value[c]);
        out[c] += product_of(q, s);
        if (update) store_up_to(S + c * lanes, width, s);
    }
}

/* `columns` vectors from column m on of one head; one alone may be `width` values wide. `sets` rows add to
 * outputs of their own, for a sum waits for its last FMA. */
INLINE void step_columns(size_t columns, size_t sets, bool decayed, bool update, const step_rows *b,
                         size_t width, float *S, const float *query, const float *key, const float *decay,
                         const float *values, float factor, float *output) {
    vector value[step_tile], out[step_tile];
    UNROLL
    for (size_t c = 0; c < columns; c++) value[c] = load_up_to(values + c * lanes, width);
    UNROLL
    for (size_t i = 0; i < columns * sets; i++) out[i] = splat(0);
    const size_t stride = b->stride, decay_stride = b->decay_stride;
    const float *const end = key + b->rows;
    for (; (size_t)(end - key) >= sets;
         key += sets, query += sets, S += sets * stride, decay += sets * decay_stride)
        UNROLL
    for (size_t i = 0; i < sets; i++)
        step_row(columns, decayed, update, width, S + i * stride, key[i], query[i],
                 decayed ? decay[i * decay_stride] : 1, value, out + i * columns);
    for (; key < end; key++, query++, S += stride, decay += decay_stride)
        step_row(columns, decayed, update, width, S, *key, *query, decayed ? *decay : 1, value, out);
    UNROLL
    for (size_t i = 1; i < sets; i++) UNROLL
    for (size_t c = 0; c < columns; c++) out[c] += out[i * columns + c];
    UNROLL
    for (size_t c = 0; c < columns; c++) {
        if (!b->first) out[c] += load_up_to(output + c * lanes, width);
        if (b->last) out[c] *= splat(factor);
        store_up_to(output + c * lanes, width, out[c]);
    }
}

INLINE void step_columns_of_heads(size_t columns, size_t sets, bool decayed, bool update, const step_rows *b,
                                  size_t m, size_t width) {
    float *S = b->S + m, *output = b->output + m;
    const float *query = b->query, *key = b->key, *decay = b->decay, *value = b->value + m;
    for (size_t i = 0; i < b->heads; i++) {
        step_columns(columns, sets, decayed, update, b, width, S, query, key, decay, value, b->factor[i],
                     output);
        S += b->next_S, query += b->next_query, key += b->next_key, decay += b->next_decay;
        value += b->stride, output += b->next_output;
    }
}

/* Functions of their own, where the rows of a tile have all registers. */
typedef void columns_step(const step_rows *b, size_t m, size_t width);
#define STEP(name, columns, sets, decayed, update)                                                           \
    static __attribute__((noinline)) void name(const step_rows *b, size_t m, size_t width) {                 \
        step_columns_of_heads(columns, sets, decayed, update, b, m,                                          \
                              (sets) > 1 || (columns) > 1 ? lanes : width);                                  \
    }
#define STEPS(name, columns, sets)                                                                           \
    STEP(read_##name, columns, sets, false, false)                                                           \
    STEP(read_decayed_##name, columns, sets, true, false)                                                    \
    STEP(take_##name, columns, sets, false, true)                                                            \
    STEP(take_decayed_##name, columns, sets, true, true)                                                     \
    static columns_step *const step_##name[2][2] = {{read_##name, read_decayed_##name},                      \
                                                    {take_##name, take_decayed_##name}};
STEPS(whole, step_tile, 1)
STEPS(half, step_tile / 2, 2)
STEPS(quarter, step_tile / 4, 4)
STEPS(vector, 1, 1)
#undef STEPS
#undef STEP

static void step_all_columns(bool decayed, bool update, const step_rows *b) {
    size_t m = 0;
    for (; m + step_tile * lanes <= b->stride; m += step_tile * lanes)
        step_whole[update][decayed](b, m, lanes);
    for (; m + step_tile / 2 * lanes <= b->stride; m += step_tile / 2 * lanes)
        step_half[update][decayed](b, m, lanes);
    for (; m + step_tile / 4 * lanes <= b->stride; m += step_tile / 4 * lanes)
        step_quarter[update][decayed](b, m, lanes);
    for (; m < b->stride; m += lanes) step_vector[update][decayed](b, m, b->stride - m);
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

/* z = g z + k for a vector of a head's rows, left behind by an update; the products with q */
INLINE vector step_normalizer(bool update, const one_head *head, size_t row, size_t width, vector decay) {
    const vector z = decay * load_up_to(head->z + row, width) + load_up_to(head->keys + row, width);
    if (update) store_up_to(head->z + row, width, z);
    return load_up_to(head->queries + row, width) * z;
}

static const float *decay_of(const all_heads *all, const step_batch *b, size_t i) {
    return b->decay + i * (all->sequence->decay_per_key ? b->rows : 1);
}

/* The products q·z of the batch's rows of a head. */
INLINE vector step_normalizers(const all_heads *all, const one_head *head, const step_batch *b, size_t i) {
    const bool decayed = all->sequence->log_decay, per_key = all->sequence->decay_per_key;
    const float *decay = decay_of(all, b, i);
    const vector of_head = splat(decayed && !per_key ? *decay : 1);
    vector products = splat(0);
    for (size_t d = 0; d < b->rows; d += lanes) {
        const size_t width = b->rows - d;
        const vector g = decayed && per_key ? load_up_to(decay + d, width) : of_head;
        products += width >= lanes ? step_normalizer(head->update, head, b->row + d, lanes, g)
                                   : step_normalizer(head->update, head, b->row + d, width, g);
    }
    return products;
}

static void find_step_factors(const all_heads *all, size_t group, step_batch *b) {
    for (size_t i = 0; i < b->heads && !all->z; i++) b->factor[i] = all->scale;
    one_head head = choose_head(all, b->head, group, b->step);
    for (size_t i = 0; i < b->heads && all->z; i += 4) {
        vector products[4] = {{0}};
        for (size_t j = 0; j < 4 && i + j < b->heads; j++, next_head(&head))
            products[j] = step_normalizers(all, &head, b, i + j);
        quad before = {all->epsilon, all->epsilon, all->epsilon, all->epsilon};
        if (b->row > 0) memcpy(&before, b->factor + i, sizeof before);
        before += sums(products[0], products[1], products[2], products[3]);
        if (b->row + b->rows == all->key_dim) before = 1 / before;
        memcpy(b->factor + i, &before, sizeof before);
    }
}

static void step_heads(const all_heads *all, size_t group, const step_batch *b) {
    const rill_heads_sequence *sequence = all->sequence;
    const one_head head = choose_head(all, b->head, group, b->step);
    const step_rows rows = {.heads = b->heads,
                            .rows = b->rows,
                            .stride = all->value_dim,
                            .S = head.S + b->row * all->value_dim,
                            .query = head.queries + b->row,
                            .key = head.keys + b->row,
                            .value = head.values,
                            .decay = b->decay,
                            .decay_stride = sequence->decay_per_key,
                            .output = head.output,
                            .first = b->row == 0,
                            .last = b->row + b->rows == all->key_dim,
                            .factor = b->factor,
                            .next_S = all->key_dim * all->value_dim,
                            .next_query = sequence->query_group * all->key_dim,
                            .next_key = all->key_dim,
                            .next_decay = sequence->decay_per_key ? b->rows : 1,
                            .next_output = sequence->query_group * all->value_dim};
    step_all_columns(sequence->log_decay, head.update, &rows);
}

/* The last query head of a group leaves the states behind. */
static void take_step(const all_heads *all, step_batch *b) {
    if (all->sequence->log_decay) find_decays(all, b);
    for (size_t group = 0; group < all->sequence->query_group; group++) {
        find_step_factors(all, group, b);
        step_heads(all, group, b);
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
