/* SPDX-License-Identifier: MIT */
/* One layer: self-attention, a decoder's cross attention, a feed-forward net, each beside what it adds to. */
#include "transformer/layer_run.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "failure.h"
#include "kernels/kernels.h"
#include "transformer/multihead_state.h"
#include "transformer/workspace.h"

static size_t model_dim_of(const rill_transformer_layer *layer) {
    return layer->self.query.inputs;
}

/* Where a call keeps its rows. */
typedef struct layer_parts {
    float *normed;            /* [length][model_dim] */
    float *positioned;        /* [length][model_dim]: with the position added */
    float *addend;            /* [length][model_dim]: what a sublayer gives */
    float *wide;              /* [length][expand.outputs] */
    float *memory_positioned; /* [memory_length][cross.key.inputs] */
    void *multihead;
    size_t size;
} layer_parts;

static layer_parts parts_at(const rill_transformer_layer *layer, size_t length, size_t memory_length,
                            void *workspace) {
    rill_parts parts = {workspace, 0};
    layer_parts at = {0};
    const size_t dim = model_dim_of(layer);
    at.normed = rill_parts_floats(&parts, length, dim);
    at.positioned = rill_parts_floats(&parts, length, dim);
    at.addend = rill_parts_floats(&parts, length, dim);
    at.wide = rill_parts_floats(&parts, length, layer->expand.outputs);
    size_t multihead = rill_multihead_workspace_size(&layer->self, length, length);
    if (layer->has_cross) {
        const size_t cross = rill_multihead_workspace_size(&layer->cross, length, memory_length);
        if (cross > multihead) multihead = cross;
        at.memory_positioned = rill_parts_floats(&parts, memory_length, layer->cross.key.inputs);
    }
    at.multihead = rill_parts_take(&parts, multihead);
    at.size = parts.size;
    return at;
}

size_t rill_transformer_layer_workspace_size(const rill_transformer_layer *layer, size_t length,
                                             size_t memory_length) {
    assert(rill_transformer_layer_check(layer, NULL) == RILL_OK);
    return parts_at(layer, length, memory_length, NULL).size;
}

static rill_status check_multihead(const rill_multihead *multihead, size_t dim, size_t key_inputs,
                                   size_t value_inputs, rill_error *why) {
    rill_status status = rill_multihead_check(multihead, why);
    if (status != RILL_OK) return status;
    if (multihead->query.inputs != dim || multihead->output.outputs != dim ||
        multihead->key.inputs != key_inputs || multihead->value.inputs != value_inputs)
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "transformer: rows of %zu meet attention from %zu, %zu and %zu to %zu", dim,
                         multihead->query.inputs, multihead->key.inputs, multihead->value.inputs,
                         multihead->output.outputs);
    return RILL_OK;
}

rill_status rill_transformer_layer_check(const rill_transformer_layer *layer, rill_error *why) {
    const size_t dim = model_dim_of(layer);
    rill_status status = check_multihead(&layer->self, dim, dim, dim, why);
    if (status == RILL_OK && layer->has_cross) {
        const size_t memory_dim = layer->cross.key.inputs;
        status = check_multihead(&layer->cross, dim, memory_dim, memory_dim, why);
    }
    if (status != RILL_OK) return status;
    if (!layer->expand.weight || !layer->expand.bias || !layer->project.weight || !layer->project.bias ||
        layer->expand.inputs != dim || layer->expand.outputs == 0 ||
        layer->project.inputs != layer->expand.outputs || layer->project.outputs != dim)
        return rill_fail(
            why, RILL_BAD_ARGUMENT, "transformer: a feed-forward net %zu → %zu, %zu → %zu on rows of %zu",
            layer->expand.inputs, layer->expand.outputs, layer->project.inputs, layer->project.outputs, dim);
    if (!layer->self_norm.weight || !layer->self_norm.bias || !layer->feed_forward_norm.weight ||
        !layer->feed_forward_norm.bias ||
        (layer->has_cross && (!layer->cross_norm.weight || !layer->cross_norm.bias)))
        return rill_fail(why, RILL_BAD_ARGUMENT, "transformer: a norm has no weights");
    if (layer->activation != RILL_ACTIVATION_RELU && layer->activation != RILL_ACTIVATION_GELU)
        return rill_fail(why, RILL_BAD_ARGUMENT, "transformer: unknown activation %d",
                         (int)layer->activation);
    if (!(layer->norm_epsilon >= 0 && isfinite(layer->norm_epsilon)))
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "transformer: the norms' epsilon %g is not a finite number from 0 on",
                         (double)layer->norm_epsilon);
    return RILL_OK;
}

/* x Φ(x), Φ by erfc: no cancellation where x is very negative */
static float gelu(float x) {
    return 0.5f * x * erfcf(-x * 0.70710678118654752f);
}

static void activate(rill_activation activation, size_t count, float *x) {
    for (size_t i = 0; i < count; i++)
        x[i] = activation == RILL_ACTIVATION_GELU ? gelu(x[i]) : x[i] < 0 ? 0 : x[i]; /* NaN stays */
}

/* to = rows + position, or rows themselves where there is no position */
static const float *add_position(size_t count, const float *rows, const float *position, float *to) {
    if (!position) return rows;
    for (size_t i = 0; i < count; i++) to[i] = rows[i] + position[i];
    return to;
}

/* The rows that a sublayer works on. */
static const float *enter(const rill_transformer_layer *layer, const rill_norm_weights *norm, size_t length,
                          const float *hidden, float *normed) {
    if (!layer->norm_first) return hidden;
    rill_kernels_get()->layer_norm(length, model_dim_of(layer), hidden, norm->weight, norm->bias,
                                   layer->norm_epsilon, normed);
    return normed;
}

/* hidden = hidden + addend, normed after it or not */
static void leave(const rill_transformer_layer *layer, const rill_norm_weights *norm, size_t length,
                  const float *addend, float *hidden) {
    const size_t dim = model_dim_of(layer);
    for (size_t i = 0; i < length * dim; i++) hidden[i] += addend[i];
    if (!layer->norm_first)
        rill_kernels_get()->layer_norm(length, dim, hidden, norm->weight, norm->bias, layer->norm_epsilon,
                                       hidden);
}

static void attend_to_itself(const rill_transformer_layer *layer, const rill_transformer_input *input,
                             void *seen, float *hidden, layer_parts at) {
    const float *rows = enter(layer, &layer->self_norm, input->length, hidden, at.normed);
    const float *positioned =
        add_position(input->length * model_dim_of(layer), rows, input->position, at.positioned);
    const rill_multihead_input self = {.queries_length = input->length,
                                       .keys_length = input->length,
                                       .queries = positioned,
                                       .keys = positioned,
                                       .values = rows,
                                       .sight = input->sight,
                                       .weights = input->weights};
    if (seen)
        rill_multihead_state_step(&layer->self, seen, input->length, positioned, positioned, rows, at.addend,
                                  at.multihead);
    else
        rill_multihead_apply(&layer->self, &self, at.addend, at.multihead);
    leave(layer, &layer->self_norm, input->length, at.addend, hidden);
}

static void attend_to_memory(const rill_transformer_layer *layer, const rill_transformer_input *input,
                             const void *memory, float *hidden, layer_parts at) {
    const float *rows = enter(layer, &layer->cross_norm, input->length, hidden, at.normed);
    const float *queries =
        add_position(input->length * model_dim_of(layer), rows, input->position, at.positioned);
    const rill_multihead_input cross = {.queries_length = input->length,
                                        .keys_length = input->memory_length,
                                        .queries = queries,
                                        .keys = add_position(input->memory_length * layer->cross.key.inputs,
                                                             input->memory, input->memory_position,
                                                             at.memory_positioned),
                                        .values = input->memory,
                                        .sight = input->memory_sight,
                                        .weights = input->memory_weights};
    if (memory)
        rill_multihead_memory_read(&layer->cross, memory, input->length, queries, at.addend, at.multihead);
    else
        rill_multihead_apply(&layer->cross, &cross, at.addend, at.multihead);
    leave(layer, &layer->cross_norm, input->length, at.addend, hidden);
}

static void feed_forward(const rill_transformer_layer *layer, size_t length, float *hidden, layer_parts at) {
    const float *rows = enter(layer, &layer->feed_forward_norm, length, hidden, at.normed);
    rill_multihead_project(&layer->expand, length, rows, at.wide);
    activate(layer->activation, length * layer->expand.outputs, at.wide);
    rill_multihead_project(&layer->project, length, at.wide, at.addend);
    leave(layer, &layer->feed_forward_norm, length, at.addend, hidden);
}

void rill_layer_pass(const rill_transformer_layer *layer, const rill_transformer_input *input,
                     rill_layer_stream stream, float *hidden, void *workspace) {
    const layer_parts at = parts_at(layer, input->length, input->memory_length, workspace);
    attend_to_itself(layer, input, stream.seen, hidden, at);
    if (layer->has_cross) attend_to_memory(layer, input, stream.memory, hidden, at);
    feed_forward(layer, input->length, hidden, at);
}

void rill_transformer_layer_apply(const rill_transformer_layer *layer, const rill_transformer_input *input,
                                  float *output, void *workspace) {
    assert(rill_transformer_layer_check(layer, NULL) == RILL_OK);
    const size_t size = input->length * model_dim_of(layer) * sizeof *output;
    if (size > 0 && output != input->x) memcpy(output, input->x, size);
    rill_layer_pass(layer, input, (rill_layer_stream){NULL, NULL}, output, workspace);
}
