/* SPDX-License-Identifier: MIT */
/* The keys of a live display: naming a speaker, merging two, help, quitting. */
#ifndef PROMPT_H
#define PROMPT_H

#include <stdbool.h>
#include <stdint.h>

#include <rill/stream/listener.h>

#include "text.h"

struct prompt {
    enum prompt_state {
        PROMPT_IDLE,
        PROMPT_HELP,
        PROMPT_NAME_WHO,
        PROMPT_NAME_TEXT,
        PROMPT_MERGE_FROM,
        PROMPT_MERGE_INTO
    } state;
    uint32_t speaker; /* the first answer */
    char typed[RILL_NAME_SIZE];
    char notice[2 * TEXT_SPEAKER_SIZE]; /* what the last answer did; "" when nothing is to be told */
};

/* Takes a key; acts on the listener when an answer is complete. False to quit. */
bool prompt_key(struct prompt *prompt, unsigned char key, rill_listener *listener);

/* The line that stands at the bottom while a question is open; false when none is. */
enum { PROMPT_LINE_SIZE = 256 };
bool prompt_line(const struct prompt *prompt, char line[PROMPT_LINE_SIZE]);

#endif
