/* SPDX-License-Identifier: MIT */
/* SAGAN's self-attention block (1805.08318) as its PyTorch version has it: 1 x 1 convolutions are dense
 * layers over the pixels, and attention is one head whose scores are not scaled. */
#include "conformance.h"

#include <math.h>
#include <string.h>

#include <rill/multihead.h>

/* u · (32 products, 64 weights), of values of a few units */
static const double tolerance = 2e-6;

/* A 1 x 1 convolution, its weights times factor. */
static rill_dense_weights convolution_1x1(conformance_case *c, const char *weight_name, const char *bias_name,
                                          float factor) {
    const conformance_tensor *weight, *bias;
    if (!conformance_need(c, weight_name, &weight) || !conformance_need(c, bias_name, &bias))
        return (rill_dense_weights){0};
    float *w = conformance_floats(c, weight->count), *b = conformance_floats(c, bias->count);
    for (size_t i = 0; i < weight->count; i++) w[i] = factor * weight->values[i];
    for (size_t i = 0; i < bias->count; i++) b[i] = factor * bias->values[i];
    return (rill_dense_weights){weight->shape[1], weight->shape[0], w, b};
}

static void run(conformance_case *c) {
    const conformance_tensor *x, *gain;
    if (!conformance_need(c, "in.x", &x) || !conformance_need(c, "weight.gamma", &gain)) return;
    size_t count = x->shape[0], channels = x->shape[1], pixels = x->shape[2] * x->shape[3];
    float *identity = conformance_floats(c, channels * channels);
    for (size_t i = 0; i < channels; i++) identity[i * channels + i] = 1;
    float root = sqrtf((float)(channels / 8)); /* takes the head's 1/√key_dim away */
    const rill_multihead block = {
        .kind = RILL_MULTIHEAD_SOFTMAX,
        .heads = 1,
        .query = convolution_1x1(c, "weight.query_conv.weight", "weight.query_conv.bias", root),
        .key = convolution_1x1(c, "weight.key_conv.weight", "weight.key_conv.bias", 1),
        .value = convolution_1x1(c, "weight.value_conv.weight", "weight.value_conv.bias", 1),
        .output = {channels, channels, identity, conformance_floats(c, channels)}};
    rill_error why;
    if (rill_multihead_check(&block, &why) != RILL_OK) {
        conformance_fail(c, "%s", why.message);
        return;
    }
    float *y = conformance_floats(c, x->count), *weights = conformance_floats(c, count * pixels * pixels);
    float *rows = conformance_floats(c, pixels * channels), *seen = conformance_floats(c, pixels * channels);
    void *workspace = conformance_memory(c, rill_multihead_workspace_size(&block, pixels, pixels));
    for (size_t n = 0; n < count; n++) {
        const float *image = x->values + n * channels * pixels; /* [channels][pixels] */
        for (size_t i = 0; i < pixels * channels; i++) rows[i] = image[i % channels * pixels + i / channels];
        const rill_multihead_input input = {.queries_length = pixels,
                                            .keys_length = pixels,
                                            .queries = rows,
                                            .keys = rows,
                                            .values = rows,
                                            .weights = weights + n * pixels * pixels};
        rill_multihead_apply(&block, &input, seen, workspace);
        for (size_t i = 0; i < pixels * channels; i++)
            y[n * channels * pixels + i] =
                *gain->values * seen[i % pixels * channels + i / pixels] + image[i];
    }
    conformance_expect(c, "out.y", y, tolerance);
    if (conformance_find(c, "out.attention")) conformance_expect(c, "out.attention", weights, tolerance);
}

static bool knows(const conformance_case *c) {
    return strcmp(conformance_folder(c), "sagan") == 0;
}

const conformance_family conformance_sagan = {"SAGAN's block", knows, run};
