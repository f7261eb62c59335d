/* SPDX-License-Identifier: MIT */
#include "transformer/weight_finder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/safetensors.h"
#include "failure.h"

_Static_assert(RILL_WEIGHT_MAX_RANK == RILL_TENSOR_MAX_RANK, "shapes are copied");

struct rill_weights {
    rill_safetensors file;
    float *zeros; /* three times the longest first dimension: any bias that is not there, three stacked ones
                     too */
};

/* Takes the file that was read, or frees what is left of it. */
static rill_status keep(const char *name, rill_safetensors *file, rill_weights **weights, rill_error *why) {
    size_t longest = 1;
    for (size_t i = 0; i < file->tensors_count; i++)
        if (file->tensors[i].rank > 0 && file->tensors[i].count > 0 && file->tensors[i].shape[0] > longest)
            longest = file->tensors[i].shape[0];
    rill_weights *kept = calloc(1, sizeof *kept);
    float *zeros = calloc(longest, 3 * sizeof *zeros);
    if (!kept || !zeros) {
        free(kept);
        free(zeros);
        rill_safetensors_free(file);
        return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: out of memory", name);
    }
    *kept = (rill_weights){*file, zeros};
    *weights = kept;
    return RILL_OK;
}

rill_status rill_weights_open(const char *path, rill_weights **weights, rill_error *why) {
    rill_safetensors file;
    *weights = NULL;
    rill_status status = rill_safetensors_open(path, &file, why);
    return status == RILL_OK ? keep(path, &file, weights, why) : status;
}

rill_status rill_weights_parse(const char *name, const void *bytes, size_t size, rill_weights **weights,
                               rill_error *why) {
    rill_safetensors file;
    *weights = NULL;
    rill_status status = rill_safetensors_parse(name, bytes, size, &file, why);
    return status == RILL_OK ? keep(name, &file, weights, why) : status;
}

void rill_weights_close(rill_weights *weights) {
    if (!weights) return;
    rill_safetensors_free(&weights->file);
    free(weights->zeros);
    free(weights);
}

size_t rill_weights_count(const rill_weights *weights) {
    return weights->file.tensors_count;
}

static rill_weight weight_of(const rill_tensor *tensor) {
    rill_weight weight = {.name = tensor->name,
                          .rank = tensor->rank,
                          .count = tensor->count,
                          .values = rill_tensor_f32(tensor)};
    memcpy(weight.shape, tensor->shape, sizeof weight.shape);
    return weight;
}

rill_weight rill_weights_at(const rill_weights *weights, size_t index) {
    assert(index < weights->file.tensors_count);
    return weight_of(&weights->file.tensors[index]);
}

rill_weight rill_weights_find(const rill_weights *weights, const char *name) {
    const rill_tensor *tensor = rill_safetensors_tensor(&weights->file, name);
    return tensor ? weight_of(tensor) : (rill_weight){0};
}

const char *rill_weights_text(const rill_weights *weights, const char *key) {
    return rill_safetensors_text(&weights->file, key);
}

const float *rill_weights_zeros(const rill_weights *weights) {
    return weights->zeros;
}
