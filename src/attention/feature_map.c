/* SPDX-License-Identifier: MIT */
/* The feature maps that take each number by itself. */
#include <string.h>

#include <rill/feature_map.h>

#include "kernels/kernels.h"

void rill_feature_map_elu1(size_t count, const float *x, float *out) {
    rill_kernels_get()->elu1(count, x, out);
}

void rill_feature_map_relu(size_t count, const float *x, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = x[i] <= 0 ? 0 : x[i];
}

void rill_feature_map_exponential(size_t count, const float *x, float *out) {
    rill_kernels_get()->exponential(count, x, out);
}

void rill_feature_map_identity(size_t count, const float *x, float *out) {
    if (count > 0) memmove(out, x, count * sizeof *x);
}

void rill_feature_map_divide_by_sum(size_t count, size_t features_dim, float *features) {
    for (size_t n = 0; n < count; n++, features += features_dim) {
        double sum = 0;
        for (size_t i = 0; i < features_dim; i++) sum += (double)features[i];
        if (sum == 0) continue;
        for (size_t i = 0; i < features_dim; i++) features[i] = (float)((double)features[i] / sum);
    }
}
