/* SPDX-License-Identifier: MIT */
/* The deterministic parameter-free projection (2102.11174). */
#include <assert.h>

#include <rill/feature_map.h>

/* entry i of [relu(x), relu(−x)]; NaN stays */
static float rectified(size_t dim, const float *x, size_t i) {
    float value = i < dim ? x[i] : -x[i - dim];
    return value <= 0 ? 0 : value;
}

void rill_feature_map_dpfp(size_t count, size_t dim, size_t roll, const float *x, float *features) {
    assert(roll < 2 * dim);
    for (size_t n = 0; n < count; n++, x += dim)
        for (size_t j = 1; j <= roll; j++)
            for (size_t i = 0; i < 2 * dim; i++)
                *features++ = rectified(dim, x, i) * rectified(dim, x, i < j ? i + 2 * dim - j : i - j);
}
