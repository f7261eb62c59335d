/* SPDX-License-Identifier: MIT */
/* Rows of mean 0 and variance 1. */
#include "kernels/vector.h"

static void layer_norm(size_t count, size_t dim, const float *x, const float *weight, const float *bias,
                       float epsilon, float *y) {
    for (size_t n = 0; n < count; n++, x += dim, y += dim) {
        vector total = splat(0);
        float mean = 0, variance = 0;
        size_t i = 0;
        for (; i + lanes <= dim; i += lanes) total += load(x + i);
        for (; i < dim; i++) mean += x[i];
        mean = (mean + sum(total)) / (float)dim;
        total = splat(0);
        for (i = 0; i + lanes <= dim; i += lanes) {
            vector centred = load(x + i) - splat(mean);
            total += centred * centred;
        }
        for (; i < dim; i++) variance += (x[i] - mean) * (x[i] - mean);
        variance = (variance + sum(total)) / (float)dim;
        float factor = 1 / __builtin_sqrtf(variance + epsilon);
        for (i = 0; i + lanes <= dim; i += lanes)
            store(y + i, (load(x + i) - splat(mean)) * splat(factor) * load(weight + i) + load(bias + i));
        for (; i < dim; i++) y[i] = (x[i] - mean) * factor * weight[i] + bias[i];
    }
}
