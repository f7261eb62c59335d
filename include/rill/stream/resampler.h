/* SPDX-License-Identifier: MIT */
/* Any sample rate to any other: a polyphase windowed sinc with plain state, the same for live and file audio.
 */
#ifndef RILL_STREAM_RESAMPLER_H
#define RILL_STREAM_RESAMPLER_H

#include <stdbool.h>
#include <stddef.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The filter, immutable: may be shared by any number of streams and threads. */
typedef struct rill_resampler rill_resampler;

/* The filter from one rate to another, each 1 … 1,000,000 Hz, reduced at most 1000-fold: flat within 0.001 dB
 * up to 0.95 of the lower rate's Nyquist frequency, what lies beyond 1.05 of it is 98 dB down. At most 1 MB.
 * RILL_BAD_ARGUMENT outside, RILL_OUT_OF_MEMORY. Allocates. */
RILL_API rill_status rill_resampler_create(unsigned input_rate_hz, unsigned output_rate_hz,
                                           rill_resampler **resampler, rill_error *why);
/* Frees; NULL is allowed. */
RILL_API void rill_resampler_destroy(rill_resampler *resampler);

/* Seconds of input that must follow a moment before the output sample of that moment is made: half the
 * filter, 64 periods of the lower rate. */
RILL_API double rill_resampler_lag_seconds(const rill_resampler *resampler);

/* A stream's state: plain memory of rill_resampler_size bytes without pointers, aligned for double. */
RILL_API size_t rill_resampler_size(const rill_resampler *resampler);
/* Nothing heard yet; reset forgets what was heard: the same. Real-time safe. */
RILL_API void rill_resampler_init(const rill_resampler *resampler, void *state);
RILL_API void rill_resampler_reset(const rill_resampler *resampler, void *state);

/* Whether bytes from outside, a saved state, can be stepped on safely: as init and step leave them, not after
 * finish. */
RILL_API bool rill_resampler_valid(const rill_resampler *resampler, const void *state);

/* Takes up to input_count samples and makes up to output_capacity. Returns how many were made; *consumed says
 * how many were taken. Output sample n stands for the time n / output_rate_hz exactly: the lag is a wait, not
 * a shift. The blocks' sizes change no bit of the result. Equal rates copy. Real-time safe. */
RILL_API size_t rill_resampler_step(const rill_resampler *resampler, void *state, size_t input_count,
                                    const float *input, size_t *consumed, size_t output_capacity,
                                    float *output);

/* After the last input: makes up to output_capacity of the samples still owed, as if silence followed; call
 * until it returns 0. In all, ⌈inputs · output_rate / input_rate⌉ samples are made. No step may follow before
 * a reset. Real-time safe. */
RILL_API size_t rill_resampler_finish(const rill_resampler *resampler, void *state, size_t output_capacity,
                                      float *output);

#ifdef __cplusplus
}
#endif
#endif
