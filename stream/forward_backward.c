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

/* Whose voice it is that looks unknown: the known speaker of whom what was heard of it, count steps with the
 * sum heard [dim], is the best evidence, or speakers_count when that is not enough. The grouping of the
 * memory would ask the same after its birth, and take back a label that has been told. Of the holder of the
 * turn less is asked, recognition_hold: who was recognised a step ago still is. */
static size_t recognise(const rill_voice_model *voices, const rill_tracker_state *self,
                        const rill_tracker_parts *at, float count, const float *heard, size_t holder) {
    float own[RILL_VOICE_MAX_DIM], best = voices->recognition_evidence - self->ease;
    size_t who = self->speakers_count;
    for (size_t k = 0; k < self->speakers_count; k++) {
        const float *sums = at->sums + k * voices->dim, known = self->speakers[k].count;
        for (size_t d = 0; d < voices->dim; d++) own[d] = sums[d] - known * at->room[d];
        const float likeness = rill_voice_likeness(voices, known, own, count, heard) +
                               (k == holder ? voices->recognition_hold : 0);
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

/* Backward: ahead[i] [known + 1] ∝ p(what is heard after step + i up to end | who speaks at step + i), for
 * the steps from step to steady. */
static void look_ahead(const rill_voice_model *voices, const rill_tracker_state *self,
                       const rill_tracker_parts *at, const candidates *of, uint64_t step, uint64_t steady,
                       uint64_t end, const float *unknown, float (*ahead_of)[RILL_TRACKER_MAX_SPEAKERS + 1]) {
    const size_t known = of->known;
    float *ahead = ahead_of[steady - step];
    for (size_t k = 0; k <= known; k++) ahead[k] = 1;
    for (uint64_t q = end; q > step; q--) {
        if (q <= steady) {
            memcpy(ahead_of[q - 1 - step], ahead, (known + 1) * sizeof *ahead);
            ahead = ahead_of[q - 1 - step];
        }
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

/* Forward: belief [known + 1], the unknown voice's last, takes a step in; change is the chance that somebody
 * else speaks than before. */
static void look_back(const candidates *of, float change, const float *likelihood, float unknown,
                      float *belief) {
    const size_t known = of->known;
    const float most = most_likely(of, likelihood, unknown);
    float before = 0, total = 0;
    for (size_t k = 0; k <= known; k++) before += belief[k];
    for (size_t k = 0; k < known; k++) {
        belief[k] = ((1 - change) * belief[k] / before + change / of->choices) * expf(likelihood[k] - most);
        total += belief[k];
    }
    belief[known] = (1 - change) * belief[known] / before + change * of->newcomer / of->choices;
    belief[known] = of->room_left ? belief[known] * expf(unknown - most) : 0;
    total += belief[known];
    for (size_t k = 0; k <= known; k++) belief[k] /= total;
}

/* belief [known + 1] from what the speakers keep, or back to them. */
static void load_belief(const rill_tracker_state *self, float *belief) {
    for (size_t k = 0; k < self->speakers_count; k++) belief[k] = self->speakers[k].belief;
    belief[self->speakers_count] = self->unknown_belief;
}

static void keep_belief(rill_tracker_state *self, const float *belief) {
    for (size_t k = 0; k < self->speakers_count; k++) self->speakers[k].belief = belief[k];
    self->unknown_belief = belief[self->speakers_count];
}

/* posterior [known + 1] of one step from its belief and what is ahead of it. */
static void find_posterior(size_t known, const float *belief, const float *ahead, float *posterior) {
    float all = 0;
    for (size_t k = 0; k <= known; k++) all += posterior[k] = belief[k] * ahead[k];
    for (size_t k = 0; k <= known; k++) posterior[k] = all > 0 ? posterior[k] / all : 0;
}

/* Who holds the running turn: a speaker's index, known for the unknown voice, or SIZE_MAX. */
static size_t find_holder(const rill_tracker_state *self) {
    const uint32_t number = self->turns[0].speaker;
    if (number == RILL_NOBODY) return SIZE_MAX;
    for (size_t k = 0; k < self->speakers_count; k++)
        if (self->speakers[k].number == number) return k;
    return number == self->pending ? self->speakers_count : SIZE_MAX;
}

/* The likeliest of values [known + 1], the holder's counting odds times as much; a tie is the unknown
 * voice's. */
static size_t find_best(const candidates *of, const float *values, size_t holder, float odds) {
    size_t who = of->known;
    float best = 0;
    for (size_t k = 0; k <= of->known; k++) {
        const float weighed = k == holder ? values[k] * odds : values[k];
        if (weighed > best || (k == of->known && of->room_left && weighed >= best)) best = weighed, who = k;
    }
    return who;
}

/* Who speaks beside who: as likely as its voice makes it, to a power, as it is a mixture that was heard; and
 * as likely as it spoke of late. Who is told second already stays so unless another is change_odds as likely.
 */
static void find_second(const rill_voice_model *voices, const rill_tracker_state *self, const float *belief,
                        const float *ahead, rill_decision *made) {
    float best = 0, chosen = 0, all = 0;
    made->second = SIZE_MAX;
    for (size_t k = 0; k < self->speakers_count; k++) {
        const rill_known_speaker *known = &self->speakers[k];
        if (k == made->who) continue;
        const float likely =
            powf(ahead[k] * belief[k] + 1e-12F, voices->overlap_voice) * (known->recent + 1e-3F);
        const float weighed = known->number == self->turns[1].speaker ? likely * voices->change_odds : likely;
        all += likely;
        if (weighed > best) best = weighed, chosen = likely, made->second = k;
    }
    made->second_posterior = all > 0 ? chosen / all : 0;
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
    const uint64_t steady = end < step + voices->steady ? end : step + voices->steady;
    float unknown[RILL_TRACKER_MAX_WAIT + 1], sums[RILL_VOICE_MAX_DIM];
    float ahead[RILL_TRACKER_MAX_STEADY + 1][RILL_TRACKER_MAX_SPEAKERS + 1];
    float belief[RILL_TRACKER_MAX_SPEAKERS + 1], posterior[RILL_TRACKER_MAX_SPEAKERS + 1],
        stretch[RILL_TRACKER_MAX_SPEAKERS + 1];
    float count = find_unknown(voices, self, at, step, end, unknown, sums);
    look_ahead(voices, self, at, &of, step, steady, end, unknown, ahead);
    load_belief(self, belief);
    look_back(&of, speech ? voices->change_rate : voices->pause_change_rate,
              at->likelihood + rill_tracker_slot(voices, self, step) * RILL_TRACKER_MAX_SPEAKERS, unknown[0],
              belief);
    keep_belief(self, belief);
    find_posterior(of.known, belief, ahead[0], posterior);
    rill_decision made = {.who = 0};
    /* The same for the steps that follow at once: what the step alone seems to say, they may not. */
    memcpy(stretch, posterior, (of.known + 1) * sizeof *stretch);
    for (uint64_t q = step + 1; q <= steady; q++) {
        float here[RILL_TRACKER_MAX_SPEAKERS + 1];
        look_back(&of, voices->change_rate,
                  at->likelihood + rill_tracker_slot(voices, self, q) * RILL_TRACKER_MAX_SPEAKERS,
                  unknown[q - step], belief);
        find_posterior(of.known, belief, ahead[q - step], here);
        for (size_t k = 0; k <= of.known; k++) stretch[k] += here[k];
    }
    const size_t holder = find_holder(self);
    made.who = find_best(&of, posterior, holder, voices->change_odds);
    if (made.who != holder) made.who = find_best(&of, stretch, holder, voices->change_odds);
    if (made.who == of.known && speech) {
        /* what is ahead, and of a voice that has been unknown for a while its steps so far */
        if (self->open_steps && self->open.label == self->pending) {
            for (size_t d = 0; d < voices->dim; d++)
                sums[d] += at->open_sums[d] - self->open.count * at->room[d];
            count += self->open.count;
        }
        made.who = recognise(voices, self, at, count, sums, holder);
    }
    made.posterior = posterior[made.who];
    load_belief(self, belief);
    find_second(voices, self, belief, ahead[0], &made);
    return made;
}
