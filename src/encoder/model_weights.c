/* SPDX-License-Identifier: MIT */
/* The network's tensors by name, each with the shape that the metadata asks for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/model.h"
#include "failure.h"

/* The first failure stays: a sequence of finds needs one check at its end. */
typedef struct finder {
    const char *name; /* of the file, for errors */
    const rill_safetensors *file;
    size_t parameters;
    rill_status status;
    rill_error *why;
} finder;

static void shape_text(const rill_tensor *tensor, size_t size, char *text) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < tensor->rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, i ? ", %zu" : "%zu", tensor->shape[i]);
}

static const float *fail_shape(finder *in, const rill_tensor *tensor, size_t rows, size_t columns) {
    char found[100], wanted[50];
    shape_text(tensor, sizeof found, found);
    snprintf(wanted, sizeof wanted, columns ? "%zu, %zu" : "%zu", rows, columns);
    in->status =
        rill_fail(in->why, RILL_BAD_FORMAT, "%s: tensor %s has the shape [%s], the metadata asks for [%s]",
                  in->name, tensor->name, found, wanted);
    return NULL;
}

/* A matrix [rows][columns], or with columns = 0 a vector [rows]. */
static const float *find(finder *in, const char *scope, const char *part, size_t rows, size_t columns) {
    if (in->status != RILL_OK) return NULL;
    char tensor_name[100];
    snprintf(tensor_name, sizeof tensor_name, "%s.%s", scope, part);
    const rill_tensor *tensor = rill_safetensors_tensor(in->file, tensor_name);
    if (!tensor) {
        in->status =
            rill_fail(in->why, RILL_BAD_FORMAT, "%s: the tensor %s is missing", in->name, tensor_name);
        return NULL;
    }
    const float *values = rill_tensor_f32(tensor);
    if (!values) {
        in->status = rill_fail(in->why, RILL_UNSUPPORTED, "%s: tensor %s is %s; this version runs F32",
                               in->name, tensor_name, tensor->dtype);
        return NULL;
    }
    if (tensor->rank != (columns ? 2 : 1) || tensor->shape[0] != rows ||
        (columns && tensor->shape[1] != columns))
        return fail_shape(in, tensor, rows, columns);
    in->parameters += tensor->count;
    return values;
}

static rill_dense_weights find_dense(finder *in, const char *scope, size_t inputs, size_t outputs) {
    return (rill_dense_weights){inputs, outputs, find(in, scope, "weight", outputs, inputs),
                                find(in, scope, "bias", outputs, 0)};
}

static rill_norm_weights find_norm(finder *in, const char *scope, size_t dim) {
    return (rill_norm_weights){find(in, scope, "weight", dim, 0), find(in, scope, "bias", dim, 0)};
}

/* A state that grows by itself would overflow in minutes. */
static void check_decay(finder *in, size_t layer, const float *log_decay, size_t heads) {
    for (size_t i = 0; in->status == RILL_OK && i < heads; i++)
        if (log_decay[i] > 0)
            in->status = rill_fail(in->why, RILL_BAD_FORMAT,
                                   "%s: tensor layers.%zu.attention.log_decay: %g for head %zu is above 0",
                                   in->name, layer, (double)log_decay[i], i);
}

static void find_layer(finder *in, const rill_model_info *info, size_t index, rill_layer_weights *layer) {
    const size_t dim = info->model_dim;
    char scope[64];
#define SCOPE(part) (snprintf(scope, sizeof scope, "layers.%zu." part, index), scope)
    layer->attention_norm = find_norm(in, SCOPE("attention.norm"), dim);
    layer->query = find_dense(in, SCOPE("attention.query"), dim, dim);
    layer->key = find_dense(in, SCOPE("attention.key"), dim, dim);
    layer->value = find_dense(in, SCOPE("attention.value"), dim, dim);
    layer->log_decay = find(in, SCOPE("attention"), "log_decay", info->heads, 0);
    check_decay(in, index, layer->log_decay, info->heads);
    layer->attention_output = find_dense(in, SCOPE("attention.output"), dim, dim);
    layer->convolution_norm = find_norm(in, SCOPE("convolution.norm"), dim);
    layer->convolution_expand = find_dense(in, SCOPE("convolution.expand"), dim, 2 * dim);
    layer->depthwise_weight =
        find(in, SCOPE("convolution.depthwise"), "weight", dim, info->convolution_kernel);
    layer->depthwise_bias = find(in, SCOPE("convolution.depthwise"), "bias", dim, 0);
    layer->convolution_project = find_dense(in, SCOPE("convolution.project"), dim, dim);
    layer->feed_forward_norm = find_norm(in, SCOPE("feed_forward.norm"), dim);
    layer->feed_forward_expand = find_dense(in, SCOPE("feed_forward.expand"), dim, info->feed_forward_dim);
    layer->feed_forward_project = find_dense(in, SCOPE("feed_forward.project"), info->feed_forward_dim, dim);
#undef SCOPE
}

rill_status rill_model_read_weights(const char *name, rill_model *model, rill_error *why) {
    rill_model_info *info = &model->info;
    finder in = {name, &model->file, 0, RILL_OK, why};
    model->layers = calloc(info->layers, sizeof *model->layers);
    if (!model->layers) return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: out of memory", name);
    model->input =
        find_dense(&in, "input.projection", info->frames_per_step * info->mel_bands, info->model_dim);
    model->input_norm = find_norm(&in, "input.norm", info->model_dim);
    for (size_t i = 0; i < info->layers; i++) find_layer(&in, info, i, &model->layers[i]);
    model->output_norm = find_norm(&in, "output.norm", info->model_dim);
    model->embedding = find_dense(&in, "output.embedding", info->model_dim, info->embedding_dim);
    model->speech = find_dense(&in, "output.speech", info->model_dim, 1);
    info->has_overlap = rill_safetensors_tensor(in.file, "output.overlap.weight") ||
                        rill_safetensors_tensor(in.file, "output.overlap.bias");
    if (info->has_overlap) model->overlap = find_dense(&in, "output.overlap", info->model_dim, 1);
    info->parameters = in.parameters;
    return in.status;
}
