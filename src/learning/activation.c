/* SPDX-License-Identifier: MIT */
/* Maps of single numbers, and their derivatives. */
#include <rill/learning.h>

#include "kernels/kernels.h"

void rill_silu(size_t count, const float *x, float *y) {
    rill_kernels_get()->silu(count, x, y);
}

void rill_silu_gradient(size_t count, const float *x, const float *y, float *gradient) {
    rill_kernels_get()->gate(count, gradient, x, gradient);              /* gradient · sigmoid(x) */
    for (size_t i = 0; i < count; i++) gradient[i] *= 1 + (x[i] - y[i]); /* 1 + x is x from 2^24 on */
}

void rill_elu1_gradient(size_t count, const float *features, float *gradient) {
    for (size_t i = 0; i < count; i++)
        gradient[i] = features[i] < 1 ? gradient[i] * features[i] : gradient[i];
}
