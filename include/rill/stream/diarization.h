/* SPDX-License-Identifier: MIT */
/* Who spoke when, as files say it (RTTM, UEM), and how wrong it is (diarization error rate). */
#ifndef RILL_STREAM_DIARIZATION_H
#define RILL_STREAM_DIARIZATION_H

#include <stddef.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A list of turns, of any number of files and speakers; all text is owned by the list. */
typedef struct rill_turns rill_turns;

typedef struct rill_turn {
    const char *file;       /* the id in the RTTM */
    const char *speaker;    /* "" in a UEM */
    double start, duration; /* seconds */
} rill_turn;

#define RILL_TURN_SECONDS_MAX 1e9 /* a start, an end or a duration beyond is a mistake */

/* An empty list, to be freed with rill_turns_destroy. RILL_OUT_OF_MEMORY. A list belongs to one thread at a
 * time; reading it from several is safe. */
RILL_API rill_status rill_turns_create(rill_turns **turns, rill_error *why);
/* Frees the turns and their text; NULL is allowed. */
RILL_API void rill_turns_destroy(rill_turns *turns);
/* The turns in the order they were added. The text of one at index < count is owned by the list. */
RILL_API size_t rill_turns_count(const rill_turns *turns);
RILL_API rill_turn rill_turns_at(const rill_turns *turns, size_t index);
/* Copies the turn's text. RILL_BAD_ARGUMENT for a time that is no number, negative or beyond
 * RILL_TURN_SECONDS_MAX. */
RILL_API rill_status rill_turns_add(rill_turns *turns, const rill_turn *turn, rill_error *why);

/* Reads RTTM (SPEAKER lines; lines of other types are passed over) or UEM ("file channel start end"). Blanks
 * are spaces or tabs, lines end in LF or CRLF, a line that starts with ; or # is a comment. RILL_BAD_FORMAT
 * names the file and the line: a field too few, a blank in a name, a time that is no number or negative, what
 * is no text. No line at all is a list of no turns. *turns is the caller's to destroy, NULL on failure. parse
 * takes the text from memory; name appears in errors. RILL_NOT_FOUND, RILL_IO_ERROR, RILL_OUT_OF_MEMORY. */
RILL_API rill_status rill_rttm_read(const char *path, rill_turns **turns, rill_error *why);
RILL_API rill_status rill_rttm_parse(const char *name, const char *text, size_t size, rill_turns **turns,
                                     rill_error *why);
RILL_API rill_status rill_uem_read(const char *path, rill_turns **turns, rill_error *why);
RILL_API rill_status rill_uem_parse(const char *name, const char *text, size_t size, rill_turns **turns,
                                    rill_error *why);
/* One SPEAKER line as RTTM wants it, without a newline, into line[capacity]; returns snprintf's count. Start
 * and end are rounded to milliseconds; blanks inside the file's or speaker's name become '_', an empty name
 * "<NA>", and a name ends after 255 bytes. */
RILL_API int rill_rttm_line(char *line, size_t capacity, const rill_turn *turn);

/* Seconds. The rates of a table are these over reference. */
typedef struct rill_diarization_error {
    char file[256];
    double reference;           /* Σ of reference speech scored, overlap counted once for each speaker */
    double missed;              /* reference speakers beyond the hypothesis' number */
    double false_alarm;         /* hypothesis speakers beyond the reference's number */
    double confusion;           /* the rest that is not the mapped speaker */
    double scored;              /* seconds of time scored */
    size_t reference_speakers;  /* who speak in the regions to score */
    size_t hypothesis_speakers; /* likewise, counted from 1 s of label on */
    size_t left_out_files;      /* of TOTAL: files that only the hypothesis has */
} rill_diarization_error;

/* Diarization error of hypothesis against reference, one result a file, in the order of the reference, then
 * the total ("TOTAL"). A file that the hypothesis lacks is all missed; one that only the hypothesis has is
 * not scored, but counted in the total's left_out_files. Turns of one speaker that overlap or touch are one
 * turn. Speakers are mapped one to one by the Hungarian method so that the scored time spent together is
 * greatest, a file at a time. collar: ± seconds around every reference boundary left out. uem (or NULL): the
 * regions to score; a file without one is scored from 0 to the last turn of either. RILL_BAD_ARGUMENT for a
 * collar that is negative or no number, RILL_UNSUPPORTED above 1024 speakers in a file. *errors [*count] is
 * the caller's to free with rill_diarization_errors_destroy. */
RILL_API rill_status rill_diarization_score(const rill_turns *reference, const rill_turns *hypothesis,
                                            const rill_turns *uem, double collar,
                                            rill_diarization_error **errors, size_t *count, rill_error *why);
/* Frees; NULL is allowed. */
RILL_API void rill_diarization_errors_destroy(rill_diarization_error *errors);

#ifdef __cplusplus
}
#endif
#endif
