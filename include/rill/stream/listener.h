/* SPDX-License-Identifier: MIT */
/* The whole chain: push samples, poll events. Resampler → front end → encoder → tracker, in one memory of
 * constant size.
 *
 *     rill_listener_open(model, &settings, NULL, &listener, &why);
 *     while (more audio)
 *         for (size_t done = 0; done < count;) {
 *             done += rill_listener_push(listener, count - done, samples + done);
 *             while (rill_listener_poll(listener, &event)) …
 *         }
 *     rill_listener_finish(listener); and poll once more
 *
 * One listener belongs to one thread at a time; the model may be shared. */
#ifndef RILL_STREAM_LISTENER_H
#define RILL_STREAM_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/encoder.h>
#include <rill/status.h>
#include <rill/stream/event.h>
#include <rill/stream/speakers.h>
#include <rill/stream/tracker.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_listener rill_listener;

typedef struct rill_listener_settings {
    unsigned sample_rate_hz; /* of the samples that will be pushed */
    double latency_seconds;  /* how long a decision may wait */
    double threshold;        /* NAN: the model's */
    size_t max_speakers;
} rill_listener_settings;

/* Samples at the model's rate, 1 s of latency or what the model file says, the model's threshold. */
RILL_API rill_listener_settings rill_listener_defaults(const rill_model *model);

/* Allocates all that will ever be needed. The model must outlive the listener; speakers (or NULL) are known
 * by name from the start and are copied. RILL_BAD_ARGUMENT for a setting that cannot be met. */
RILL_API rill_status rill_listener_open(const rill_model *model, const rill_listener_settings *settings,
                                        const rill_speakers *speakers, rill_listener **listener,
                                        rill_error *why);
/* Frees; NULL is allowed. */
RILL_API void rill_listener_close(rill_listener *listener);

/* Takes samples, mono, nominally in [−1, 1]: any number, any time; the blocks' sizes change no bit of the
 * result. Returns how many were taken: fewer than count only when events wait to be polled. A sample that is
 * not finite or beyond ±1000 is taken as silence and counted. Real-time safe. */
RILL_API size_t rill_listener_push(rill_listener *listener, size_t count, const float *samples);

/* Takes the oldest event into the caller's struct; false when there is none. Real-time safe. */
RILL_API bool rill_listener_poll(rill_listener *listener, rill_event *event);

/* The recording is over: decides all that waits. Poll afterwards; push no more. Real-time safe. */
RILL_API void rill_listener_finish(rill_listener *listener);

/* As rill_tracker_rename, rill_tracker_merge and rill_tracker_speakers (<rill/stream/tracker.h>): names a
 * speaker; says that two labels are one voice; fills up to capacity views, in order of appearance, and
 * returns how many speakers there are. Real-time safe. */
RILL_API bool rill_listener_rename(rill_listener *listener, uint32_t speaker, const char *name);
RILL_API bool rill_listener_merge(rill_listener *listener, uint32_t from, uint32_t speaker);
RILL_API size_t rill_listener_speakers(const rill_listener *listener, size_t capacity,
                                       rill_speaker_view *views);

typedef struct rill_listener_view {
    double seconds;           /* of audio pushed */
    uint64_t samples;         /* pushed */
    uint64_t refused_samples; /* taken as silence because no sample value can be like that */
    float level;              /* root mean square of the last 100 ms, 0 … 1 */
    float speech;             /* probability of speech at the last step, 0 … 1 */
} rill_listener_view;
/* What is known of the sound now. Real-time safe. */
RILL_API rill_listener_view rill_listener_look(const rill_listener *listener);

/* Everything the listener remembers, as bytes with a header: version, model fingerprint, settings, checksum.
 * Does not flush: a listener loaded from it goes on bit for bit. Events not polled are part of it. bytes has
 * room for rill_listener_saved_size, which is the same however much was heard. Not after finish. */
RILL_API size_t rill_listener_saved_size(const rill_listener *listener);
RILL_API void rill_listener_save(const rill_listener *listener, void *bytes);
/* RILL_WRONG_MODEL, RILL_BAD_FORMAT when bytes are not a state saved by this version, whole and unchanged.
 * Settings are the saved ones. */
RILL_API rill_status rill_listener_load(const rill_model *model, const char *name, const void *bytes,
                                        size_t size, rill_listener **listener, rill_error *why);
/* What it was opened with, owned by the listener. */
RILL_API const rill_listener_settings *rill_listener_get_settings(const rill_listener *listener);

/* The embedding of a whole segment from a fresh state: mean of the steps' embeddings weighted by speech
 * probability to the power pooling_speech_power, without the first skipped_start_seconds, unit length. The
 * first heard_again_seconds are heard again at the end, from the state that has heard the rest; of a step
 * that is made twice the second counts two thirds. With a heard_again_speed they are heard twice more, by a
 * state of their own, played so fast. The same chain, without the tracker. */
typedef struct rill_embedder rill_embedder;
/* Allocates all that will ever be needed. The model must outlive the embedder. RILL_BAD_ARGUMENT for a rate
 * that cannot be resampled, RILL_OUT_OF_MEMORY. */
RILL_API rill_status rill_embedder_open(const rill_model *model, unsigned sample_rate_hz,
                                        rill_embedder **embedder, rill_error *why);
/* Frees; NULL is allowed. */
RILL_API void rill_embedder_close(rill_embedder *embedder);
/* Begins another segment, from a fresh state. Real-time safe. */
RILL_API void rill_embedder_reset(rill_embedder *embedder);
/* Takes samples, mono, as rill_listener_push does, all of them. Real-time safe. */
RILL_API void rill_embedder_push(rill_embedder *embedder, size_t count, const float *samples);
/* After the last sample: embedding [embedding_dim]; returns the seconds of speech it stands on (Σ of speech
 * probability × step), 0 and an all-zero embedding when nothing was heard. Push no more before a reset.
 * Real-time safe; takes as long as to push heard_again_seconds, three times with a heard_again_speed. */
RILL_API double rill_embedder_finish(rill_embedder *embedder, float *embedding);
/* Seconds of speech pooled so far, for a progress display. */
RILL_API double rill_embedder_speech_seconds(const rill_embedder *embedder);

#ifdef __cplusplus
}
#endif
#endif
