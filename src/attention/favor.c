/* SPDX-License-Identifier: MIT */
/* FAVOR+: positive random features of the softmax kernel (2009.14794). */
#include <math.h>

#include <rill/feature_map.h>

#include "attention/dot_product.h"

void rill_feature_map_favor(size_t count, size_t dim, size_t projections_count, const float *projections,
                            float scale, float shift, const float *x, float *features) {
    const float root = sqrtf(scale), constant = shift + 0.5f * logf(2 * (float)projections_count);
    for (size_t n = 0; n < count; n++, x += dim, features += 2 * projections_count) {
        float *positive = features, *negative = features + projections_count;
        float less = constant + 0.5f * scale * rill_dot_product(dim, x, x);
        for (size_t r = 0; r < projections_count; r++) {
            float along = root * rill_dot_product(dim, projections + r * dim, x);
            positive[r] = expf(along - less);
            negative[r] = expf(-along - less);
        }
    }
}
