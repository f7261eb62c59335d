/* SPDX-License-Identifier: MIT */
/* Layers one after the other, on a whole sequence. */
#include "transformer/layer_run.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "failure.h"
#include "kernels/kernels.h"

rill_status rill_transformer_check(const rill_transformer *transformer, rill_error *why) {
    if (transformer->layers_count == 0 || !transformer->layers)
        return rill_fail(why, RILL_BAD_ARGUMENT, "transformer: it has no layers");
    const rill_transformer_layer *first = transformer->layers;
    for (size_t i = 0; i < transformer->layers_count; i++) {
        const rill_transformer_layer *layer = transformer->layers + i;
        rill_status status = rill_transformer_layer_check(layer, why);
        if (status != RILL_OK) return status;
        if (layer->self.query.inputs != first->self.query.inputs || layer->has_cross != first->has_cross ||
            (layer->has_cross && layer->cross.key.inputs != first->cross.key.inputs))
            return rill_fail(why, RILL_BAD_ARGUMENT, "transformer: layer %zu takes other rows than the first",
                             i);
    }
    if (transformer->norm.weight &&
        !(transformer->norm.bias && transformer->norm_epsilon >= 0 && isfinite(transformer->norm_epsilon)))
        return rill_fail(why, RILL_BAD_ARGUMENT, "transformer: the last norm has no bias or epsilon");
    return RILL_OK;
}

size_t rill_transformer_workspace_size(const rill_transformer *transformer, size_t length,
                                       size_t memory_length) {
    assert(rill_transformer_check(transformer, NULL) == RILL_OK);
    size_t size = 0;
    for (size_t i = 0; i < transformer->layers_count; i++) {
        const size_t now =
            rill_transformer_layer_workspace_size(transformer->layers + i, length, memory_length);
        if (now > size) size = now;
    }
    return size;
}

void rill_transformer_norm(const rill_transformer *transformer, size_t length, float *rows) {
    if (transformer->norm.weight)
        rill_kernels_get()->layer_norm(length, transformer->layers->self.query.inputs, rows,
                                       transformer->norm.weight, transformer->norm.bias,
                                       transformer->norm_epsilon, rows);
}

void rill_transformer_apply(const rill_transformer *transformer, const rill_transformer_input *input,
                            float *output, void *workspace) {
    assert(rill_transformer_check(transformer, NULL) == RILL_OK);
    const size_t size = input->length * transformer->layers->self.query.inputs * sizeof *output;
    if (size > 0 && output != input->x) memcpy(output, input->x, size);
    rill_transformer_input one = *input;
    for (size_t i = 0; i < transformer->layers_count; i++) {
        const bool last = i + 1 == transformer->layers_count;
        one.weights = last ? input->weights : NULL;
        one.memory_weights = last ? input->memory_weights : NULL;
        rill_layer_pass(transformer->layers + i, &one, (rill_layer_stream){NULL, NULL}, output, workspace);
    }
    rill_transformer_norm(transformer, input->length, output);
}
