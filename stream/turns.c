/* SPDX-License-Identifier: MIT */
/* A list of who spoke when. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/diarization.h>

#include "failure.h"

struct rill_turns {
    size_t count, capacity;
    rill_turn *turns; /* each turn's file is one allocation, its speaker the text after it */
};

rill_status rill_turns_create(rill_turns **turns, rill_error *why) {
    *turns = calloc(1, sizeof **turns);
    return *turns ? RILL_OK : rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for a list of turns");
}

void rill_turns_destroy(rill_turns *turns) {
    if (!turns) return;
    for (size_t i = 0; i < turns->count; i++) free((void *)(uintptr_t)turns->turns[i].file);
    free(turns->turns);
    free(turns);
}

size_t rill_turns_count(const rill_turns *turns) {
    return turns->count;
}

rill_turn rill_turns_at(const rill_turns *turns, size_t index) {
    return turns->turns[index];
}

static bool is_time(double seconds) {
    return seconds >= 0 && seconds <= RILL_TURN_SECONDS_MAX;
}

static rill_status make_room(rill_turns *turns, rill_error *why) {
    if (turns->count < turns->capacity) return RILL_OK;
    size_t capacity = turns->capacity ? 2 * turns->capacity : 64;
    rill_turn *more = realloc(turns->turns, capacity * sizeof *more);
    if (!more) return rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for %zu turns", capacity);
    turns->turns = more;
    turns->capacity = capacity;
    return RILL_OK;
}

rill_status rill_turns_add(rill_turns *turns, const rill_turn *turn, rill_error *why) {
    if (!is_time(turn->start))
        return rill_fail(why, RILL_BAD_ARGUMENT, "a turn cannot start at %g s", turn->start);
    if (!is_time(turn->duration))
        return rill_fail(why, RILL_BAD_ARGUMENT, "a turn cannot last %g s", turn->duration);
    rill_status status = make_room(turns, why);
    if (status != RILL_OK) return status;
    size_t file_size = strlen(turn->file) + 1, speaker_size = strlen(turn->speaker) + 1;
    char *text = malloc(file_size + speaker_size);
    if (!text) return rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for a turn");
    memcpy(text, turn->file, file_size);
    memcpy(text + file_size, turn->speaker, speaker_size);
    turns->turns[turns->count++] = (rill_turn){text, text + file_size, turn->start, turn->duration};
    return RILL_OK;
}
