/* SPDX-License-Identifier: MIT */
#include "activity.h"

#include <math.h>
#include <string.h>

void activity_begin(struct activity *activity) {
    memset(activity, 0, sizeof *activity);
    activity->whole_cell_seconds = 0.1;
}

static size_t index_of(const struct activity *activity, uint32_t speaker) {
    size_t i = 0;
    while (i < RILL_TRACKER_MAX_SPEAKERS && activity->strips[i].speaker != speaker) i++;
    return i;
}

static struct activity_strip *find(struct activity *activity, uint32_t speaker) {
    size_t i = index_of(activity, speaker);
    return i < RILL_TRACKER_MAX_SPEAKERS ? &activity->strips[i] : NULL;
}

/* The speaker's strip, a free one, or that of whoever has been silent longest. */
static struct activity_strip *strip_of(struct activity *activity, uint32_t speaker) {
    struct activity_strip *strip = find(activity, speaker);
    if (!strip) strip = find(activity, 0);
    if (!strip) {
        strip = activity->strips;
        for (size_t i = 1; i < RILL_TRACKER_MAX_SPEAKERS; i++)
            if (activity->strips[i].told_to < strip->told_to) strip = &activity->strips[i];
        memset(strip, 0, sizeof *strip);
    }
    strip->speaker = speaker;
    return strip;
}

/* The seconds that [start, end) and the cell have in common, over the cell's length. */
static float share(double start, double end, long cell, double cell_seconds) {
    double low = fmax(start, (double)cell * cell_seconds),
           high = fmin(end, (double)(cell + 1) * cell_seconds);
    return (float)fmax((high - low) / cell_seconds, 0);
}

static float within_one(float fraction) {
    return fminf(fmaxf(fraction, 0), 1);
}

/* Adds [start, end) to a strip, or takes it away. */
static void paint(struct activity *activity, struct activity_strip *strip, double start, double end,
                  float sign) {
    long first = (long)floor(start / ACTIVITY_CELL_SECONDS), last = (long)floor(end / ACTIVITY_CELL_SECONDS);
    if (first <= activity->newest - ACTIVITY_CELLS) first = activity->newest - ACTIVITY_CELLS + 1;
    for (long cell = first < 0 ? 0 : first; cell <= last && cell <= activity->newest; cell++) {
        float *fraction = &strip->recent[cell % ACTIVITY_CELLS];
        *fraction = within_one(*fraction + sign * share(start, end, cell, ACTIVITY_CELL_SECONDS));
    }
    double length = activity->whole_cell_seconds;
    for (long cell = (long)floor(fmax(start, 0) / length);
         cell < ACTIVITY_CELLS && (double)cell * length < end; cell++)
        strip->whole[cell] = within_one(strip->whole[cell] + sign * share(start, end, cell, length));
}

/* Makes the cells of the whole twice as long until they reach to the moment. */
static void widen(struct activity *activity, double seconds) {
    while (seconds >= activity->whole_cell_seconds * ACTIVITY_CELLS) {
        for (size_t i = 0; i < RILL_TRACKER_MAX_SPEAKERS; i++) {
            float *whole = activity->strips[i].whole;
            for (size_t k = 0; k < ACTIVITY_CELLS / 2; k++) whole[k] = (whole[2 * k] + whole[2 * k + 1]) / 2;
            memset(whole + ACTIVITY_CELLS / 2, 0, ACTIVITY_CELLS / 2 * sizeof *whole);
        }
        activity->whole_cell_seconds *= 2;
    }
}

static void reach(struct activity *activity, double seconds) {
    widen(activity, seconds);
    long newest = (long)floor(seconds / ACTIVITY_CELL_SECONDS);
    long first = activity->newest + 1;
    if (first <= newest - ACTIVITY_CELLS) first = newest - ACTIVITY_CELLS + 1;
    for (long cell = first; cell <= newest; cell++)
        for (size_t i = 0; i < RILL_TRACKER_MAX_SPEAKERS; i++)
            activity->strips[i].recent[cell % ACTIVITY_CELLS] = 0;
    if (newest > activity->newest) activity->newest = newest;
    activity->seconds = fmax(activity->seconds, seconds);
}

static void go_on(struct activity *activity, struct activity_strip *strip, double to) {
    if (to >= strip->told_to)
        paint(activity, strip, strip->told_to, to, 1);
    else
        paint(activity, strip, to, strip->told_to, -1);
    strip->told_to = to;
}

/* What was painted as one speaker's within the range is another's. */
static void move(struct activity *activity, const rill_event *event) {
    struct activity_strip *from = find(activity, event->from_speaker);
    if (!from) return;
    struct activity_strip *to = strip_of(activity, event->speaker);
    for (long cell = 0; cell < ACTIVITY_CELLS; cell++) {
        float part = from->whole[cell] * share(event->start, event->end, cell, activity->whole_cell_seconds);
        from->whole[cell] -= part;
        to->whole[cell] = within_one(to->whole[cell] + part);
        long fine = activity->newest - cell; /* the fine cells, backward */
        if (fine < 0) continue;
        size_t at = (size_t)(fine % ACTIVITY_CELLS);
        part = from->recent[at] * share(event->start, event->end, fine, ACTIVITY_CELL_SECONDS);
        from->recent[at] -= part;
        to->recent[at] = within_one(to->recent[at] + part);
    }
}

void activity_event(struct activity *activity, const rill_event *event) {
    if (event->kind == RILL_EVENT_CORRECTION) {
        move(activity, event);
        return;
    }
    reach(activity, event->end);
    struct activity_strip *strip = strip_of(activity, event->speaker);
    if (!strip->open) strip->told_to = event->start;
    strip->open = true;
    go_on(activity, strip, event->end);
    strip->open = event->kind == RILL_EVENT_START;
}

void activity_advance(struct activity *activity, double seconds) {
    if (seconds <= activity->seconds) return;
    reach(activity, seconds);
    for (size_t i = 0; i < RILL_TRACKER_MAX_SPEAKERS; i++) {
        struct activity_strip *strip = &activity->strips[i];
        if (strip->open && strip->told_to < seconds) go_on(activity, strip, seconds);
    }
}

float activity_recent(const struct activity *activity, uint32_t speaker, size_t back) {
    size_t i = index_of(activity, speaker);
    long cell = activity->newest - (long)back;
    if (i == RILL_TRACKER_MAX_SPEAKERS || cell < 0 || back >= ACTIVITY_CELLS) return 0;
    return activity->strips[i].recent[cell % ACTIVITY_CELLS];
}

float activity_whole(const struct activity *activity, uint32_t speaker, size_t column, size_t columns) {
    size_t i = index_of(activity, speaker);
    double length = activity->whole_cell_seconds, part = activity->seconds / (double)columns;
    double start = (double)column * part, end = start + part, spoken = 0;
    if (i == RILL_TRACKER_MAX_SPEAKERS || part <= 0) return 0;
    const float *whole = activity->strips[i].whole;
    for (long cell = (long)floor(start / length); cell < ACTIVITY_CELLS && (double)cell * length < end;
         cell++)
        spoken += (double)(whole[cell] * share(start, end, cell, length)) * length;
    return (float)(spoken / part);
}
