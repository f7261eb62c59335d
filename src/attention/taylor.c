/* SPDX-License-Identifier: MIT */
/* The exponential's Taylor polynomial of order 2 as features (2402.18668). */
#include <assert.h>
#include <math.h>
#include <stdint.h>

#include <rill/feature_map.h>

size_t rill_feature_map_taylor_dim(size_t dim) {
    assert(dim < (SIZE_MAX >> (sizeof(size_t) * 4)) - 2); /* its square fits */
    return (dim + 1) * (dim + 2) / 2;
}

void rill_feature_map_taylor(size_t count, size_t dim, float scale, const float *x, float *features) {
    const float root = sqrtf(scale), square = scale * 0.70710678f;
    for (size_t n = 0; n < count; n++, x += dim) {
        *features++ = 1;
        for (size_t i = 0; i < dim; i++) *features++ = root * x[i];
        for (size_t i = 0; i < dim; i++) *features++ = square * x[i] * x[i];
        for (size_t i = 0; i < dim; i++)
            for (size_t j = i + 1; j < dim; j++) *features++ = scale * x[i] * x[j];
    }
}
