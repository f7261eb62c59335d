/* SPDX-License-Identifier: MIT */
/* One stream of audio through a listener, its events to wherever they are wanted. What `listen` and `track`
 * have in common. */
#ifndef SESSION_H
#define SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/encoder.h>
#include <rill/stream/listener.h>
#include <rill/stream/speakers.h>

#include "display.h"
#include "options.h"
#include "turn_log.h"

/* Where the turns of all recordings of a run go, beside standard output. */
struct turn_files {
    const struct options *options;
    FILE *rttm, *rttm_corrected;
    rill_turns *corrected, *first; /* collected, when asked for */
};

/* Opens what the options ask for; keep_first: also for --reference. False after saying why (EXIT_OUTPUT). */
bool turn_files_open(struct turn_files *files, const struct options *options, bool keep_first);
/* Writes and closes. False when something could not be written; it was said. */
bool turn_files_close(struct turn_files *files);

struct session {
    const struct options *options;
    rill_listener *listener;
    struct turn_files *files;
    const char *key;       /* "file" in JSON, or NULL */
    char id[FILE_ID_SIZE]; /* in RTTM */
    struct turn_log log;
    struct display *display; /* or NULL */
    struct display_figures figures;
    bool output_failed; /* nobody reads, or the disk is full: there is no use in going on */
};

/* A listener as the options ask for, for the recording or microphone of that name. EXIT_DONE, or another exit
 * code after saying why: EXIT_USAGE for options that cannot be met, EXIT_INPUT when it is the rate. */
int session_listener(const rill_model *model, const struct options *options, const char *name,
                     unsigned sample_rate_hz, const rill_speakers *speakers, rill_listener **listener);

/* Takes the listener over. path: of the recording, or what the RTTM calls it. */
void session_begin(struct session *session, const struct options *options, rill_listener *listener,
                   struct turn_files *files, const char *path);
/* Draws when the terminal can and the options let it. */
void session_draw(struct session *session, const char *title, bool keys);
/* Pushes samples, tells the events. */
void session_push(struct session *session, size_t count, const float *samples);
/* Tells the events that wait. */
void session_poll(struct session *session);
/* Decides what waits and tells the end. */
void session_finish(struct session *session);
/* Hands the turns to the files, gives the terminal back. False when something could not be written. */
bool session_end(struct session *session);

#endif
