/* SPDX-License-Identifier: MIT */
/* Weights of a dense layer and of a layer norm, as PyTorch keeps them. Plain values and borrowed pointers. */
#ifndef RILL_DENSE_H
#define RILL_DENSE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* y = W x + b (nn.Linear) */
typedef struct rill_dense_weights {
    size_t inputs, outputs;
    const float *weight; /* [outputs][inputs] */
    const float *bias;   /* [outputs]; zeros where there is none */
} rill_dense_weights;

/* y = (x − mean) / √(variance + ε) · weight + bias (nn.LayerNorm, 1607.06450) */
typedef struct rill_norm_weights {
    const float *weight, *bias; /* [dim]; bias: zeros where there is none */
} rill_norm_weights;

#ifdef __cplusplus
}
#endif
#endif
