/* SPDX-License-Identifier: MIT */
/* Samples to log-mel frames, as the model file says. */
#ifndef RILL_STREAM_FRONT_END_H
#define RILL_STREAM_FRONT_END_H

#include <stdbool.h>
#include <stddef.h>

#include <rill/encoder.h>
#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Window, FFT tables and mel filters, immutable: may be shared by any number of streams and threads. */
typedef struct rill_front_end rill_front_end;

/* Tables for the model's front end; its keys "window" and "mel_kind" are hann_periodic and htk when absent,
 * "high_pass_hz" is 0: nothing is held back. RILL_BAD_FORMAT for sizes or
 * frequencies that make no sense, RILL_UNSUPPORTED for an FFT size with a prime factor above 5 (KissFFT would
 * allocate on the audio path) and for another window or mel kind than this version knows. Allocates. */
RILL_API rill_status rill_front_end_create(const rill_model *model, rill_front_end **front_end,
                                           rill_error *why);
/* Frees; NULL is allowed. */
RILL_API void rill_front_end_destroy(rill_front_end *front_end);

/* A stream's state: the samples of the window that is filling. Plain memory without pointers, aligned for
 * float. */
RILL_API size_t rill_front_end_size(const rill_front_end *front_end);
/* Nothing heard yet; reset forgets what was heard: the same. Real-time safe. */
RILL_API void rill_front_end_init(const rill_front_end *front_end, void *state);
RILL_API void rill_front_end_reset(const rill_front_end *front_end, void *state);

/* Whether bytes from outside, a saved state, can be stepped on safely: as init and step leave them. */
RILL_API bool rill_front_end_valid(const rill_front_end *front_end, const void *state);

/* Samples that must come before the next frame is complete, 1 … */
RILL_API size_t rill_front_end_wanted(const rill_front_end *front_end, const void *state);

/* Takes samples at the model's rate until a frame is complete or count are used; *consumed says how many were
 * taken. True when log_mel [mel_bands] was written: frame t covers samples [hop·t, hop·t + window). Values
 * are (ln(mel power + log_floor) − feature_mean) · feature_scale; a sample that is not finite makes its
 * frames not finite and leaves no trace after them. Real-time safe. */
RILL_API bool rill_front_end_step(const rill_front_end *front_end, void *state, size_t count,
                                  const float *samples, size_t *consumed, float *log_mel);

/* The triangles [mel_bands][fft_size / 2 + 1], owned by the front end. */
RILL_API const float *rill_front_end_mel_filters(const rill_front_end *front_end);

#ifdef __cplusplus
}
#endif
#endif
