/* SPDX-License-Identifier: MIT */
/* The network's tensors by name, each with the shape that the metadata asks for. */
#include <float.h>
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
    unsigned char *packed; /* where dense layers go; NULL while their sizes are only added up */
    size_t packed_size;
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

static const rill_tensor *lookup(const finder *in, const char *scope, const char *part, char name[100]) {
    snprintf(name, 100, "%s.%s", scope, part);
    return rill_safetensors_tensor(in->file, name);
}

/* A matrix [rows][columns], or with columns = 0 a vector [rows], of one of the types that count ≥ 1 names
 * list; *type is its place among them. */
static const void *find_typed(finder *in, const char *scope, const char *part, size_t rows, size_t columns,
                              size_t count, const char *const *types, size_t *type) {
    if (in->status != RILL_OK) return NULL;
    char tensor_name[100];
    const rill_tensor *tensor = lookup(in, scope, part, tensor_name);
    if (!tensor) {
        in->status =
            rill_fail(in->why, RILL_BAD_FORMAT, "%s: the tensor %s is missing", in->name, tensor_name);
        return NULL;
    }
    for (*type = 0; *type < count && strcmp(tensor->dtype, types[*type]);) ++*type;
    if (*type == count) {
        in->status =
            rill_fail(in->why, RILL_UNSUPPORTED, "%s: tensor %s is %s; this version runs F32%s there",
                      in->name, tensor_name, tensor->dtype, count > 1 ? ", BF16 and I8" : "");
        return NULL;
    }
    if (tensor->rank != (columns ? 2 : 1) || tensor->shape[0] != rows ||
        (columns && tensor->shape[1] != columns))
        return fail_shape(in, tensor, rows, columns);
    in->parameters += tensor->count;
    return tensor->bytes;
}

static const float *find(finder *in, const char *scope, const char *part, size_t rows, size_t columns) {
    static const char *const only[] = {"F32"};
    size_t type;
    return find_typed(in, scope, part, rows, columns, 1, only, &type);
}

/* What the int8 weights of each row are multiplied by: none may vanish, turn a sign, or overflow. Any other
 * weight that a scale stands beside was meant to be another type. */
static const float *find_scales(finder *in, const char *scope, rill_weight_type type, size_t outputs) {
    char name[100];
    if (in->status != RILL_OK) return NULL;
    if (type != RILL_WEIGHTS_I8) {
        if (lookup(in, scope, "weight_scale", name))
            in->status = rill_fail(in->why, RILL_BAD_FORMAT,
                                   "%s: tensor %s stands beside a weight that is no I8", in->name, name);
        return NULL;
    }
    const float *scales = find(in, scope, "weight_scale", outputs, 0);
    for (size_t i = 0; scales && i < outputs; i++)
        if (!(scales[i] > 0 && scales[i] <= FLT_MAX / 128)) {
            in->status =
                rill_fail(in->why, RILL_BAD_FORMAT, "%s: tensor %s.weight_scale: %g for row %zu is no scale",
                          in->name, scope, (double)scales[i], i);
            return NULL;
        }
    if (scales) in->parameters -= outputs; /* part of how the weights are written */
    return scales;
}

static rill_packed_dense find_dense(finder *in, const char *scope, size_t inputs, size_t outputs) {
    static const char *const types[] = {
        [RILL_WEIGHTS_F32] = "F32", [RILL_WEIGHTS_BF16] = "BF16", [RILL_WEIGHTS_I8] = "I8"};
    rill_dense_tensors found = {.inputs = inputs, .outputs = outputs};
    size_t type = 0;
    found.weight =
        find_typed(in, scope, "weight", outputs, inputs, sizeof types / sizeof *types, types, &type);
    found.type = (rill_weight_type)type;
    found.scales = find_scales(in, scope, found.type, outputs);
    found.bias = find(in, scope, "bias", outputs, 0);
    rill_packed_dense layer = {0};
    if (in->status != RILL_OK) return layer;
    if (in->packed) layer = rill_pack(&found, in->packed + in->packed_size);
    in->packed_size += rill_packed_size(&found);
    return layer;
}

static const float *find_taps(finder *in, const char *scope, size_t channels, size_t taps) {
    const float *weight = find(in, scope, "weight", channels, taps);
    if (in->status != RILL_OK) return NULL;
    if (in->packed) weight = rill_pack_taps(channels, taps, weight, in->packed + in->packed_size);
    in->packed_size += rill_packed_taps_size(channels, taps);
    return weight;
}

static rill_norm_weights find_norm(finder *in, const char *scope, size_t dim) {
    return (rill_norm_weights){find(in, scope, "weight", dim, 0), find(in, scope, "bias", dim, 0)};
}

/* A state that grows by itself would overflow in minutes. */
static void check_decay(finder *in, const char *scope, const float *log_decay, size_t heads) {
    for (size_t i = 0; in->status == RILL_OK && i < heads; i++)
        if (log_decay[i] > 0)
            in->status =
                rill_fail(in->why, RILL_BAD_FORMAT, "%s: tensor %s.log_decay: %g for head %zu is above 0",
                          in->name, scope, (double)log_decay[i], i);
}

/* stack: "layers", or "speech.layers" of the branch. */
static void find_layer(finder *in, const rill_model_info *info, const char *stack, size_t index,
                       rill_layer_weights *layer) {
    const size_t dim = info->model_dim;
    char scope[64];
#define SCOPE(part) (snprintf(scope, sizeof scope, "%s.%zu." part, stack, index), scope)
    layer->attention_norm = find_norm(in, SCOPE("attention.norm"), dim);
    layer->query = find_dense(in, SCOPE("attention.query"), dim, dim);
    layer->key = find_dense(in, SCOPE("attention.key"), dim, dim);
    layer->value = find_dense(in, SCOPE("attention.value"), dim, dim);
    layer->log_decay = find(in, SCOPE("attention"), "log_decay", info->heads, 0);
    check_decay(in, scope, layer->log_decay, info->heads);
    layer->attention_output = find_dense(in, SCOPE("attention.output"), dim, dim);
    layer->convolution_norm = find_norm(in, SCOPE("convolution.norm"), dim);
    layer->convolution_expand = find_dense(in, SCOPE("convolution.expand"), dim, 2 * dim);
    layer->depthwise_weight = find_taps(in, SCOPE("convolution.depthwise"), dim, info->convolution_kernel);
    layer->depthwise_bias = find(in, SCOPE("convolution.depthwise"), "bias", dim, 0);
    layer->convolution_project = find_dense(in, SCOPE("convolution.project"), dim, dim);
    layer->feed_forward_norm = find_norm(in, SCOPE("feed_forward.norm"), dim);
    layer->feed_forward_expand = find_dense(in, SCOPE("feed_forward.expand"), dim, info->feed_forward_dim);
    layer->feed_forward_project = find_dense(in, SCOPE("feed_forward.project"), info->feed_forward_dim, dim);
#undef SCOPE
}

/* In the order of a step, so that it reads the packed weights from one end to the other. */
static void find_network(finder *in, rill_model *model) {
    rill_model_info *info = &model->info;
    model->input =
        find_dense(in, "input.projection", info->frames_per_step * info->mel_bands, info->model_dim);
    model->input_norm = find_norm(in, "input.norm", info->model_dim);
    for (size_t i = 0; i < info->layers; i++) find_layer(in, info, "layers", i, &model->layers[i]);
    model->output_norm = find_norm(in, "output.norm", info->model_dim);
    model->embedding = find_dense(in, "output.embedding", info->model_dim, info->embedding_dim);
    for (size_t i = 0; i < info->speech_layers; i++)
        find_layer(in, info, "speech.layers", i, &model->layers[info->layers + i]);
    model->speech_norm =
        info->speech_layers ? find_norm(in, "speech.norm", info->model_dim) : model->output_norm;
    model->speech = find_dense(in, "output.speech", info->model_dim, 1);
    info->has_overlap = rill_safetensors_tensor(in->file, "output.overlap.weight") ||
                        rill_safetensors_tensor(in->file, "output.overlap.bias");
    if (info->has_overlap) model->overlap = find_dense(in, "output.overlap", info->model_dim, 1);
}

rill_status rill_model_read_weights(const char *name, rill_model *model, rill_error *why) {
    finder in = {.name = name, .file = &model->file, .why = why};
    model->layers = calloc(rill_model_layers(&model->info), sizeof *model->layers);
    if (!model->layers) return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: out of memory", name);
    find_network(&in, model);
    if (in.status != RILL_OK) return in.status;
    model->info.parameters = in.parameters;
    model->info.weights_size = in.packed_size;
    model->packed = aligned_alloc(RILL_STATE_ALIGNMENT, in.packed_size);
    if (!model->packed) return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: out of memory", name);
    memset(model->packed, 0, in.packed_size);
    in.packed = model->packed;
    in.packed_size = 0;
    find_network(&in, model);
    return in.status;
}
