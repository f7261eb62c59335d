/* SPDX-License-Identifier: MIT */
/* The delta rules one step at a time: S is read once for key and query, then read and written once.
 *
 *     u = g kᵀS, ω = β (v − u), S' = g S + k ωᵀ, o = scale (g qᵀS + (q·k) ω)
 *
 * so that the second pass, which goes back from the last row to the first, finds in the first-level cache
 * what the first pass read last. */
#include "kernels/vector_head.h"

enum {
    delta_tile = many_registers ? 8 : 4, /* vectors of S at a time: as many of u, and of outputs */
    delta_step_heads = 4,                /* that are prepared at a time */
    fetched_floats = 4096,  /* of a head that is fetched while another is there: half a first-level cache */
    fetched_share = 4,      /* of its rows, one in so many by the first pass */
    far_stride = 8 * lanes, /* floats: rows so far apart that the processor fetches none by itself */
    rows_before = 8         /* they are wanted */
};

/* Some heads of the state in one step, and one query head of each. */
typedef struct delta_step {
    size_t heads, rows, stride; /* heads: at most delta_step_heads; stride: value_dim */
    float *S;
    const float *erase, *query; /* k and q, or g k and g q with a decay per key */
    const float *key, *value;
    const float *decay; /* of row d at decay + d · decay_stride */
    size_t decay_stride;
    const float *held;  /* [heads]: what u and qᵀS are multiplied with: g, or 1 with a decay per key */
    const float *score; /* [heads]: q·k */
    const float *beta;  /* [heads] or one */
    float scale;
    float *output;
    bool update;
    size_t fetches; /* so many heads fetch the next one's S */
    size_t next_erase, next_query, next_decay, next_output, next_beta; /* from a head to the next */
} delta_step;

/* u and qᵀS of `columns` vectors, one alone of `width` values; `sets` rows add to sums of their own, for a
 * sum waits for its last FMA. */
INLINE void delta_read(size_t columns, size_t sets, bool fetches, size_t rows, size_t stride, size_t width,
                       const float *S, const float *erase, const float *query, vector *erased, vector *read) {
    const size_t next = rows * stride;
    const bool far = !many_registers && columns == 4 && stride > far_stride;
    UNROLL
    for (size_t i = 0; i < columns * sets; i++) erased[i] = read[i] = splat(0);
    for (; rows >= sets; rows -= sets, S += sets * stride, erase += sets, query += sets) UNROLL
    for (size_t i = 0; i < sets; i++) {
        const vector k = splat_at(erase + i), q = splat_at(query + i);
        UNROLL
        for (size_t c = 0; c < columns; c++) {
            const float *at = S + i * stride + c * lanes;
            if (fetches && i == 0 && rows % fetched_share == 0) __builtin_prefetch(at + next, 1);
            if (columns > 4) __builtin_prefetch(at + fetch_ahead, 1);
            if (far && c % 2 == 0) __builtin_prefetch(at + rows_before * stride, 1);
            const vector s = apart(load_up_to(at, width));
            erased[i * columns + c] += k * s;
            read[i * columns + c] += q * s;
        }
    }
    for (; rows > 0; rows--, S += stride, erase++, query++) UNROLL
    for (size_t c = 0; c < columns; c++) {
        const vector s = load_up_to(S + c * lanes, width);
        erased[c] += splat(*erase) * s;
        read[c] += splat(*query) * s;
    }
    UNROLL
    for (size_t i = 1; i < sets; i++) UNROLL
    for (size_t c = 0; c < columns; c++) {
        erased[c] += erased[i * columns + c];
        read[c] += read[i * columns + c];
    }
}

/* S = g S + k ωᵀ, from the last row to the first. `fetches` the next head's rows, or those that the first
 * pass has left. */
INLINE void delta_write(size_t columns, bool decayed, bool fetches, bool left, size_t rows, size_t stride,
                        size_t width, float *S, const float *key, const float *decay, size_t decay_stride,
                        const vector *omega) {
    const float *next = S + rows * stride;
    S += rows * stride;
    UNROLL_FOUR
    for (size_t d = rows; d-- > 0;) {
        S -= stride;
        if (fetches && !(left && d % fetched_share == 0)) UNROLL
        for (size_t c = 0; c < columns; c++) __builtin_prefetch(next + c * lanes, 1);
        next += stride;
        const vector k = splat_at(key + d), g = decayed ? splat_at(decay + d * decay_stride) : splat(1);
        UNROLL
        for (size_t c = 0; c < columns; c++) {
            const vector s = load_up_to(S + c * lanes, width), written = product_of(k, omega[c]);
            store_up_to(S + c * lanes, width, decayed ? g * s + written : s + written);
        }
    }
}

INLINE void delta_columns_of_heads(size_t columns, size_t sets, bool decayed, const delta_step *b, size_t i,
                                   size_t end, size_t m, size_t width) {
    for (; i < end; i++) {
        const size_t rows = b->rows, stride = b->stride;
        float *S = b->S + i * rows * stride + m;
        vector omega[delta_tile], read[delta_tile];
        const bool both = sets > 1; /* passes fetch */
        const bool fetches = columns == 4 && i < b->fetches;
        delta_read(columns, sets, fetches && both, rows, stride, width, S, b->erase + i * b->next_erase,
                   b->query + i * b->next_query, omega, read);
        const vector held = splat(b->held[i]), score = splat(b->score[i]),
                     beta = splat(b->beta[i * b->next_beta]);
        const float *values = b->value + i * stride + m;
        float *output = b->output + i * b->next_output + m;
        UNROLL
        for (size_t c = 0; c < columns; c++) {
            omega[c] = beta * (load_up_to(values + c * lanes, width) - held * omega[c]);
            read[c] = held * read[c] + score * omega[c];
            store_up_to(output + c * lanes, width, splat(b->scale) * read[c]);
        }
        if (b->update)
            delta_write(columns, decayed, fetches, both, rows, stride, width, S, b->key + i * rows,
                        b->decay + i * b->next_decay, b->decay_stride, omega);
    }
}

/* Functions of their own, where the rows of a tile have all registers. */
typedef void columns_delta(const delta_step *b, size_t head, size_t end, size_t m, size_t width);
#define STEP(name, columns, sets, decayed)                                                                   \
    static __attribute__((noinline)) void name(const delta_step *b, size_t head, size_t end, size_t m,       \
                                               size_t width) {                                               \
        delta_columns_of_heads(columns, sets, decayed, b, head, end, m, (columns) > 1 ? lanes : width);      \
    }
#define STEPS(name, columns, sets)                                                                           \
    STEP(delta_##name, columns, sets, false)                                                                 \
    STEP(delta_decayed_##name, columns, sets, true)                                                          \
    static columns_delta *const delta_step_##name[2] = {delta_##name, delta_decayed_##name};
STEPS(whole, delta_tile, 1)
STEPS(four, 4, delta_tile / 4)
STEPS(two, 2, delta_tile / 2)
STEPS(vector, 1, 2)
#undef STEPS
#undef STEP

/* Heads that are several tiles wide one after the other, as they lie. */
static void delta_all_columns(bool decayed, const delta_step *b) {
    const size_t at_once = b->stride <= delta_tile * lanes ? b->heads : 1;
    for (size_t i = 0; i < b->heads; i += at_once) {
        const size_t end = i + at_once;
        size_t m = 0;
        for (; m + delta_tile * lanes <= b->stride; m += delta_tile * lanes)
            delta_step_whole[decayed](b, i, end, m, lanes);
        for (; m + 4 * lanes <= b->stride; m += 4 * lanes) delta_step_four[decayed](b, i, end, m, lanes);
        for (; m + 2 * lanes <= b->stride; m += 2 * lanes) delta_step_two[decayed](b, i, end, m, lanes);
        for (; m < b->stride; m += lanes) delta_step_vector[decayed](b, i, end, m, b->stride - m);
    }
}

/* What is found for several heads, whose sums then do not wait for one another. */
typedef struct delta_step_batch {
    float held[delta_step_heads], score[delta_step_heads];
    float decay[delta_step_heads * RILL_DELTA_KEY_DIM_MAX], erase[delta_step_heads * RILL_DELTA_KEY_DIM_MAX],
        query[delta_step_heads * RILL_DELTA_KEY_DIM_MAX]; /* with a decay per key */
} delta_step_batch;

static void find_step_scores(const delta_step *b, float *score) {
    vector products[delta_step_heads];
    UNROLL
    for (size_t i = 0; i < delta_step_heads; i++) products[i] = splat(0);
    UNROLL
    for (size_t i = 0; i < delta_step_heads; i++)
        for (size_t d = 0; d < b->rows && i < b->heads; d += lanes)
            products[i] += load_up_to(b->query + i * b->next_query + d, b->rows - d) *
                           load_up_to(b->key + i * b->rows + d, b->rows - d);
    store_quad(score, sums(products[0], products[1], products[2], products[3]));
}

/* g, g k and g q */
static void decay_by_key(const float *log_decay, delta_step *b, delta_step_batch *batch) {
    const size_t rows = b->rows;
    for (size_t i = 0; i < b->heads; i++)
        for (size_t d = 0; d < rows; d += lanes) {
            const size_t at = i * rows + d, width = rows - d;
            const vector g = exponential(load_up_to(log_decay + at, width));
            store_up_to(batch->decay + at, width, g);
            store_up_to(batch->erase + at, width, g * load_up_to(b->key + at, width));
            store_up_to(batch->query + at, width, g * load_up_to(b->query + i * b->next_query + d, width));
        }
    b->decay = batch->decay, b->erase = batch->erase, b->query = batch->query;
    b->decay_stride = 1, b->next_decay = b->next_query = rows;
}

static void take_delta_heads(const all_heads *all, size_t step, size_t group, size_t head, size_t heads,
                             delta_step_batch *batch) {
    const rill_heads_sequence *sequence = all->sequence;
    const bool decayed = sequence->log_decay, per_key = decayed && sequence->decay_per_key;
    one_head first;
    choose_head(all, head, group, step, &first);
    delta_step b = {
        .heads = heads,
        .rows = all->key_dim,
        .stride = all->value_dim,
        .S = first.S,
        .erase = first.keys,
        .query = first.queries,
        .key = first.keys,
        .value = first.values,
        .decay = batch->held,
        .held = batch->held,
        .score = batch->score,
        .beta = sequence->beta + step * sequence->beta_stride + (sequence->beta_is_shared ? 0 : head),
        .scale = all->scale,
        .output = first.output,
        .update = first.update,
        .fetches = all->key_dim * all->value_dim <= fetched_floats ? sequence->heads - head - 1 : 0,
        .next_erase = all->key_dim,
        .next_query = sequence->query_group * all->key_dim,
        .next_decay = 1,
        .next_output = sequence->query_group * all->value_dim,
        .next_beta = !sequence->beta_is_shared};
    find_step_scores(&b, batch->score);
    for (size_t i = 0; i < heads && (!decayed || per_key); i++) batch->held[i] = 1;
    for (size_t i = 0; i < heads && decayed && !per_key; i += lanes)
        store_up_to(batch->held + i, heads - i, exponential(load_up_to(first.log_decay + i, heads - i)));
    if (per_key) decay_by_key(first.log_decay, &b, batch);
    delta_all_columns(decayed, &b);
}

static void delta_recurrent(size_t key_dim, size_t value_dim, float *S, float scale,
                            const rill_heads_sequence *sequence) {
    const all_heads all = {key_dim, value_dim, S, NULL, 0, scale, sequence};
    delta_step_batch batch;
    for (size_t step = 0; step < sequence->length; step++)
        for (size_t head = 0, heads; head < sequence->heads; head += heads) {
            heads = sequence->heads - head < delta_step_heads ? sequence->heads - head : delta_step_heads;
            for (size_t group = 0; group < sequence->query_group; group++)
                take_delta_heads(&all, step, group, head, heads, &batch);
        }
}
