/* SPDX-License-Identifier: MIT */
/* The exponential of a vector, and of several, for whoever needs one among other things. */
#ifndef RILL_VECTOR_EXPONENTIAL_H
#define RILL_VECTOR_EXPONENTIAL_H

#include "kernels/vector.h"

enum { abreast = lanes == 16 ? 1 : 4 }; /* vectors whose exponentials do not wait for one another */

/* exp(x) = 2ⁿ exp(r), n = round(x / ln 2), |r| ≤ ln 2 / 2: exp(r) = 1 + r + r² p(r) with p the minimax
 * polynomial of degree 4 (relative error 3e-9), of `count` vectors, constant, in the place of x. Adding 1.5 ·
 * 2²³ rounds to an integer, n, and leaves it in the low bits, of `shifted`. */
static const float exponential_magic = 12582912.0f;

INLINE void reduced_exponentials(size_t count, vector *x, vector *shifted) {
    static const float rest[] = {0x1.1239e8p-7f, 0x1.5558f2p-5f, 0x1.555492p-3f, 0x1.fffffcp-2f};
    vector p[abreast];
    UNROLL
    for (size_t i = 0; i < count; i++) shifted[i] = x[i] * splat(1.44269504f) + splat(exponential_magic);
    UNROLL
    for (size_t i = 0; i < count; i++) {
        const vector n = shifted[i] - splat(exponential_magic);
        x[i] = x[i] - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
        p[i] = splat(0x1.6a242cp-10f);
    }
    UNROLL
    for (size_t k = 0; k < sizeof rest / sizeof *rest; k++) UNROLL
    for (size_t i = 0; i < count; i++) p[i] = p[i] * x[i] + splat(rest[k]);
    UNROLL
    for (size_t i = 0; i < count; i++) x[i] = (p[i] * x[i]) * x[i] + x[i] + splat(1.0f);
}

/* Without an instruction for it, 2ⁿ is applied in two halves, so that subnormal results round once and those
 * above FLT_MAX become ∞. A NaN stays NaN. */
INLINE vector exponential(vector x) {
    x = greater(splat(-104.0f), lesser(splat(89.0f), x));
    vector shifted;
    reduced_exponentials(1, &x, &shifted);
#ifdef __AVX512F__ /* x · 2ⁿ, rounded once */
    return (vector)_mm512_scalef_ps((__m512)x, (__m512)(shifted - splat(exponential_magic)));
#else
    const bits exponent = (bits)shifted - (bits)splat(exponential_magic);
    const bits half = (bits)((integers)exponent >> 1);
    return x * (vector)((half + 127) << 23) * (vector)((exponent - half + 127) << 23);
#endif
}

#ifdef __AVX512F__
INLINE void exponentials_of(size_t count, vector *x) {
    UNROLL
    for (size_t i = 0; i < count; i++) x[i] = exponential(x[i]);
}
#else
static __attribute__((noinline)) void far_exponentials(size_t count, vector *x) {
    for (size_t i = 0; i < count; i++) x[i] = exponential(x[i]);
}

/* The same bits for `count` vectors, constant: one alone mostly waits for itself. Where all results are
 * normal, n goes to their exponents as it is. */
INLINE void exponentials_of(size_t count, vector *x) {
    integers far = {0};
    UNROLL
    for (size_t i = 0; i < count; i++)
        far = larger(far, (integers)x[i] & 0x7fffffff); /* a NaN is the largest */
    if (any(far > 0x42ac0000)) {                        /* 86 */
        far_exponentials(count, x);
        return;
    }
    vector shifted[abreast];
    reduced_exponentials(count, x, shifted);
    UNROLL
    for (size_t i = 0; i < count; i++) x[i] = (vector)((bits)x[i] + ((bits)shifted[i] << 23));
}
#endif

#endif
