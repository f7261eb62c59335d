/* SPDX-License-Identifier: MIT */
/* Who is speaking now: voice embeddings and speech scores, step by step, to turns of labelled speakers.
 *
 * Online: the label of each step is fixed after a constant wait (the latency) and never changed silently;
 * what is learned later is told as a correction. Constant memory and constant cost a step however long it
 * listens. */
#ifndef RILL_STREAM_TRACKER_H
#define RILL_STREAM_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/encoder.h>
#include <rill/status.h>
#include <rill/stream/event.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RILL_TRACKER_MAX_SPEAKERS 64

typedef struct rill_tracker_settings {
    double latency_seconds;  /* how long a decision may wait after the speech it is about, the chain's own
                                delays included */
    double overhead_seconds; /* of these, what the chain before the tracker takes (resampler, window, step) */
    double
        threshold; /* how alike a voice must be to be a known one; the model's own scale. NAN: the model's */
    size_t max_speakers; /* labels at most, 1 … RILL_TRACKER_MAX_SPEAKERS; when all have been told, one that
                            nothing remembered bears any more may be told again */
} rill_tracker_settings;

/* The back end's parameters and vectors, read from the model once; immutable, may be shared. The model must
 * outlive it. */
typedef struct rill_voice_model rill_voice_model;

/* RILL_BAD_FORMAT and RILL_UNSUPPORTED say what the model file lacks. Allocates. */
RILL_API rill_status rill_voice_model_create(const rill_model *model, rill_voice_model **voices,
                                             rill_error *why);
/* Frees; NULL is allowed. */
RILL_API void rill_voice_model_destroy(rill_voice_model *voices);

/* The least latency_seconds that is possible with this overhead. */
RILL_API double rill_tracker_least_latency(const rill_voice_model *voices, double overhead_seconds);

/* How alike two voices are: the calibrated probability, 0 … 1, that embeddings a and b [embedding_dim],
 * pooled from a_seconds and b_seconds of speech, are of one speaker. cosine (or NULL) receives their plain
 * cosine. */
RILL_API float rill_voice_score(const rill_voice_model *voices, const float *a, double a_seconds,
                                const float *b, double b_seconds, float *cosine);

/* RILL_OK when the settings can be met, else RILL_BAD_ARGUMENT and why. */
RILL_API rill_status rill_tracker_check(const rill_voice_model *voices, const rill_tracker_settings *settings,
                                        rill_error *why);

/* A tracker: plain memory of fixed size without pointers, aligned to RILL_STATE_ALIGNMENT. */
RILL_API size_t rill_tracker_size(const rill_voice_model *voices, const rill_tracker_settings *settings);
/* Nobody known, nothing heard. The settings must be ones that rill_tracker_check accepts. Real-time safe. */
RILL_API void rill_tracker_init(const rill_voice_model *voices, const rill_tracker_settings *settings,
                                void *tracker);
/* Forgets what was heard and the names. */
RILL_API void rill_tracker_reset(const rill_voice_model *voices, void *tracker);

/* Whether bytes from outside, a saved tracker of these settings, can be stepped on safely: every index and
 * count within its bounds. */
RILL_API bool rill_tracker_valid(const rill_voice_model *voices, const rill_tracker_settings *settings,
                                 const void *tracker);

/* Makes a voice known by name before it is heard: embedding [embedding_dim], pooled from seconds of speech.
 * Returns its speaker number, or 0 when max_speakers are known, when half of the memory of voices is taken
 * (which what is heard fills too: enroll first), when the embedding is zero or not finite, or for no seconds.
 */
RILL_API uint32_t rill_tracker_enroll(const rill_voice_model *voices, void *tracker, const char *name,
                                      const float *embedding, double seconds);

/* One step: embedding [embedding_dim] of unit length, the logit that someone speaks, and the logit that two
 * or more do: −∞ (or NaN) when the model cannot tell. A vector that is zero or not finite counts as no
 * speech. Two speakers at most are told at once. At most RILL_TRACKER_EVENTS_PER_STEP events are added.
 * Real-time safe. */
#define RILL_TRACKER_EVENTS_PER_STEP 8
RILL_API void rill_tracker_step(const rill_voice_model *voices, void *tracker, const float *embedding,
                                float speech_logit, float overlap_logit);

/* Decides all that still waits, as at the end of a recording; turns end at end_seconds at the latest. */
RILL_API void rill_tracker_finish(const rill_voice_model *voices, void *tracker, double end_seconds);

/* Takes the oldest event; false when there is none. The queue holds at least one finish and 64 events; a step
 * that finds no room drops nothing: see rill_tracker_has_room. */
RILL_API bool rill_tracker_poll(void *tracker, rill_event *event);
/* True while the queue has room for what one step may add; do not step before polling otherwise. */
RILL_API bool rill_tracker_has_room(const void *tracker);

/* Gives a speaker a name from now on (NULL or "" takes it away). False when there is no such speaker. */
RILL_API bool rill_tracker_rename(void *tracker, uint32_t speaker, const char *name);
/* Says that two labels are one voice: from is speaker from now on, told as a CORRECTION. False when there is
 * no such pair. */
RILL_API bool rill_tracker_merge(const rill_voice_model *voices, void *tracker, uint32_t from,
                                 uint32_t speaker);

/* What is known of one speaker now, for display. */
typedef struct rill_speaker_view {
    uint32_t speaker;
    char name[RILL_NAME_SIZE];
    double talk_seconds; /* emitted so far, the running turn included; without what was told of a label
                            before it was given up and given again */
    bool speaking;       /* at the last decided step */
    float score, cosine; /* of the last decision for this speaker */
    bool enrolled;
} rill_speaker_view;

/* Fills up to capacity views, in order of appearance; returns how many speakers there are. */
RILL_API size_t rill_tracker_speakers(const void *tracker, size_t capacity, rill_speaker_view *views);

/* The voice learned for a speaker so far: embedding [embedding_dim]; returns the seconds of speech it stands
 * on, 0 when there is no such speaker. */
RILL_API double rill_tracker_voice(const rill_voice_model *voices, const void *tracker, uint32_t speaker,
                                   float *embedding);

#ifdef __cplusplus
}
#endif
#endif
