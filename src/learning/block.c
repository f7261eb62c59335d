/* SPDX-License-Identifier: MIT */
#include "learning/block.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <rill/attention.h>
#include <rill/gradient.h>

static size_t place_norm(size_t *count, size_t dim) {
    const size_t place = *count;
    *count += 2 * dim;
    return place;
}

static size_t place_dense(size_t *count, size_t inputs, size_t outputs) {
    const size_t place = *count;
    *count += (inputs + 1) * outputs;
    return place;
}

rill_block_places rill_block_places_of(const rill_symbol_model_shape *shape) {
    const size_t dim = shape->dim;
    rill_block_places at = {0};
    at.attention_norm = place_norm(&at.count, dim);
    at.query = place_dense(&at.count, dim, dim);
    at.key = place_dense(&at.count, dim, dim);
    at.value = place_dense(&at.count, dim, dim);
    at.output = place_dense(&at.count, dim, dim);
    at.feed_forward_norm = place_norm(&at.count, dim);
    at.expand = place_dense(&at.count, dim, shape->feed_forward_dim);
    at.project = place_dense(&at.count, shape->feed_forward_dim, dim);
    return at;
}

static bool is_linear(const rill_symbol_model_shape *shape) {
    return shape->similarity == RILL_SIMILARITY_PRODUCT;
}

static rill_attention_shape linear_of(const rill_symbol_model_shape *shape) {
    return (rill_attention_shape){.rule = RILL_RULE_LINEAR,
                                  .heads = shape->heads,
                                  .query_heads = shape->heads,
                                  .key_dim = shape->dim / shape->heads,
                                  .value_dim = shape->dim / shape->heads,
                                  .normalize = true,
                                  .epsilon = 1e-6f};
}

static rill_softmax_shape softmax_of(const rill_symbol_model_shape *shape) {
    return (rill_softmax_shape){.similarity = RILL_SIMILARITY_SOFTMAX,
                                .heads = shape->heads,
                                .query_heads = shape->heads,
                                .key_dim = shape->dim / shape->heads,
                                .value_dim = shape->dim / shape->heads,
                                .scale = 1 / sqrtf((float)(shape->dim / shape->heads))};
}

size_t rill_block_memory_size(const rill_symbol_model_shape *shape, size_t capacity) {
    const rill_attention_shape linear = linear_of(shape);
    const rill_softmax_shape softmax = softmax_of(shape);
    if (is_linear(shape)) return rill_attention_size(&linear);
    return rill_key_value_cache_check(&softmax, capacity, NULL) == RILL_OK
               ? rill_key_value_cache_size(&softmax, capacity)
               : SIZE_MAX;
}

void rill_block_memory_init(const rill_symbol_model_shape *shape, size_t capacity, void *memory) {
    const rill_attention_shape linear = linear_of(shape);
    const rill_softmax_shape softmax = softmax_of(shape);
    if (is_linear(shape))
        rill_attention_init(&linear, memory);
    else
        rill_key_value_cache_init(&softmax, memory, capacity);
}

rill_block_rows rill_block_rows_plan(const rill_symbol_model_shape *shape, size_t length, rill_parts *plan) {
    rill_block_rows to;
    to.input = rill_parts_floats(plan, length, shape->dim);
    to.attention_normed = rill_parts_floats(plan, length, shape->dim);
    to.queries = rill_parts_floats(plan, length, shape->dim);
    to.keys = rill_parts_floats(plan, length, shape->dim);
    to.values = rill_parts_floats(plan, length, shape->dim);
    to.attended = rill_parts_floats(plan, length, shape->dim);
    to.middle = rill_parts_floats(plan, length, shape->dim);
    to.middle_normed = rill_parts_floats(plan, length, shape->dim);
    to.wide = rill_parts_floats(plan, length, shape->feed_forward_dim);
    to.active = rill_parts_floats(plan, length, shape->feed_forward_dim);
    return to;
}

static void norm(size_t length, size_t dim, const float *x, const float *weight, float *y) {
    rill_layer_norm(length, dim, x, weight, weight + dim, RILL_NORM_EPSILON, y);
}

static void norm_back(size_t length, size_t dim, const float *x, const float *weight, const float *y_gradient,
                      float *x_gradient, float *weight_gradient) {
    rill_layer_norm_gradient(length, dim, x, weight, RILL_NORM_EPSILON, y_gradient, x_gradient,
                             weight_gradient, weight_gradient + dim);
}

static void dense(size_t length, size_t inputs, size_t outputs, const float *x, const float *weight,
                  float *y) {
    rill_dense(length, inputs, outputs, x, weight, weight + inputs * outputs, y);
}

static void dense_back(size_t length, size_t inputs, size_t outputs, const float *x, const float *weight,
                       const float *y_gradient, float *x_gradient, float *weight_gradient) {
    rill_dense_gradient(length, inputs, outputs, x, weight, y_gradient, x_gradient, weight_gradient,
                        weight_gradient + inputs * outputs);
}

static rill_sequence sequence_of(size_t length, const rill_block_rows *rows) {
    return (rill_sequence){
        .length = length, .queries = rows->queries, .keys = rows->keys, .values = rows->values};
}

static void attend(const rill_symbol_model_shape *shape, void *memory, size_t length,
                   const rill_block_rows *rows) {
    const rill_attention_shape linear = linear_of(shape);
    const rill_softmax_shape softmax = softmax_of(shape);
    const rill_sequence sequence = sequence_of(length, rows);
    if (is_linear(shape)) {
        rill_feature_map_elu1(length * shape->dim, rows->queries, rows->queries);
        rill_feature_map_elu1(length * shape->dim, rows->keys, rows->keys);
        rill_attention_chunkwise(&linear, memory, &sequence, rows->attended);
    } else {
        rill_key_value_cache_step(&softmax, memory, &sequence, rows->attended);
    }
}

void rill_block_forward(const rill_symbol_model_shape *shape, const float *parameters, void *memory,
                        size_t length, const rill_block_rows *rows, float *output) {
    const rill_block_places at = rill_block_places_of(shape);
    const size_t dim = shape->dim, wide = shape->feed_forward_dim;
    norm(length, dim, rows->input, parameters + at.attention_norm, rows->attention_normed);
    dense(length, dim, dim, rows->attention_normed, parameters + at.query, rows->queries);
    dense(length, dim, dim, rows->attention_normed, parameters + at.key, rows->keys);
    dense(length, dim, dim, rows->attention_normed, parameters + at.value, rows->values);
    attend(shape, memory, length, rows);
    dense(length, dim, dim, rows->attended, parameters + at.output, rows->middle);
    for (size_t i = 0; i < length * dim; i++) rows->middle[i] += rows->input[i];
    norm(length, dim, rows->middle, parameters + at.feed_forward_norm, rows->middle_normed);
    dense(length, dim, wide, rows->middle_normed, parameters + at.expand, rows->wide);
    rill_silu(length * wide, rows->wide, rows->active);
    dense(length, wide, dim, rows->active, parameters + at.project, output);
    for (size_t i = 0; i < length * dim; i++) output[i] += rows->middle[i];
}

static size_t gradient_size(const rill_symbol_model_shape *shape, size_t length) {
    const rill_attention_shape linear = linear_of(shape);
    const rill_softmax_shape softmax = softmax_of(shape);
    const size_t step_floats = 4 * shape->dim + 64; /* more than either takes */
    if (length > SIZE_MAX / 2 / sizeof(float) / step_floats) return SIZE_MAX;
    return is_linear(shape) ? rill_attention_gradient_size(&linear, length)
                            : rill_softmax_gradient_size(&softmax, length);
}

rill_block_scratch rill_block_scratch_plan(const rill_symbol_model_shape *shape, size_t length,
                                           rill_parts *plan) {
    const rill_attention_shape linear = linear_of(shape);
    const size_t state = is_linear(shape) ? rill_attention_size(&linear) : 0;
    rill_block_scratch to;
    to.normed = rill_parts_floats(plan, length, shape->dim);
    to.queries = rill_parts_floats(plan, length, shape->dim);
    to.keys = rill_parts_floats(plan, length, shape->dim);
    to.values = rill_parts_floats(plan, length, shape->dim);
    to.attended = rill_parts_floats(plan, length, shape->dim);
    to.wide = rill_parts_floats(plan, length, shape->feed_forward_dim);
    to.state = rill_parts_take(plan, state);
    to.state_gradient = rill_parts_take(plan, state);
    to.attention = rill_parts_take(plan, gradient_size(shape, length));
    return to;
}

static void attend_back(const rill_symbol_model_shape *shape, size_t length, const rill_block_rows *rows,
                        const rill_block_scratch *scratch) {
    const rill_attention_shape linear = linear_of(shape);
    const rill_softmax_shape softmax = softmax_of(shape);
    const rill_sequence_gradient gradient = {
        .queries = scratch->queries, .keys = scratch->keys, .values = scratch->values};
    if (is_linear(shape)) {
        const rill_sequence sequence = sequence_of(length, rows);
        rill_attention_init(&linear, scratch->state);
        rill_attention_init(&linear, scratch->state_gradient);
        rill_attention_gradient(&linear, scratch->state, &sequence, scratch->attended,
                                scratch->state_gradient, &gradient, scratch->attention);
        rill_elu1_gradient(length * shape->dim, rows->queries, scratch->queries);
        rill_elu1_gradient(length * shape->dim, rows->keys, scratch->keys);
    } else {
        const rill_softmax_input input = {.queries_length = length,
                                          .keys_length = length,
                                          .queries = rows->queries,
                                          .keys = rows->keys,
                                          .values = rows->values,
                                          .causal = true};
        rill_softmax_gradient(&softmax, &input, scratch->attended, &gradient, scratch->attention);
    }
}

static void clear(size_t count, float *x) {
    if (count > 0) memset(x, 0, count * sizeof *x);
}

void rill_block_backward(const rill_symbol_model_shape *shape, const float *parameters, size_t length,
                         const rill_block_rows *rows, const rill_block_scratch *scratch, float *x_gradient,
                         float *parameters_gradient) {
    const rill_block_places at = rill_block_places_of(shape);
    const float *p = parameters;
    float *g = parameters_gradient;
    const size_t dim = shape->dim, wide = shape->feed_forward_dim;
    clear(length * wide, scratch->wide);
    clear(length * dim, scratch->normed);
    dense_back(length, wide, dim, rows->active, p + at.project, x_gradient, scratch->wide, g + at.project);
    rill_silu_gradient(length * wide, rows->wide, rows->active, scratch->wide);
    dense_back(length, dim, wide, rows->middle_normed, p + at.expand, scratch->wide, scratch->normed,
               g + at.expand);
    norm_back(length, dim, rows->middle, p + at.feed_forward_norm, scratch->normed, x_gradient,
              g + at.feed_forward_norm);
    clear(length * dim, scratch->attended);
    clear(length * dim, scratch->normed);
    dense_back(length, dim, dim, rows->attended, p + at.output, x_gradient, scratch->attended, g + at.output);
    attend_back(shape, length, rows, scratch);
    dense_back(length, dim, dim, rows->attention_normed, p + at.query, scratch->queries, scratch->normed,
               g + at.query);
    dense_back(length, dim, dim, rows->attention_normed, p + at.key, scratch->keys, scratch->normed,
               g + at.key);
    dense_back(length, dim, dim, rows->attention_normed, p + at.value, scratch->values, scratch->normed,
               g + at.value);
    norm_back(length, dim, rows->input, p + at.attention_norm, scratch->normed, x_gradient,
              g + at.attention_norm);
}
