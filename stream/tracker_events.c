/* SPDX-License-Identifier: MIT */
/* What is told: turns as they start and end, and corrections of what was told before, in a queue. */
#include "tracker_state.h"

#include <math.h>
#include <string.h>

/* The caller polls in time (rill_tracker_has_room); an event beyond the queue would be lost, not written. */
rill_event *rill_tracker_tell(const rill_voice_model *voices, rill_tracker_state *self, rill_event_kind kind,
                              uint32_t number) {
    static const rill_event blank;
    if (self->events_count == RILL_TRACKER_QUEUE) self->events_count--;
    rill_event *event = &self->events[(self->events_first + self->events_count++) % RILL_TRACKER_QUEUE];
    *event = blank;
    event->kind = kind;
    event->speaker = number;
    event->decided_at =
        self->heard ? rill_tracker_seconds(voices, self->heard - 1) + self->settings.overhead_seconds : 0;
    const rill_known_speaker *known = rill_tracker_find(self, number);
    if (known) memcpy(event->name, known->name, sizeof event->name);
    return event;
}

static float cosine_between(size_t count, const float *a, const float *b) {
    double dot = 0, norm_a = 0, norm_b = 0;
    for (size_t i = 0; i < count; i++) {
        dot += (double)a[i] * (double)b[i];
        norm_a += (double)a[i] * (double)a[i];
        norm_b += (double)b[i] * (double)b[i];
    }
    return norm_a > 0 && norm_b > 0 ? (float)fmax(-1, fmin(1, dot / sqrt(norm_a * norm_b))) : 0.0F;
}

static float voice_cosine(const rill_voice_model *voices, rill_tracker_state *self,
                          const rill_tracker_parts *at, uint32_t number) {
    const rill_known_speaker *known = rill_tracker_find(self, number);
    if (!known) return 0;
    return cosine_between(voices->embedding_dim, at->turn_heard,
                          at->heard + (size_t)(known - self->speakers) * voices->embedding_dim);
}

void rill_tracker_end_turn(const rill_voice_model *voices, rill_tracker_state *self,
                           const rill_tracker_parts *at, uint64_t end) {
    if (self->turn == RILL_NOBODY) return;
    rill_known_speaker *known = rill_tracker_find(self, self->turn);
    rill_event *event = rill_tracker_tell(voices, self, RILL_EVENT_TURN, self->turn);
    event->start = rill_tracker_seconds(voices, self->turn_start);
    event->end = rill_tracker_seconds(voices, end);
    event->score = (float)(self->turn_score / (double)(end - self->turn_start));
    event->cosine = voice_cosine(voices, self, at, self->turn);
    if (known) known->speaking = 0, known->score = event->score, known->cosine = event->cosine;
    self->turn = RILL_NOBODY;
}

void rill_tracker_tell_step(const rill_voice_model *voices, rill_tracker_state *self,
                            const rill_tracker_parts *at, uint64_t step, size_t slot, uint32_t number,
                            float score) {
    bool begins = number != self->turn;
    if (begins) {
        rill_tracker_end_turn(voices, self, at, step);
        self->turn = number;
        self->turn_start = step;
        self->turn_score = 0;
        memset(at->turn_heard, 0, voices->embedding_dim * sizeof(float));
    }
    if (number == RILL_NOBODY) return;
    self->turn_score += (double)score;
    for (size_t i = 0; i < voices->embedding_dim; i++)
        at->turn_heard[i] += at->weights[slot] * at->embeddings[slot * voices->embedding_dim + i];
    rill_known_speaker *known = rill_tracker_find(self, number);
    if (known) known->talk_steps++, known->speaking = 1, known->score = score;
    if (begins) {
        rill_event *event = rill_tracker_tell(voices, self, RILL_EVENT_START, number);
        event->start = rill_tracker_seconds(voices, step);
        event->end = rill_tracker_seconds(voices, step + 1);
        event->score = score;
        event->cosine = voice_cosine(voices, self, at, number);
    }
}

static bool has_chunks(const rill_memory *memory, uint32_t label) {
    for (size_t i = 0; i < *memory->count; i++)
        if (memory->chunks[i].label == label) return true;
    return false;
}

/* All of from's chunks, and there is nobody of that number any more. */
static bool is_gone_to(rill_tracker_state *self, const rill_memory *memory, uint32_t from, uint32_t to) {
    if (from == self->pending || rill_tracker_find(self, from) || has_chunks(memory, from)) return false;
    for (size_t i = 0; i < *memory->count; i++)
        if (memory->chunks[i].told == from && memory->chunks[i].label != to) return false;
    return true;
}

/* How likely what a chunk holds is of the speaker it is now given to. */
static float score_label(const rill_voice_model *voices, rill_tracker_state *self,
                         const rill_tracker_parts *at, size_t chunk, float *cosine) {
    const rill_known_speaker *known = rill_tracker_find(self, at->memory.chunks[chunk].label);
    if (!known) return 0;
    const size_t dim = voices->embedding_dim, index = (size_t)(known - self->speakers);
    return rill_voice_score(voices, at->memory.heard + chunk * dim,
                            (double)at->memory.chunks[chunk].count * voices->step_seconds,
                            at->heard + index * dim, (double)known->count * voices->step_seconds, cosine);
}

void rill_tracker_tell_corrections(const rill_voice_model *voices, rill_tracker_state *self,
                                   const rill_tracker_parts *at, size_t most, uint32_t settled) {
    const rill_memory *memory = &at->memory;
    for (size_t i = 0; i < *memory->count && most > 0; i++) {
        rill_chunk *chunk = &memory->chunks[i];
        uint32_t from = chunk->told, to = chunk->label;
        if (from == to || to == RILL_NOBODY || from == RILL_NOBODY || chunk->settled < settled) continue;
        if (self->turn == from && chunk->end > self->turn_start) continue; /* that turn is not told yet */
        float cosine = 0, score = score_label(voices, self, at, i, &cosine);
        if (score < 0.5F) continue; /* more likely wrong than right: not told */
        bool gone = self->turn != from && is_gone_to(self, memory, from, to);
        if (gone || !chunk->fused) {
            rill_event *event = rill_tracker_tell(voices, self, RILL_EVENT_CORRECTION, to);
            event->from_speaker = from;
            event->start = gone ? 0 : rill_tracker_seconds(voices, chunk->first);
            event->end =
                gone ? rill_tracker_seconds(voices, self->decided) : rill_tracker_seconds(voices, chunk->end);
            event->score = score;
            event->cosine = cosine;
            most--;
        }
        if (!gone) chunk->told = to;
        for (size_t j = 0; gone && j < *memory->count; j++)
            if (memory->chunks[j].told == from) memory->chunks[j].told = to;
    }
}

bool rill_tracker_has_room(const void *bytes) {
    const rill_tracker_state *self = bytes;
    return self->events_count + RILL_TRACKER_EVENTS_PER_STEP + 2 * self->wait <= RILL_TRACKER_QUEUE;
}

bool rill_tracker_poll(void *bytes, rill_event *event) {
    rill_tracker_state *self = bytes;
    if (!self->events_count) return false;
    *event = self->events[self->events_first];
    self->events_first = (self->events_first + 1) % RILL_TRACKER_QUEUE;
    self->events_count--;
    return true;
}
