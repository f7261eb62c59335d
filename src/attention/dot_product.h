/* SPDX-License-Identifier: MIT */
/* Σ a_i b_i in lanes that the compiler may keep in vector registers; the same order of sums on every call. */
#ifndef RILL_DOT_PRODUCT_H
#define RILL_DOT_PRODUCT_H

#include <stddef.h>

enum { dot_lanes = 16 };

static inline float rill_dot_product(size_t count, const float *a, const float *b) {
    float lanes[dot_lanes] = {0};
    size_t i = 0;
    for (; i + dot_lanes <= count; i += dot_lanes)
        for (size_t l = 0; l < dot_lanes; l++) lanes[l] += a[i + l] * b[i + l];
    for (size_t l = 0; i < count; i++, l++) lanes[l] += a[i] * b[i];
    for (size_t half = dot_lanes / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++) lanes[l] += lanes[l + half];
    return lanes[0];
}

#endif
