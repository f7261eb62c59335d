/* SPDX-License-Identifier: MIT */
/* The bytes of a recording, from a file or as they come through a pipe, for a reader that wants to seek. */
#ifndef RILL_AUDIO_SOURCE_H
#define RILL_AUDIO_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/status.h>

#define RILL_AUDIO_SOURCE_ENDLESS                                                                            \
    (INT64_MAX / 2) /* the size where the format's header says how much comes                                \
                     */

typedef struct rill_audio_source {
    int descriptor;
    bool seekable;
    bool keeping;        /* of a pipe: what is read is kept, so that a reader of headers may go back */
    bool in_pieces;      /* of a pipe, for a reader that is content with a part of what it asks for */
    int64_t size;        /* bytes */
    int64_t position;    /* of the reader */
    int64_t fetched;     /* bytes taken from the descriptor, if a pipe */
    int64_t promised;    /* bytes that there are by what it tells of itself; 0: it does not tell */
    int64_t samples_at;  /* where a format of chunks has them, all of its description before; 0: not known */
    unsigned char *head; /* the first bytes, as they were or as corrected */
    size_t head_size, head_capacity;
    int error;                 /* errno of a read that failed, or 0; ECANCELED: stopped */
    bool (*stop)(void *asked); /* whether to wait for a pipe no longer; NULL: never */
    void *asked;
} rill_audio_source;

/* path "-" is standard input. RILL_NOT_FOUND, RILL_IO_ERROR, RILL_BAD_FORMAT (nothing to read),
 * RILL_UNSUPPORTED (a terminal, a device), RILL_OUT_OF_MEMORY. To be settled before it is read. */
rill_status rill_audio_source_open(const char *path, bool (*stop)(void *asked), void *asked,
                                   rill_audio_source *source, rill_error *why);
void rill_audio_source_close(rill_audio_source *source);

/* Whether it is a pipe of a format that cannot be read from begin to end. Its first bytes are in the head
 * then, as many as tell the kind unless it is shorter. */
#define RILL_AUDIO_SOURCE_KIND 12
bool rill_audio_source_must_come_whole(rill_audio_source *source);

/* Turns such a pipe into a temporary file without a name, in $TMPDIR or /tmp. name appears in errors;
 * RILL_IO_ERROR. */
rill_status rill_audio_source_spool(rill_audio_source *source, const char *name, rill_error *why);

/* Before it is read: finds out how much there is. A WAV header that states no length, as programs write that
 * cannot seek, is corrected in memory. */
void rill_audio_source_settle(rill_audio_source *source);

/* From position on; returns how many bytes, fewer only at the end, on an error, in pieces, or on a pipe at a
 * place that is not kept and has not come yet. */
size_t rill_audio_source_read(rill_audio_source *source, void *bytes, size_t count);

/* The header is read: from now on a pipe is read once. */
void rill_audio_source_keep_no_more(rill_audio_source *source);

/* After a reader has come to the end: whether less came than was promised. Only of what a reader reads as
 * whole all the same: codecs of blocks, W64, VOC, Ogg. */
bool rill_audio_source_breaks_off(const rill_audio_source *source);

/* Bytes beyond the reader; of a pipe 0. */
int64_t rill_audio_source_left(const rill_audio_source *source);

/* After a reader has come to what it takes for the end: whether another recording begins there, at position
 * in an MP3, near it in Ogg and FLAC, whose decoders read ahead, with least bytes or more. Of a pipe and of
 * other formats never. */
bool rill_audio_source_goes_on(const rill_audio_source *source, int64_t least);

#endif
