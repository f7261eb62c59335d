/* SPDX-License-Identifier: MIT */
/* The table of one instruction set: what the other vector sources, included before it, define. */
#include "kernels/tables.h"

const rill_kernels RILL_VECTOR_TABLE = {
    .name = RILL_VECTOR_NAME,
    .dense = dense,
    .packed_dense = packed_dense,
    .layer_norm = layer_norm,
    .elu1 = elu1,
    .exponential = exponentials,
    .silu = silu,
    .gate = gate,
    .depthwise = depthwise,
    .within = within,
    .steady_step = steady_step,
    .product = product,
    .score = score,
    .mix = mix,
    .recurrent = recurrent,
    .chunk = chunk,
    .delta_recurrent = delta_recurrent,
    .delta_chunk = delta_chunk,
};
