/* SPDX-License-Identifier: MIT */
/* ONNX CausalConvWithState, opset 27, which is channels first: in one piece, and step by step. */
#include <string.h>

#include <rill/convolution.h>

#include "conformance.h"

static const double tolerance = 1e-5;

/* [rows][columns] to [columns][rows] */
static void transpose(size_t rows, size_t columns, const float *from, float *to) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < columns; i++) to[i * rows + r] = from[r * columns + i];
}

static void run(conformance_case *c) {
    const conformance_tensor *input, *weight, *bias = conformance_find(c, "in.bias"),
                                              *past = conformance_find(c, "in.past_state");
    if (!conformance_need(c, "in.input", &input) || !conformance_need(c, "in.weight", &weight)) return;
    const char *activation = conformance_text(c, "activation");
    rill_convolution_shape shape = {.channels = input->shape[1], .taps = weight->shape[2]};
    shape.silu = activation && (strcmp(activation, "silu") == 0 || strcmp(activation, "swish") == 0);
    size_t batches = input->shape[0], length = input->shape[2], kept = shape.taps - 1;
    size_t rows = length * shape.channels, kept_floats = kept * shape.channels;
    float *x = conformance_floats(c, rows), *y = conformance_floats(c, rows);
    float *output = conformance_floats(c, batches * rows),
          *present = conformance_floats(c, batches * kept_floats + 1);
    float *state = conformance_memory(c, rill_convolution_size(&shape) + 1);
    for (size_t part = length; part > 0; part = part > 1 ? 1 : 0) {
        for (size_t b = 0; b < batches; b++) {
            transpose(shape.channels, length, input->values + b * rows, x);
            rill_convolution_init(&shape, state);
            if (past) transpose(shape.channels, kept, past->values + b * kept_floats, state);
            for (size_t t = 0; t < length; t += part)
                rill_convolution_step(&shape, state, weight->values, bias ? bias->values : NULL, part,
                                      x + t * shape.channels, y + t * shape.channels);
            transpose(length, shape.channels, y, output + b * rows);
            transpose(kept, shape.channels, state, present + b * kept_floats);
        }
        conformance_expect(c, "out.output", output, tolerance);
        conformance_expect(c, "out.present_state", present, tolerance);
    }
}

static bool knows(const conformance_case *c) {
    const char *op = conformance_text(c, "op");
    return op && strcmp(op, "CausalConvWithState") == 0;
}

const conformance_family conformance_onnx_convolution = {"ONNX CausalConvWithState", knows, run};
