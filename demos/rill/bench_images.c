/* SPDX-License-Identifier: MIT */
#include "bench_images.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_inputs.h"

/* Cuts the next count floats off, uniform in ±range. */
static const float *take(float **at, size_t count, double range) {
    float *taken = *at;
    fill_random(count, -range, range, taken);
    *at += count;
    return taken;
}

static const float *take_ones(float **at, size_t count) {
    float *taken = *at;
    for (size_t i = 0; i < count; i++) taken[i] = 1;
    *at += count;
    return taken;
}

/* As PyTorch draws them: ±1/√inputs */
static rill_dense_weights take_dense(float **at, size_t inputs, size_t outputs) {
    const double range = 1 / sqrt((double)inputs);
    const float *weight = take(at, inputs * outputs, range);
    return (rill_dense_weights){inputs, outputs, weight, take(at, outputs, range)};
}

static rill_norm_weights take_norm(float **at) {
    const float *weight = take_ones(at, IMAGE_MODEL_DIM);
    return (rill_norm_weights){weight, take(at, IMAGE_MODEL_DIM, 0)};
}

static size_t layer_floats(void) {
    const size_t D = IMAGE_MODEL_DIM, F = IMAGE_FEED_FORWARD_DIM;
    return 4 * (D * D + D) + 2 * D * F + F + D + 4 * D;
}

bool image_model_make(size_t layers, size_t length, rill_multihead_kind kind, struct image_model *model) {
    const size_t D = IMAGE_MODEL_DIM, F = IMAGE_FEED_FORWARD_DIM;
    const size_t outside = (256 + length + 3 * IMAGE_MIXTURES + 2) * D;
    *model =
        (struct image_model){.layers_count = layers,
                             .length = length,
                             .layers = calloc(layers, sizeof *model->layers),
                             .memory = aligned_memory((layers * layer_floats() + outside) * sizeof(float))};
    if (!model->layers || !model->memory) {
        image_model_free(model);
        return false;
    }
    float *at = model->memory;
    for (size_t i = 0; i < layers; i++) {
        rill_transformer_layer *layer = &model->layers[i];
        *layer = (rill_transformer_layer){.self = {.kind = kind, .heads = IMAGE_HEADS},
                                          .activation = RILL_ACTIVATION_GELU,
                                          .norm_epsilon = 1e-5f};
        layer->self.query = take_dense(&at, D, D);
        layer->self.key = take_dense(&at, D, D);
        layer->self.value = take_dense(&at, D, D);
        layer->self.output = take_dense(&at, D, D);
        layer->expand = take_dense(&at, D, F);
        layer->project = take_dense(&at, F, D);
        layer->self_norm = take_norm(&at);
        layer->feed_forward_norm = take_norm(&at);
    }
    model->transformer = (rill_transformer){layers, model->layers, take_norm(&at), 1e-5f};
    model->values = take(&at, 256 * D, 1);
    model->positions = take(&at, length * D, 1);
    model->mixture = take(&at, 3 * IMAGE_MIXTURES * D, 0.1);
    return true;
}

void image_model_free(struct image_model *model) {
    free(model->layers);
    free(model->memory);
    *model = (struct image_model){0};
}

void image_embed(const struct image_model *model, size_t t, uint8_t before, float *row) {
    const float *value = model->values + (size_t)before * IMAGE_MODEL_DIM;
    const float *position = model->positions + t * IMAGE_MODEL_DIM;
    for (size_t i = 0; i < IMAGE_MODEL_DIM; i++) row[i] = value[i] + position[i];
}

/* (0, 1), by xorshift64 */
static double uniform(uint64_t *chance) {
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    return ((double)(*chance >> 12) + 0.5) * 0x1p-52;
}

uint8_t image_draw(const struct image_model *model, const float *row, uint64_t *chance) {
    double mixture[3][IMAGE_MIXTURES], greatest = -INFINITY;
    size_t chosen = 0;
    for (size_t m = 0; m < 3 * IMAGE_MIXTURES; m++) {
        const float *weight = model->mixture + m * IMAGE_MODEL_DIM;
        double sum = 0;
        for (size_t i = 0; i < IMAGE_MODEL_DIM; i++) sum += (double)weight[i] * (double)row[i];
        mixture[m / IMAGE_MIXTURES][m % IMAGE_MIXTURES] = sum;
    }
    for (size_t m = 0; m < IMAGE_MIXTURES;
         m++) { /* the greatest with Gumbel noise: a draw from the softmax */
        const double noisy = mixture[0][m] - log(-log(uniform(chance)));
        if (noisy <= greatest) continue;
        greatest = noisy;
        chosen = m;
    }
    const double u = uniform(chance);
    const double x = mixture[1][chosen] + exp(mixture[2][chosen] - 3) * (log(u) - log(1 - u)); /* −1 … 1 */
    return (uint8_t)fmin(fmax(round(127.5 * (x + 1)), 0), 255);
}
