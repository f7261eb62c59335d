/* SPDX-License-Identifier: MIT */
/* Positions as sines of many wavelengths (1706.03762), and DETR's for images (2005.12872). */
#include <rill/position.h>

#include <assert.h>
#include <math.h>

#include "attention/angle.h"

void rill_position_sinusoidal(uint64_t first, size_t count, size_t dim, double base, float *table) {
    assert(base > 0 && isfinite(base));
    for (size_t j = 0; j < dim; j += 2) {
        const double frequency = rill_angle_frequency(j / 2, dim, base);
        for (size_t t = 0; t < count; t++) {
            const rill_direction direction = rill_angle_at(first + t, frequency);
            table[t * dim + j] = (float)direction.sine;
            if (j + 1 < dim) table[t * dim + j + 1] = (float)direction.cosine;
        }
    }
}

/* place and its last along one axis → features values */
static void place(const rill_sine_2d *sine, size_t at, size_t last, float *out) {
    const double y = sine->normalize ? (double)at / ((double)last + 1e-6) * sine->scale : (double)at;
    for (size_t j = 0; j < sine->features; j++) {
        const double angle = y * rill_angle_frequency(j / 2, sine->features, sine->temperature);
        out[j] = (float)(j % 2 ? cos(angle) : sin(angle));
    }
}

void rill_position_sine_2d(const rill_sine_2d *sine, const bool *seen, float *table) {
    const size_t height = sine->height, width = sine->width, row = 2 * sine->features;
    assert(sine->temperature > 0 && isfinite(sine->temperature) && isfinite(sine->scale));
    for (size_t x = 0; x < width; x++) {
        size_t last = 0, at = 0;
        for (size_t y = 0; y < height; y++) last += !seen || seen[y * width + x];
        for (size_t y = 0; y < height; y++) {
            at += !seen || seen[y * width + x];
            place(sine, at, last, table + (y * width + x) * row);
        }
    }
    for (size_t y = 0; y < height; y++) {
        size_t last = 0, at = 0;
        for (size_t x = 0; x < width; x++) last += !seen || seen[y * width + x];
        for (size_t x = 0; x < width; x++) {
            at += !seen || seen[y * width + x];
            place(sine, at, last, table + (y * width + x) * row + sine->features);
        }
    }
}
