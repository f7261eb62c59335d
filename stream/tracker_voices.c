/* SPDX-License-Identifier: MIT */
/* What is learned of the speakers' voices: steps decided with confidence fill chunks, chunks fill the memory,
 * and each speaker's voice is the posterior mean given its chunks. */
#include "tracker_state.h"

#include <math.h>
#include <string.h>

void rill_tracker_find_likelihood(const rill_voice_model *voices, const rill_tracker_state *self,
                                  const rill_tracker_parts *at, size_t slot) {
    float x[RILL_VOICE_MAX_DIM];
    for (size_t d = 0; d < voices->dim; d++) x[d] = at->steps[slot * voices->dim + d] - at->room[d];
    for (size_t k = 0; k < self->speakers_count; k++) {
        const float *voice = at->voices + k * voices->dim;
        float sum[8] = {0};
        size_t d = 0;
        for (; d + 8 <= voices->dim; d += 8)
            for (size_t lane = 0; lane < 8; lane++) sum[lane] += x[d + lane] * voice[d + lane];
        for (; d < voices->dim; d++) sum[0] += x[d] * voice[d];
        float dot = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
        at->likelihood[slot * RILL_TRACKER_MAX_SPEAKERS + k] =
            at->weights[slot] * voices->decision_scale * (dot - self->speakers[k].offset);
    }
}

/* The room's posterior mean given each speaker's mean step, which is the room + N(0, between + noise/count).
 */
static void find_room(const rill_voice_model *voices, const rill_tracker_state *self,
                      const rill_tracker_parts *at) {
    double precision[RILL_VOICE_MAX_DIM], sum[RILL_VOICE_MAX_DIM];
    for (size_t d = 0; d < voices->dim; d++) {
        precision[d] = 1 / fmax((double)voices->room[d], 1e-9);
        sum[d] = 0;
    }
    for (size_t k = 0; k < self->speakers_count; k++) {
        double count = (double)self->speakers[k].count;
        if (self->speakers[k].enrolled || !(count > 0)) continue;
        const float *sums = at->sums + k * voices->dim;
        const double counted = count * (double)rill_voice_counted(voices, self->speakers[k].count);
        for (size_t d = 0; d < voices->dim; d++) {
            double weight = 1 / ((double)voices->between[d] + 1 / (counted * (double)voices->evidence_scale));
            precision[d] += weight;
            sum[d] += weight * (double)sums[d] / count;
        }
    }
    for (size_t d = 0; d < voices->dim; d++) at->room[d] = (float)(sum[d] / precision[d]);
}

static void find_voice(const rill_voice_model *voices, rill_known_speaker *of, const float *sums,
                       const float *room, float *voice) {
    double offset = 0;
    const float scale = voices->evidence_scale * rill_voice_counted(voices, of->count);
    for (size_t d = 0; d < voices->dim; d++) {
        float variance = voices->between[d] / (1 + of->count * scale * voices->between[d]);
        voice[d] = variance * scale * (sums[d] - of->count * room[d]);
        offset += (double)(voice[d] * voice[d] + variance);
    }
    of->offset = (float)(offset / 2);
}

void rill_tracker_learn(const rill_voice_model *voices, rill_tracker_state *self,
                        const rill_tracker_parts *at) {
    const rill_memory *memory = &at->memory;
    const size_t dim = voices->dim, embedding_dim = voices->embedding_dim;
    for (size_t k = 0; k < self->speakers_count; k++) {
        rill_known_speaker *known = &self->speakers[k];
        float *sums = at->sums + k * dim, *heard = at->heard + k * embedding_dim;
        known->count = 0;
        memset(sums, 0, dim * sizeof *sums);
        memset(heard, 0, embedding_dim * sizeof *heard);
        for (size_t i = 0; i < *memory->count; i++) {
            if (memory->chunks[i].label != known->number) continue;
            known->count += memory->chunks[i].count;
            for (size_t d = 0; d < dim; d++) sums[d] += memory->sums[i * dim + d];
            for (size_t d = 0; d < embedding_dim; d++) heard[d] += memory->heard[i * embedding_dim + d];
        }
    }
    if (self->speakers_count) find_room(voices, self, at);
    for (size_t k = 0; k < self->speakers_count; k++)
        find_voice(voices, &self->speakers[k], at->sums + k * dim, at->room, at->voices + k * dim);
    uint64_t from = self->heard > self->ring ? self->heard - self->ring : 0;
    for (uint64_t step = from; step < self->heard; step++)
        rill_tracker_find_likelihood(voices, self, at, (size_t)(step % self->ring));
}

static void close_chunk(const rill_voice_model *voices, rill_tracker_state *self, rill_tracker_parts *at,
                        size_t least) {
    if (self->open_steps >= least && self->open_steps > 0) {
        rill_memory_fuse(voices, &at->memory, at->room);
        self->open.number = self->next_chunk++;
        self->open.previous = self->link;
        rill_memory_add(voices, &at->memory, &self->open, at->open_heard, at->open_sums);
        self->link = self->open.number;
        self->fresh_chunks++;
    } else {
        self->link = 0;
    }
    self->open_steps = 0;
    rill_tracker_learn(voices, self, at);
}

static void fill_chunk(const rill_voice_model *voices, rill_tracker_state *self, rill_tracker_parts *at,
                       uint64_t step, size_t slot, uint32_t number) {
    if (!self->open_steps) {
        static const rill_chunk blank;
        self->open = blank;
        self->open.label = self->open.told = number;
        self->open.first = step;
        memset(at->open_heard, 0, voices->embedding_dim * sizeof(float));
        memset(at->open_sums, 0, voices->dim * sizeof(float));
    }
    float weight = at->weights[slot];
    self->open_steps++;
    self->open.count += weight;
    self->open.end = step + 1;
    for (size_t i = 0; i < voices->embedding_dim; i++)
        at->open_heard[i] += weight * at->embeddings[slot * voices->embedding_dim + i];
    for (size_t d = 0; d < voices->dim; d++) at->open_sums[d] += weight * at->steps[slot * voices->dim + d];
}

void rill_tracker_remember(const rill_voice_model *voices, rill_tracker_state *self, rill_tracker_parts *at,
                           uint64_t step, size_t slot, uint32_t number, float posterior) {
    bool speech = number != RILL_NOBODY, other = speech && number != self->open.label;
    if (self->open_steps &&
        (other || self->pause > voices->chunk_gap_steps || self->open_steps >= voices->chunk_steps))
        close_chunk(voices, self, at, voices->chunk_least);
    if (other || self->pause > voices->chunk_gap_steps) self->link = 0;
    if (speech && posterior >= voices->learning_confidence) fill_chunk(voices, self, at, step, slot, number);
}

void rill_tracker_give_birth(const rill_voice_model *voices, rill_tracker_state *self,
                             rill_tracker_parts *at) {
    /* With no room left nobody unknown is chosen, unless no number makes sense any more. */
    if (self->speakers_count >= self->settings.max_speakers) return;
    rill_tracker_add_speaker(self, self->pending);
    close_chunk(voices, self, at, 1);
}
