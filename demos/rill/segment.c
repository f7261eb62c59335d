/* SPDX-License-Identifier: MIT */
#include "segment.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { BLOCK = 4096 };

rill_status segment_open(const rill_model *model, const char *path, unsigned channel,
                         struct segment_source *source, rill_error *why) {
    *source = (struct segment_source){0};
    rill_status status = rill_audio_file_open(path, channel, &source->file, why);
    if (status == RILL_OK) {
        rill_error reason;
        unsigned rate = rill_audio_file_sample_rate_hz(source->file);
        status = rill_embedder_open(model, rate, &source->embedder, &reason);
        if (status != RILL_OK)
            snprintf(why->message, sizeof why->message, "%.250s: %.250s", path, reason.message);
    }
    if (status != RILL_OK) segment_close(source);
    return status;
}

void segment_close(struct segment_source *source) {
    if (source->embedder) rill_embedder_close(source->embedder);
    if (source->file) rill_audio_file_close(source->file);
    *source = (struct segment_source){0};
}

static bool any_usable(size_t count, const float *samples) {
    for (size_t i = 0; i < count; i++)
        if (isfinite(samples[i])) return true;
    return false;
}

/* Reads and pushes up to count samples; *read says how many there were, *usable whether any was a number.
 * embedder NULL: passes over them. */
static rill_status push(rill_audio_file *file, rill_embedder *embedder, uint64_t count, uint64_t *read,
                        bool *usable, rill_error *why) {
    float samples[BLOCK];
    *read = 0;
    *usable = false;
    while (*read < count) {
        size_t wanted = count - *read < BLOCK ? (size_t)(count - *read) : BLOCK, got = 0;
        rill_status status = rill_audio_file_read(file, wanted, samples, &got, why);
        if (status != RILL_OK) return status;
        if (got == 0) break;
        if (embedder) rill_embedder_push(embedder, got, samples);
        *usable |= any_usable(got, samples);
        *read += got;
    }
    return RILL_OK;
}

/* A pipe is read on from where it stands, and never back. */
static rill_status go_to(const struct segment_source *source, uint64_t sample, rill_error *why) {
    rill_status status = rill_audio_file_seek(source->file, sample, why);
    if (status != RILL_UNSUPPORTED || sample < source->position) return status;
    uint64_t passed;
    bool usable;
    return push(source->file, NULL, sample - source->position, &passed, &usable, why);
}

static rill_status refuse(rill_error *why, const char *path, double start, const char *what) {
    snprintf(why->message, sizeof why->message, "%.300s: %s (segment from %.3f s)", path, what, start);
    return RILL_BAD_ARGUMENT;
}

rill_status segment_embed(struct segment_source *source, const char *path, struct segment *segment,
                          float *embedding, rill_error *why) {
    double rate = rill_audio_file_sample_rate_hz(source->file);
    uint64_t count = isnan(segment->duration) ? UINT64_MAX : (uint64_t)llround(segment->duration * rate),
             read = 0;
    uint64_t first = (uint64_t)llround(segment->start * rate), length = rill_audio_file_length(source->file);
    bool usable = false;
    rill_embedder_reset(source->embedder);
    if (length && first >= length)
        return refuse(why, path, segment->start, "the segment begins beyond the end");
    rill_status status = first != source->position ? go_to(source, first, why) : RILL_OK;
    if (status == RILL_OK) status = push(source->file, source->embedder, count, &read, &usable, why);
    if (status != RILL_UNSUPPORTED) /* else nothing was read */
        source->position = status == RILL_OK ? first + read : UINT64_MAX;
    if (status != RILL_OK) return status;
    segment->duration = (double)read / rate;
    segment->speech_seconds = rill_embedder_finish(source->embedder, embedding);
    if (read == 0) return refuse(why, path, segment->start, "the segment has no samples");
    if (!usable) return refuse(why, path, segment->start, "not one of the samples is a number");
    if (!(segment->speech_seconds > 0))
        return refuse(why, path, segment->start, "the segment is too short to hear a voice");
    return RILL_OK;
}

rill_status segment_embed_file(const rill_model *model, const char *path, unsigned channel,
                               double *speech_seconds, float *embedding, rill_error *why) {
    struct segment_source source;
    struct segment segment = {0, NAN, 0};
    rill_status status = segment_open(model, path, channel, &source, why);
    if (status == RILL_OK) status = segment_embed(&source, path, &segment, embedding, why);
    segment_close(&source);
    *speech_seconds = segment.speech_seconds;
    return status;
}
