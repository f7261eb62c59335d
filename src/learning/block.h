/* SPDX-License-Identifier: MIT */
/* One layer of a transformer, forward and back: x += attention(norm(x)), x += feed_forward(norm(x)). */
#ifndef RILL_BLOCK_H
#define RILL_BLOCK_H

#include <rill/symbol_model.h>

#include "transformer/workspace.h"

#define RILL_NORM_EPSILON 1e-5f

/* Where its parts begin, in parameters and gradients alike; and how many floats there are. */
typedef struct rill_block_places {
    size_t attention_norm, query, key, value, output, feed_forward_norm, expand, project, count;
} rill_block_places;

rill_block_places rill_block_places_of(const rill_symbol_model_shape *shape);

/* What one layer remembers of a stream; SIZE_MAX when that is no number of bytes. */
size_t rill_block_memory_size(const rill_symbol_model_shape *shape, size_t capacity);
void rill_block_memory_init(const rill_symbol_model_shape *shape, size_t capacity, void *memory);

/* What the way forward leaves for the way back; input is to be filled in first. Queries and keys of linear
 * attention are features. */
typedef struct rill_block_rows {
    float *input, *attention_normed, *queries, *keys, *values, *attended, *middle,
        *middle_normed;   /* [][dim] */
    float *wide, *active; /* [][feed_forward_dim] */
} rill_block_rows;

rill_block_rows rill_block_rows_plan(const rill_symbol_model_shape *shape, size_t length, rill_parts *plan);

/* output [length][dim] */
void rill_block_forward(const rill_symbol_model_shape *shape, const float *parameters, void *memory,
                        size_t length, const rill_block_rows *rows, float *output);

/* What the way back works in. */
typedef struct rill_block_scratch {
    float *normed, *queries, *keys, *values, *attended; /* gradients, [length][dim] */
    float *wide;                                        /* [length][feed_forward_dim] */
    void *state, *state_gradient, *attention;           /* of linear attention; of either's gradient */
} rill_block_scratch;

rill_block_scratch rill_block_scratch_plan(const rill_symbol_model_shape *shape, size_t length,
                                           rill_parts *plan);

/* Of a sequence that began with an empty memory. x_gradient [length][dim]: that of the output, and afterwards
 * that of the input; adds to parameters_gradient. */
void rill_block_backward(const rill_symbol_model_shape *shape, const float *parameters, size_t length,
                         const rill_block_rows *rows, const rill_block_scratch *scratch, float *x_gradient,
                         float *parameters_gradient);

#endif
