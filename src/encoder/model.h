/* SPDX-License-Identifier: MIT */
/* What a model is inside the encoder: the file's contents, the checked numbers, and the network's weights
 * under their names. */
#ifndef RILL_MODEL_H
#define RILL_MODEL_H

#include <stddef.h>

#include <rill/attention.h>
#include <rill/dense.h>
#include <rill/encoder.h>

#include "encoder/packed_weights.h"
#include "encoder/safetensors.h"
#include "kernels/kernels.h"

typedef struct rill_layer_weights {
    rill_norm_weights attention_norm;
    rill_packed_dense query, key, value;
    const float *log_decay; /* [heads], ≤ 0 */
    rill_packed_dense attention_output;
    rill_norm_weights convolution_norm;
    rill_packed_dense convolution_expand; /* to 2 · model_dim: values, then gates */
    const float *depthwise_weight;        /* [convolution_kernel][model_dim], oldest tap first */
    const float *depthwise_bias;          /* [model_dim] */
    rill_packed_dense convolution_project;
    rill_norm_weights feed_forward_norm;
    rill_packed_dense feed_forward_expand, feed_forward_project;
} rill_layer_weights;

struct rill_model {
    rill_model_info info;
    rill_safetensors file;
    const rill_kernels *kernels;
    rill_attention_shape attention; /* of every layer */
    rill_packed_dense input;        /* frames_per_step · mel_bands → model_dim */
    rill_norm_weights input_norm;
    rill_layer_weights *layers; /* [rill_model_layers]: info.layers, then those of the branch for speech */
    rill_norm_weights output_norm;
    rill_norm_weights speech_norm;       /* of the branch; output_norm when there is none */
    rill_packed_dense embedding, speech; /* → embedding_dim, → 1 */
    rill_packed_dense overlap;           /* → 1; when info.has_overlap */
    unsigned char *packed;               /* what the layers weigh with, in the order of a step */
};

/* Layers that a step goes through, those of the branch for speech among them. */
static inline size_t rill_model_layers(const rill_model_info *info) {
    return info->layers + info->speech_layers;
}

/* Reads the format and every number the encoder and front end need from the metadata, with limits
 * (docs/model-format.md). name appears in errors. */
rill_status rill_model_read_info(const char *name, const rill_safetensors *file, rill_model_info *info,
                                 rill_error *why);

/* Finds the network's tensors, checks types and shapes, packs the dense layers, and fills info.parameters,
 * info.weights_size and info.has_overlap. Allocates model->layers and model->packed. */
rill_status rill_model_read_weights(const char *name, rill_model *model, rill_error *why);

/* 16 hex digits over all metadata and tensors, whatever their order in the file (docs/model-format.md). */
void rill_model_fingerprint(const rill_safetensors *file, char fingerprint[17]);

/* text as a JSON number, alone: independent of the locale. False when it is none or not finite. */
bool rill_read_number(const char *text, double *number);

#endif
