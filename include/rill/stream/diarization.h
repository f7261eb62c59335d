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

RILL_API rill_status rill_turns_create(rill_turns **turns, rill_error *why);
RILL_API void rill_turns_destroy(rill_turns *turns);
RILL_API size_t rill_turns_count(const rill_turns *turns);
RILL_API rill_turn rill_turns_at(const rill_turns *turns, size_t index);
/* Copies the turn's text. RILL_BAD_ARGUMENT for a time that is not finite or negative. */
RILL_API rill_status rill_turns_add(rill_turns *turns, const rill_turn *turn, rill_error *why);

/* Reads RTTM (SPEAKER lines; others are passed over) or UEM ("file channel start end"). Errors name the file
 * and the line. */
RILL_API rill_status rill_rttm_read(const char *path, rill_turns **turns, rill_error *why);
RILL_API rill_status rill_rttm_parse(const char *name, const char *text, size_t size, rill_turns **turns,
                                     rill_error *why);
RILL_API rill_status rill_uem_read(const char *path, rill_turns **turns, rill_error *why);
RILL_API rill_status rill_uem_parse(const char *name, const char *text, size_t size, rill_turns **turns,
                                    rill_error *why);
/* One SPEAKER line as RTTM wants it, into line[capacity]; returns snprintf's count. */
RILL_API int rill_rttm_line(char *line, size_t capacity, const rill_turn *turn);

/* Seconds. The rates of a table are these over reference. */
typedef struct rill_diarization_error {
    char file[256];
    double reference;   /* Σ of reference speech scored, overlap counted once for each speaker */
    double missed;      /* reference speakers beyond the hypothesis' number */
    double false_alarm; /* hypothesis speakers beyond the reference's number */
    double confusion;   /* the rest that is not the mapped speaker */
    double scored;      /* seconds of time scored */
} rill_diarization_error;

/* Diarization error of hypothesis against reference, one result a file, in the order of the reference, files
 * that only the hypothesis has are left out, then the total ("TOTAL"). Speakers are mapped one to one by the
 * Hungarian method so that the time spent together is greatest, a file at a time. collar: ± seconds around
 * every reference boundary left out. uem (or NULL): the regions to score; a file without one is scored from 0
 * to the last turn of either. *errors [*count] is the caller's to free with rill_diarization_errors_destroy.
 */
RILL_API rill_status rill_diarization_score(const rill_turns *reference, const rill_turns *hypothesis,
                                            const rill_turns *uem, double collar,
                                            rill_diarization_error **errors, size_t *count, rill_error *why);
RILL_API void rill_diarization_errors_destroy(rill_diarization_error *errors);

/* The assignment of rows to columns that maximises the sum of gain [rows][columns] (Kuhn–Munkres):
 * column_of_row [rows], SIZE_MAX where a row has none. */
RILL_API rill_status rill_assign(size_t rows, size_t columns, const double *gain, size_t *column_of_row);

#ifdef __cplusplus
}
#endif
#endif
