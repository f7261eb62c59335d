/* SPDX-License-Identifier: MIT */
#include "chosen_speakers.h"

#include <stdio.h>
#include <stdlib.h>

#include "message.h"

bool chosen_speakers_path(char chosen[SPEAKERS_PATH_SIZE], const char *path) {
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int length;
    if (path)
        length = snprintf(chosen, SPEAKERS_PATH_SIZE, "%s", path);
    else if (data && *data == '/') /* the specification has relative ones ignored */
        length = snprintf(chosen, SPEAKERS_PATH_SIZE, "%s/rill/speakers.json", data);
    else if (home && *home)
        length = snprintf(chosen, SPEAKERS_PATH_SIZE, "%s/.local/share/rill/speakers.json", home);
    else {
        complain("no place for the speaker file: set HOME or XDG_DATA_HOME, or give --speakers FILE");
        return false;
    }
    if (length >= 0 && length < SPEAKERS_PATH_SIZE) return true;
    complain("the path of the speaker file is longer than %d bytes", SPEAKERS_PATH_SIZE - 1);
    return false;
}

static rill_speakers *nobody(const rill_model *model) {
    rill_speakers *speakers = NULL;
    rill_error why;
    if (rill_speakers_create(model, &speakers, &why) == RILL_OK) return speakers;
    complain("%s", why.message);
    return NULL;
}

rill_speakers *chosen_speakers_open(const rill_model *model, const char *path, enum when_missing missing) {
    if (path && !*path) return nobody(model);
    char chosen[SPEAKERS_PATH_SIZE];
    /* Without a home there is no default file, which is no reason not to listen. */
    if (!path && missing == MISSING_DEFAULT_IS_EMPTY && !getenv("HOME") && !getenv("XDG_DATA_HOME"))
        return nobody(model);
    if (!chosen_speakers_path(chosen, path)) return NULL;
    rill_speakers *speakers = NULL;
    rill_error why;
    rill_status status = rill_speakers_read(model, chosen, &speakers, &why);
    if (status == RILL_OK) return speakers;
    if (status == RILL_NOT_FOUND && (!path || missing == MISSING_IS_EMPTY)) return nobody(model);
    complain("%s", why.message);
    return NULL;
}
