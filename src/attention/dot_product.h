/* SPDX-License-Identifier: MIT */
/* Σ a_i b_i in lanes that the compiler may keep in vector registers; the same order of sums on every call. */
#ifndef RILL_DOT_PRODUCT_H
#define RILL_DOT_PRODUCT_H

#include <stddef.h>

enum { dot_lanes = 16 };

static inline float rill_dot_product(size_t count, const float *a, const float *b) {
    float lanes[dot_lanes] = {0}, tail = 0;
    size_t i = 0;
    for (; i + dot_lanes <= count; i += dot_lanes)
        for (size_t l = 0; l < dot_lanes; l++) lanes[l] += a[i + l] * b[i + l];
    for (; i < count; i++) tail += a[i] * b[i]; /* apart: a varying index would keep the lanes in memory */
    for (size_t l = 0; l < 4; l++) lanes[l] = (lanes[l] + lanes[l + 4]) + (lanes[l + 8] + lanes[l + 12]);
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]) + tail;
}

#endif
