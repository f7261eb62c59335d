/* SPDX-License-Identifier: MIT */
/* A transformer that makes images value by value, as 2006.16236 (section 4.2): layers of 8 heads of 32
 * dimensions, feed- forward layers of 1024, a mixture of 10 logistics for the next value; with random
 * weights. */
#ifndef BENCH_IMAGES_H
#define BENCH_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/transformer.h>

enum { IMAGE_HEADS = 8, IMAGE_MODEL_DIM = 256, IMAGE_FEED_FORWARD_DIM = 1024, IMAGE_MIXTURES = 10 };

struct image_model {
    size_t layers_count, length; /* values of an image */
    rill_transformer_layer *layers;
    rill_transformer transformer;
    float *memory;          /* all weights */
    const float *values;    /* [256][model_dim]: embedding of a value, */
    const float *positions; /* [length][model_dim]: and of its place */
    const float *mixture;   /* [3 mixtures][model_dim]: weights, means, widths */
};

/* False when memory is short. */
bool image_model_make(size_t layers, size_t length, rill_multihead_kind kind, struct image_model *model);
void image_model_free(struct image_model *model);

/* What the network reads at place t when the value before it was `before`: [model_dim]. */
void image_embed(const struct image_model *model, size_t t, uint8_t before, float *row);
/* Draws the next value from the network's row of output; `chance` is the state of the draw. */
uint8_t image_draw(const struct image_model *model, const float *row, uint64_t *chance);

#endif
