/* SPDX-License-Identifier: MIT */
/* Words of packed weights (kernels.h) as floats. */
#ifndef RILL_VECTOR_PACKED_H
#define RILL_VECTOR_PACKED_H

#include "kernels/vector.h"

enum { packed_step = 4 }; /* inputs taken at a time: a word of any type */

INLINE bits load_words(const uint32_t *from) {
    bits v;
    memcpy(&v, from, sizeof v);
    return v;
}

/* Weight `place` of each word; by shifts alone, which every instruction set has. */
INLINE vector packed_weights(rill_weight_type type, bits words, size_t place) {
    if (type == RILL_WEIGHTS_F32) return (vector)words;
    if (type == RILL_WEIGHTS_BF16) return (vector)(place == 0 ? words << 16 : words & 0xffff0000u);
    return __builtin_convertvector((integers)(words << (24 - 8 * (uint32_t)place)) >> 24, vector);
}

#endif
