/* SPDX-License-Identifier: MIT */
/* The speakers as the user sees them and corrects them: enrolled, named, united, listed. */
#include "tracker_state.h"

#include <math.h>
#include <string.h>

/* Whole characters only: a UTF-8 sequence is not cut. */
static void set_name(rill_known_speaker *of, const char *name) {
    size_t length = name ? strlen(name) : 0;
    if (length >= RILL_NAME_SIZE) {
        length = RILL_NAME_SIZE - 1;
        while (length && ((unsigned char)name[length] & 0xC0) == 0x80) length--;
    }
    memset(of->name, 0, sizeof of->name);
    if (length) memcpy(of->name, name, length);
}

uint32_t rill_tracker_enroll(const rill_voice_model *voices, void *bytes, const char *name,
                             const float *embedding, double seconds_pooled) {
    rill_tracker_state *self = bytes;
    rill_tracker_parts at;
    rill_tracker_carve(voices, self->ring, bytes, &at);
    if (self->speakers_count >= self->settings.max_speakers || 2 * self->chunks_count >= at.memory.capacity ||
        !rill_tracker_is_usable(voices->embedding_dim, embedding, 0) || !(seconds_pooled > 0))
        return 0;
    const uint32_t number = rill_tracker_take_number(self, &at.memory);
    if (number == RILL_NOBODY) return 0;
    double norm = 0, steps = fmin(seconds_pooled, voices->enrolled_seconds) / voices->step_seconds;
    for (size_t i = 0; i < voices->embedding_dim; i++) norm += (double)embedding[i] * (double)embedding[i];
    rill_chunk chunk = {
        .count = (float)steps, .label = number, .told = number, .number = self->next_chunk++, .enrolled = 1};
    float x[RILL_VOICE_MAX_DIM], heard[RILL_VOICE_MAX_DIM];
    rill_voice_project_pooled(voices, embedding, 1 / sqrt(norm), x);
    for (size_t d = 0; d < voices->dim; d++) x[d] *= chunk.count;
    for (size_t i = 0; i < voices->embedding_dim; i++)
        heard[i] = (float)(embedding[i] / sqrt(norm)) * voices->pooled_length * chunk.count;
    rill_memory_add(voices, &at.memory, &chunk, heard, x);
    rill_known_speaker *known = rill_tracker_add_speaker(self, number);
    known->enrolled = 1;
    set_name(known, name);
    rill_tracker_learn(voices, self, &at);
    return known->number;
}

bool rill_tracker_rename(void *bytes, uint32_t number, const char *name) {
    rill_known_speaker *known = rill_tracker_find(bytes, number);
    if (known) set_name(known, name);
    return known != NULL;
}

bool rill_tracker_merge(const rill_voice_model *voices, void *bytes, uint32_t from, uint32_t number) {
    rill_tracker_state *self = bytes;
    rill_tracker_parts at;
    rill_tracker_carve(voices, self->ring, bytes, &at);
    rill_known_speaker *lost = rill_tracker_find(self, from), *kept = rill_tracker_find(self, number);
    if (!lost || !kept || lost == kept) return false;
    rill_tracker_end_turns(voices, self, &at, self->decided);
    rill_memory_unite(voices, &at.memory, from, number);
    rill_event *event = rill_tracker_tell(voices, self, RILL_EVENT_CORRECTION, number);
    event->from_speaker = from;
    event->end = rill_tracker_seconds(voices, self->decided);
    event->score = 1; /* the user says so */
    kept->talk_steps += lost->talk_steps;
    kept->belief += lost->belief;
    kept->enrolled |= lost->enrolled;
    if (!kept->name[0]) memcpy(kept->name, lost->name, sizeof kept->name);
    if (self->open.label == from) self->open.label = self->open.told = number;
    size_t at_index = (size_t)(lost - self->speakers);
    memmove(lost, lost + 1, (--self->speakers_count - at_index) * sizeof *lost);
    rill_tracker_learn(voices, self, &at);
    return true;
}

size_t rill_tracker_speakers(const void *bytes, size_t capacity, rill_speaker_view *views) {
    const rill_tracker_state *self = bytes;
    for (size_t k = 0, step_known = self->speakers_count; k < step_known && k < capacity; k++) {
        const rill_known_speaker *known = &self->speakers[k];
        rill_speaker_view *view = &views[k];
        memset(view, 0, sizeof *view);
        view->speaker = known->number;
        memcpy(view->name, known->name, sizeof view->name);
        view->talk_seconds = (double)known->talk_steps * self->step_seconds;
        view->speaking = known->speaking;
        view->score = known->score;
        view->cosine = known->cosine;
        view->enrolled = known->enrolled;
    }
    return self->speakers_count;
}

double rill_tracker_voice(const rill_voice_model *voices, const void *bytes, uint32_t number,
                          float *embedding) {
    /* find and carve serve writers too; nothing is written */
    rill_tracker_state *self = (rill_tracker_state *)(uintptr_t)bytes;
    rill_tracker_parts at;
    rill_tracker_carve(voices, self->ring, self, &at);
    const rill_known_speaker *known = rill_tracker_find(self, number);
    if (!known) return 0;
    const float *heard = at.heard + (size_t)(known - self->speakers) * voices->embedding_dim;
    double norm = 0;
    for (size_t i = 0; i < voices->embedding_dim; i++) norm += (double)heard[i] * (double)heard[i];
    for (size_t i = 0; i < voices->embedding_dim; i++)
        embedding[i] = norm > 0 ? (float)(heard[i] / sqrt(norm)) : 0.0F;
    return norm > 0 ? (double)known->count * voices->step_seconds : 0;
}
