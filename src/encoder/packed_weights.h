/* SPDX-License-Identifier: MIT */
/* Weights from the order they have in a file to the one their kernel reads (kernels.h), one behind the
 * other in one memory, as a step meets them. */
#ifndef RILL_PACKED_WEIGHTS_H
#define RILL_PACKED_WEIGHTS_H

#include <stddef.h>

#include "kernels/kernels.h"

/* A dense layer as it lies in a file; borrowed. */
typedef struct rill_dense_tensors {
    size_t inputs, outputs;
    rill_weight_type type;
    const void *weight;  /* [outputs][inputs] */
    const float *scales; /* [outputs]; NULL but for I8 */
    const float *bias;   /* [outputs] */
} rill_dense_tensors;

/* Bytes of a packed layer, a multiple of RILL_STATE_ALIGNMENT. */
size_t rill_packed_size(const rill_dense_tensors *layer);

/* Packs into zeroed memory of that size, aligned to RILL_STATE_ALIGNMENT, which the result points to. */
rill_packed_dense rill_pack(const rill_dense_tensors *layer, void *memory);

/* The same of a depthwise convolution: weight [channels][taps] → [taps][channels]. */
size_t rill_packed_taps_size(size_t channels, size_t taps);
const float *rill_pack_taps(size_t channels, size_t taps, const float *weight, void *memory);

#endif
