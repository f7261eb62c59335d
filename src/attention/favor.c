/* SPDX-License-Identifier: MIT */
/* FAVOR+: positive random features of the softmax kernel (2009.14794). */
#include <math.h>

#include <rill/feature_map.h>

#include "attention/row_products.h"

void rill_feature_map_favor(size_t count, size_t dim, size_t projections_count, const float *projections,
                            float scale, float shift, const float *x, float *features) {
    const float root = sqrtf(scale), constant = shift + 0.5f * logf(2 * (float)projections_count);
    for (size_t n = 0; n < count; n++, x += dim, features += 2 * projections_count) {
        float *positive = features, *negative = features + projections_count;
        const float less = constant + 0.5f * scale * rill_dot_product(dim, x, x);
        rill_row_products(projections_count, dim, dim, root, projections, x, positive);
        for (size_t r = 0; r < projections_count; r++) {
            negative[r] = -positive[r] - less;
            positive[r] -= less;
        }
        rill_kernels_get()->exponential(2 * projections_count, features, features);
    }
}
