/* SPDX-License-Identifier: MIT */
/* The table of one instruction set: what the other vector sources, included before it, define. */
#include "kernels/tables.h"

#define TABLE(table_name, packed, step)                                                                      \
    {                                                                                                        \
        .name = table_name, .dense = dense, .packed_dense = packed, .layer_norm = layer_norm, .elu1 = elu1,  \
        .exponential = exponentials, .silu = silu, .gate = gate, .depthwise = depthwise, .within = within,   \
        .steady_step = steady_step, .product = product, .score = score, .mix = mix, .recurrent = step,       \
        .chunk = chunk, .delta_recurrent = delta_recurrent, .delta_chunk = delta_chunk                       \
    }

const rill_kernels RILL_VECTOR_TABLE = TABLE(RILL_VECTOR_NAME, packed_dense, recurrent);
#ifdef __AVX512F__
const rill_kernels rill_kernels_avx512vnni = TABLE("avx512vnni", vnni_dense, recurrent);
const rill_kernels rill_kernels_zen5 = TABLE("zen5", vnni_dense, unfused_recurrent);
const rill_kernels rill_kernels_amx = TABLE("amx", amx_dense, recurrent);
#elif defined(__AVX2__)
const rill_kernels rill_kernels_avxvnni = TABLE("avxvnni", vnni_dense, recurrent);
#endif
