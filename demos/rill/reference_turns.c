/* SPDX-License-Identifier: MIT */
#include "reference_turns.h"

#include <string.h>

#include "command.h"
#include "error_table.h"
#include "message.h"
#include "turn_log.h"

/* Copies the turns of file as turns of id. False after saying why. */
static bool copy_turns(const rill_turns *from, const char *file, const char *id, rill_turns *to,
                       size_t *copied) {
    rill_error why;
    *copied = 0;
    for (size_t i = 0; i < rill_turns_count(from); i++) {
        rill_turn turn = rill_turns_at(from, i);
        if (strcmp(turn.file, file) != 0) continue;
        turn.file = id;
        if (rill_turns_add(to, &turn, &why) != RILL_OK) {
            complain("%s", why.message);
            return false;
        }
        ++*copied;
    }
    return true;
}

/* The only id in the list, or NULL. */
static const char *single_id(const rill_turns *turns) {
    size_t count = rill_turns_count(turns);
    for (size_t i = 1; i < count; i++)
        if (strcmp(rill_turns_at(turns, i).file, rill_turns_at(turns, 0).file) != 0) return NULL;
    return count ? rill_turns_at(turns, 0).file : NULL;
}

static bool choose_turns(const rill_turns *all, const char *path, char *const *recordings, size_t count,
                         rill_turns *chosen) {
    for (size_t i = 0; i < count; i++) {
        char id[FILE_ID_SIZE];
        turn_file_id(id, recordings[i]);
        const char *only = count == 1 ? single_id(all) : NULL;
        size_t copied;
        if (!copy_turns(all, only ? only : id, id, chosen, &copied)) return false;
        if (copied > 0) continue;
        complain("%s has no turns of the file \"%s\": nothing to score %s by", path, id, recordings[i]);
        return false;
    }
    return true;
}

rill_turns *reference_read(const char *path, char *const *recordings, size_t count) {
    rill_turns *all = NULL, *chosen = NULL;
    rill_error why;
    bool good = false;
    if (rill_rttm_read(path, &all, &why) != RILL_OK || rill_turns_create(&chosen, &why) != RILL_OK)
        complain("%s", why.message);
    else
        good = choose_turns(all, path, recordings, count, chosen);
    rill_turns_destroy(all);
    if (good) return chosen;
    rill_turns_destroy(chosen);
    return NULL;
}

int reference_score(const rill_turns *reference, const rill_turns *hypothesis, double collar, bool json) {
    rill_diarization_error *errors = NULL;
    size_t count = 0;
    rill_error why;
    if (rill_diarization_score(reference, hypothesis, NULL, collar, &errors, &count, &why) != RILL_OK) {
        complain("%s", why.message);
        return EXIT_INPUT;
    }
    bool written = json || error_table_head();
    for (size_t i = 0; written && i < count; i++)
        written = json ? error_json_row("error_rate", &errors[i]) : error_table_row(&errors[i]);
    rill_diarization_errors_destroy(errors);
    return written ? EXIT_DONE : EXIT_OUTPUT;
}
