/* SPDX-License-Identifier: MIT */
/* Steps to turns: what a tracker is asked to do, and the order in which a step is taken in and, a fixed
 * number of steps late, decided, told and remembered. */
#include "tracker_state.h"

#include <math.h>
#include <string.h>

#include "failure.h"

/* corrections a step at most: with two TURNs and two STARTs RILL_TRACKER_EVENTS_PER_STEP */
#define TOLD_EACH 4

double rill_tracker_wait_steps(const rill_voice_model *voices, const rill_tracker_settings *settings) {
    return floor((settings->latency_seconds - settings->overhead_seconds) / voices->step_seconds - 1e-6);
}

size_t rill_tracker_ring_steps(const rill_voice_model *voices, const rill_tracker_settings *settings) {
    const size_t reach =
        voices->speech_reach > voices->overlap_reach ? voices->speech_reach : voices->overlap_reach;
    return (size_t)rill_tracker_wait_steps(voices, settings) + reach + 1;
}

double rill_tracker_least_latency(const rill_voice_model *voices, double overhead_seconds) {
    return overhead_seconds + 2.001 * voices->step_seconds;
}

rill_status rill_tracker_check(const rill_voice_model *voices, const rill_tracker_settings *settings,
                               rill_error *why) {
    double least = rill_tracker_least_latency(voices, settings->overhead_seconds);
    double most = settings->overhead_seconds + RILL_TRACKER_MAX_WAIT * voices->step_seconds;
    if (!(settings->overhead_seconds >= 0 && settings->overhead_seconds < 10))
        return rill_fail(why, RILL_BAD_ARGUMENT, "an overhead of %g s cannot be", settings->overhead_seconds);
    if (!(settings->latency_seconds >= least && settings->latency_seconds <= most))
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "latency %g s: this model needs %.2f s and uses at most %.2f s",
                         settings->latency_seconds, ceil(100 * least) / 100, floor(100 * most) / 100);
    if (settings->max_speakers < 1 || settings->max_speakers > RILL_TRACKER_MAX_SPEAKERS)
        return rill_fail(why, RILL_BAD_ARGUMENT, "%zu speakers: between 1 and %d can be told apart",
                         settings->max_speakers, RILL_TRACKER_MAX_SPEAKERS);
    if (isinf(settings->threshold))
        return rill_fail(why, RILL_BAD_ARGUMENT, "the threshold must be a number");
    return RILL_OK;
}

static size_t round_up(size_t size) {
    return (size + RILL_STATE_ALIGNMENT - 1) / RILL_STATE_ALIGNMENT * RILL_STATE_ALIGNMENT;
}

/* base NULL: only the size is wanted. */
static void *take(unsigned char *base, size_t *used, size_t size) {
    void *here = base ? base + *used : NULL;
    *used += round_up(size);
    return here;
}

size_t rill_tracker_carve(const rill_voice_model *voices, size_t ring, void *bytes, rill_tracker_parts *to) {
    const size_t d = voices->dim * sizeof(float), e = voices->embedding_dim * sizeof(float);
    const size_t speakers = RILL_TRACKER_MAX_SPEAKERS, chunks = voices->memory_chunks;
    unsigned char *base = bytes;
    size_t used = round_up(sizeof(rill_tracker_state));
    to->embeddings = take(base, &used, ring * e);
    to->steps = take(base, &used, ring * d);
    to->logits = take(base, &used, ring * sizeof(float));
    to->weights = take(base, &used, ring * sizeof(float));
    to->overlap = take(base, &used, ring * sizeof(float));
    to->likelihood = take(base, &used, ring * speakers * sizeof(float));
    to->voices = take(base, &used, speakers * d);
    to->sums = take(base, &used, speakers * d);
    to->heard = take(base, &used, speakers * e);
    to->room = take(base, &used, d);
    to->turn_heard = take(base, &used, RILL_TRACKER_AT_ONCE * e);
    to->open_heard = take(base, &used, e);
    to->open_sums = take(base, &used, d);
    to->memory.capacity = chunks;
    to->memory.count = base ? &((rill_tracker_state *)bytes)->chunks_count : NULL;
    to->memory.chunks = take(base, &used, chunks * sizeof(rill_chunk));
    to->memory.heard = take(base, &used, chunks * e);
    to->memory.sums = take(base, &used, chunks * d);
    to->memory.shifted = take(base, &used, chunks * d);
    to->memory.gain = take(base, &used, chunks * chunks * sizeof(float));
    to->memory.bond = take(base, &used, chunks * chunks * sizeof(float));
    to->memory.alone = take(base, &used, chunks * sizeof(float));
    to->memory.weight = take(base, &used, chunks * sizeof(float));
    to->memory.partner = take(base, &used, chunks * sizeof(uint32_t));
    to->memory.owner = take(base, &used, chunks * sizeof(uint32_t));
    to->memory.group = take(base, &used, chunks * sizeof(uint32_t));
    return used;
}

size_t rill_tracker_size(const rill_voice_model *voices, const rill_tracker_settings *settings) {
    rill_tracker_parts unused;
    return rill_tracker_carve(voices, rill_tracker_ring_steps(voices, settings), NULL, &unused);
}

void rill_tracker_init(const rill_voice_model *voices, const rill_tracker_settings *settings, void *bytes) {
    memset(bytes, 0, rill_tracker_size(voices, settings));
    rill_tracker_state *self = bytes;
    self->settings.latency_seconds = settings->latency_seconds;
    self->settings.overhead_seconds = settings->overhead_seconds;
    self->settings.threshold = isnan(settings->threshold) ? (double)voices->threshold : settings->threshold;
    self->settings.max_speakers = settings->max_speakers;
    self->step_seconds = voices->step_seconds;
    self->ease = voices->threshold - (float)self->settings.threshold;
    self->wait = (size_t)rill_tracker_wait_steps(voices, settings);
    self->ring = rill_tracker_ring_steps(voices, settings);
    self->next_number = self->next_chunk = 1;
    self->unknown_belief = 1;
}

void rill_tracker_reset(const rill_voice_model *voices, void *bytes) {
    rill_tracker_settings settings = ((rill_tracker_state *)bytes)->settings;
    rill_tracker_init(voices, &settings, bytes);
}

/* Mean of values [ring] over reach steps before and after step, as far as they are there. */
static float mean_around(const rill_tracker_state *self, const float *values, uint64_t step, size_t reach) {
    uint64_t from = step > reach ? step - reach : 0, end = step + reach + 1;
    if (end > self->heard) end = self->heard;
    float sum = 0;
    for (uint64_t i = from; i < end; i++) sum += values[i % self->ring];
    return sum / (float)(end - from);
}

/* Whether values, in the mean over reach steps on both sides, say that something runs at step. It begins
 * above begin, and while it runs it ends at hold: both only when it is so in the mean of the steady steps
 * that follow as well, as far as they have been heard with their reach; so that a turn is not cut, nor told,
 * for a moment. */
static bool runs(const rill_voice_model *voices, const rill_tracker_state *self, const float *values,
                 uint64_t step, size_t reach, bool running, float begin, float hold) {
    const float bound = running ? hold : begin, here = mean_around(self, values, step, reach);
    if ((here > bound) == running) return running;
    float sum = here, count = 1;
    for (uint64_t q = step + 1; q <= step + voices->steady && q + reach < self->heard; q++, count++)
        sum += mean_around(self, values, q, reach);
    return sum / count > bound;
}

/* Speech that runs is held by less than what begins it: a turn is not cut where it grows faint. */
static bool is_speech(const rill_voice_model *voices, const rill_tracker_state *self,
                      const rill_tracker_parts *at, uint64_t step) {
    return runs(voices, self, at->logits, step, voices->speech_reach, self->speaking,
                voices->speech_threshold, voices->speech_hold);
}

/* Whether two speak, one of them longer: who is told at the same time must have begun or will go on. */
static bool is_overlap(const rill_voice_model *voices, const rill_tracker_state *self,
                       const rill_tracker_parts *at, uint64_t step) {
    return runs(voices, self, at->overlap, step, voices->overlap_reach, self->turns[1].speaker != RILL_NOBODY,
                voices->overlap_threshold, voices->overlap_hold);
}

/* The calibrated probability that a step's label is right. */
static float score_of(const rill_voice_model *voices, float posterior, double count, bool unknown) {
    double p = fmin(fmax((double)posterior, 0.01), 0.999);
    double sum = voices->score_offset + voices->score_posterior * log(p / (1 - p)) +
                 voices->score_age * log1p(count * voices->step_seconds) + (unknown ? voices->score_new : 0);
    return (float)(1 / (1 + exp(-sum)));
}

/* The recent share of each speaker takes a step in: about the last half minute. */
static void remember_who(const rill_voice_model *voices, rill_tracker_state *self,
                         const rill_told told[RILL_TRACKER_AT_ONCE]) {
    const float rate = (float)(voices->step_seconds / 30);
    for (size_t k = 0; k < self->speakers_count; k++) {
        rill_known_speaker *known = &self->speakers[k];
        const bool spoke = known->number == told[0].speaker || known->number == told[1].speaker;
        known->recent += rate * ((float)spoke - known->recent);
    }
}

static void decide_step(const rill_voice_model *voices, rill_tracker_state *self, rill_tracker_parts *at) {
    const uint64_t step = self->decided;
    const size_t slot = rill_tracker_slot(voices, self, step);
    const bool speech = is_speech(voices, self, at, step);
    /* a step after the chunk came in, which may have cost as much */
    if (self->fresh_chunks >= voices->regroup_chunks && self->chunks_count > 1)
        rill_tracker_regroup(voices, self, at);
    const rill_decision decision = rill_tracker_decide(voices, self, at, step, speech);
    const bool unknown = decision.who == self->speakers_count;
    const bool overlap = speech && is_overlap(voices, self, at, step);
    rill_told told[RILL_TRACKER_AT_ONCE] = {{RILL_NOBODY, 0}, {RILL_NOBODY, 0}};
    self->speaking = speech;
    self->pause = speech ? 0 : self->pause + 1;
    if (speech && unknown) {
        if (self->provisional == RILL_NOBODY) self->provisional = rill_tracker_take_number(self, &at->memory);
        if (self->pending == RILL_NOBODY) self->pending = self->provisional, self->pending_steps = 0;
        self->pending_steps++;
        told[0].speaker = self->pending;
        told[0].score = score_of(voices, decision.posterior, (double)self->pending_steps, true);
    } else if (speech) {
        const rill_known_speaker *known = &self->speakers[decision.who];
        told[0].speaker = known->number;
        told[0].score = score_of(voices, decision.posterior, (double)known->count, false);
        self->pending = RILL_NOBODY;
    } else if (self->pause > voices->pause_steps) {
        self->pending = RILL_NOBODY;
    }
    if (overlap && told[0].speaker != RILL_NOBODY && decision.second < self->speakers_count) {
        const rill_known_speaker *known = &self->speakers[decision.second];
        told[1].speaker = known->number;
        told[1].score = score_of(voices, decision.second_posterior, (double)known->count, false);
    }
    rill_tracker_tell_step(voices, self, at, step, slot, told);
    remember_who(voices, self, told);
    /* two voices at once teach neither */
    rill_tracker_remember(voices, self, at, step, slot, told[0].speaker, overlap ? -1 : decision.posterior);
    self->decided++;
    if (speech && unknown && self->pending_steps >= voices->birth_steps)
        rill_tracker_give_birth(voices, self, at);
    rill_tracker_tell_corrections(voices, self, at, TOLD_EACH, 2);
}

bool rill_tracker_is_usable(size_t count, const float *embedding, float logit) {
    double norm = 0;
    for (size_t i = 0; i < count; i++) norm += (double)embedding[i] * (double)embedding[i];
    return isfinite(logit) && isfinite(norm) && norm > 1e-12 && norm < 1e12;
}

void rill_tracker_step(const rill_voice_model *voices, void *bytes, const float *embedding,
                       float speech_logit, float overlap_logit) {
    rill_tracker_state *self = bytes;
    rill_tracker_parts at;
    rill_tracker_carve(voices, self->ring, bytes, &at);
    const size_t slot = (size_t)(self->heard % self->ring);
    float *kept = at.embeddings + slot * voices->embedding_dim, *x = at.steps + slot * voices->dim;
    if (rill_tracker_is_usable(voices->embedding_dim, embedding, speech_logit)) {
        memcpy(kept, embedding, voices->embedding_dim * sizeof *kept);
        rill_voice_project(voices, embedding, x);
        at.weights[slot] = speech_logit > -voices->speech_clip ? 1 / (1 + expf(-speech_logit)) : 0;
        at.logits[slot] = fmaxf(-voices->speech_clip, fminf(voices->speech_clip, speech_logit));
    } else {
        memset(kept, 0, voices->embedding_dim * sizeof *kept);
        memset(x, 0, voices->dim * sizeof *x);
        at.weights[slot] = 0;
        at.logits[slot] = -voices->speech_clip;
    }
    /* minus infinity where the model cannot tell: then it never is */
    at.overlap[slot] = overlap_logit >= -voices->speech_clip ? fminf(voices->speech_clip, overlap_logit)
                                                             : -voices->speech_clip;
    rill_tracker_find_likelihood(voices, self, &at, slot);
    self->heard++;
    if (self->heard > self->wait) decide_step(voices, self, &at);
}

void rill_tracker_finish(const rill_voice_model *voices, void *bytes, double end_seconds) {
    rill_tracker_state *self = bytes;
    rill_tracker_parts at;
    rill_tracker_carve(voices, self->ring, bytes, &at);
    size_t before = self->events_count;
    while (self->decided < self->heard) decide_step(voices, self, &at);
    rill_tracker_end_turns(voices, self, &at, self->decided);
    rill_tracker_tell_corrections(voices, self, &at, RILL_TRACKER_QUEUE - self->events_count, 0);
    for (size_t i = before; i < self->events_count; i++) {
        rill_event *event = &self->events[(self->events_first + i) % RILL_TRACKER_QUEUE];
        event->end = fmin(event->end, end_seconds);
        event->start = fmin(event->start, event->end);
        event->decided_at = end_seconds;
    }
}
