/* SPDX-License-Identifier: MIT */
/* A sum that keeps what it rounds away. */
#include "kernels/vector.h"

INLINE void fold_vector(size_t width, float *total, float *compensation, float *now, float *block) {
    const vector before = load_up_to(total, width);
    const vector addend = load_up_to(block, width) - load_up_to(compensation, width), after = before + addend;
    store_up_to(compensation, width, (after - before) - addend);
    store_up_to(total, width, after);
    store_up_to(now, width, after);
    store_up_to(block, width, splat(0));
}

static void fold_sums(size_t count, float *total, float *compensation, float *now, float *block) {
    size_t i = 0;
    for (; i + lanes <= count; i += lanes)
        fold_vector(lanes, total + i, compensation + i, now + i, block + i);
    if (i < count) fold_vector(count - i, total + i, compensation + i, now + i, block + i);
}
