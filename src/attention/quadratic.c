/* SPDX-License-Identifier: MIT */
/* o_i = Σ_j sim(q_i, k_j) v_j / Σ_j sim(q_i, k_j)  (2006.16236, eq. 3), keys block by block, the similarity a
 * function. */
#include "attention/quadratic.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>

#include "kernels/kernels.h"

enum {
    block_keys = 64, /* 64 keys and values of 64: 32 KiB, a first-level cache */
    rows_ahead = 32  /* rows are fetched so many before they are wanted */
};

/* What is known of a row of weights so far; the output row holds Σ w v. */
typedef struct row_sums {
    float max;
    double weights;
} row_sums;

/* Scores [count] to weights in place. The sums so far are to be multiplied by the result. */
typedef float similarity(size_t count, float *scores, row_sums *sums);

enum { abreast = 16 }; /* sums and maxima side by side, so that none waits for the one before it */

/* The largest of the scores and of one more; NaN is none. */
static float largest(size_t count, const float *scores, float other) {
    float most[abreast];
    for (size_t l = 0; l < abreast; l++) most[l] = other;
    size_t j = 0;
    for (; j + abreast <= count; j += abreast)
        for (size_t l = 0; l < abreast; l++) most[l] = scores[j + l] > most[l] ? scores[j + l] : most[l];
    for (; j < count; j++) most[0] = scores[j] > most[0] ? scores[j] : most[0];
    for (size_t l = 1; l < abreast; l++) most[0] = most[l] > most[0] ? most[l] : most[0];
    return most[0];
}

static double sum_of(size_t count, const float *weights) {
    double sums[abreast] = {0}, sum = 0;
    size_t j = 0;
    for (; j + abreast <= count; j += abreast)
        for (size_t l = 0; l < abreast; l++) sums[l] += (double)weights[j + l];
    for (; j < count; j++) sums[0] += (double)weights[j];
    for (size_t l = 0; l < abreast; l++) sum += sums[l];
    return sum;
}

static bool holds_zero(size_t count, const float *weights) {
    int zeros = 0;
    for (size_t j = 0; j < count; j++) zeros += weights[j] == 0;
    return zeros > 0;
}

/* exp(score − max), max the largest so far: the one-pass softmax of 1805.02867. elu(x) + 1 is exp(x) for x ≤
 * 0, and the kernels have it. */
static float softmax_weights(size_t count, float *scores, row_sums *sums) {
    float max = largest(count, scores, sums->max), factor;
    float reference = max == -INFINITY ? 0 : max; /* −∞ − −∞ is NaN: then weights are 0, or NaN of a NaN */
    for (size_t j = 0; j < count; j++) scores[j] -= reference;
    rill_kernels_get()->elu1(count, scores, scores);
    factor = max > sums->max ? expf(sums->max - max) : 1;
    sums->max = max;
    return factor;
}

static float product_weights(size_t count, float *scores, row_sums *sums) {
    (void)count, (void)scores, (void)sums;
    return 1;
}

static similarity *similarity_of(const rill_softmax_shape *shape) {
    return shape->similarity == RILL_SIMILARITY_SOFTMAX ? softmax_weights : product_weights;
}

static double divisor_of(const rill_softmax_shape *shape, const row_sums *sums) {
    if (shape->similarity == RILL_SIMILARITY_PRODUCT)
        return shape->normalize ? sums->weights + (double)shape->epsilon : 1;
    return sums->weights == 0 ? 1 : sums->weights; /* nothing seen: 0 / 1 */
}

static size_t plus(size_t a, size_t b) {
    return b < SIZE_MAX - a ? a + b : SIZE_MAX;
}

/* Row i's place among the keys, moved on and back: 0 before the first, keys_length behind the last. Exact
 * for any offset and any window, as row and keys_length are at most PTRDIFF_MAX. */
static size_t place(const rill_quadratic_head *head, size_t i, size_t on, size_t back) {
    const size_t offset = (size_t)head->offset;
    const size_t to = plus(head->offset < 0 ? i : i + offset, on),
                 from = plus(head->offset < 0 ? -offset : 0, back);
    const size_t key = to > from ? to - from : 0;
    return key < head->keys_length ? key : head->keys_length;
}

rill_key_range rill_quadratic_keys_in_sight(const rill_quadratic_head *head, size_t i) {
    rill_key_range sight = {0, head->keys_length};
    if (head->causal) sight.end = place(head, i, 1, 0);
    if (head->windowed) {
        const size_t end = place(head, i, plus(head->window_after, 1), 0);
        sight.begin = place(head, i, 0, head->window_before);
        if (end < sight.end) sight.end = end;
    }
    return sight;
}

static size_t row_of(const rill_quadratic_head *head, size_t j) {
    return head->rows ? head->rows[j] : j;
}

static const float *key_of(const rill_quadratic_head *head, size_t j) {
    return head->keys + row_of(head, j) * head->key_stride;
}

static const float *value_of(const rill_quadratic_head *head, size_t j) {
    return head->values + row_of(head, j) * head->value_stride;
}

void rill_quadratic_bias_scores(const rill_quadratic_head *head, size_t i, rill_key_range keys,
                                rill_scores kind, float *scores) {
    const rill_softmax_shape *shape = head->shape;
    if (shape->softcap > 0 && kind >= RILL_SCORES_CAPPED)
        for (size_t j = 0; j < keys.end - keys.begin; j++)
            scores[j] = shape->softcap * tanhf(scores[j] / shape->softcap);
    if (kind < RILL_SCORES_BIASED) return;
    float hidden = shape->similarity == RILL_SIMILARITY_SOFTMAX ? -INFINITY : 0;
    if (head->bias) {
        const float *bias = head->bias + i * head->bias_stride + keys.begin;
        for (size_t j = 0; j < keys.end - keys.begin; j++)
            scores[j] = bias[j] == -INFINITY ? hidden : scores[j] + bias[j];
    }
    if (head->mask) {
        const bool *mask = head->mask + i * head->mask_stride + keys.begin;
        for (size_t j = 0; j < keys.end - keys.begin; j++) scores[j] = mask[j] ? scores[j] : hidden;
    }
}

/* Scores of row i with at most block_keys keys, all in sight by position, up to a kind; next may be fetched.
 */
static void score_block(const rill_quadratic_head *head, size_t i, rill_key_range keys, rill_scores kind,
                        const float *const *rows, const rill_rows *next, float *scores) {
    const rill_rows all = {keys.end - keys.begin, head->shape->key_dim, rows};
    rill_kernels_get()->score(&all, head->shape->scale, head->queries + i * head->query_stride, next, scores);
    rill_quadratic_bias_scores(head, i, keys, kind, scores);
}

/* The same with any number of keys. */
static void score_keys(const rill_quadratic_head *head, size_t i, rill_key_range keys, rill_scores kind,
                       float *scores) {
    for (rill_key_range block = keys; block.begin < keys.end; block.begin = block.end) {
        const float *rows[block_keys];
        block.end = keys.end - block.begin < block_keys ? keys.end : block.begin + block_keys;
        for (size_t j = block.begin; j < block.end; j++) rows[j - block.begin] = key_of(head, j);
        score_block(head, i, block, kind, rows, NULL, scores + (block.begin - keys.begin));
    }
}

/* What is read of a block of keys, in that order: the keys, the values, and what will be wanted next. */
typedef struct block_rows {
    const float *at[2 * block_keys + rows_ahead];
    size_t count;
} block_rows;

/* The rows that follow those of a kernel by rows_ahead, to be fetched meanwhile, as far as the shorter ones
 * go. */
static rill_rows rows_to_fetch(const rill_softmax_shape *shape, const block_rows *rows, size_t from,
                               size_t count) {
    const size_t begin = from + rows_ahead, left = begin < rows->count ? rows->count - begin : 0;
    return (rill_rows){left < count ? left : count,
                       shape->key_dim < shape->value_dim ? shape->key_dim : shape->value_dim,
                       rows->at + begin};
}

/* The part of a block of keys that row i sees: weights, their sum, and Σ w v in the output row. The next keys
 * of next_head will be wanted then. */
static void take_keys(const rill_quadratic_head *head, size_t i, rill_key_range keys,
                      const rill_quadratic_head *next_head, rill_key_range next_keys, bool fetches,
                      row_sums *sums) {
    float weights[block_keys], *output = head->output + i * head->output_stride;
    size_t count = keys.end - keys.begin, value_dim = head->shape->value_dim;
    block_rows rows = {.count = 0};
    for (size_t j = keys.begin; j < keys.end; j++) rows.at[rows.count++] = key_of(head, j);
    for (size_t j = keys.begin; j < keys.end; j++) rows.at[rows.count++] = value_of(head, j);
    for (size_t j = next_keys.begin; j < next_keys.end && j < next_keys.begin + rows_ahead; j++)
        rows.at[rows.count++] = key_of(next_head, j);
    const rill_rows beside_keys = rows_to_fetch(head->shape, &rows, 0, count),
                    beside_values = rows_to_fetch(head->shape, &rows, count, count);
    rill_rows values = {count, value_dim, rows.at + count};
    score_block(head, i, keys, RILL_SCORES_BIASED, rows.at, fetches ? &beside_keys : NULL, weights);
    float factor = similarity_of(head->shape)(count, weights, sums);
    if (factor != 1) { /* NaN too */
        sums->weights *= (double)factor;
        for (size_t m = 0; m < value_dim; m++) output[m] *= factor;
    }
    sums->weights += sum_of(count, weights);
    if (holds_zero(count, weights)) { /* a value that counts for nothing may hold anything */
        values.count = 0;
        for (size_t j = 0; j < count; j++) {
            if (weights[j] == 0) continue;
            rows.at[count + values.count] = rows.at[count + j];
            weights[values.count++] = weights[j];
        }
    }
    rill_kernels_get()->mix(&values, weights, fetches ? &beside_values : NULL, output);
}

static void fill(size_t count, float *values, float value) {
    for (size_t i = 0; i < count; i++) values[i] = value;
}

/* The scores asked for, of all keys of a row. */
static void write_scores(const rill_quadratic_head *head, size_t i, const row_sums *sums) {
    float *scores = head->scores + i * head->keys_length;
    rill_key_range sight = rill_quadratic_keys_in_sight(head, i), all = {0, head->keys_length};
    if (head->scores_kind < RILL_SCORES_BIASED) {
        score_keys(head, i, all, head->scores_kind, scores);
        return;
    }
    bool hides =
        head->shape->similarity == RILL_SIMILARITY_SOFTMAX && head->scores_kind == RILL_SCORES_BIASED;
    fill(head->keys_length, scores, hides ? -INFINITY : 0);
    if (sight.begin >= sight.end) return;
    size_t count = sight.end - sight.begin;
    scores += sight.begin;
    score_keys(head, i, sight, RILL_SCORES_BIASED, scores);
    if (head->scores_kind != RILL_SCORES_NORMALIZED) return;
    row_sums final = *sums;
    similarity_of(head->shape)(count, scores, &final);
    double divisor = divisor_of(head->shape, sums);
    for (size_t j = 0; j < count; j++) scores[j] = (float)((double)scores[j] / divisor);
}

/* The part of a block of keys that the heads' rows see, head by head. */
static void take_block(size_t heads, const rill_quadratic_head *head, size_t first, size_t count,
                       rill_key_range block, row_sums (*sums)[quadratic_rows]) {
    for (size_t h = 0; h < heads; h++)
        for (size_t r = 0; r < count; r++) {
            rill_key_range keys = rill_quadratic_keys_in_sight(head + h, first + r), next = {0, 0};
            const rill_quadratic_head *next_head = head + (h + 1) % heads;
            if (keys.begin < block.begin) keys.begin = block.begin;
            if (count == 1 && h + 1 == heads && keys.end > block.end) /* more rows have the block in cache */
                next = (rill_key_range){
                    block.end, keys.end - block.end < block_keys ? keys.end : block.end + block_keys};
            if (keys.end > block.end) keys.end = block.end;
            if (count == 1 && h + 1 < heads) next = keys;
            if (keys.begin < keys.end)
                take_keys(head + h, first + r, keys, next_head, next, r == 0, &sums[h][r]);
        }
}

void rill_quadratic_take_rows(size_t heads, const rill_quadratic_head *head, size_t first, size_t count) {
    assert(heads <= quadratic_heads && count <= quadratic_rows);
    if (count == 0) return;
    row_sums sums[quadratic_heads][quadratic_rows];
    const size_t value_dim = head->shape->value_dim;
    for (size_t h = 0; h < heads; h++)
        for (size_t r = 0; r < count; r++) {
            sums[h][r] = (row_sums){-INFINITY, 0};
            fill(value_dim, head[h].output + (first + r) * head[h].output_stride, 0);
        }
    size_t begin = rill_quadratic_keys_in_sight(head, first).begin,
           end = rill_quadratic_keys_in_sight(head, first + count - 1).end;
    for (rill_key_range block = {begin, begin}; block.begin < end; block.begin = block.end) {
        block.end = end - block.begin < block_keys ? end : block.begin + block_keys;
        take_block(heads, head, first, count, block, sums);
    }
    for (size_t h = 0; h < heads; h++)
        for (size_t r = 0; r < count; r++) {
            float *output = head[h].output + (first + r) * head[h].output_stride;
            double divisor = divisor_of(head->shape, &sums[h][r]);
            for (size_t m = 0; m < value_dim; m++) output[m] = (float)((double)output[m] / divisor);
            if (head[h].scores) write_scores(head + h, first + r, &sums[h][r]);
        }
}
