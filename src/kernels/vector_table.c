/* SPDX-License-Identifier: MIT */
/* The table of one instruction set: what the other vector sources, included before it, define. */
#include "kernels/tables.h"

#define TABLE(table_name, packed, take_step, take_chunk, take_delta_chunk, wide_steps)                       \
    {                                                                                                        \
        .name = table_name, .dense = dense, .packed_dense = packed, .layer_norm = layer_norm, .elu1 = elu1,  \
        .exponential = exponentials, .silu = silu, .gate = gate, .depthwise = depthwise, .within = within,   \
        .steady_step = steady_step, .product = product, .score = score, .mix = mix, .recurrent = take_step,  \
        .chunk = take_chunk, .delta_recurrent = delta_recurrent, .delta_chunk = take_delta_chunk,            \
        .wide_block_steps = wide_steps                                                                       \
    }
#define COMMON(table_name, packed) TABLE(table_name, packed, recurrent, chunk, delta_chunk, usual_steps / 2)

#ifdef __AVX2__
const rill_kernels RILL_VECTOR_TABLE = COMMON(RILL_VECTOR_NAME, pair_dense);
#else
const rill_kernels RILL_VECTOR_TABLE = COMMON(RILL_VECTOR_NAME, packed_dense);
#endif
#if defined __AVX2__ && !defined __AVX512F__
const rill_kernels rill_kernels_avxvnni = COMMON("avxvnni", vnni_dense);
#endif
#ifdef __AVX512F__
const rill_kernels rill_kernels_avx512vnni = COMMON("avx512vnni", vnni_dense);
const rill_kernels rill_kernels_zen4 =
    TABLE("zen4", vnni_dense, recurrent, zen4_chunk, long_delta_chunk, usual_steps);
const rill_kernels rill_kernels_zen5 =
    TABLE("zen5", vnni_dense, unfused_recurrent, long_chunk, long_delta_chunk, usual_steps);
const rill_kernels rill_kernels_amx = COMMON("amx", amx_dense);
#endif
