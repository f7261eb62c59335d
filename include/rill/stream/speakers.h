/* SPDX-License-Identifier: MIT */
/* Enrolled voices, kept across sessions in a speaker file: JSON, written atomically with mode 0600, bound to
 * the model that made the embeddings by its fingerprint. A voice is personal data. */
#ifndef RILL_STREAM_SPEAKERS_H
#define RILL_STREAM_SPEAKERS_H

#include <stddef.h>

#include <rill/encoder.h>
#include <rill/status.h>
#include <rill/stream/event.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_speakers rill_speakers;

/* An empty collection for the model. */
RILL_API rill_status rill_speakers_create(const rill_model *model, rill_speakers **speakers, rill_error *why);

/* Reads a speaker file. RILL_NOT_FOUND when there is none; RILL_WRONG_MODEL when its embeddings are another
 * model's, with how to enrol again; RILL_BAD_FORMAT names what is wrong in the file, RILL_UNSUPPORTED a later
 * format or a file beyond 64 MiB. */
RILL_API rill_status rill_speakers_read(const rill_model *model, const char *path, rill_speakers **speakers,
                                        rill_error *why);

/* The same from bytes in memory; name appears in errors. */
RILL_API rill_status rill_speakers_parse(const rill_model *model, const char *name, const char *bytes,
                                         size_t size, rill_speakers **speakers, rill_error *why);

/* Replaces the file at path in one move, mode 0600; parent directories are made, mode 0700. What was there
 * stays on any failure. RILL_IO_ERROR also for what is no regular file (a link, a device) or read-only. */
RILL_API rill_status rill_speakers_write(const rill_speakers *speakers, const char *path, rill_error *why);

/* Whether rill_speakers_write could, asked before somebody talks for a minute: makes the parent directories,
 * and a file beside path, which it removes. */
RILL_API rill_status rill_speakers_can_write(const char *path, rill_error *why);

/* Frees; NULL is allowed. */
RILL_API void rill_speakers_destroy(rill_speakers *speakers);

/* How many voices there are. */
RILL_API size_t rill_speakers_count(const rill_speakers *speakers);

typedef struct rill_enrolled {
    const char *name;       /* owned by the collection, valid until it changes */
    const float *embedding; /* [embedding_dim], unit length, likewise */
    double seconds;         /* of speech it was learned from */
} rill_enrolled;

/* The speaker at index < count, in order of enrolment. */
RILL_API rill_enrolled rill_speakers_at(const rill_speakers *speakers, size_t index);

/* Learns a voice: a new name is added; a known one becomes the mean of both, weighted by their seconds.
 * RILL_BAD_ARGUMENT for a name that is empty, too long, no UTF-8 or with control characters, or an embedding
 * that is zero, not finite or the opposite of the known one, for no seconds. */
RILL_API rill_status rill_speakers_enroll(rill_speakers *speakers, const char *name, const float *embedding,
                                          double seconds, rill_error *why);
/* RILL_NOT_FOUND; RILL_BAD_ARGUMENT when new_name is another's or no name. A speaker may be given the name
 * that it has. */
RILL_API rill_status rill_speakers_rename(rill_speakers *speakers, const char *name, const char *new_name,
                                          rill_error *why);
/* RILL_NOT_FOUND. The others keep their order. */
RILL_API rill_status rill_speakers_remove(rill_speakers *speakers, const char *name, rill_error *why);

#ifdef __cplusplus
}
#endif
#endif
