/* SPDX-License-Identifier: MIT */
/* The speaker file a command works with: --speakers FILE, or the default one of this user. */
#ifndef CHOSEN_SPEAKERS_H
#define CHOSEN_SPEAKERS_H

#include <stdbool.h>

#include <rill/encoder.h>
#include <rill/stream/speakers.h>

enum { SPEAKERS_PATH_SIZE = 4096 };

/* The rill_voice_score from which on two voices are taken for one, unless said otherwise. */
#define SPEAKERS_ALIKE 0.5

/* path, or the default: $XDG_DATA_HOME/rill/speakers.json, ~/.local/share/rill/speakers.json. False after
 * saying why. */
bool chosen_speakers_path(char chosen[SPEAKERS_PATH_SIZE], const char *path);

/* What a missing file means. */
enum when_missing {
    MISSING_DEFAULT_IS_EMPTY, /* a missing default file holds nobody; a missing file that was asked for is an
                                 error */
    MISSING_IS_EMPTY          /* it is about to be made */
};

/* The voices in the file; path "" is nobody. NULL after saying why. The caller destroys them. */
rill_speakers *chosen_speakers_open(const rill_model *model, const char *path, enum when_missing missing);

/* Waits until no other rill changes the file, and lets none before this program ends: what is read from then
 * on can be written back. Where its folder is not there or cannot be locked, nothing is said. */
void chosen_speakers_lock(const char *path);

#endif
