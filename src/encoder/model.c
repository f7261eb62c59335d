/* SPDX-License-Identifier: MIT */
/* Opens, holds and closes a model. */
#include "encoder/model.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/layer.h"
#include "failure.h"

static float widened(uint16_t bf16) {
    const uint32_t bits = (uint32_t)bf16 << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* One bad weight makes every output NaN: better said here. */
static rill_status check_finite(const char *name, const rill_safetensors *file, rill_error *why) {
    for (size_t i = 0; i < file->tensors_count; i++) {
        const rill_tensor *tensor = &file->tensors[i];
        const float *floats = rill_tensor_f32(tensor);
        const uint16_t *halves = rill_tensor_bf16(tensor);
        for (size_t j = 0; (floats || halves) && j < tensor->count; j++) {
            const float value = floats ? floats[j] : widened(halves[j]);
            if (!isfinite(value))
                return rill_fail(why, RILL_BAD_FORMAT, "%s: tensor %.100s: value %zu is %g", name,
                                 tensor->name, j, (double)value);
        }
    }
    return RILL_OK;
}

static rill_status read_attention(const char *name, rill_model *model, rill_error *why) {
    const rill_model_info *info = &model->info;
    const size_t head_dim = info->model_dim / info->heads;
    model->attention = (rill_attention_shape){
        .rule = RILL_RULE_GATED,
        .decay = RILL_DECAY_HEAD,
        .heads = info->heads,
        .query_heads = info->heads,
        .key_dim = head_dim,
        .value_dim = head_dim,
        .normalize = true,
        .epsilon = (float)info->normalizer_epsilon,
        .scale = 1,
    };
    rill_error reason;
    if (rill_attention_check(&model->attention, &reason) != RILL_OK)
        return rill_fail(why, RILL_UNSUPPORTED, "%s: %s", name, reason.message);
    return RILL_OK;
}

/* Fills a model from model->file. */
static rill_status read_model(const char *name, rill_model *model, rill_error *why) {
    rill_status status = rill_model_read_info(name, &model->file, &model->info, why);
    if (status == RILL_OK) status = check_finite(name, &model->file, why);
    if (status == RILL_OK) status = rill_model_read_weights(name, model, why);
    if (status == RILL_OK) status = read_attention(name, model, why);
    if (status != RILL_OK) return status;
    model->kernels = rill_kernels_get();
    model->info.state_size = rill_model_layers(&model->info) * rill_layer_state_size(model);
    rill_model_fingerprint(&model->file, model->info.fingerprint);
    return RILL_OK;
}

/* Takes over the file, or the reason why there is none. */
static rill_status finish(const char *name, rill_status status, rill_safetensors *file, rill_model **model,
                          rill_error *why) {
    *model = NULL;
    rill_model *made = status == RILL_OK ? calloc(1, sizeof *made) : NULL;
    if (made) {
        made->file = *file;
        status = read_model(name, made, why);
    } else if (status == RILL_OK) {
        rill_safetensors_free(file);
        status = rill_fail(why, RILL_OUT_OF_MEMORY, "%s: out of memory", name);
    }
    if (status == RILL_OK)
        *model = made;
    else
        rill_model_close(made);
    return status;
}

rill_status rill_model_open(const char *path, rill_model **model, rill_error *why) {
    assert(path && model);
    rill_safetensors file;
    rill_status status = rill_safetensors_open(path, &file, why);
    return finish(path, status, &file, model, why);
}

rill_status rill_model_from_memory(const char *name, const void *bytes, size_t size, rill_model **model,
                                   rill_error *why) {
    assert(name && (bytes || size == 0) && model);
    rill_safetensors file;
    rill_status status = rill_safetensors_parse(name, bytes, size, &file, why);
    return finish(name, status, &file, model, why);
}

void rill_model_close(rill_model *model) {
    if (!model) return;
    rill_safetensors_free(&model->file);
    free(model->layers);
    free(model->packed);
    free(model);
}

const rill_model_info *rill_model_get_info(const rill_model *model) {
    assert(model);
    return &model->info;
}

const char *rill_model_text(const rill_model *model, const char *key) {
    assert(model && key);
    return rill_safetensors_text(&model->file, key);
}

double rill_model_number(const rill_model *model, const char *key, double fallback) {
    const char *text = rill_model_text(model, key);
    double number = fallback;
    if (text) rill_read_number(text, &number);
    return number;
}

const float *rill_model_tensor(const rill_model *model, const char *name, size_t shape[4]) {
    assert(model && name && shape);
    const rill_tensor *tensor = rill_safetensors_tensor(&model->file, name);
    if (!tensor || tensor->rank > 4) return NULL;
    for (size_t i = 0; i < 4; i++) shape[i] = i < tensor->rank ? tensor->shape[i] : 1;
    return rill_tensor_f32(tensor);
}
