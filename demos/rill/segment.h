/* SPDX-License-Identifier: MIT */
/* The voice in a segment of a recording. */
#ifndef SEGMENT_H
#define SEGMENT_H

#include <stdint.h>

#include <rill/encoder.h>
#include <rill/status.h>
#include <rill/stream/audio_file.h>
#include <rill/stream/listener.h>

struct segment {
    double start;          /* seconds */
    double duration;       /* NAN: to the end; afterwards what there was */
    double speech_seconds; /* found */
};

/* A recording with the embedder for its rate. */
struct segment_source {
    rill_audio_file *file;
    rill_embedder *embedder;
    uint64_t position; /* the next sample read without seeking */
};
rill_status segment_open(const rill_model *model, const char *path, unsigned channel,
                         struct segment_source *source, rill_error *why);
void segment_close(struct segment_source *source);

/* embedding [embedding_dim] of the segment from a fresh state. Fails for a segment beyond the end or too
 * short, and for a file that breaks off within it. */
rill_status segment_embed(struct segment_source *source, const char *path, struct segment *segment,
                          float *embedding, rill_error *why);

/* All of these for one whole file. */
rill_status segment_embed_file(const rill_model *model, const char *path, unsigned channel,
                               double *speech_seconds, float *embedding, rill_error *why);

#endif
