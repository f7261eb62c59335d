/* SPDX-License-Identifier: MIT */
/* Causal depthwise convolution: several frames for one read of the taps. */
#include "kernels/vector.h"

/* width ≤ lanes channels, frames of them (constant) */
INLINE void depthwise_tile(size_t frames, size_t width, size_t channels, size_t taps, const float *restrict x,
                           const float *restrict weight, const float *restrict bias, float *restrict y) {
    vector total[4];
    for (size_t t = 0; t < frames; t++) total[t] = bias ? load_up_to(bias, width) : splat(0);
    for (size_t j = 0; j < taps; j++) {
        float tap[lanes] = {0};
        for (size_t c = 0; c < width; c++) tap[c] = weight[c * taps + j];
        for (size_t t = 0; t < frames; t++) total[t] += load(tap) * load_up_to(x + (t + j) * channels, width);
    }
    for (size_t t = 0; t < frames; t++) store_up_to(y + t * channels, width, total[t]);
}

INLINE void depthwise_channels(size_t width, size_t count, size_t channels, size_t taps, const float *x,
                               const float *weight, const float *bias, float *y) {
    size_t t = 0;
    for (; t + 4 <= count; t += 4)
        depthwise_tile(4, width, channels, taps, x + t * channels, weight, bias, y + t * channels);
    for (; t < count; t++)
        depthwise_tile(1, width, channels, taps, x + t * channels, weight, bias, y + t * channels);
}

static void depthwise(size_t count, size_t channels, size_t taps, const float *x, const float *weight,
                      const float *bias, float *y) {
    size_t c = 0;
    for (; c + lanes <= channels; c += lanes)
        depthwise_channels(lanes, count, channels, taps, x + c, weight + c * taps, bias ? bias + c : NULL,
                           y + c);
    if (c < channels)
        depthwise_channels(channels - c, count, channels, taps, x + c, weight + c * taps,
                           bias ? bias + c : NULL, y + c);
}
