/* SPDX-License-Identifier: MIT */
/* Which number a voice is told under: numbers given and taken back, and groups of chunks labelled so that as
 * little as possible of what was told changes. */
#include "tracker_state.h"

#include <string.h>

rill_known_speaker *rill_tracker_find(rill_tracker_state *self, uint32_t number) {
    for (size_t k = 0; number != RILL_NOBODY && k < self->speakers_count; k++)
        if (self->speakers[k].number == number) return &self->speakers[k];
    return NULL;
}

static bool is_number_in_use(rill_tracker_state *self, const rill_memory *memory, uint32_t number) {
    if (number == self->provisional || rill_tracker_running(self, number) || rill_tracker_find(self, number))
        return true;
    if (self->open_steps && self->open.label == number) return true;
    for (size_t i = 0; i < *memory->count; i++)
        if (memory->chunks[i].label == number || memory->chunks[i].told == number) return true;
    return false;
}

uint32_t rill_tracker_free_number(rill_tracker_state *self, const rill_memory *memory) {
    if (self->next_number <= self->settings.max_speakers) return self->next_number;
    for (uint32_t number = 1; number <= self->settings.max_speakers; number++)
        if (!is_number_in_use(self, memory, number)) return number;
    if (self->speakers_count) return RILL_NOBODY;
    /* All who were told are gone, and somebody is always heard: whose turn runs, or the first, once more. */
    return self->turns[0].speaker != RILL_NOBODY ? self->turns[0].speaker : 1;
}

uint32_t rill_tracker_take_number(rill_tracker_state *self, const rill_memory *memory) {
    uint32_t number = rill_tracker_free_number(self, memory);
    if (number == self->next_number) self->next_number++;
    return number;
}

rill_known_speaker *rill_tracker_add_speaker(rill_tracker_state *self, uint32_t number) {
    rill_known_speaker *born = &self->speakers[self->speakers_count++];
    memset(born, 0, sizeof *born);
    born->number = number;
    born->belief = 1e-6F;
    if (number == self->pending) {
        born->belief += self->unknown_belief;
        born->talk_steps = self->pending_steps;
        born->speaking = rill_tracker_running(self, number) != NULL;
        self->unknown_belief = 0;
        self->pending = RILL_NOBODY;
    }
    if (number == self->provisional) self->provisional = RILL_NOBODY;
    return born;
}

static bool is_label(const rill_memory *memory, const uint32_t *label_of, uint32_t number) {
    for (size_t i = 0; i < *memory->count; i++)
        if (label_of[i] == number) return true;
    return false;
}

/* Gives the groups the labels of their members, the largest share first; a label goes to one group. */
static void label_groups(const rill_voice_model *voices, rill_tracker_state *self, rill_memory *memory,
                         uint32_t *label_of) {
    const size_t count = *memory->count, capacity = memory->capacity;
    uint32_t labels[256];
    size_t labels_count = 0;
    float *share = memory->gain; /* [group][label] */
    memset(memory->weight, 0, count * sizeof *memory->weight);
    for (size_t i = 0; i < count; i++) {
        const rill_chunk *chunk = &memory->chunks[i];
        label_of[i] = RILL_NOBODY;
        memory->weight[memory->group[i]] += chunk->count;
        size_t l = 0;
        while (l < labels_count && labels[l] != chunk->label) l++;
        if (l < labels_count || chunk->label == RILL_NOBODY) continue;
        labels[labels_count++] = chunk->label;
    }
    for (size_t i = 0; i < count; i++) memset(share + i * capacity, 0, labels_count * sizeof *share);
    for (size_t i = 0; i < count; i++)
        for (size_t l = 0; l < labels_count; l++)
            if (labels[l] == memory->chunks[i].label)
                share[memory->group[i] * capacity + l] +=
                    memory->chunks[i].enrolled ? 1e9F : memory->chunks[i].count;
    size_t given = 0;
    for (;;) {
        float best = 0;
        size_t group = 0, label = 0;
        for (size_t i = 0; i < count; i++)
            for (size_t l = 0; l < labels_count; l++)
                if (share[i * capacity + l] > best) best = share[i * capacity + l], group = i, label = l;
        if (!(best > 0)) break;
        /* A group may shrink a little below what a new one needs. */
        bool enough = best >= 1e9F || memory->weight[group] >= 0.8F * voices->group_least;
        if (enough && given < self->settings.max_speakers) label_of[group] = labels[label], given++;
        memory->weight[group] = label_of[group] == RILL_NOBODY ? 0 : memory->weight[group];
        for (size_t i = 0; i < count; i++) share[i * capacity + label] = 0;
        memset(share + group * capacity, 0, labels_count * sizeof *share);
    }
    for (size_t i = 0; i < count; i++)
        if (label_of[i] == RILL_NOBODY && memory->weight[i] >= voices->group_least &&
            given < self->settings.max_speakers) {
            uint32_t number = rill_tracker_free_number(self, memory);
            if (is_label(memory, label_of, number)) break; /* the last free number has just been given */
            label_of[i] = rill_tracker_take_number(self, memory);
            given += label_of[i] != RILL_NOBODY;
        }
}

/* A speaker whose label no group has any more is gone; name and talk go where its first chunk went. The
 * number of one that was hardly told is lent again. */
static void keep_labelled(const rill_voice_model *voices, rill_tracker_state *self, const rill_memory *memory,
                          const uint32_t *label_of) {
    for (size_t k = 0; k < self->speakers_count; k++) {
        rill_known_speaker *lost = &self->speakers[k], *heir = NULL;
        if (is_label(memory, label_of, lost->number)) continue;
        for (size_t i = 0; i < *memory->count && !heir; i++)
            if (memory->chunks[i].label == lost->number)
                heir = rill_tracker_find(self, label_of[memory->group[i]]);
        if (heir) {
            heir->talk_steps += lost->talk_steps;
            heir->belief += lost->belief;
            if (!heir->name[0]) memcpy(heir->name, lost->name, sizeof heir->name);
        } else {
            self->unknown_belief += lost->belief;
        }
        if (lost->talk_steps < 3 * voices->birth_steps && !lost->enrolled && !lost->name[0] &&
            self->provisional == RILL_NOBODY)
            self->provisional = lost->number;
    }
    size_t kept = 0;
    for (size_t k = 0; k < self->speakers_count; k++)
        if (is_label(memory, label_of, self->speakers[k].number)) self->speakers[kept++] = self->speakers[k];
    self->speakers_count = kept;
}

void rill_tracker_regroup(const rill_voice_model *voices, rill_tracker_state *self, rill_tracker_parts *at) {
    rill_memory *memory = &at->memory;
    uint32_t label_of[256]; /* by group */
    rill_memory_group(voices, memory, at->room, self->ease, self->settings.max_speakers);
    label_groups(voices, self, memory, label_of);
    keep_labelled(voices, self, memory, label_of);
    for (size_t i = 0; i < *memory->count; i++) {
        uint32_t label = label_of[memory->group[i]];
        memory->chunks[i].settled = label == memory->chunks[i].label ? memory->chunks[i].settled + 1 : 0;
        memory->chunks[i].label = label;
    }
    for (size_t i = 0; i < *memory->count; i++)
        if (label_of[i] != RILL_NOBODY && !rill_tracker_find(self, label_of[i]))
            rill_tracker_add_speaker(self, label_of[i]);
    self->fresh_chunks = 0;
    rill_tracker_learn(voices, self, at);
}
