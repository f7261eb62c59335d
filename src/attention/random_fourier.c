/* SPDX-License-Identifier: MIT */
/* Random Fourier features of the Gaussian kernel (Rahimi and Recht 2007). */
#include <math.h>

#include <rill/feature_map.h>

#include "attention/row_products.h"

void rill_feature_map_random_fourier(size_t count, size_t dim, size_t projections_count,
                                     const float *projections, float scale, const float *x, float *features) {
    const float root = sqrtf(scale), height = 1 / sqrtf((float)projections_count);
    for (size_t n = 0; n < count; n++, x += dim, features += 2 * projections_count) {
        rill_row_products(projections_count, dim, dim, root, projections, x, features);
        for (size_t r = 0; r < projections_count; r++) {
            const float angle = features[r];
            features[r] = height * cosf(angle);
            features[projections_count + r] = height * sinf(angle);
        }
    }
}
