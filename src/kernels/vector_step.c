/* SPDX-License-Identifier: MIT */
/* The recurrence one step at a time: S is read and written in the order of its addresses, and fetched ahead.
 */
#include "kernels/vector_head.h"

enum {
    step_tile = many_registers ? 8 : 4, /* vectors of S at a time: as many of values, and of outputs */
    rows_ahead = fetch_ahead / (step_tile * lanes), /* of this tile, however many there are beside it */
    batch_heads = 16,
    batch_floats = 2048 /* heads, and decays, that are prepared at a time */
};

/* Some rows of some heads of the state in one step, and what they are multiplied with. */
typedef struct step_rows {
    size_t heads, rows, stride; /* stride: value_dim */
    float *S, *z;               /* z NULL: no normalizer */
    const float *query, *key, *value;
    const float *decay; /* of row d at decay + d · decay_stride */
    size_t decay_stride;
    float *output;
    bool unfused;        /* see step_row */
    bool first, last;    /* the outputs begin at 0; they are finished by their head's factor */
    const float *factor; /* [heads] */
    size_t next_S, next_query, next_key, next_decay, next_output; /* from a head to the next */
} step_rows;

/* Where sums have ports of their own, an FMA that reads its addend from a register takes the place of a store
 * (Zen 5): `unfused`, outputs are summed from products. */
INLINE void step_row(size_t columns, bool decayed, bool update, bool unfused, size_t stride, size_t width,
                     float *S, const float *key, const float *query, const float *decay, const vector *value,
                     vector *out) {
    const vector k = splat_at(key), q = splat_at(query), g = decayed ? splat_at(decay) : splat(1);
    const float *ahead = decayed ? S + fetch_ahead : in_a_register(S + rows_ahead * stride);
    UNROLL
    for (size_t c = 0; c < columns; c++) {
        if (columns > 4) __builtin_prefetch(ahead + c * lanes, 1);
        vector s = load_up_to(S + c * lanes, width);
        if (decayed) s *= g;
        s += product_of(k, value[c]);
        out[c] += unfused ? product_of(q, s) : q * s;
        if (update) store_up_to(S + c * lanes, width, s);
    }
}

/* `columns` vectors from column m on of one head; one alone may be `width` values wide. `sets` rows add to
 * outputs of their own, for a sum waits for its last FMA. */
INLINE void step_columns(size_t columns, size_t sets, bool decayed, bool update, bool unfused,
                         const step_rows *b, size_t width, float *S, const float *query, const float *key,
                         const float *decay, const float *values, float factor, float *output) {
    vector value[step_tile], out[2 * step_tile];
    UNROLL
    for (size_t c = 0; c < columns; c++) value[c] = load_up_to(values + c * lanes, width);
    UNROLL
    for (size_t i = 0; i < columns * sets; i++) out[i] = splat(0);
    const size_t stride = b->stride, decay_stride = b->decay_stride;
    size_t left = b->rows;
    for (; left >= sets;
         left -= sets, key += sets, query += sets, S += sets * stride, decay += sets * decay_stride)
        UNROLL
    for (size_t i = 0; i < sets; i++)
        step_row(columns, decayed, update, unfused, stride, width, S + i * stride, key + i, query + i,
                 decay + i * decay_stride, value, out + i * columns);
    for (; left > 0; left--, key++, query++, S += stride, decay += decay_stride)
        step_row(columns, decayed, update, unfused, stride, width, S, key, query, decay, value, out);
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

/* gcc keeps what does not fit its registers in vectors, where it waits behind what they are multiplied with;
 * from memory it comes at once. */
INLINE const step_rows *read_again(const step_rows *b) {
    __asm__("" : "+r"(b));
    return b;
}

INLINE void step_columns_of_heads(size_t columns, size_t sets, bool decayed, bool update, bool unfused,
                                  const step_rows *b, size_t m, size_t width) {
    for (size_t i = 0; i < b->heads; i++) {
        b = read_again(b);
        step_columns(columns, sets, decayed, update, unfused, b, width, b->S + i * b->next_S + m,
                     b->query + i * b->next_query, b->key + i * b->next_key, b->decay + i * b->next_decay,
                     b->value + i * b->stride + m, b->factor[i], b->output + i * b->next_output + m);
    }
}

/* Functions of their own, where the rows of a tile have all registers. plain_sets: of the undecayed step,
 * whose rows of four vectors follow so closely that they wait for one another's sums. */
typedef void columns_step(const step_rows *b, size_t m, size_t width);
#define STEP(name, columns, sets, whole, decayed, update, unfused)                                           \
    static __attribute__((noinline)) void name(const step_rows *b, size_t m, size_t width) {                 \
        step_columns_of_heads(columns, sets, decayed, update, unfused, b, m, whole ? lanes : width);         \
    }
#define STEPS(name, columns, sets, plain_sets, whole)                                                        \
    STEP(read_##name, columns, sets, whole, false, false, false)                                             \
    STEP(read_decayed_##name, columns, sets, whole, true, false, false)                                      \
    STEP(take_##name, columns, plain_sets, whole, false, true, false)                                        \
    STEP(take_decayed_##name, columns, sets, whole, true, true, false)                                       \
    static columns_step *const step_##name[2][2] = {{read_##name, read_decayed_##name},                      \
                                                    {take_##name, take_decayed_##name}};
STEPS(whole, step_tile, 1, many_registers ? 1 : 2, true)
STEPS(half, step_tile / 2, 1, 1, true)
STEPS(quarter, step_tile / 4, 2, 2, true)
STEPS(vector, 1, 2, 2, false)
STEP(take_unfused_whole, step_tile, 1, true, false, true, true)
#undef STEPS
#undef STEP

static void step_all_columns(bool decayed, bool update, const step_rows *b) {
    size_t m = 0;
    for (; m + step_tile * lanes <= b->stride; m += step_tile * lanes)
        (lanes == 16 && b->unfused && update && !decayed ? take_unfused_whole
                                                         : step_whole[update][decayed])(b, m, lanes);
    for (; m + step_tile / 2 * lanes <= b->stride; m += step_tile / 2 * lanes)
        step_half[update][decayed](b, m, lanes);
    for (; m + step_tile / 4 * lanes <= b->stride; m += step_tile / 4 * lanes)
        step_quarter[update][decayed](b, m, lanes);
    for (; m < b->stride; m += lanes) step_vector[update][decayed](b, m, b->stride - m);
}

/* Some heads in one step, or some rows of one head that has many: what is found for all of them, whose sums
 * then do not wait for one another, before S is touched. */
typedef struct step_batch {
    float decay[batch_floats];     /* [heads], or [heads][rows] with a decay per key */
    float factor[batch_heads + 3]; /* of the outputs: scale, or 1 / (q·z + ε) */
} step_batch;

static void find_decays(size_t count, const float *log_decay, float *decay) {
    for (size_t i = 0; i < count; i += lanes)
        store_up_to(decay + i, count - i, exponential(load_up_to(log_decay + i, count - i)));
}

/* z = g z + k for a vector of a head's rows, left behind by an update; the products with q */
INLINE vector step_normalizer(bool update, size_t width, float *z, const float *key, const float *query,
                              vector decay) {
    const vector after = decay * load_up_to(z, width) + load_up_to(key, width);
    if (update) store_up_to(z, width, after);
    return load_up_to(query, width) * after;
}

/* The factors of `heads` heads, 1 or 4 whose sums do not wait for one another; a decay per key is one of
 * each row. */
INLINE void find_factors_of(size_t heads, bool decayed, bool per_key, bool update, const step_rows *b,
                            size_t first, float epsilon, float *factor) {
    const size_t rows = b->rows;
    vector products[4];
    UNROLL
    for (size_t i = 0; i < 4; i++) products[i] = splat(0);
    UNROLL
    for (size_t i = 0; i < heads; i++) {
        const size_t head = first + i;
        float *z = b->z + head * b->next_key;
        const float *key = b->key + head * b->next_key, *query = b->query + head * b->next_query;
        const float *decay = b->decay + head * b->next_decay;
        const vector g = decayed && !per_key ? splat_at(decay) : splat(1);
        size_t d = 0;
        for (; d + lanes <= rows; d += lanes)
            products[i] +=
                step_normalizer(update, lanes, z + d, key + d, query + d, per_key ? load(decay + d) : g);
        if (d < rows)
            products[i] += step_normalizer(update, rows - d, z + d, key + d, query + d,
                                           per_key ? load_part(decay + d, rows - d) : g);
    }
    quad total = {epsilon, epsilon, epsilon, epsilon};
    if (!b->first) total = load_quad(factor + first);
    total += sums(products[0], products[1], products[2], products[3]);
    if (b->last) total = 1 / total;
    store_quad(factor + first, total);
}

INLINE void find_step_factors(bool decayed, bool per_key, bool update, const step_rows *b, float epsilon,
                              float *factor) {
    size_t i = 0;
    for (; i + 4 <= b->heads; i += 4) find_factors_of(4, decayed, per_key, update, b, i, epsilon, factor);
    for (; i < b->heads; i++) find_factors_of(1, decayed, per_key, update, b, i, epsilon, factor);
}

/* Functions of their own, that need not know what the others do. */
#define FACTORS(name, decayed, per_key, update)                                                              \
    static __attribute__((noinline)) void name(const step_rows *b, float epsilon, float *factor) {           \
        find_step_factors(decayed, per_key, update, b, epsilon, factor);                                     \
    }
FACTORS(read_factors, false, false, false)
FACTORS(read_factors_decayed, true, false, false)
FACTORS(read_factors_decayed_by_key, true, true, false)
FACTORS(take_factors, false, false, true)
FACTORS(take_factors_decayed, true, false, true)
FACTORS(take_factors_decayed_by_key, true, true, true)
#undef FACTORS
typedef void factors_step(const step_rows *b, float epsilon, float *factor);
static factors_step *const step_factors[2][3] = {
    {read_factors, read_factors_decayed, read_factors_decayed_by_key},
    {take_factors, take_factors_decayed, take_factors_decayed_by_key}};

/* Rows from `row` on of heads from `head` on, and one query head of each group, the last of which leaves the
 * states behind. */
static void take_rows(const all_heads *all, size_t step, size_t group, size_t head, size_t heads, size_t row,
                      size_t rows, bool unfused, step_batch *batch) {
    const rill_heads_sequence *sequence = all->sequence;
    const bool decayed = sequence->log_decay, per_key = decayed && sequence->decay_per_key;
    one_head first;
    choose_head(all, head, group, step, &first);
    const step_rows b = {.heads = heads,
                         .rows = rows,
                         .stride = all->value_dim,
                         .S = first.S + row * all->value_dim,
                         .z = first.z ? first.z + row : NULL,
                         .query = first.queries + row,
                         .key = first.keys + row,
                         .value = first.values,
                         .decay = batch->decay,
                         .decay_stride = per_key,
                         .output = first.output,
                         .unfused = unfused,
                         .first = row == 0,
                         .last = row + rows == all->key_dim,
                         .factor = batch->factor,
                         .next_S = all->key_dim * all->value_dim,
                         .next_query = sequence->query_group * all->key_dim,
                         .next_key = all->key_dim,
                         .next_decay = per_key ? rows : decayed,
                         .next_output = sequence->query_group * all->value_dim};
    if (decayed && (group == 0 || rows < all->key_dim))
        find_decays(per_key ? heads * rows : heads, first.log_decay + (per_key ? row : 0), batch->decay);
    for (size_t i = 0; i < heads && !b.z; i++) batch->factor[i] = all->scale;
    if (b.z) step_factors[first.update][decayed + per_key](&b, all->epsilon, batch->factor);
    step_all_columns(decayed, first.update, &b);
}

static void take_all_heads(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                           bool unfused, const rill_heads_sequence *sequence) {
    const all_heads all = {key_dim, value_dim, S, z, epsilon, scale, sequence};
    step_batch batch;
    size_t most_rows = sequence->decay_per_key ? batch_floats : key_dim;
    size_t most_heads = sequence->decay_per_key ? batch_floats / key_dim : batch_heads;
    if (most_heads > batch_heads) most_heads = batch_heads;
    if (most_heads == 0) most_heads = 1;
    for (size_t step = 0; step < sequence->length; step++)
        for (size_t head = 0, heads; head < sequence->heads; head += heads) {
            heads = sequence->heads - head < most_heads ? sequence->heads - head : most_heads;
            for (size_t group = 0; group < sequence->query_group; group++)
                for (size_t row = 0, rows; row < key_dim; row += rows) {
                    rows = key_dim - row < most_rows ? key_dim - row : most_rows;
                    take_rows(&all, step, group, head, heads, row, rows, unfused, &batch);
                }
        }
}

static void recurrent(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                      const rill_heads_sequence *sequence) {
    take_all_heads(key_dim, value_dim, S, z, epsilon, scale, false, sequence);
}

#ifdef __AVX512F__
static void unfused_recurrent(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon,
                              float scale, const rill_heads_sequence *sequence) {
    take_all_heads(key_dim, value_dim, S, z, epsilon, scale, true, sequence);
}
#endif
