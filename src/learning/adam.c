/* SPDX-License-Identifier: MIT */
/* Adam (1412.6980, algorithm 1). */
#include <rill/learning.h>

#include <assert.h>
#include <math.h>
#include <string.h>

#include "failure.h"
#include "kernels/kernels.h"

/* In front of m [count] and v [count]. */
typedef struct adam_header {
    uint64_t steps, unused;
} adam_header;

rill_adam rill_adam_defaults(float rate) {
    return (rill_adam){.rate = rate, .mean_decay = 0.9f, .square_decay = 0.999f, .epsilon = 1e-8f};
}

rill_status rill_adam_check(const rill_adam *adam, rill_error *why) {
    const bool decays =
        adam->mean_decay >= 0 && adam->mean_decay < 1 && adam->square_decay >= 0 && adam->square_decay < 1;
    if (isfinite(adam->rate) && adam->rate >= 0 && decays && isfinite(adam->epsilon) && adam->epsilon > 0)
        return RILL_OK;
    return rill_fail(why, RILL_BAD_ARGUMENT,
                     "adam: rate %g, decays %g and %g, epsilon %g: rate 0 and above, "
                     "decays from 0 to below 1, epsilon above 0",
                     (double)adam->rate, (double)adam->mean_decay, (double)adam->square_decay,
                     (double)adam->epsilon);
}

size_t rill_adam_size(size_t count) {
    return sizeof(adam_header) + 2 * count * sizeof(float);
}

void rill_adam_init(size_t count, void *state) {
    memset(state, 0, rill_adam_size(count));
}

void rill_adam_reset(size_t count, void *state) {
    rill_adam_init(count, state);
}

bool rill_adam_step(const rill_adam *adam, size_t count, void *state, const float *gradient,
                    float *parameters) {
    assert(rill_adam_check(adam, NULL) == RILL_OK);
    if (!rill_kernels_get()->within(count, gradient, -RILL_GRADIENT_MAX, RILL_GRADIENT_MAX)) return false;
    adam_header *header = state;
    float *mean = (float *)(header + 1), *square = mean + count;
    const double steps = (double)++header->steps;
    const float mean_decay = adam->mean_decay, square_decay = adam->square_decay;
    const float rate = (float)((double)adam->rate / (1 - pow((double)mean_decay, steps)));
    const float correction = (float)(1 / (1 - pow((double)square_decay, steps)));
    for (size_t i = 0; i < count; i++) {
        mean[i] = mean_decay * mean[i] + (1 - mean_decay) * gradient[i];
        square[i] = square_decay * square[i] + (1 - square_decay) * gradient[i] * gradient[i];
        parameters[i] -= rate * mean[i] / (sqrtf(square[i] * correction) + adam->epsilon);
    }
    return true;
}
