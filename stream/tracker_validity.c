/* SPDX-License-Identifier: MIT */
/* Whether bytes from outside are a tracker that can be stepped on safely. */
#include "tracker_state.h"

#include <math.h>
#include <string.h>

static const double SECONDS_MAX = 1e12; /* thirty thousand years */

static bool is_within(size_t count, const float *values, float least, float most) {
    bool within = true;
    for (size_t i = 0; i < count; i++) within &= values[i] >= least && values[i] <= most;
    return within;
}

static bool is_text(const char name[RILL_NAME_SIZE]) {
    return memchr(name, 0, RILL_NAME_SIZE) != NULL;
}

static bool has_valid_speakers(const rill_tracker_state *self) {
    if (self->speakers_count > self->settings.max_speakers) return false;
    for (size_t k = 0; k < self->speakers_count; k++) {
        const rill_known_speaker *one = &self->speakers[k];
        if (one->number == RILL_NOBODY || one->number >= self->next_number || !is_text(one->name) ||
            !is_within(1, &one->belief, 0, 2) || !is_within(1, &one->count, 0, 1e9F) ||
            !isfinite(one->offset) || !is_within(1, &one->recent, 0, 1.001F))
            return false;
        for (size_t j = 0; j < k; j++)
            if (self->speakers[j].number == one->number) return false;
    }
    return true;
}

/* No more numbers than speakers were given away. The number lent is one of them, and nobody's; only the
 * unknown voice is told under it. */
static bool has_valid_numbers(const rill_tracker_state *self) {
    if (self->next_number > self->settings.max_speakers + 1 || self->provisional >= self->next_number)
        return false;
    for (size_t i = 0; i < RILL_TRACKER_AT_ONCE; i++)
        if (self->turns[i].speaker >= self->next_number) return false;
    for (size_t k = 0; self->provisional != RILL_NOBODY && k < self->speakers_count; k++)
        if (self->speakers[k].number == self->provisional) return false;
    return self->pending == RILL_NOBODY || self->pending == self->provisional;
}

/* A chunk's count chooses a row of a table; its numbers and its steps are told in corrections. */
static bool is_valid_chunk(const rill_tracker_state *self, const rill_chunk *chunk) {
    return is_within(1, &chunk->count, 0, 1e9F) && chunk->label < self->next_number &&
           chunk->told < self->next_number && chunk->first <= chunk->end && chunk->end <= self->decided;
}

/* A memory of enrolled voices alone could never make room. */
static bool has_valid_memory(const rill_tracker_state *self, const rill_memory *memory) {
    size_t enrolled = 0;
    if (self->chunks_count > memory->capacity || !is_valid_chunk(self, &self->open)) return false;
    for (size_t i = 0; i < self->chunks_count; i++) {
        if (!is_valid_chunk(self, &memory->chunks[i])) return false;
        enrolled += memory->chunks[i].enrolled != 0;
    }
    return 2 * enrolled <= memory->capacity + 1;
}

/* Who polls an event chooses words by its kind, cells of a picture by its times, and perhaps a row of its own
 * by its speaker. */
static bool is_valid_event(const rill_tracker_state *self, const rill_event *event) {
    const double times[] = {event->start, event->end, event->decided_at};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (!(times[i] >= 0 && times[i] <= SECONDS_MAX)) return false;
    return (unsigned)event->kind <= RILL_EVENT_CORRECTION && event->speaker < self->next_number &&
           event->from_speaker < self->next_number && is_text(event->name);
}

static bool has_valid_queue(const rill_tracker_state *self) {
    if (self->events_first >= RILL_TRACKER_QUEUE || self->events_count > RILL_TRACKER_QUEUE) return false;
    for (size_t i = 0; i < RILL_TRACKER_QUEUE; i++)
        if (!is_valid_event(self, &self->events[i])) return false;
    return true;
}

bool rill_tracker_valid(const rill_voice_model *voices, const rill_tracker_settings *settings,
                        const void *bytes) {
    const rill_tracker_state *self = bytes;
    const size_t wait = (size_t)rill_tracker_wait_steps(voices, settings);
    const double threshold = isnan(settings->threshold) ? (double)voices->threshold : settings->threshold;
    if (self->settings.latency_seconds != settings->latency_seconds ||
        self->settings.overhead_seconds != settings->overhead_seconds ||
        self->settings.max_speakers != settings->max_speakers || self->settings.threshold != threshold ||
        self->step_seconds != voices->step_seconds || self->wait != wait ||
        self->ring != rill_tracker_ring_steps(voices, settings) ||
        (double)self->heard * self->step_seconds > SECONDS_MAX ||
        self->decided != (self->heard > wait ? self->heard - wait : 0))
        return false;
    for (size_t i = 0; i < RILL_TRACKER_AT_ONCE; i++)
        if (self->turns[i].speaker != RILL_NOBODY && self->turns[i].start >= self->decided) return false;
    rill_tracker_parts at;
    rill_tracker_carve(voices, self->ring, (void *)(uintptr_t)bytes, &at); /* nothing is written */
    return has_valid_speakers(self) && has_valid_numbers(self) && has_valid_memory(self, &at.memory) &&
           has_valid_queue(self) && is_within(1, &self->unknown_belief, 0, 2) &&
           is_within(self->ring, at.weights, 0, 1);
}
