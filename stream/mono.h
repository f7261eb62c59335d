/* SPDX-License-Identifier: MIT */
/* One channel out of several. */
#ifndef RILL_MONO_H
#define RILL_MONO_H

#include <stddef.h>

/* interleaved [frames][channels] → mono [frames]: one channel, 1 …, or with channel 0 the mean of all. A
 * single channel keeps its bits, −0 and NaN among them. */
static inline void rill_keep_mono(size_t frames, size_t channels, size_t channel, const float *interleaved,
                                  float *mono) {
    for (size_t i = 0; i < frames; i++) {
        const float *frame = interleaved + i * channels;
        if (channel || channels == 1) {
            mono[i] = frame[channel ? channel - 1 : 0];
            continue;
        }
        float sum = frame[0];
        for (size_t c = 1; c < channels; c++) sum += frame[c];
        mono[i] = sum / (float)channels;
    }
}

#endif
