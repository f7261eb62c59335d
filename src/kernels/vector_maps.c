/* SPDX-License-Identifier: MIT */
/* One value in, one value out: feature maps, gates, and the check that values are within bounds. */
#include <float.h>

#include "kernels/vector.h"

INLINE vector elu1_of(vector x) {
    return choose(x > splat(0), x + splat(1), exponential(x));
}

static void elu1(size_t count, const float *x, float *y) {
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) store(y + i, elu1_of(load(x + i)));
    if (i < count) store_part(y + i, count - i, elu1_of(load_part(x + i, count - i)));
}

static void exponentials(size_t count, const float *x, float *y) {
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) store(y + i, exponential(load(x + i)));
    if (i < count) store_part(y + i, count - i, exponential(load_part(x + i, count - i)));
}

INLINE vector gate_of(vector a, vector b) {
    return a / (splat(1) + exponential(-b));
}

static void gate(size_t count, const float *a, const float *b, float *y) {
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) store(y + i, gate_of(load(a + i), load(b + i)));
    if (i < count)
        store_part(y + i, count - i, gate_of(load_part(a + i, count - i), load_part(b + i, count - i)));
}

static void silu(size_t count, const float *x, float *y) {
    gate(count, x, x, y);
}

static bool within(size_t count, const float *x, float low, float high) {
    integers outside = {0};
    size_t i = 0;
    /* x · 0 is 0, of either sign, where x is finite, and else NaN, which sums keep: one FMA a vector */
    if (low == -FLT_MAX && high == FLT_MAX) {
        vector zeros[4] = {{0}};
        for (; i + 4 * lanes <= count; i += 4 * lanes)
            for (size_t j = 0; j < 4; j++) zeros[j] += load(x + i + j * lanes) * splat(0);
        outside = ~((zeros[0] + zeros[1]) + (zeros[2] + zeros[3]) == splat(0));
    }
    for (; i + lanes <= count; i += lanes) {
        vector v = load(x + i);
        outside |= ~((v >= splat(low)) & (v <= splat(high)));
    }
    if (i < count) {
        const vector v = load_part(x + i, count - i);
        integers lane_of;
        UNROLL
        for (size_t lane = 0; lane < lanes; lane++) lane_of[lane] = (int32_t)lane;
        outside |= ~((v >= splat(low)) & (v <= splat(high))) & (lane_of < (int32_t)(count - i));
    }
    int32_t any = 0;
    for (size_t lane = 0; lane < lanes; lane++) any |= outside[lane];
    return any == 0;
}
