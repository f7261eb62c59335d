/* SPDX-License-Identifier: MIT */
/* One value in, one value out: feature maps, gates, and the check that values are within bounds. */
#include <float.h>

#include "kernels/vector_exponential.h"

/* What becomes of `count` vectors, constant, of b, beside those of a */
typedef void vectors_map(size_t count, const vector *a, vector *b);

/* x + 1 = exp(0) + x for x > 0 */
INLINE void elu1_of(size_t count, const vector *x, vector *y) {
    vector above[abreast];
    UNROLL
    for (size_t i = 0; i < count; i++) above[i] = greater(x[i], splat(0)), y[i] = lesser(splat(0), x[i]);
    exponentials_of(count, y);
    UNROLL
    for (size_t i = 0; i < count; i++) y[i] += above[i];
}

INLINE void exponential_of(size_t count, const vector *a, vector *b) {
    (void)a;
    exponentials_of(count, b);
}

/* a · sigmoid(b) */
INLINE void gate_of(size_t count, const vector *a, vector *b) {
    UNROLL
    for (size_t i = 0; i < count; i++) b[i] = -b[i];
    exponentials_of(count, b);
    UNROLL
    for (size_t i = 0; i < count; i++) b[i] = a[i] / (splat(1) + b[i]);
}

/* y[i] = f(a[i], b[i]) */
INLINE void map(vectors_map *f, size_t count, const float *a, const float *b, float *y) {
    size_t i = 0;
    vector v[abreast], w[abreast];
    for (; i + abreast * lanes <= count; i += abreast * lanes) {
        UNROLL
        for (size_t c = 0; c < abreast; c++) v[c] = load(a + i + c * lanes), w[c] = load(b + i + c * lanes);
        f(abreast, v, w);
        UNROLL
        for (size_t c = 0; c < abreast; c++) store(y + i + c * lanes, w[c]);
    }
    for (; i < count; i += lanes) {
        v[0] = load_up_to(a + i, count - i), w[0] = load_up_to(b + i, count - i);
        f(1, v, w);
        store_up_to(y + i, count - i, w[0]);
    }
}

static void elu1(size_t count, const float *x, float *y) {
    map(elu1_of, count, x, x, y);
}

static void exponentials(size_t count, const float *x, float *y) {
    map(exponential_of, count, x, x, y);
}

static void gate(size_t count, const float *a, const float *b, float *y) {
    map(gate_of, count, a, b, y);
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
    return !any(outside);
}
