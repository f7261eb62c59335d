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
                          const rill_tracker_parts *at, size_t which) {
    const rill_known_speaker *known = rill_tracker_find(self, self->turns[which].speaker);
    if (!known) return 0;
    return cosine_between(voices->embedding_dim, at->turn_heard + which * voices->embedding_dim,
                          at->heard + (size_t)(known - self->speakers) * voices->embedding_dim);
}

const rill_running_turn *rill_tracker_running(const rill_tracker_state *self, uint32_t number) {
    for (size_t i = 0; number != RILL_NOBODY && i < RILL_TRACKER_AT_ONCE; i++)
        if (self->turns[i].speaker == number) return &self->turns[i];
    return NULL;
}

static void end_turn(const rill_voice_model *voices, rill_tracker_state *self, const rill_tracker_parts *at,
                     size_t which, uint64_t end) {
    rill_running_turn *turn = &self->turns[which];
    if (turn->speaker == RILL_NOBODY) return;
    rill_known_speaker *known = rill_tracker_find(self, turn->speaker);
    rill_event *event = rill_tracker_tell(voices, self, RILL_EVENT_TURN, turn->speaker);
    event->start = rill_tracker_seconds(voices, turn->start);
    event->end = rill_tracker_seconds(voices, end);
    event->score = (float)(turn->score / (double)(end - turn->start));
    event->cosine = voice_cosine(voices, self, at, which);
    if (known) known->speaking = 0, known->score = event->score, known->cosine = event->cosine;
    turn->speaker = RILL_NOBODY;
}

void rill_tracker_end_turns(const rill_voice_model *voices, rill_tracker_state *self,
                            const rill_tracker_parts *at, uint64_t end) {
    for (size_t i = 0; i < RILL_TRACKER_AT_ONCE; i++) end_turn(voices, self, at, i, end);
}

/* Who spoke second goes on as the first, or the other way round: the turns change places, none ends. */
static void change_places(const rill_voice_model *voices, rill_tracker_state *self,
                          const rill_tracker_parts *at) {
    rill_running_turn kept = self->turns[0];
    self->turns[0] = self->turns[1];
    self->turns[1] = kept;
    float *first = at->turn_heard, *second = at->turn_heard + voices->embedding_dim;
    for (size_t i = 0; i < voices->embedding_dim; i++) {
        float value = first[i];
        first[i] = second[i];
        second[i] = value;
    }
}

static void go_on(const rill_voice_model *voices, rill_tracker_state *self, const rill_tracker_parts *at,
                  size_t which, uint64_t step, size_t slot, const rill_told *told) {
    const size_t dim = voices->embedding_dim;
    rill_running_turn *turn = &self->turns[which];
    float *heard = at->turn_heard + which * dim;
    const bool begins = turn->speaker == RILL_NOBODY;
    if (told->speaker == RILL_NOBODY) return;
    if (begins) {
        *turn = (rill_running_turn){.speaker = told->speaker, .start = step};
        memset(heard, 0, dim * sizeof *heard);
    }
    turn->score += (double)told->score;
    for (size_t i = 0; i < dim; i++) heard[i] += at->weights[slot] * at->embeddings[slot * dim + i];
    rill_known_speaker *known = rill_tracker_find(self, told->speaker);
    if (known) known->talk_steps++, known->speaking = 1, known->score = told->score;
    if (begins) {
        rill_event *event = rill_tracker_tell(voices, self, RILL_EVENT_START, told->speaker);
        event->start = rill_tracker_seconds(voices, step);
        event->end = rill_tracker_seconds(voices, step + 1);
        event->score = told->score;
        event->cosine = voice_cosine(voices, self, at, which);
    }
}

void rill_tracker_tell_step(const rill_voice_model *voices, rill_tracker_state *self,
                            const rill_tracker_parts *at, uint64_t step, size_t slot,
                            const rill_told told[RILL_TRACKER_AT_ONCE]) {
    const rill_running_turn *first = rill_tracker_running(self, told[0].speaker);
    const rill_running_turn *second = rill_tracker_running(self, told[1].speaker);
    if (first == &self->turns[1] || second == &self->turns[0]) change_places(voices, self, at);
    for (size_t i = 0; i < RILL_TRACKER_AT_ONCE; i++)
        if (self->turns[i].speaker != told[i].speaker) end_turn(voices, self, at, i, step);
    for (size_t i = 0; i < RILL_TRACKER_AT_ONCE; i++) go_on(voices, self, at, i, step, slot, &told[i]);
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
        const rill_running_turn *running = rill_tracker_running(self, from);
        if (running && chunk->end > running->start) continue; /* that turn is not told yet */
        float cosine = 0, score = score_label(voices, self, at, i, &cosine);
        if (score < 0.5F) continue; /* more likely wrong than right: not told */
        bool gone = !running && is_gone_to(self, memory, from, to);
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
    return self->events_count + RILL_TRACKER_EVENTS_PER_STEP + 2 * RILL_TRACKER_AT_ONCE * self->wait <=
           RILL_TRACKER_QUEUE;
}

bool rill_tracker_poll(void *bytes, rill_event *event) {
    rill_tracker_state *self = bytes;
    if (!self->events_count) return false;
    *event = self->events[self->events_first];
    self->events_first = (self->events_first + 1) % RILL_TRACKER_QUEUE;
    self->events_count--;
    return true;
}
