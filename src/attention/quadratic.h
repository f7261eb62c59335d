/* SPDX-License-Identifier: MIT */
/* One query head over its keys, for whatever similarity: what softmax_attention, key_value_cache and
 * sliding_window have in common. */
#ifndef RILL_QUADRATIC_H
#define RILL_QUADRATIC_H

#include <rill/softmax.h>

enum { quadratic_rows = 16 }; /* queries that share a block of keys in cache */

/* Rows of successive steps lie stride floats apart; fields as in rill_softmax_input. */
typedef struct rill_quadratic_head {
    const rill_softmax_shape *shape;
    size_t keys_length;
    const float *queries, *keys, *values; /* row i at + i · stride */
    size_t query_stride, key_stride, value_stride;
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

/* The outputs of the rows first … first + count − 1, count ≤ quadratic_rows. */
void rill_quadratic_take_rows(const rill_quadratic_head *head, size_t first, size_t count);

#endif
