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
    fetched_floats = 4096                /* of the next head while one is written: half a first-level cache */
};

/* One query head of a state head in one step. */
typedef struct delta_step {
    size_t rows, stride; /* stride: value_dim */
    float *S;
    const float *erase, *query; /* k and q, or g k and g q with a decay per key */
    const float *key, *value;
    const float *decay; /* of row d at decay + d · decay_stride */
    size_t decay_stride;
    float held;  /* what u and qᵀS are multiplied with: g, or 1 with a decay per key */
    float score; /* q·k */
    float beta, scale;
    float *output;
    bool update, fetches; /* the next head's S, which lies behind this one's */
} delta_step;

/* u and qᵀS of `columns` vectors from column m on, one alone of `width` values; `sets` rows add to sums of
 * their own, for a sum waits for its last FMA. */
INLINE void delta_read(size_t columns, size_t sets, const delta_step *b, size_t m, size_t width,
                       vector *erased, vector *read) {
    UNROLL
    for (size_t i = 0; i < columns * sets; i++) erased[i] = read[i] = splat(0);
    const float *S = b->S + m;
    size_t d = 0;
    for (; d + sets <= b->rows; d += sets)
        for (size_t i = 0; i < sets; i++, S += b->stride) {
            const vector erase = splat_at(b->erase + d + i), query = splat_at(b->query + d + i);
            for (size_t c = 0; c < columns; c++) {
                if (columns > 4) __builtin_prefetch(S + c * lanes + fetch_ahead, 1);
                const vector s = apart(load_up_to(S + c * lanes, width));
                erased[i * columns + c] += erase * s;
                read[i * columns + c] += query * s;
            }
        }
    for (; d < b->rows; d++, S += b->stride)
        for (size_t c = 0; c < columns; c++) {
            const vector s = load_up_to(S + c * lanes, width);
            erased[c] += splat(b->erase[d]) * s;
            read[c] += splat(b->query[d]) * s;
        }
    UNROLL
    for (size_t i = 1; i < sets; i++)
        for (size_t c = 0; c < columns; c++) {
            erased[c] += erased[i * columns + c];
            read[c] += read[i * columns + c];
        }
}

INLINE void delta_write(size_t columns, bool decayed, const delta_step *b, size_t m, size_t width,
                        const vector *omega) {
    float *S = b->S + m + b->rows * b->stride;
    UNROLL_FOUR
    for (size_t d = b->rows; d-- > 0;) {
        S -= b->stride;
        if (b->fetches && columns >= 4)
            for (size_t c = 0; c < columns; c++)
                __builtin_prefetch(b->S + (2 * b->rows - 1 - d) * b->stride + m + c * lanes, 1);
        const vector key = splat_at(b->key + d), decay = splat(decayed ? b->decay[d * b->decay_stride] : 1);
        for (size_t c = 0; c < columns; c++) {
            vector s = load_up_to(S + c * lanes, width);
            if (decayed) s = product_of(decay, s);
            store_up_to(S + c * lanes, width, s + product_of(key, omega[c]));
        }
    }
}

INLINE void delta_columns_step(size_t columns, size_t sets, bool decayed, const delta_step *b, size_t m,
                               size_t width) {
    vector omega[delta_tile], read[delta_tile];
    delta_read(columns, sets, b, m, width, omega, read);
    for (size_t c = 0; c < columns; c++) {
        const vector value = load_up_to(b->value + m + c * lanes, width);
        omega[c] = splat(b->beta) * (value - splat(b->held) * omega[c]);
        read[c] = splat(b->held) * read[c] + splat(b->score) * omega[c];
        store_up_to(b->output + m + c * lanes, width, splat(b->scale) * read[c]);
    }
    if (b->update) delta_write(columns, decayed, b, m, width, omega);
}

INLINE void delta_all_columns(bool decayed, const delta_step *b) {
    size_t m = 0;
    for (; m + delta_tile * lanes <= b->stride; m += delta_tile * lanes)
        delta_columns_step(delta_tile, 1, decayed, b, m, lanes);
    for (; m + 4 * lanes <= b->stride; m += 4 * lanes)
        delta_columns_step(4, delta_tile / 4, decayed, b, m, lanes);
    for (; m + 2 * lanes <= b->stride; m += 2 * lanes)
        delta_columns_step(2, delta_tile / 2, decayed, b, m, lanes);
    for (; m < b->stride; m += lanes) delta_columns_step(1, 1, decayed, b, m, b->stride - m);
}

/* What is found for several heads, whose sums then do not wait for one another. */
typedef struct delta_heads {
    size_t step, head, heads; /* heads: at most quad's */
    float decay[4];           /* g, with a decay per head */
    float score[4];
} delta_heads;

static void find_delta_heads(const all_heads *all, size_t group, delta_heads *h) {
    vector products[4] = {{0}};
    for (size_t i = 0; i < h->heads; i++) {
        one_head head;
        choose_head(all, h->head + i, group, h->step, &head);
        for (size_t d = 0; d < all->key_dim; d += lanes)
            products[i] +=
                load_up_to(head.queries + d, all->key_dim - d) * load_up_to(head.keys + d, all->key_dim - d);
    }
    const quad four = sums(products[0], products[1], products[2], products[3]);
    store_quad(h->score, four);
    const rill_heads_sequence *sequence = all->sequence;
    if (!sequence->log_decay || sequence->decay_per_key) return;
    const float *log_decay = sequence->log_decay + h->step * sequence->decay_stride + h->head;
    for (size_t i = 0; i < h->heads; i += lanes)
        store_up_to(h->decay + i, h->heads - i < 4 ? h->heads - i : 4,
                    exponential(load_up_to(log_decay + i, h->heads - i)));
}

static void take_delta_step(const all_heads *all, size_t group, const delta_heads *h, size_t i) {
    const rill_heads_sequence *sequence = all->sequence;
    one_head head;
    choose_head(all, h->head + i, group, h->step, &head);
    float decay[RILL_DELTA_KEY_DIM_MAX], erase[RILL_DELTA_KEY_DIM_MAX], query[RILL_DELTA_KEY_DIM_MAX];
    const bool per_key = sequence->log_decay && sequence->decay_per_key;
    delta_step b = {.rows = all->key_dim,
                    .stride = all->value_dim,
                    .S = head.S,
                    .erase = head.keys,
                    .query = head.queries,
                    .key = head.keys,
                    .value = head.values,
                    .held = sequence->log_decay && !per_key ? h->decay[i] : 1,
                    .score = h->score[i],
                    .beta = beta_of(sequence, h->head + i, h->step),
                    .scale = all->scale,
                    .output = head.output,
                    .update = head.update,
                    .fetches =
                        h->head + i + 1 < sequence->heads && all->key_dim * all->value_dim <= fetched_floats};
    b.decay = &b.held;
    if (per_key) {
        for (size_t d = 0; d < all->key_dim; d += lanes) {
            const size_t width = all->key_dim - d;
            const vector g = exponential(load_up_to(head.log_decay + d, width));
            store_up_to(decay + d, width, g);
            store_up_to(erase + d, width, g * load_up_to(head.keys + d, width));
            store_up_to(query + d, width, g * load_up_to(head.queries + d, width));
        }
        b.decay = decay, b.decay_stride = 1, b.erase = erase, b.query = query;
    }
    sequence->log_decay ? delta_all_columns(true, &b) : delta_all_columns(false, &b);
}

static void delta_recurrent(size_t key_dim, size_t value_dim, float *S, float scale,
                            const rill_heads_sequence *sequence) {
    const all_heads all = {key_dim, value_dim, S, NULL, 0, scale, sequence};
    delta_heads h;
    for (h.step = 0; h.step < sequence->length; h.step++)
        for (h.head = 0; h.head < sequence->heads; h.head += h.heads) {
            h.heads = sequence->heads - h.head < 4 ? sequence->heads - h.head : 4;
            for (size_t group = 0; group < sequence->query_group; group++) {
                find_delta_heads(&all, group, &h);
                for (size_t i = 0; i < h.heads; i++) take_delta_step(&all, group, &h, i);
            }
        }
}
