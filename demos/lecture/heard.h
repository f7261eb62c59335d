/* SPDX-License-Identifier: MIT */
/* What the model makes of a recording, step by step: an embedding of the voice, and the logit that someone
 * speaks. */
#ifndef HEARD_H
#define HEARD_H

#include <stdlib.h>

#include <rill/encoder.h>
#include <rill/stream/audio_file.h>
#include <rill/stream/front_end.h>
#include <rill/stream/resampler.h>

typedef struct heard {
    size_t steps;
    float *embeddings;    /* [steps][embedding_dim], of unit length; NaN where a step could not be taken in */
    float *speech_logits; /* [steps]; −∞ there */
} heard;

static inline void *heard_memory(size_t size) {
    void *memory =
        aligned_alloc(RILL_STATE_ALIGNMENT, (size / RILL_STATE_ALIGNMENT + 1) * RILL_STATE_ALIGNMENT);
    if (!memory) abort();
    return memory;
}

/* seconds of a file from start on (or what there is), mono, at the file's rate. The caller frees. */
static inline float *heard_read(const char *path, double start, double seconds, unsigned *rate_hz,
                                size_t *count, rill_error *why) {
    rill_audio_file *file = NULL;
    float *samples = NULL;
    *count = 0;
    if (rill_audio_file_open(path, RILL_CHANNEL_MIX, &file, why) != RILL_OK) return NULL;
    *rate_hz = rill_audio_file_sample_rate_hz(file);
    const size_t capacity = (size_t)(seconds * *rate_hz) + 1;
    rill_status status = RILL_OK;
    if (start > 0) status = rill_audio_file_seek(file, (uint64_t)(start * *rate_hz), why);
    if (status == RILL_OK) samples = heard_memory(capacity * sizeof(float));
    for (size_t got = 1; status == RILL_OK && got > 0 && *count < capacity; *count += got)
        status = rill_audio_file_read(file, capacity - *count, samples + *count, &got, why);
    rill_audio_file_close(file);
    if (status == RILL_OK) return samples;
    free(samples);
    return NULL;
}

static inline float *heard_resampled(const rill_resampler *resampler, size_t count, const float *samples,
                                     size_t capacity, size_t *made) {
    float *out = heard_memory(capacity * sizeof(float));
    void *state = heard_memory(rill_resampler_size(resampler));
    rill_resampler_init(resampler, state);
    *made = 0;
    for (size_t done = 0, consumed = 1, now = 1; done < count && (consumed || now);
         done += consumed, *made += now)
        now = rill_resampler_step(resampler, state, count - done, samples + done, &consumed, capacity - *made,
                                  out + *made);
    for (size_t now = 1; now > 0 && *made < capacity; *made += now)
        now = rill_resampler_finish(resampler, state, capacity - *made, out + *made);
    free(state);
    return out;
}

/* Frames [..][mel_bands]; returns how many. */
static inline size_t heard_frames(const rill_front_end *front_end, size_t bands, size_t count,
                                  const float *samples, float *frames) {
    void *state = heard_memory(rill_front_end_size(front_end));
    size_t made = 0;
    rill_front_end_init(front_end, state);
    for (size_t done = 0, consumed; done < count; done += consumed)
        made += rill_front_end_step(front_end, state, count - done, samples + done, &consumed,
                                    frames + made * bands);
    free(state);
    return made;
}

/* The caller frees what it points to. */
static inline rill_status heard_make(const rill_model *model, unsigned rate_hz, size_t count,
                                     const float *samples, heard *to, rill_error *why) {
    const rill_model_info *info = rill_model_get_info(model);
    rill_resampler *resampler = NULL;
    rill_front_end *front_end = NULL;
    *to = (heard){0};
    rill_status status = rill_resampler_create(rate_hz, info->sample_rate_hz, &resampler, why);
    if (status == RILL_OK) status = rill_front_end_create(model, &front_end, why);
    if (status == RILL_OK) {
        const size_t capacity = (size_t)((double)count * info->sample_rate_hz / rate_hz) + 2;
        size_t made;
        float *sound = heard_resampled(resampler, count, samples, capacity, &made);
        float *frames = heard_memory((made / info->hop_samples + 1) * info->mel_bands * sizeof(float));
        to->steps = heard_frames(front_end, info->mel_bands, made, sound, frames) / info->frames_per_step;
        to->embeddings = heard_memory(to->steps * info->embedding_dim * sizeof(float));
        to->speech_logits = heard_memory(to->steps * sizeof(float));
        void *encoder = heard_memory(rill_encoder_size(model));
        rill_encoder_init(model, encoder);
        rill_encoder_prefill(model, encoder, to->steps, frames, to->embeddings, to->speech_logits, NULL);
        free(encoder), free(frames), free(sound);
    }
    rill_resampler_destroy(resampler);
    rill_front_end_destroy(front_end);
    return status;
}

#endif
