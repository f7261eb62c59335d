/* SPDX-License-Identifier: MIT */
/* Events as JSON: times to the millisecond, scores to four digits. */
#include <stdio.h>

#include "event_output.h"
#include "json_line.h"

static json_t *label(unsigned speaker) {
    return json_sprintf("S%u", speaker);
}

static json_t *object(const char *event, const char *file) {
    json_t *made = json_object();
    json_object_set_new(made, "event", json_string(event));
    if (file) json_object_set_new(made, "file", json_text(file));
    return made;
}

bool json_event(const char *file, const rill_event *event) {
    static const char *const kinds[] = {"start", "turn", "correction"};
    json_t *made = object(kinds[event->kind], file);
    json_object_set_new(made, "start", json_decimal(event->start, 3));
    json_object_set_new(made, "end", json_decimal(event->end, 3));
    json_object_set_new(made, "speaker", label(event->speaker));
    if (event->kind == RILL_EVENT_CORRECTION) json_object_set_new(made, "from", label(event->from_speaker));
    json_object_set_new(made, "name", event->name[0] ? json_text(event->name) : json_null());
    json_object_set_new(made, "score", json_decimal(event->score, 4));
    json_object_set_new(made, "cosine", json_decimal(event->cosine, 4));
    json_object_set_new(made, "decided_at", json_decimal(event->decided_at, 3));
    return json_line(made);
}

bool json_end(const char *file, double seconds, uint64_t lost_samples) {
    json_t *made = object("end", file);
    json_object_set_new(made, "seconds", json_decimal(seconds, 3));
    json_object_set_new(made, "lost_samples", json_integer((json_int_t)lost_samples));
    return json_line(made);
}
