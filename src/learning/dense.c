/* SPDX-License-Identifier: MIT */
/* The dense layer, forward and back: three matrix products. */
#include <rill/learning.h>

#include "kernels/kernels.h"

void rill_dense(size_t count, size_t inputs, size_t outputs, const float *x, const float *weight,
                const float *bias, float *y) {
    rill_kernels_get()->dense(count, inputs, outputs, x, weight, bias, y);
}

void rill_dense_gradient(size_t count, size_t inputs, size_t outputs, const float *x, const float *weight,
                         const float *y_gradient, float *x_gradient, float *weight_gradient,
                         float *bias_gradient) {
    const rill_matrix_product of_x = {.rows = count,
                                      .inner = outputs,
                                      .columns = inputs,
                                      .a = y_gradient,
                                      .a_row_stride = outputs,
                                      .a_column_stride = 1,
                                      .b = weight,
                                      .b_stride = inputs,
                                      .out = x_gradient,
                                      .out_stride = inputs};
    const rill_matrix_product of_weight = {.rows = outputs,
                                           .inner = count,
                                           .columns = inputs,
                                           .a = y_gradient,
                                           .a_row_stride = 1,
                                           .a_column_stride = outputs,
                                           .b = x,
                                           .b_stride = inputs,
                                           .out = weight_gradient,
                                           .out_stride = inputs};
    if (x_gradient) rill_kernels_get()->product(&of_x);
    rill_kernels_get()->product(&of_weight);
    for (size_t n = 0; n < count; n++)
        for (size_t o = 0; o < outputs; o++) bias_gradient[o] += y_gradient[n * outputs + o];
}
