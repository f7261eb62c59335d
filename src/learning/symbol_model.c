/* SPDX-License-Identifier: MIT */
/* Embedding, layers, norm, head: what <rill/symbol_model.h> says, forward and back. */
#include <rill/symbol_model.h>

#include <assert.h>
#include <math.h>
#include <string.h>

#include <rill/feature_map.h>

#include "failure.h"
#include "learning/block.h"

rill_status rill_symbol_model_check(const rill_symbol_model_shape *shape, rill_error *why) {
    const size_t numbers[] = {
        shape->symbols, shape->symbols_per_step, shape->classes, shape->layers, shape->dim,
        shape->heads,   shape->feed_forward_dim};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i] == 0 || numbers[i] > RILL_SYMBOL_MODEL_MAX)
            return rill_fail(
                why, RILL_BAD_ARGUMENT,
                "symbol model: %zu symbols, %zu a step, %zu classes, %zu layers of dimension %zu with "
                "%zu heads, feed-forward %zu: each must be 1 to %zu",
                shape->symbols, shape->symbols_per_step, shape->classes, shape->layers, shape->dim,
                shape->heads, shape->feed_forward_dim, RILL_SYMBOL_MODEL_MAX);
    if (shape->layers > 1024)
        return rill_fail(why, RILL_BAD_ARGUMENT, "symbol model: %zu layers are more than 1024",
                         shape->layers);
    if (shape->dim % shape->heads != 0)
        return rill_fail(why, RILL_BAD_ARGUMENT, "symbol model: dimension %zu is no multiple of %zu heads",
                         shape->dim, shape->heads);
    if (shape->similarity != RILL_SIMILARITY_SOFTMAX && shape->similarity != RILL_SIMILARITY_PRODUCT)
        return rill_fail(why, RILL_BAD_ARGUMENT, "symbol model: unknown similarity %d",
                         (int)shape->similarity);
    return RILL_OK;
}

/* Where parts begin in the parameters; the embedding is first. */
static size_t layer_at(const rill_symbol_model_shape *shape, size_t layer) {
    return shape->symbols * shape->dim + layer * rill_block_places_of(shape).count;
}

static size_t norm_at(const rill_symbol_model_shape *shape) {
    return layer_at(shape, shape->layers);
}

static size_t head_at(const rill_symbol_model_shape *shape) {
    return norm_at(shape) + 2 * shape->dim;
}

size_t rill_symbol_model_parameters(const rill_symbol_model_shape *shape) {
    assert(rill_symbol_model_check(shape, NULL) == RILL_OK);
    return head_at(shape) + (shape->dim + 1) * shape->classes;
}

/* Normal numbers of a deviation, of the seed that comes next. */
static void draw(uint64_t *seed, size_t rows, size_t columns, double deviation, float *x) {
    rill_random_projections_draw((*seed)++, false, rows, columns, x);
    for (size_t i = 0; i < rows * columns; i++) x[i] *= (float)deviation;
}

static void draw_dense(uint64_t *seed, size_t inputs, size_t outputs, float *weight) {
    draw(seed, outputs, inputs, 1 / sqrt(3 * (double)inputs), weight);
    memset(weight + inputs * outputs, 0, outputs * sizeof *weight);
}

static void set_norm(size_t dim, float *weight) {
    for (size_t i = 0; i < dim; i++) weight[i] = 1;
    memset(weight + dim, 0, dim * sizeof *weight);
}

void rill_symbol_model_draw(const rill_symbol_model_shape *shape, uint64_t seed, float *parameters) {
    assert(rill_symbol_model_check(shape, NULL) == RILL_OK);
    const size_t dim = shape->dim, wide = shape->feed_forward_dim;
    const rill_block_places at = rill_block_places_of(shape);
    uint64_t next = seed * 0x9E3779B97F4A7C15u; /* the runs of two seeds do not meet */
    draw(&next, shape->symbols, dim, 0.5, parameters);
    for (size_t i = 0; i < shape->layers; i++) {
        float *layer = parameters + layer_at(shape, i);
        set_norm(dim, layer + at.attention_norm);
        draw_dense(&next, dim, dim, layer + at.query);
        draw_dense(&next, dim, dim, layer + at.key);
        draw_dense(&next, dim, dim, layer + at.value);
        draw_dense(&next, dim, dim, layer + at.output);
        set_norm(dim, layer + at.feed_forward_norm);
        draw_dense(&next, dim, wide, layer + at.expand);
        draw_dense(&next, wide, dim, layer + at.project);
    }
    set_norm(dim, parameters + norm_at(shape));
    draw_dense(&next, dim, shape->classes, parameters + head_at(shape));
}

static size_t layer_memory_size(const rill_symbol_model_shape *shape, size_t capacity) {
    rill_parts plan = {0};
    rill_parts_take(&plan, rill_block_memory_size(shape, capacity));
    return plan.size;
}

size_t rill_symbol_model_size(const rill_symbol_model_shape *shape, size_t capacity) {
    assert(rill_symbol_model_check(shape, NULL) == RILL_OK);
    return rill_parts_product(shape->layers, layer_memory_size(shape, capacity));
}

void rill_symbol_model_init(const rill_symbol_model_shape *shape, size_t capacity, void *memory) {
    assert(rill_symbol_model_check(shape, NULL) == RILL_OK);
    for (size_t i = 0; i < shape->layers; i++)
        rill_block_memory_init(shape, capacity,
                               (unsigned char *)memory + i * layer_memory_size(shape, capacity));
}

void rill_symbol_model_reset(const rill_symbol_model_shape *shape, size_t capacity, void *memory) {
    rill_symbol_model_init(shape, capacity, memory);
}

static void embed(const rill_symbol_model_shape *shape, const float *parameters, size_t length,
                  const uint32_t *symbols, float *x) {
    for (size_t i = 0; i < length * shape->symbols_per_step; i++) assert(symbols[i] < shape->symbols);
    rill_embed(length, shape->symbols_per_step, shape->dim, symbols, parameters, x);
}

/* x [length][dim] → normed [length][dim], logits [length][classes] */
static void give_out(const rill_symbol_model_shape *shape, const float *parameters, size_t length,
                     const float *x, float *normed, float *logits) {
    const float *norm = parameters + norm_at(shape), *head = parameters + head_at(shape);
    rill_layer_norm(length, shape->dim, x, norm, norm + shape->dim, RILL_NORM_EPSILON, normed);
    rill_dense(length, shape->dim, shape->classes, normed, head, head + shape->dim * shape->classes, logits);
}

typedef struct step_workspace {
    float *x, *normed; /* [length][dim] */
    rill_block_rows rows;
} step_workspace;

static step_workspace step_plan(const rill_symbol_model_shape *shape, size_t length, rill_parts *plan) {
    step_workspace work;
    work.x = rill_parts_floats(plan, length, shape->dim);
    work.normed = rill_parts_floats(plan, length, shape->dim);
    work.rows = rill_block_rows_plan(shape, length, plan);
    return work;
}

size_t rill_symbol_model_workspace_size(const rill_symbol_model_shape *shape, size_t length) {
    rill_parts plan = {0};
    step_plan(shape, length, &plan);
    return plan.size;
}

void rill_symbol_model_step(const rill_symbol_model_shape *shape, const float *parameters, size_t capacity,
                            void *memory, size_t length, const uint32_t *symbols, float *logits,
                            void *workspace) {
    assert(rill_symbol_model_check(shape, NULL) == RILL_OK);
    rill_parts plan = {.memory = workspace};
    const step_workspace work = step_plan(shape, length, &plan);
    if (length == 0) return;
    embed(shape, parameters, length, symbols, work.rows.input);
    for (size_t i = 0; i < shape->layers; i++) {
        unsigned char *layer_memory = (unsigned char *)memory + i * layer_memory_size(shape, capacity);
        rill_block_forward(shape, parameters + layer_at(shape, i), layer_memory, length, &work.rows, work.x);
        memcpy(work.rows.input, work.x, length * shape->dim * sizeof *work.x);
    }
    give_out(shape, parameters, length, work.rows.input, work.normed, logits);
}

typedef struct gradient_workspace {
    void *memory;                                     /* of one layer */
    float *normed, *normed_gradient, *x, *x_gradient; /* [length][dim]; x: what the last layer gives */
    float *logits;                                    /* [length][classes], then their gradient */
    rill_block_scratch scratch;
    size_t layers; /* where the rows of the layers begin */
} gradient_workspace;

static gradient_workspace gradient_plan(const rill_symbol_model_shape *shape, size_t length,
                                        rill_parts *plan) {
    gradient_workspace work;
    work.memory = rill_parts_take(plan, rill_block_memory_size(shape, length));
    work.normed = rill_parts_floats(plan, length, shape->dim);
    work.normed_gradient = rill_parts_floats(plan, length, shape->dim);
    work.x = rill_parts_floats(plan, length, shape->dim);
    work.x_gradient = rill_parts_floats(plan, length, shape->dim);
    work.logits = rill_parts_floats(plan, length, shape->classes);
    work.scratch = rill_block_scratch_plan(shape, length, plan);
    work.layers = plan->size;
    return work;
}

static size_t rows_size(const rill_symbol_model_shape *shape, size_t length) {
    rill_parts plan = {0};
    rill_block_rows_plan(shape, length, &plan);
    return plan.size;
}

size_t rill_symbol_model_gradient_size(const rill_symbol_model_shape *shape, size_t length) {
    rill_parts plan = {0};
    gradient_plan(shape, length, &plan);
    rill_parts_take(&plan, rill_parts_product(shape->layers, rows_size(shape, length)));
    return plan.size;
}

static rill_block_rows rows_of(const rill_symbol_model_shape *shape, size_t length, void *workspace,
                               const gradient_workspace *work, size_t layer) {
    rill_parts plan = {workspace, work->layers + layer * rows_size(shape, length)};
    return rill_block_rows_plan(shape, length, &plan);
}

double rill_symbol_model_gradient(const rill_symbol_model_shape *shape, const float *parameters,
                                  size_t length, const uint32_t *symbols, const uint32_t *targets,
                                  float *parameters_gradient, void *workspace) {
    assert(rill_symbol_model_check(shape, NULL) == RILL_OK);
    rill_parts plan = {.memory = workspace};
    const gradient_workspace work = gradient_plan(shape, length, &plan);
    const size_t dim = shape->dim, norm = norm_at(shape), head = head_at(shape);
    if (length == 0) return 0;
    embed(shape, parameters, length, symbols, rows_of(shape, length, workspace, &work, 0).input);
    for (size_t i = 0; i < shape->layers; i++) {
        const rill_block_rows rows = rows_of(shape, length, workspace, &work, i);
        float *output =
            i + 1 < shape->layers ? rows_of(shape, length, workspace, &work, i + 1).input : work.x;
        rill_block_memory_init(shape, length, work.memory);
        rill_block_forward(shape, parameters + layer_at(shape, i), work.memory, length, &rows, output);
    }
    give_out(shape, parameters, length, work.x, work.normed, work.logits);
    const double loss = rill_cross_entropy(length, shape->classes, work.logits, targets, work.logits);

    memset(work.normed_gradient, 0, length * dim * sizeof(float));
    memset(work.x_gradient, 0, length * dim * sizeof(float));
    rill_dense_gradient(length, dim, shape->classes, work.normed, parameters + head, work.logits,
                        work.normed_gradient, parameters_gradient + head,
                        parameters_gradient + head + dim * shape->classes);
    rill_layer_norm_gradient(length, dim, work.x, parameters + norm, RILL_NORM_EPSILON, work.normed_gradient,
                             work.x_gradient, parameters_gradient + norm, parameters_gradient + norm + dim);
    for (size_t i = shape->layers; i-- > 0;) {
        const rill_block_rows rows = rows_of(shape, length, workspace, &work, i);
        rill_block_backward(shape, parameters + layer_at(shape, i), length, &rows, &work.scratch,
                            work.x_gradient, parameters_gradient + layer_at(shape, i));
    }
    rill_embed_gradient(length, shape->symbols_per_step, dim, symbols, work.x_gradient, parameters_gradient);
    return loss;
}
