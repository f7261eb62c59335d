/* SPDX-License-Identifier: MIT */
/* A layer, on a whole sequence or on the next steps of a stream. */
#ifndef RILL_LAYER_RUN_H
#define RILL_LAYER_RUN_H

#include <rill/transformer.h>

/* What self-attention has seen and what cross attention sees, of one layer of a stream; both NULL: of a whole
 * sequence, everything is in the input. */
typedef struct rill_layer_stream {
    void *seen;
    const void *memory;
} rill_layer_stream;

/* hidden [input->length][model_dim] is taken through the layer; input->x is not looked at. */
void rill_layer_pass(const rill_transformer_layer *layer, const rill_transformer_input *input,
                     rill_layer_stream stream, float *hidden, void *workspace);

/* The norm after the last layer, in place, where there is one. */
void rill_transformer_norm(const rill_transformer *transformer, size_t length, float *rows);

#endif
