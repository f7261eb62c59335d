/* SPDX-License-Identifier: MIT */
/* Feature maps φ: what makes a query and a key positive, so that their product is a similarity. */
#include <rill/attention.h>

#include "kernels/kernels.h"

void rill_feature_map_elu1(size_t count, const float *x, float *out) {
    rill_kernels_get()->elu1(count, x, out);
}
