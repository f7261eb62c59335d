/* SPDX-License-Identifier: MIT */
#include "turn_log.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

/* A field of RTTM has no blanks. */
static void make_field(char *text) {
    for (char *at = text; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7F) *at = '_';
}

void turn_file_id(char id[FILE_ID_SIZE], const char *path) {
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (!strcmp(path, "-")) base = "stdin";
    const char *ending = strrchr(base, '.');
    size_t length = ending && ending > base ? (size_t)(ending - base) : strlen(base);
    if (length >= FILE_ID_SIZE) length = FILE_ID_SIZE - 1;
    memcpy(id, base, length);
    id[length] = 0;
    make_field(id);
}

static bool fail(struct turn_log *log, const char *what) {
    if (!log->failed) complain("%s", what);
    log->failed = true;
    return false;
}

/* Room for one more element of an array that doubles. */
static bool make_room(void **elements, size_t size, size_t count, size_t *capacity) {
    if (count < *capacity) return true;
    size_t wanted = *capacity ? 2 * *capacity : 64;
    void *moved = realloc(*elements, wanted * size);
    if (!moved) return false;
    *elements = moved;
    *capacity = wanted;
    return true;
}

static bool is_taken(const struct turn_labels *labels, const char *text) {
    for (size_t i = 0; i < labels->count; i++)
        if (!strcmp(labels->labels[i].text, text)) return true;
    return false;
}

static const char *label_of(struct turn_labels *labels, unsigned speaker, const char *name) {
    for (size_t i = 0; i < labels->count; i++)
        if (labels->labels[i].speaker == speaker) return labels->labels[i].text;
    if (!make_room((void **)&labels->labels, sizeof *labels->labels, labels->count, &labels->capacity))
        return NULL;
    struct turn_label *label = &labels->labels[labels->count];
    label->speaker = speaker;
    snprintf(label->text, sizeof label->text, "%s", name);
    make_field(label->text); /* now, so that "Anna B" and "Anna_B" stay two */
    bool looks_like_number = label->text[0] == 'S' && label->text[1] >= '0' && label->text[1] <= '9';
    if (!label->text[0] || looks_like_number || is_taken(labels, label->text))
        snprintf(label->text, sizeof label->text, "S%u", speaker);
    labels->count++;
    return label->text;
}

static void write_turn(struct turn_log *log, const char *file, const char *label, const rill_event *event) {
    char line[1024];
    rill_turn turn = {file, label, event->start, event->end - event->start};
    rill_rttm_line(line, sizeof line, &turn);
    errno = 0;
    if (log->rttm == stdout) {
        printf("%s\n", line);
        log->failed = !output_flush();
    } else if (fprintf(log->rttm, "%s\n", line) < 0 || fflush(log->rttm) != 0) {
        char text[600];
        snprintf(text, sizeof text, "%s: %s", log->rttm_path, strerror(errno));
        fail(log, text);
    }
}

/* What was told within [start, end) as one speaker belongs to another: a turn that reaches over an edge is
 * cut there. */
static bool correct(struct turn_log *log, const rill_event *event) {
    size_t count = log->count;
    for (size_t i = 0; i < count; i++) {
        struct logged_turn turn = log->turns[i];
        double start = fmax(turn.start, event->start), end = fmin(turn.end, event->end);
        if (turn.corrected != event->from_speaker || start >= end) continue;
        const struct logged_turn outside[] = {{turn.start, start, turn.first, turn.corrected},
                                              {end, turn.end, turn.first, turn.corrected}};
        log->turns[i] = (struct logged_turn){start, end, turn.first, event->speaker};
        for (size_t k = 0; k < 2; k++) {
            if (outside[k].end <= outside[k].start) continue;
            if (!make_room((void **)&log->turns, sizeof *log->turns, log->count, &log->capacity))
                return false;
            log->turns[log->count++] = outside[k];
        }
    }
    return true;
}

void turn_log_event(struct turn_log *log, const char *file, const rill_event *event) {
    if (log->failed) return;
    const char *label = label_of(&log->labels, event->speaker, event->name);
    bool kept = label;
    if (label && event->kind == RILL_EVENT_TURN) {
        if (log->rttm) write_turn(log, file, label, event);
        if (log->keep) kept = make_room((void **)&log->turns, sizeof *log->turns, log->count, &log->capacity);
        if (log->keep && kept)
            log->turns[log->count++] =
                (struct logged_turn){event->start, event->end, event->speaker, event->speaker};
    }
    if (label && log->keep && event->kind == RILL_EVENT_CORRECTION) kept = correct(log, event);
    if (!kept) fail(log, "out of memory for the turns of --rttm-corrected or --reference");
}

/* First labels are those of the uncut turns: the parts of a corrected one are told apart again, which scores
 * the same. */
bool turn_log_collect(struct turn_log *log, const char *file, bool corrected, rill_turns *turns) {
    rill_error why;
    for (size_t i = 0; i < log->count; i++) {
        const struct logged_turn *logged = &log->turns[i];
        const char *label = label_of(&log->labels, corrected ? logged->corrected : logged->first, "");
        rill_turn turn = {file, label, logged->start, logged->end - logged->start};
        if (rill_turns_add(turns, &turn, &why) == RILL_OK) continue;
        complain("%s", why.message);
        return false;
    }
    return true;
}

void turn_log_clear(struct turn_log *log) {
    free(log->turns);
    free(log->labels.labels);
    log->turns = NULL;
    log->labels = (struct turn_labels){0};
    log->count = log->capacity = 0;
}

FILE *rttm_open(const char *path) {
    FILE *file = strcmp(path, "-") != 0 ? fopen(path, "w") : stdout;
    if (!file) complain("%s: %s", path, strerror(errno));
    return file;
}

bool rttm_write(FILE *file, const char *path, const rill_turns *turns) {
    char line[1024];
    errno = 0;
    for (size_t i = 0; i < rill_turns_count(turns); i++) {
        rill_turn turn = rill_turns_at(turns, i);
        rill_rttm_line(line, sizeof line, &turn);
        fprintf(file, "%s\n", line);
    }
    if (file == stdout) return output_flush();
    if (fflush(file) == 0 && !ferror(file)) return true;
    complain("%s: %s", path, strerror(errno));
    return false;
}

bool rttm_close(FILE *file, const char *path) {
    if (!file || file == stdout) return true; /* the program's end closes it */
    bool failed_before = ferror(file);
    if (fclose(file) == 0 && !failed_before) return true;
    if (!failed_before) complain("%s: %s", path, strerror(errno));
    return false;
}
