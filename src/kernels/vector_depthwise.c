/* SPDX-License-Identifier: MIT */
/* Causal depthwise convolution: several frames for one read of the taps. */
#include "kernels/vector.h"

/* width ≤ lanes channels, frames of them (constant) */
INLINE void depthwise_tile(bool tap_major, size_t frames, size_t width, size_t channels, size_t taps,
                           const float *restrict x, const float *restrict weight, const float *restrict bias,
                           float *restrict y) {
    vector total[4];
    for (size_t t = 0; t < frames; t++) total[t] = bias ? load_up_to(bias, width) : splat(0);
    for (size_t j = 0; j < taps; j++) {
        float gathered[lanes] = {0};
        for (size_t c = 0; !tap_major && c < width; c++) gathered[c] = weight[c * taps + j];
        const vector tap = tap_major ? load_up_to(weight + j * channels, width) : load(gathered);
        for (size_t t = 0; t < frames; t++) total[t] += tap * load_up_to(x + (t + j) * channels, width);
    }
    for (size_t t = 0; t < frames; t++) store_up_to(y + t * channels, width, total[t]);
}

INLINE void depthwise_channels(bool tap_major, size_t width, size_t count, size_t channels, size_t taps,
                               const float *x, const float *weight, const float *bias, float *y) {
    size_t t = 0;
    for (; t + 4 <= count; t += 4)
        depthwise_tile(tap_major, 4, width, channels, taps, x + t * channels, weight, bias, y + t * channels);
    for (; t < count; t++)
        depthwise_tile(tap_major, 1, width, channels, taps, x + t * channels, weight, bias, y + t * channels);
}

INLINE void depthwise_of(bool tap_major, size_t count, size_t channels, size_t taps, const float *x,
                         const float *weight, const float *bias, float *y) {
    const size_t step = tap_major ? 1 : taps;
    size_t c = 0;
    for (; c + lanes <= channels; c += lanes)
        depthwise_channels(tap_major, lanes, count, channels, taps, x + c, weight + c * step,
                           bias ? bias + c : NULL, y + c);
    if (c < channels)
        depthwise_channels(tap_major, channels - c, count, channels, taps, x + c, weight + c * step,
                           bias ? bias + c : NULL, y + c);
}

static void depthwise(size_t count, size_t channels, size_t taps, const float *x, const float *weight,
                      bool tap_major, const float *bias, float *y) {
    if (tap_major)
        depthwise_of(true, count, channels, taps, x, weight, bias, y);
    else
        depthwise_of(false, count, channels, taps, x, weight, bias, y);
}
