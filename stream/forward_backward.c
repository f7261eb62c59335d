/* SPDX-License-Identifier: MIT */
/* Who speaks: a hidden Markov chain over the known speakers and one unknown voice (after Landini et al. 2020,
 * arXiv 2012.14952), decided from what was heard before and after. */
#include "tracker_state.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* The chain's candidates at a decision: the known speakers, then the unknown voice while there is room for
 * one. */
typedef struct candidates {
    size_t known;
    bool room_left;
    float newcomer; /* weight of a change to the unknown voice, against 1 to a known one */
    float choices;  /* sum of these weights */
} candidates;

size_t rill_tracker_slot(const rill_voice_model *voices, const rill_tracker_state *self, uint64_t step) {
    const uint64_t last = self->heard - 1, seen = step + voices->embedding_delay;
    return (size_t)((seen < last ? seen : last) % self->ring);
}

/* unknown [end − step + 1]: the unknown voice's log-likelihood of each step from step to end, its share of
 * the evidence for one voice from there on. sums [dim]: the sum of these steps; returns their count, both
 * weighted. */
static float find_unknown(const rill_voice_model *voices, const rill_tracker_state *self,
                          const rill_tracker_parts *at, uint64_t step, uint64_t end, float *unknown,
                          float *sums) {
    float count = 0;
    memset(sums, 0, voices->dim * sizeof *sums);
    for (uint64_t q = end + 1; q-- > step;) {
        const size_t slot = rill_tracker_slot(voices, self, q);
        const float weight = at->weights[slot];
        for (size_t d = 0; d < voices->dim; d++)
            sums[d] += weight * (at->steps[slot * voices->dim + d] - at->room[d]);
        count += weight;
        unknown[q - step] =
            weight / fmaxf(count, 1e-3F) *
            rill_voice_evidence(voices, voices->decision_scale, voices->decision_log, count, sums);
    }
    return count;
}

/* Whose voice it is that looks unknown: the known speaker of whom what is ahead, count steps with the sum
 * ahead [dim], is the best evidence, or speakers_count when that is not enough. The grouping of the memory
 * would ask the same after its birth, and take back a label that has been told. */
static size_t recognise(const rill_voice_model *voices, const rill_tracker_state *self,
                        const rill_tracker_parts *at, float count, const float *ahead) {
    float own[RILL_VOICE_MAX_DIM], best = voices->recognition_evidence - self->ease;
    size_t who = self->speakers_count;
    for (size_t k = 0; k < self->speakers_count; k++) {
        const float *sums = at->sums + k * voices->dim, heard = self->speakers[k].count;
        for (size_t d = 0; d < voices->dim; d++) own[d] = sums[d] - heard * at->room[d];
        const float likeness = rill_voice_likeness(voices, heard, own, count, ahead);
        if (likeness >= best) best = likeness, who = k;
    }
    return who;
}

/* The largest log-likelihood of a step, so that exponentials of differences stay in range. */
static float most_likely(const candidates *of, const float *likelihood, float unknown) {
    float most = of->room_left ? unknown : likelihood[0];
    for (size_t k = 0; k < of->known; k++) most = fmaxf(most, likelihood[k]);
    return most;
}

/* Backward: ahead [known + 1] ∝ p(what is heard after step up to end | who speaks at step). */
static void look_ahead(const rill_voice_model *voices, const rill_tracker_state *self,
                       const rill_tracker_parts *at, const candidates *of, uint64_t step, uint64_t end,
                       const float *unknown, float *ahead) {
    const size_t known = of->known;
    for (size_t k = 0; k <= known; k++) ahead[k] = 1;
    for (uint64_t q = end; q > step; q--) {
        const float *likelihood =
            at->likelihood + rill_tracker_slot(voices, self, q) * RILL_TRACKER_MAX_SPEAKERS;
        const float most = most_likely(of, likelihood, unknown[q - step]);
        float all = 0, largest = 0;
        for (size_t k = 0; k < known; k++) {
            ahead[k] *= expf(likelihood[k] - most);
            all += ahead[k];
        }
        ahead[known] = of->room_left ? ahead[known] * expf(unknown[q - step] - most) : 0;
        all = voices->change_rate * (all + of->newcomer * ahead[known]) / of->choices;
        for (size_t k = 0; k <= known; k++) {
            ahead[k] = (1 - voices->change_rate) * ahead[k] + all;
            largest = fmaxf(largest, ahead[k]);
        }
        for (size_t k = 0; k <= known; k++) ahead[k] /= largest;
    }
}

/* Forward: the speakers' belief and unknown_belief take step in; change is the chance that somebody else
 * speaks than before. */
static void look_back(rill_tracker_state *self, const candidates *of, float change, const float *likelihood,
                      float unknown) {
    const float most = most_likely(of, likelihood, unknown);
    float before = self->unknown_belief, total = 0;
    for (size_t k = 0; k < of->known; k++) before += self->speakers[k].belief;
    for (size_t k = 0; k < of->known; k++) {
        float belief = (1 - change) * self->speakers[k].belief / before + change / of->choices;
        self->speakers[k].belief = belief * expf(likelihood[k] - most);
        total += self->speakers[k].belief;
    }
    float belief = (1 - change) * self->unknown_belief / before + change * of->newcomer / of->choices;
    self->unknown_belief = of->room_left ? belief * expf(unknown - most) : 0;
    total += self->unknown_belief;
    for (size_t k = 0; k < of->known; k++) self->speakers[k].belief /= total;
    self->unknown_belief /= total;
}

/* Whether candidate k is who the running turn is told of. */
static bool holds_turn(const rill_tracker_state *self, size_t known, size_t k) {
    if (self->turns[0].speaker == RILL_NOBODY) return false;
    return self->turns[0].speaker == (k < known ? self->speakers[k].number : self->pending);
}

/* Who speaks beside who: as likely as its voice makes it, to a power, as it is a mixture that was heard; and
 * as likely as it spoke of late. */
static void find_second(const rill_voice_model *voices, const rill_tracker_state *self, const float *ahead,
                        rill_decision *made) {
    float best = 0, all = 0;
    made->second = SIZE_MAX;
    for (size_t k = 0; k < self->speakers_count; k++) {
        const rill_known_speaker *known = &self->speakers[k];
        if (k == made->who) continue;
        const float both = ahead[k] * known->belief;
        const float weighed = powf(both + 1e-12F, voices->overlap_voice) * (known->recent + 1e-3F);
        all += weighed;
        if (weighed > best) best = weighed, made->second = k;
    }
    made->second_posterior = all > 0 ? best / all : 0;
}

rill_decision rill_tracker_decide(const rill_voice_model *voices, rill_tracker_state *self,
                                  const rill_tracker_parts *at, uint64_t step, bool speech) {
    const bool room_left =
        self->speakers_count < self->settings.max_speakers &&
        (self->provisional != RILL_NOBODY || rill_tracker_free_number(self, &at->memory) != RILL_NOBODY);
    const float cost = fmaxf(-60, fminf(60, voices->newcomer_cost + self->ease));
    const float newcomer = room_left ? expf(-cost) : 0.0F;
    const candidates of = {self->speakers_count, room_left, newcomer, (float)self->speakers_count + newcomer};
    const uint64_t last = self->heard - 1;
    uint64_t end = last >= step + voices->embedding_delay ? last - voices->embedding_delay : step;
    if (end > step + voices->lookahead) end = step + voices->lookahead;
    float unknown[RILL_TRACKER_MAX_WAIT + 1], ahead[RILL_TRACKER_MAX_SPEAKERS + 1], sums[RILL_VOICE_MAX_DIM];
    const float count = find_unknown(voices, self, at, step, end, unknown, sums);
    look_ahead(voices, self, at, &of, step, end, unknown, ahead);
    look_back(self, &of, speech ? voices->change_rate : voices->pause_change_rate,
              at->likelihood + rill_tracker_slot(voices, self, step) * RILL_TRACKER_MAX_SPEAKERS, unknown[0]);
    size_t who = of.known;
    float best = 0, chosen = 0, all = 0;
    for (size_t k = 0; k <= of.known; k++) {
        const float both = ahead[k] * (k < of.known ? self->speakers[k].belief : self->unknown_belief);
        const float weighed = holds_turn(self, of.known, k) ? both * voices->change_odds : both;
        all += both;
        if (weighed > best || (k == of.known && room_left && weighed >= best))
            best = weighed, chosen = both, who = k;
    }
    if (who == of.known && speech && self->pending == RILL_NOBODY) {
        who = recognise(voices, self, at, count, sums);
        chosen = ahead[who] * (who < of.known ? self->speakers[who].belief : self->unknown_belief);
    }
    rill_decision made = {.who = who, .posterior = all > 0 ? chosen / all : 0};
    find_second(voices, self, ahead, &made);
    return made;
}
