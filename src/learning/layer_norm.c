/* SPDX-License-Identifier: MIT */
/* Layer norm, forward and back: with n = (x − mean) / deviation and g = ∂L/∂y · weight,
 * ∂L/∂x = (g − mean(g) − n mean(g n)) / deviation. */
#include <rill/learning.h>

#include <math.h>

#include "kernels/kernels.h"

void rill_layer_norm(size_t count, size_t dim, const float *x, const float *weight, const float *bias,
                     float epsilon, float *y) {
    rill_kernels_get()->layer_norm(count, dim, x, weight, bias, epsilon, y);
}

void rill_layer_norm_gradient(size_t count, size_t dim, const float *x, const float *weight, float epsilon,
                              const float *y_gradient, float *x_gradient, float *weight_gradient,
                              float *bias_gradient) {
    for (size_t n = 0; n < count; n++, x += dim, y_gradient += dim, x_gradient += dim) {
        double mean = 0, variance = 0, mean_g = 0, mean_gn = 0;
        for (size_t i = 0; i < dim; i++) mean += (double)x[i];
        mean /= (double)dim;
        for (size_t i = 0; i < dim; i++) variance += ((double)x[i] - mean) * ((double)x[i] - mean);
        const double factor = 1 / sqrt(variance / (double)dim + (double)epsilon);
        for (size_t i = 0; i < dim; i++) {
            const double g = (double)y_gradient[i] * (double)weight[i];
            mean_g += g / (double)dim;
            mean_gn += g * ((double)x[i] - mean) * factor / (double)dim;
        }
        for (size_t i = 0; i < dim; i++) {
            const double normed = ((double)x[i] - mean) * factor,
                         g = (double)y_gradient[i] * (double)weight[i];
            x_gradient[i] += (float)((g - mean_g - normed * mean_gn) * factor);
            weight_gradient[i] += (float)((double)y_gradient[i] * normed);
            bias_gradient[i] += y_gradient[i];
        }
    }
}
