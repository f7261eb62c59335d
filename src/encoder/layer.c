/* SPDX-License-Identifier: MIT */
#include "encoder/layer.h"

#include <assert.h>
#include <string.h>

static size_t round_up(size_t size) {
    return (size + RILL_STATE_ALIGNMENT - 1) / RILL_STATE_ALIGNMENT * RILL_STATE_ALIGNMENT;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t hidden_size(const rill_model_info *info) {
    return round_up(RILL_ENCODER_CHUNK * info->model_dim * sizeof(float));
}

static size_t wide_size(const rill_model_info *info) {
    size_t dim = larger(4 * info->model_dim, larger(info->feed_forward_dim, info->embedding_dim));
    return round_up(RILL_ENCODER_CHUNK * dim * sizeof(float));
}

static size_t window_size(const rill_model_info *info) {
    return round_up((info->convolution_kernel - 1 + RILL_ENCODER_CHUNK) * info->model_dim * sizeof(float));
}

size_t rill_workspace_size(const rill_model_info *info) {
    return 3 * hidden_size(info) + wide_size(info) + window_size(info);
}

rill_workspace rill_workspace_at(const rill_model_info *info, void *memory) {
    unsigned char *place = memory;
    unsigned char *parting = place + hidden_size(info);
    unsigned char *normed = parting + hidden_size(info);
    unsigned char *wide = normed + hidden_size(info);
    unsigned char *window = wide + wide_size(info);
    return (rill_workspace){(float *)(void *)place, (float *)(void *)parting, (float *)(void *)normed,
                            (float *)(void *)wide, (float *)(void *)window};
}

static size_t attention_size(const rill_model *model) {
    return round_up(rill_attention_size(&model->attention));
}

size_t rill_layer_state_size(const rill_model *model) {
    size_t history = (model->info.convolution_kernel - 1) * model->info.model_dim * sizeof(float);
    return attention_size(model) + round_up(history);
}

void rill_dense_run(const rill_model *model, const rill_packed_dense *dense, size_t length, const float *x,
                    float *y) {
    model->kernels->packed_dense(length, dense, x, y);
}

void rill_norm_run(const rill_model *model, const rill_norm_weights *norm, size_t length, const float *x,
                   float *y) {
    model->kernels->layer_norm(length, model->info.model_dim, x, norm->weight, norm->bias,
                               (float)model->info.norm_epsilon, y);
}

/* h += dense · x */
static void add_dense(const rill_model *model, const rill_packed_dense *dense, size_t length, const float *x,
                      float *scratch, float *hidden) {
    rill_dense_run(model, dense, length, x, scratch);
    for (size_t i = 0; i < length * dense->outputs; i++) hidden[i] += scratch[i];
}

/* output = attention(queries, keys, values) of each stream; log_decay [heads] */
static void attend_streams(const rill_model *model, const float *log_decay, size_t layer_offset,
                           const rill_stream_rows *rows, const float *queries, const float *keys,
                           const float *values, float *output) {
    for (size_t s = 0; s < rows->streams; s++) {
        const size_t first = s * rows->steps * model->info.model_dim;
        const rill_sequence sequence = {.length = rows->steps,
                                        .queries = queries + first,
                                        .keys = keys + first,
                                        .values = values + first,
                                        .log_decay = log_decay};
        rill_attention_chunkwise(&model->attention, rows->states[s] + layer_offset, &sequence,
                                 output + first);
    }
}

/* h += output · attention(φ(query · a), φ(key · a), value · a), a = norm(h) */
static void attend(const rill_model *model, const rill_layer_weights *layer, size_t layer_offset,
                   const rill_stream_rows *rows, rill_workspace work) {
    const size_t length = rows->streams * rows->steps, count = length * model->info.model_dim;
    float *queries = work.wide, *keys = queries + count, *values = keys + count, *output = values + count;
    rill_norm_run(model, &layer->attention_norm, length, work.hidden, work.normed);
    rill_dense_run(model, &layer->query, length, work.normed, queries);
    rill_dense_run(model, &layer->key, length, work.normed, keys);
    rill_dense_run(model, &layer->value, length, work.normed, values);
    rill_feature_map_elu1(2 * count, queries, queries); /* the keys lie behind the queries */
    attend_streams(model, layer->log_decay, layer_offset, rows, queries, keys, values, output);
    add_dense(model, &layer->attention_output, length, output, work.normed, work.hidden);
}

/* y = depthwise(u[:dim] · sigmoid(u[dim:])) of one stream; u [steps][2 dim], y [steps][dim]; history
 * [convolution_kernel − 1][model_dim] holds the inputs before these. */
static void convolve_stream(const rill_model *model, const rill_layer_weights *layer, float *history,
                            size_t steps, const float *u, float *window, float *y) {
    const size_t dim = model->info.model_dim, taps = model->info.convolution_kernel;
    const size_t kept = (taps - 1) * dim;
    memcpy(window, history, kept * sizeof *history);
    for (size_t t = 0; t < steps; t++, u += 2 * dim)
        model->kernels->gate(dim, u, u + dim, window + kept + t * dim);
    memcpy(history, window + steps * dim, kept * sizeof *history);
    model->kernels->depthwise(steps, dim, taps, window, layer->depthwise_weight, true, layer->depthwise_bias,
                              y);
}

/* h += project · silu(convolution(expand · norm(h))) */
static void convolve(const rill_model *model, const rill_layer_weights *layer, size_t layer_offset,
                     const rill_stream_rows *rows, rill_workspace work) {
    const size_t dim = model->info.model_dim, length = rows->streams * rows->steps;
    rill_norm_run(model, &layer->convolution_norm, length, work.hidden, work.normed);
    rill_dense_run(model, &layer->convolution_expand, length, work.normed, work.wide);
    for (size_t s = 0; s < rows->streams; s++) {
        const size_t first = s * rows->steps * dim;
        unsigned char *history = rows->states[s] + layer_offset + attention_size(model);
        convolve_stream(model, layer, (float *)(void *)history, rows->steps, work.wide + 2 * first,
                        work.window, work.normed + first);
    }
    model->kernels->silu(length * dim, work.normed, work.normed);
    add_dense(model, &layer->convolution_project, length, work.normed, work.wide, work.hidden);
}

/* h += project · silu(expand · norm(h)) */
static void feed_forward(const rill_model *model, const rill_layer_weights *layer, size_t length,
                         rill_workspace work) {
    rill_norm_run(model, &layer->feed_forward_norm, length, work.hidden, work.normed);
    rill_dense_run(model, &layer->feed_forward_expand, length, work.normed, work.wide);
    model->kernels->silu(length * model->info.feed_forward_dim, work.wide, work.wide);
    add_dense(model, &layer->feed_forward_project, length, work.wide, work.normed, work.hidden);
}

void rill_layer_run(const rill_model *model, const rill_layer_weights *layer, size_t layer_offset,
                    const rill_stream_rows *rows, rill_workspace work) {
    assert(rows->streams * rows->steps <= RILL_ENCODER_CHUNK);
    attend(model, layer, layer_offset, rows, work);
    convolve(model, layer, layer_offset, rows, work);
    feed_forward(model, layer, rows->streams * rows->steps, work);
}
