/* SPDX-License-Identifier: MIT */
/* What a collection of enrolled voices is made of, for those who keep it in memory and in a file. */
#ifndef RILL_ENROLLED_VOICES_H
#define RILL_ENROLLED_VOICES_H

#include <stdbool.h>
#include <stddef.h>

#include <rill/stream/speakers.h>

enum { RILL_SPEAKERS_MAX = 4096 }; /* in one collection */

typedef struct rill_enrolled_voice {
    char name[RILL_NAME_SIZE];
    double seconds;
    float *embedding; /* [dim], unit length */
} rill_enrolled_voice;

struct rill_speakers {
    char fingerprint[17], model_id[64]; /* of the model that made the embeddings */
    size_t dim;
    size_t count;
    rill_enrolled_voice *voices;
};

/* The voice of that name, or NULL. */
rill_enrolled_voice *rill_speakers_find(const rill_speakers *speakers, const char *name);

/* 1 to RILL_NAME_SIZE − 1 bytes of UTF-8 without control characters. */
bool rill_is_name(const char *name);

/* unit = x / |x|; false when x is zero or not finite. unit may be x. */
bool rill_unit_vector(size_t dim, const float *x, float *unit);

#endif
