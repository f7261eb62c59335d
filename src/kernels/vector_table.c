/* SPDX-License-Identifier: MIT */
/* The table of one instruction set: what the other vector sources, included before it, define. */
#include "kernels/tables.h"

#define TABLE(table_name, packed)                                                                            \
    {                                                                                                        \
        .name = table_name, .dense = dense, .packed_dense = packed, .layer_norm = layer_norm, .elu1 = elu1,  \
        .exponential = exponentials, .silu = silu, .gate = gate, .depthwise = depthwise, .within = within,   \
        .steady_step = steady_step, .product = product, .score = score, .mix = mix, .recurrent = recurrent,  \
        .chunk = chunk, .delta_recurrent = delta_recurrent, .delta_chunk = delta_chunk                       \
    }

const rill_kernels RILL_VECTOR_TABLE = TABLE(RILL_VECTOR_NAME, packed_dense);
#ifdef __AVX512F__
const rill_kernels rill_kernels_avx512vnni = TABLE("avx512vnni", vnni_dense);
const rill_kernels rill_kernels_amx = TABLE("amx", amx_dense);
#elif defined(__AVX2__)
const rill_kernels rill_kernels_avxvnni = TABLE("avxvnni", vnni_dense);
#endif
