/* SPDX-License-Identifier: MIT */
/* A linear layer, then exp of plus and minus: a map that is learned to mimic softmax (2402.04347). */
#include <math.h>

#include <rill/feature_map.h>

#include "attention/row_products.h"

void rill_feature_map_hedgehog(size_t count, size_t dim, size_t outputs, const float *weight,
                               const float *bias, bool normalize, const float *x, float *features) {
    for (size_t n = 0; n < count; n++, x += dim, features += 2 * outputs) {
        float largest = 0;
        rill_row_products(outputs, dim, dim, 1, weight, x, features);
        for (size_t o = 0; o < outputs; o++) {
            features[o] += bias ? bias[o] : 0;
            const float size = fabsf(features[o]);
            largest = size > largest ? size : largest; /* fmaxf is a call */
        }
        if (!normalize) largest = 0; /* the softmax does not feel what is taken from every exponent */
        for (size_t o = 0; o < outputs; o++) {
            float y = features[o];
            features[o] = y - largest;
            features[outputs + o] = -y - largest;
        }
        rill_kernels_get()->exponential(2 * outputs, features, features);
        if (normalize) rill_feature_map_divide_by_sum(1, 2 * outputs, features);
    }
}
