/* SPDX-License-Identifier: MIT */
/* One layer of the encoder, on a few steps at a time, and the memory it works in. */
#ifndef RILL_LAYER_H
#define RILL_LAYER_H

#include <stddef.h>

#include "encoder/model.h"

/* Steps a pass over the weights takes: they are read from memory once for all of these. */
#define RILL_ENCODER_CHUNK ((size_t)16)

/* Where a call keeps what lies between its layers; rows of up to RILL_ENCODER_CHUNK steps. */
typedef struct rill_workspace {
    float *hidden;  /* h [steps][model_dim] */
    float *parting; /* the same, kept where the branch for speech begins */
    float *normed;  /* [steps][model_dim] */
    float *wide;    /* [steps][the widest of 4 model_dim, feed_forward_dim, embedding_dim] */
    float
        *window; /* [convolution_kernel − 1 + steps][model_dim]: the convolution's history, then its input */
} rill_workspace;

/* Bytes of a workspace, and where its parts lie in them. */
size_t rill_workspace_size(const rill_model_info *info);
rill_workspace rill_workspace_at(const rill_model_info *info, void *memory);

/* Bytes of one layer's state: the attention's, then the convolution's last convolution_kernel − 1 inputs. */
size_t rill_layer_state_size(const rill_model *model);

/* Whose rows a call works on: steps of each stream, one behind the other; together ≤ RILL_ENCODER_CHUNK. */
typedef struct rill_stream_rows {
    size_t streams, steps;
    unsigned char *const *states; /* [streams] */
} rill_stream_rows;

/* Takes the rows of work.hidden through the layer, and its states along: they begin layer_offset bytes into
 * those of the streams. */
void rill_layer_run(const rill_model *model, const rill_layer_weights *layer, size_t layer_offset,
                    const rill_stream_rows *rows, rill_workspace work);

void rill_dense_run(const rill_model *model, const rill_packed_dense *dense, size_t length, const float *x,
                    float *y);
void rill_norm_run(const rill_model *model, const rill_norm_weights *norm, size_t length, const float *x,
                   float *y);

#endif
