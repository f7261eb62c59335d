/* SPDX-License-Identifier: MIT */
/* The turns as told, kept for what is written at the end: RTTM with corrections, an error rate. Grows with
 * the number of turns; used only when such an output was asked for. */
#ifndef TURN_LOG_H
#define TURN_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <rill/status.h>
#include <rill/stream/diarization.h>
#include <rill/stream/event.h>

/* Labels of one recording: a speaker is called by the name known when first told, as a field of RTTM, "S1"
 * where there is none or another speaker has it, and never changes its label within a file. */
struct turn_labels {
    size_t count, capacity;
    struct turn_label {
        unsigned speaker;
        char text[RILL_NAME_SIZE];
    } * labels;
};

/* The file id of a path in RTTM: its basename without the ending; "stdin" for "-". */
enum { FILE_ID_SIZE = 256 };
void turn_file_id(char id[FILE_ID_SIZE], const char *path);

struct turn_log {
    FILE *rttm; /* first labels go here as they are told, or NULL */
    const char *rttm_path;
    bool keep;   /* hold the turns for what comes at the end */
    bool failed; /* memory or the file gave out; it was said */
    struct turn_labels labels;
    size_t count, capacity;
    struct logged_turn {
        double start, end;
        unsigned first, corrected; /* speakers */
    } * turns;
};

/* Takes an event of the recording with this id in. */
void turn_log_event(struct turn_log *log, const char *file, const rill_event *event);

/* Adds what was kept to turns. False after saying why. */
bool turn_log_collect(struct turn_log *log, const char *file, bool corrected, rill_turns *turns);
/* Forgets turns and labels: the recording is over. */
void turn_log_clear(struct turn_log *log);

/* A file of turns that is there whole, or an error: opened first, so that a wrong path is told before the
 * work; "-" is standard output. NULL after saying why. */
FILE *rttm_open(const char *path);
bool rttm_write(FILE *file, const char *path, const rill_turns *turns);
bool rttm_close(FILE *file, const char *path);

#endif
