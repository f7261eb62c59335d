/* SPDX-License-Identifier: MIT */
/* The recurrence one step at a time: S is read and written in the order of its addresses, and fetched ahead.
 */
#include "kernels/vector_head.h"

enum {
    step_tile = many_registers ? 8 : 4, /* vectors of S at a time: as many of values, and of outputs */
    fetch_ahead = 512                   /* floats: 2 KiB hide the way from a second-level cache */
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
    for (size_t c = 0; c < columns; c++) {
        if (columns > 2) __builtin_prefetch(S + c * lanes + fetch_ahead, 1);
        vector s = load_up_to(S + c * lanes, width);
        if (decayed) s *= splat(b->decay[d * b->decay_stride]);
        s += splat(b->key[d]) * value[c];
        out[c] += splat(b->query[d]) * s;
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

/* The decays of count rows from row on; one for all when there is one. */
INLINE void step_decays(const one_head *step, size_t row, size_t count, float decay[block_rows]) {
    if (!step->strides->decay_per_key)
        decay[0] = exponential(splat(*step->log_decay))[0];
    else
        for (size_t d = 0; d < count; d += lanes)
            store_up_to(decay + d, count - d, exponential(load_up_to(step->log_decay + row + d, count - d)));
}

/* z = g z + k for the rows of b, left behind by an update; returns q·z */
INLINE float step_normalizer(bool decayed, bool update, const step_rows *b, float *z) {
    vector product = splat(0);
    for (size_t d = 0; d < b->rows; d += lanes) {
        size_t width = b->rows - d;
        vector total = load_up_to(z + d, width);
        if (decayed) total *= b->decay_stride ? load_up_to(b->decay + d, width) : splat(*b->decay);
        total += load_up_to(b->key + d, width);
        product += load_up_to(b->query + d, width) * total;
        if (update) store_up_to(z + d, width, total);
    }
    return sum(product);
}

INLINE void step_head(bool decayed, bool update, const one_head *head) {
    float normalizer = head->epsilon, decay[block_rows];
    for (size_t row = 0; row < head->key_dim; row += block_rows) {
        size_t left = head->key_dim - row, rows = left < block_rows ? left : block_rows;
        step_rows b = {.rows = rows,
                       .stride = head->value_dim,
                       .S = head->S + row * head->value_dim,
                       .query = head->queries + row,
                       .key = head->keys + row,
                       .value = head->values,
                       .decay = decay,
                       .decay_stride = head->strides->decay_per_key,
                       .output = head->output,
                       .first = row == 0,
                       .last = rows == left,
                       .factor = head->scale};
        if (decayed) step_decays(head, row, rows, decay);
        if (head->z) {
            normalizer += step_normalizer(decayed, update, &b, head->z + row);
            b.factor = 1 / normalizer;
        }
        step_all_columns(decayed, update, &b);
    }
}

/* The first step of one query head; the last of a group takes the state on. */
static void step_decayed(const one_head *head) {
    if (head->update)
        step_head(true, true, head);
    else
        step_head(true, false, head);
}

static void step_undecayed(const one_head *head) {
    if (head->update)
        step_head(false, true, head);
    else
        step_head(false, false, head);
}

static void recurrent(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                      const rill_heads_sequence *sequence) {
    const all_heads all = {key_dim, value_dim, S, z, epsilon, scale, sequence};
    for (size_t t = 0; t < sequence->length; t++)
        for (size_t head = 0; head < sequence->heads; head++)
            for (size_t group = 0; group < sequence->query_group; group++) {
                const one_head one = choose_head(&all, head, group, t);
                sequence->log_decay ? step_decayed(&one) : step_undecayed(&one);
            }
}
