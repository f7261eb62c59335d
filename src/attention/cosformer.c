/* SPDX-License-Identifier: MIT */
/* cosFormer: rectified features, turned by their position (2202.08791). */
#include <assert.h>
#include <math.h>

#include <rill/feature_map.h>

static double angle_of(uint64_t position, uint64_t horizon) {
    const double quarter = 1.5707963267948966;
    assert(horizon > 0 && horizon <= UINT64_MAX / 4); /* a turn is 4 horizons */
    return quarter * (double)(position % (4 * horizon)) / (double)horizon;
}

void rill_feature_map_cosformer(size_t count, size_t heads, size_t dim, uint64_t first, uint64_t horizon,
                                const float *x, float *features) {
    for (size_t t = 0; t < count; t++) {
        double angle = angle_of(first + t, horizon);
        float cosine = (float)cos(angle), sine = (float)sin(angle);
        for (size_t head = 0; head < heads; head++, x += dim, features += 2 * dim)
            for (size_t d = 0; d < dim; d++) {
                float value = x[d] <= 0 ? 0 : x[d];
                features[d] = value * cosine;
                features[dim + d] = value * sine;
            }
    }
}
