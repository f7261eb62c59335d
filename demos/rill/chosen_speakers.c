/* SPDX-License-Identifier: MIT */
#include "chosen_speakers.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "message.h"

/* Where the default file is; *length as snprintf counts it. False without a home to have it in. */
static bool default_path(char path[SPEAKERS_PATH_SIZE], int *length) {
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (data && *data == '/') /* the specification has relative ones ignored */
        *length = snprintf(path, SPEAKERS_PATH_SIZE, "%s/rill/speakers.json", data);
    else if (home && *home)
        *length = snprintf(path, SPEAKERS_PATH_SIZE, "%s/.local/share/rill/speakers.json", home);
    else
        return false;
    return true;
}

bool chosen_speakers_path(char chosen[SPEAKERS_PATH_SIZE], const char *path) {
    int length;
    if (path) {
        length = snprintf(chosen, SPEAKERS_PATH_SIZE, "%s", path);
    } else if (!default_path(chosen, &length)) {
        complain("no place for the speaker file: set HOME or XDG_DATA_HOME, or give --speakers FILE");
        return false;
    }
    if (length >= 0 && length < SPEAKERS_PATH_SIZE) return true;
    complain("the path of the speaker file is longer than %d bytes", SPEAKERS_PATH_SIZE - 1);
    return false;
}

/* The folder is locked, as the file itself is replaced. */
void chosen_speakers_lock(const char *path) {
    char folder[SPEAKERS_PATH_SIZE];
    snprintf(folder, sizeof folder, "%s", path);
    char *last = strrchr(folder, '/');
    if (last) last[1] = 0;
    int descriptor = open(last ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) (void)flock(descriptor, LOCK_EX); /* kept open, so that it holds */
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
    int length;
    /* Without a home there is no default file, which is no reason not to listen. */
    if (!path && missing == MISSING_DEFAULT_IS_EMPTY && !default_path(chosen, &length)) return nobody(model);
    if (!chosen_speakers_path(chosen, path)) return NULL;
    rill_speakers *speakers = NULL;
    rill_error why;
    rill_status status = rill_speakers_read(model, chosen, &speakers, &why);
    if (status == RILL_OK) return speakers;
    if (status == RILL_NOT_FOUND && (!path || missing == MISSING_IS_EMPTY)) return nobody(model);
    complain("%s", why.message);
    return NULL;
}
