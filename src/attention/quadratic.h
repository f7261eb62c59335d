/* SPDX-License-Identifier: MIT */
/* One query head over its keys, for whatever similarity: what softmax_attention, its gradient,
 * key_value_cache, sliding_window and graph_attention have in common. */
#ifndef RILL_QUADRATIC_H
#define RILL_QUADRATIC_H

#include <rill/softmax.h>

enum {
    quadratic_rows = 16, /* queries that share a block of keys in cache */
    quadratic_heads = 16 /* heads that go through it together, at most */
};

/* Rows of successive steps lie stride floats apart; fields as in rill_softmax_input. */
typedef struct rill_quadratic_head {
    const rill_softmax_shape *shape;
    size_t keys_length;
    const float *queries, *keys, *values; /* row i at + i · stride */
    size_t query_stride, key_stride, value_stride;
    const size_t *rows; /* key and value j lie in row rows[j]; NULL: in row j */
    ptrdiff_t offset;
    bool causal, windowed;
    size_t window_before, window_after;
    const bool *mask;
    const float *bias;
    size_t mask_stride, bias_stride;
    float *scores; /* [queries][keys_length] */
    rill_scores scores_kind;
    float *output;
    size_t output_stride;
} rill_quadratic_head;

/* Where keys and values lie: floats from a head to the next and from a step to the next. */
typedef struct rill_key_strides {
    size_t key_head, key, value_head, value;
} rill_key_strides;

/* [length][heads][dim], as sequences are. */
rill_key_strides rill_key_strides_by_time(const rill_softmax_shape *shape);

/* The head of that number, without an output yet; scores as the input asks. */
rill_quadratic_head rill_quadratic_head_of(const rill_softmax_shape *shape, const rill_softmax_input *input,
                                           const rill_key_strides *strides, size_t query_head);

/* rill_softmax_attention over keys and values that lie so. */
void rill_quadratic_attend(const rill_softmax_shape *shape, const rill_softmax_input *input,
                           const rill_key_strides *strides, float *output);

/* Keys begin … end − 1. */
typedef struct rill_key_range {
    size_t begin, end;
} rill_key_range;

/* The keys that row i may see by their position; both ends grow with i. */
rill_key_range rill_quadratic_keys_in_sight(const rill_quadratic_head *head, size_t i);

/* Products scale q·k of row i with keys in sight become what softmax is taken of: capped, biased, hidden by
 * the mask, up to a kind. In place. */
void rill_quadratic_bias_scores(const rill_quadratic_head *head, size_t i, rill_key_range keys,
                                rill_scores kind, float *scores);

/* The outputs of the rows first … first + count − 1, count ≤ quadratic_rows, of 1 … quadratic_heads heads
 * that see the same keys by their position. */
void rill_quadratic_take_rows(size_t heads, const rill_quadratic_head *head, size_t first, size_t count);

#endif
