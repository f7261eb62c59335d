/* SPDX-License-Identifier: MIT */
/* Steps to turns: who speaks is a hidden Markov chain over the known speakers and one unknown voice, decided
 * a fixed number of steps late from what was heard before and after; what is decided fills the memory of
 * voices, which is grouped afresh now and then and gives the speakers their voices back. */
#include <math.h>
#include <stdalign.h>
#include <string.h>

#include "failure.h"
#include "voice_memory.h"

#define MAX_WAIT 250 /* steps */
#define QUEUE    640 /* events: MAX_WAIT steps may start and end a turn each, and 128 remain */
#define TOLD_EACH                                                                                            \
    4 /* corrections a step at most: with END and START fewer than RILL_TRACKER_EVENTS_PER_STEP */

typedef struct speaker {
    uint32_t number;
    uint32_t enrolled, speaking;
    char name[RILL_NAME_SIZE];
    uint64_t talk_steps;
    float score, cosine;
    float count;  /* steps its voice stands on */
    float offset; /* ½ Σ (voice² + its variance): voice · x − offset is the log-likelihood of a step x */
    float belief; /* that it speaks now, given all up to the step decided last; sums to 1 with unknown's */
} speaker;

/* The beginning of a tracker's memory; floats and the memory of voices follow, see carve. */
typedef struct tracker {
    rill_tracker_settings settings;
    double step_seconds;
    float ease;        /* the user's threshold over the model's: known voices must be so much more alike */
    size_t wait, ring; /* steps */
    uint64_t heard, decided; /* steps */
    size_t speakers_count;
    uint32_t next_number, next_chunk;
    float unknown_belief;
    uint32_t pending;     /* the number that the unknown voice was told under, or RILL_NOBODY */
    size_t pending_steps; /* of speech */
    size_t pause;         /* steps since the last speech */
    /* the turn that is being told */
    uint32_t turn;
    uint64_t turn_start;
    double turn_score; /* sum over its steps */
    /* the chunk that is being filled */
    rill_chunk open;
    size_t open_steps;
    uint32_t link;       /* the chunk number that the next chunk goes on from */
    size_t fresh_chunks; /* since the last grouping */
    size_t chunks_count;
    size_t events_first, events_count;
    rill_event events[QUEUE];
    speaker speakers[RILL_TRACKER_MAX_SPEAKERS];
} tracker;

/* Where the parts lie that depend on the model's sizes. */
typedef struct parts {
    float *embeddings; /* [ring][embedding_dim] */
    float *steps;      /* [ring][dim] projected */
    float *logits;     /* [ring] clipped */
    float *weights;    /* [ring] probability of speech */
    float *likelihood; /* [ring][RILL_TRACKER_MAX_SPEAKERS] log, a step as decision_scale */
    float *voices;     /* [RILL_TRACKER_MAX_SPEAKERS][dim] posterior mean of the speaker, room subtracted */
    float *sums;       /* [RILL_TRACKER_MAX_SPEAKERS][dim] */
    float *heard;      /* [RILL_TRACKER_MAX_SPEAKERS][embedding_dim] */
    float *room;       /* [dim] */
    float *turn_heard; /* [embedding_dim] */
    float *open_heard; /* [embedding_dim] */
    float *open_sums;  /* [dim] */
    rill_memory memory;
} parts;

static size_t round_up(size_t size) {
    return (size + RILL_STATE_ALIGNMENT - 1) / RILL_STATE_ALIGNMENT * RILL_STATE_ALIGNMENT;
}

/* base NULL: only the size is wanted. */
static void *take(unsigned char *base, size_t *used, size_t size) {
    void *here = base ? base + *used : NULL;
    *used += round_up(size);
    return here;
}

static size_t carve(const rill_voice_model *voices, size_t ring, void *bytes, parts *to) {
    const size_t d = voices->dim * sizeof(float), e = voices->embedding_dim * sizeof(float);
    const size_t speakers = RILL_TRACKER_MAX_SPEAKERS, chunks = voices->memory_chunks;
    unsigned char *base = bytes;
    size_t used = round_up(sizeof(tracker));
    to->embeddings = take(base, &used, ring * e);
    to->steps = take(base, &used, ring * d);
    to->logits = take(base, &used, ring * sizeof(float));
    to->weights = take(base, &used, ring * sizeof(float));
    to->likelihood = take(base, &used, ring * speakers * sizeof(float));
    to->voices = take(base, &used, speakers * d);
    to->sums = take(base, &used, speakers * d);
    to->heard = take(base, &used, speakers * e);
    to->room = take(base, &used, d);
    to->turn_heard = take(base, &used, e);
    to->open_heard = take(base, &used, e);
    to->open_sums = take(base, &used, d);
    to->memory.capacity = chunks;
    to->memory.count = base ? &((tracker *)bytes)->chunks_count : NULL;
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

/* --- settings --- */

static double wait_steps(const rill_voice_model *voices, const rill_tracker_settings *settings) {
    return floor((settings->latency_seconds - settings->overhead_seconds) / voices->step_seconds - 1e-6);
}

static size_t ring_steps(const rill_voice_model *voices, const rill_tracker_settings *settings) {
    return (size_t)wait_steps(voices, settings) + voices->speech_reach + 1;
}

double rill_tracker_least_latency(const rill_voice_model *voices, double overhead_seconds) {
    return overhead_seconds + ((double)voices->embedding_delay + 2.001) * voices->step_seconds;
}

rill_status rill_tracker_check(const rill_voice_model *voices, const rill_tracker_settings *settings,
                               rill_error *why) {
    double least = rill_tracker_least_latency(voices, settings->overhead_seconds);
    double most = settings->overhead_seconds + MAX_WAIT * voices->step_seconds;
    if (!(settings->overhead_seconds >= 0 && settings->overhead_seconds < 10))
        return rill_fail(why, RILL_BAD_ARGUMENT, "an overhead of %g s cannot be", settings->overhead_seconds);
    if (!(settings->latency_seconds >= least && settings->latency_seconds <= most))
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "latency %g s: this model needs %.2f s and uses at most %.2f s",
                         settings->latency_seconds, least, most);
    if (settings->max_speakers < 1 || settings->max_speakers > RILL_TRACKER_MAX_SPEAKERS)
        return rill_fail(why, RILL_BAD_ARGUMENT, "%zu speakers: between 1 and %d can be told apart",
                         settings->max_speakers, RILL_TRACKER_MAX_SPEAKERS);
    if (isinf(settings->threshold))
        return rill_fail(why, RILL_BAD_ARGUMENT, "the threshold must be a number");
    return RILL_OK;
}

size_t rill_tracker_size(const rill_voice_model *voices, const rill_tracker_settings *settings) {
    parts unused;
    return carve(voices, ring_steps(voices, settings), NULL, &unused);
}

void rill_tracker_init(const rill_voice_model *voices, const rill_tracker_settings *settings, void *bytes) {
    memset(bytes, 0, rill_tracker_size(voices, settings));
    tracker *self = bytes;
    self->settings.latency_seconds = settings->latency_seconds;
    self->settings.overhead_seconds = settings->overhead_seconds;
    self->settings.threshold = isnan(settings->threshold) ? (double)voices->threshold : settings->threshold;
    self->settings.max_speakers = settings->max_speakers;
    self->step_seconds = voices->step_seconds;
    self->ease = voices->threshold - (float)self->settings.threshold;
    self->wait = (size_t)wait_steps(voices, settings);
    self->ring = ring_steps(voices, settings);
    self->next_number = self->next_chunk = 1;
    self->unknown_belief = 1;
}

void rill_tracker_reset(const rill_voice_model *voices, void *bytes) {
    rill_tracker_settings settings = ((tracker *)bytes)->settings;
    rill_tracker_init(voices, &settings, bytes);
}

/* --- bytes from outside --- */

static bool is_within(size_t count, const float *values, float least, float most) {
    bool within = true;
    for (size_t i = 0; i < count; i++) within &= values[i] >= least && values[i] <= most;
    return within;
}

static bool is_text(const char name[RILL_NAME_SIZE]) {
    return memchr(name, 0, RILL_NAME_SIZE) != NULL;
}

static bool has_valid_speakers(const tracker *self) {
    if (self->speakers_count > self->settings.max_speakers) return false;
    for (size_t k = 0; k < self->speakers_count; k++) {
        const speaker *one = &self->speakers[k];
        if (one->number == RILL_NOBODY || one->number >= self->next_number || !is_text(one->name) ||
            !is_within(1, &one->belief, 0, 2) || !is_within(1, &one->count, 0, 1e9F) ||
            !isfinite(one->offset))
            return false;
        for (size_t j = 0; j < k; j++)
            if (self->speakers[j].number == one->number) return false;
    }
    return true;
}

/* A chunk's count chooses a row of a table; a memory of enrolled voices alone could never make room. */
static bool has_valid_memory(const tracker *self, const rill_memory *memory) {
    size_t enrolled = 0;
    if (self->chunks_count > memory->capacity || !is_within(1, &self->open.count, 0, 1e9F)) return false;
    for (size_t i = 0; i < self->chunks_count; i++) {
        if (!is_within(1, &memory->chunks[i].count, 0, 1e9F)) return false;
        enrolled += memory->chunks[i].enrolled != 0;
    }
    return 2 * enrolled <= memory->capacity + 1;
}

static bool has_valid_queue(const tracker *self) {
    if (self->events_first >= QUEUE || self->events_count > QUEUE) return false;
    for (size_t i = 0; i < QUEUE; i++)
        if (!is_text(self->events[i].name)) return false;
    return true;
}

bool rill_tracker_valid(const rill_voice_model *voices, const rill_tracker_settings *settings,
                        const void *bytes) {
    const tracker *self = bytes;
    const size_t wait = (size_t)wait_steps(voices, settings);
    const double threshold = isnan(settings->threshold) ? (double)voices->threshold : settings->threshold;
    if (self->settings.latency_seconds != settings->latency_seconds ||
        self->settings.overhead_seconds != settings->overhead_seconds ||
        self->settings.max_speakers != settings->max_speakers || self->settings.threshold != threshold ||
        self->step_seconds != voices->step_seconds || self->wait != wait ||
        self->ring != ring_steps(voices, settings) || self->heard > UINT64_MAX / 2 ||
        self->decided != (self->heard > wait ? self->heard - wait : 0) ||
        (self->turn != RILL_NOBODY && self->turn_start >= self->decided))
        return false;
    parts at;
    carve(voices, self->ring, (void *)(uintptr_t)bytes, &at); /* nothing is written */
    return has_valid_speakers(self) && has_valid_memory(self, &at.memory) && has_valid_queue(self) &&
           is_within(1, &self->unknown_belief, 0, 2) && is_within(self->ring, at.weights, 0, 1);
}

/* --- events --- */

static speaker *find(tracker *self, uint32_t number) {
    for (size_t k = 0; number != RILL_NOBODY && k < self->speakers_count; k++)
        if (self->speakers[k].number == number) return &self->speakers[k];
    return NULL;
}

/* --- numbers --- */

static bool is_number_in_use(tracker *self, const rill_memory *memory, uint32_t number) {
    if (number == self->pending || number == self->turn || find(self, number)) return true;
    if (self->open_steps && self->open.label == number) return true;
    for (size_t i = 0; i < *memory->count; i++)
        if (memory->chunks[i].label == number || memory->chunks[i].told == number) return true;
    return false;
}

/* The number a new label would get: the next one, then one that nothing remembered was told under;
 * RILL_NOBODY when all max_speakers are taken. However long it listens, no more labels are told than the user
 * asked for. */
static uint32_t free_number(tracker *self, const rill_memory *memory) {
    if (self->next_number <= self->settings.max_speakers) return self->next_number;
    for (uint32_t number = 1; number <= self->settings.max_speakers; number++)
        if (!is_number_in_use(self, memory, number)) return number;
    return RILL_NOBODY;
}

static uint32_t take_number(tracker *self, const rill_memory *memory) {
    uint32_t number = free_number(self, memory);
    if (number == self->next_number) self->next_number++;
    return number;
}

static double seconds(const rill_voice_model *voices, uint64_t steps) {
    return (double)steps * voices->step_seconds;
}

/* The caller polls in time (rill_tracker_has_room); an event beyond the queue would be lost, not written. */
static rill_event *tell(const rill_voice_model *voices, tracker *self, rill_event_kind kind,
                        uint32_t number) {
    static const rill_event blank;
    if (self->events_count == QUEUE) self->events_count--;
    rill_event *event = &self->events[(self->events_first + self->events_count++) % QUEUE];
    *event = blank;
    event->kind = kind;
    event->speaker = number;
    event->decided_at = self->heard ? seconds(voices, self->heard - 1) + self->settings.overhead_seconds : 0;
    const speaker *known = find(self, number);
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

static float voice_cosine(const rill_voice_model *voices, tracker *self, const parts *at, uint32_t number) {
    const speaker *known = find(self, number);
    if (!known) return 0;
    return cosine_between(voices->embedding_dim, at->turn_heard,
                          at->heard + (size_t)(known - self->speakers) * voices->embedding_dim);
}

static void end_turn(const rill_voice_model *voices, tracker *self, const parts *at, uint64_t end) {
    if (self->turn == RILL_NOBODY) return;
    speaker *known = find(self, self->turn);
    rill_event *event = tell(voices, self, RILL_EVENT_TURN, self->turn);
    event->start = seconds(voices, self->turn_start);
    event->end = seconds(voices, end);
    event->score = (float)(self->turn_score / (double)(end - self->turn_start));
    event->cosine = voice_cosine(voices, self, at, self->turn);
    if (known) known->speaking = 0, known->score = event->score, known->cosine = event->cosine;
    self->turn = RILL_NOBODY;
}

static void tell_step(const rill_voice_model *voices, tracker *self, const parts *at, uint64_t step,
                      size_t slot, uint32_t number, float score) {
    bool begins = number != self->turn;
    if (begins) {
        end_turn(voices, self, at, step);
        self->turn = number;
        self->turn_start = step;
        self->turn_score = 0;
        memset(at->turn_heard, 0, voices->embedding_dim * sizeof(float));
    }
    if (number == RILL_NOBODY) return;
    self->turn_score += (double)score;
    for (size_t i = 0; i < voices->embedding_dim; i++)
        at->turn_heard[i] += at->weights[slot] * at->embeddings[slot * voices->embedding_dim + i];
    speaker *known = find(self, number);
    if (known) known->talk_steps++, known->speaking = 1, known->score = score;
    if (begins) {
        rill_event *event = tell(voices, self, RILL_EVENT_START, number);
        event->start = seconds(voices, step);
        event->end = seconds(voices, step + 1);
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
static bool is_gone_to(tracker *self, const rill_memory *memory, uint32_t from, uint32_t to) {
    if (from == self->pending || find(self, from) || has_chunks(memory, from)) return false;
    for (size_t i = 0; i < *memory->count; i++)
        if (memory->chunks[i].told == from && memory->chunks[i].label != to) return false;
    return true;
}

/* Tells chunks whose label has changed and stayed so over two groupings. A label given up altogether is one
 * correction of everything; parts of a chunk fused from several cannot be told apart any more. */
static void tell_corrections(const rill_voice_model *voices, tracker *self, const rill_memory *memory,
                             size_t most, uint32_t settled) {
    for (size_t i = 0; i < *memory->count && most > 0; i++) {
        rill_chunk *chunk = &memory->chunks[i];
        uint32_t from = chunk->told, to = chunk->label;
        if (from == to || to == RILL_NOBODY || from == RILL_NOBODY || chunk->settled < settled) continue;
        if (self->turn == from && chunk->end > self->turn_start) continue; /* that turn is not told yet */
        bool gone = self->turn != from && is_gone_to(self, memory, from, to);
        if (gone || !chunk->fused) {
            rill_event *event = tell(voices, self, RILL_EVENT_CORRECTION, to);
            event->from_speaker = from;
            event->start = gone ? 0 : seconds(voices, chunk->first);
            event->end = gone ? seconds(voices, self->decided) : seconds(voices, chunk->end);
            const speaker *known = find(self, to);
            event->score = known ? known->score : 0;
            event->cosine = known ? known->cosine : 0;
            most--;
        }
        if (!gone) chunk->told = to;
        for (size_t j = 0; gone && j < *memory->count; j++)
            if (memory->chunks[j].told == from) memory->chunks[j].told = to;
    }
}

/* --- what is known of the voices --- */

static void find_likelihood(const rill_voice_model *voices, const tracker *self, const parts *at,
                            size_t slot) {
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
static void find_room(const rill_voice_model *voices, const tracker *self, const parts *at) {
    double precision[RILL_VOICE_MAX_DIM], sum[RILL_VOICE_MAX_DIM];
    for (size_t d = 0; d < voices->dim; d++) {
        precision[d] = 1 / fmax((double)voices->room[d], 1e-9);
        sum[d] = 0;
    }
    for (size_t k = 0; k < self->speakers_count; k++) {
        double count = (double)self->speakers[k].count;
        if (self->speakers[k].enrolled || !(count > 0)) continue;
        const float *sums = at->sums + k * voices->dim;
        for (size_t d = 0; d < voices->dim; d++) {
            double weight = 1 / ((double)voices->between[d] + 1 / (count * (double)voices->evidence_scale));
            precision[d] += weight;
            sum[d] += weight * (double)sums[d] / count;
        }
    }
    for (size_t d = 0; d < voices->dim; d++) at->room[d] = (float)(sum[d] / precision[d]);
}

static void find_voice(const rill_voice_model *voices, speaker *of, const float *sums, const float *room,
                       float *voice) {
    double offset = 0;
    for (size_t d = 0; d < voices->dim; d++) {
        float variance = voices->between[d] / (1 + of->count * voices->evidence_scale * voices->between[d]);
        voice[d] = variance * voices->evidence_scale * (sums[d] - of->count * room[d]);
        offset += (double)(voice[d] * voice[d] + variance);
    }
    of->offset = (float)(offset / 2);
}

/* Speakers' voices from their chunks; then everything that follows from them. */
static void learn(const rill_voice_model *voices, tracker *self, const parts *at) {
    const rill_memory *memory = &at->memory;
    const size_t dim = voices->dim, embedding_dim = voices->embedding_dim;
    for (size_t k = 0; k < self->speakers_count; k++) {
        speaker *known = &self->speakers[k];
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
        find_likelihood(voices, self, at, (size_t)(step % self->ring));
}

static speaker *add_speaker(tracker *self, uint32_t number) {
    speaker *born = &self->speakers[self->speakers_count++];
    memset(born, 0, sizeof *born);
    born->number = number;
    born->belief = 1e-6F;
    if (number == self->pending) {
        born->belief += self->unknown_belief;
        born->talk_steps = self->pending_steps;
        born->speaking = number == self->turn;
        self->unknown_belief = 0;
        self->pending = RILL_NOBODY;
    }
    return born;
}

/* --- grouping afresh --- */

static bool is_label(const rill_memory *memory, const uint32_t *label_of, uint32_t number) {
    for (size_t i = 0; i < *memory->count; i++)
        if (label_of[i] == number) return true;
    return false;
}

/* Gives the groups the labels of their members, the largest share first; a label goes to one group. */
static void label_groups(const rill_voice_model *voices, tracker *self, rill_memory *memory,
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
            uint32_t number = free_number(self, memory);
            if (is_label(memory, label_of, number)) break; /* the last free number has just been given */
            label_of[i] = take_number(self, memory);
            given += label_of[i] != RILL_NOBODY;
        }
}

/* A speaker whose label no group has any more is gone; name and talk go where its first chunk went. */
static void keep_labelled(tracker *self, const rill_memory *memory, const uint32_t *label_of) {
    for (size_t k = 0; k < self->speakers_count; k++) {
        speaker *lost = &self->speakers[k], *heir = NULL;
        if (is_label(memory, label_of, lost->number)) continue;
        for (size_t i = 0; i < *memory->count && !heir; i++)
            if (memory->chunks[i].label == lost->number) heir = find(self, label_of[memory->group[i]]);
        if (heir) {
            heir->talk_steps += lost->talk_steps;
            heir->belief += lost->belief;
            if (!heir->name[0]) memcpy(heir->name, lost->name, sizeof heir->name);
        } else {
            self->unknown_belief += lost->belief;
        }
    }
    size_t kept = 0;
    for (size_t k = 0; k < self->speakers_count; k++)
        if (is_label(memory, label_of, self->speakers[k].number)) self->speakers[kept++] = self->speakers[k];
    self->speakers_count = kept;
}

static void regroup(const rill_voice_model *voices, tracker *self, parts *at) {
    rill_memory *memory = &at->memory;
    uint32_t label_of[256]; /* by group */
    rill_memory_group(voices, memory, at->room, self->ease, self->settings.max_speakers);
    label_groups(voices, self, memory, label_of);
    keep_labelled(self, memory, label_of);
    for (size_t i = 0; i < *memory->count; i++) {
        uint32_t label = label_of[memory->group[i]];
        memory->chunks[i].settled = label == memory->chunks[i].label ? memory->chunks[i].settled + 1 : 0;
        memory->chunks[i].label = label;
    }
    for (size_t i = 0; i < *memory->count; i++)
        if (label_of[i] != RILL_NOBODY && !find(self, label_of[i])) add_speaker(self, label_of[i]);
    self->fresh_chunks = 0;
    learn(voices, self, at);
}

/* --- filling the memory --- */

static void close_chunk(const rill_voice_model *voices, tracker *self, parts *at, size_t least) {
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
    learn(voices, self, at);
}

static void fill_chunk(const rill_voice_model *voices, tracker *self, parts *at, uint64_t step, size_t slot,
                       uint32_t number) {
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

static void remember(const rill_voice_model *voices, tracker *self, parts *at, uint64_t step, size_t slot,
                     uint32_t number, float posterior) {
    bool speech = number != RILL_NOBODY, other = speech && number != self->open.label;
    if (self->open_steps &&
        (other || self->pause > voices->chunk_gap_steps || self->open_steps >= voices->chunk_steps))
        close_chunk(voices, self, at, voices->chunk_least);
    if (other || self->pause > voices->chunk_gap_steps) self->link = 0;
    if (speech && posterior >= voices->learning_confidence) fill_chunk(voices, self, at, step, slot, number);
}

static void give_birth(const rill_voice_model *voices, tracker *self, parts *at) {
    /* With no room left nobody unknown is chosen, unless no number makes sense any more. */
    if (self->speakers_count >= self->settings.max_speakers) return;
    add_speaker(self, self->pending);
    close_chunk(voices, self, at, 1);
}

/* --- deciding --- */

static float speech_mean(const rill_voice_model *voices, const tracker *self, const parts *at,
                         uint64_t step) {
    uint64_t from = step > voices->speech_reach ? step - voices->speech_reach : 0;
    uint64_t end = step + voices->speech_reach + 1;
    if (end > self->heard) end = self->heard;
    float sum = 0;
    for (uint64_t i = from; i < end; i++) sum += at->logits[i % self->ring];
    return sum / (float)(end - from);
}

/* The chain's candidates at a decision: the known speakers, then the unknown voice while there is room for
 * one. */
typedef struct candidates {
    size_t known;
    bool room_left;
    float newcomer; /* weight of a change to the unknown voice, against 1 to a known one */
    float choices;  /* sum of these weights */
} candidates;

/* The step whose embedding tells of step: the embedding lags. */
static size_t slot_of(const rill_voice_model *voices, const tracker *self, uint64_t step) {
    const uint64_t last = self->heard - 1, seen = step + voices->embedding_delay;
    return (size_t)((seen < last ? seen : last) % self->ring);
}

/* unknown [end − step + 1]: the unknown voice's log-likelihood of each step from step to end, its share of
 * the evidence for one voice from there on. */
static void find_unknown(const rill_voice_model *voices, const tracker *self, const parts *at, uint64_t step,
                         uint64_t end, float *unknown) {
    float sums[RILL_VOICE_MAX_DIM] = {0}, count = 0;
    for (uint64_t q = end + 1; q-- > step;) {
        const size_t slot = slot_of(voices, self, q);
        const float weight = at->weights[slot];
        for (size_t d = 0; d < voices->dim; d++)
            sums[d] += weight * (at->steps[slot * voices->dim + d] - at->room[d]);
        count += weight;
        unknown[q - step] =
            weight / fmaxf(count, 1e-3F) *
            rill_voice_evidence(voices, voices->decision_scale, voices->decision_log, count, sums);
    }
}

/* The largest log-likelihood of a step, so that exponentials of differences stay in range. */
static float most_likely(const candidates *of, const float *likelihood, float unknown) {
    float most = of->room_left ? unknown : likelihood[0];
    for (size_t k = 0; k < of->known; k++) most = fmaxf(most, likelihood[k]);
    return most;
}

/* Backward: ahead [known + 1] ∝ p(what is heard after step up to end | who speaks at step). */
static void look_ahead(const rill_voice_model *voices, const tracker *self, const parts *at,
                       const candidates *of, uint64_t step, uint64_t end, const float *unknown,
                       float *ahead) {
    const size_t known = of->known;
    for (size_t k = 0; k <= known; k++) ahead[k] = 1;
    for (uint64_t q = end; q > step; q--) {
        const float *likelihood = at->likelihood + slot_of(voices, self, q) * RILL_TRACKER_MAX_SPEAKERS;
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
static void look_back(tracker *self, const candidates *of, float change, const float *likelihood,
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
static bool holds_turn(const tracker *self, size_t known, size_t k) {
    if (self->turn == RILL_NOBODY) return false;
    return self->turn == (k < known ? self->speakers[k].number : self->pending);
}

/* Who speaks at step, as a forward-backward pass from the last decision to the last step heard sees it;
 * another than before only when that is change_odds times as likely, so that a turn is not cut to pieces by
 * doubt. → the speaker's index or speakers_count for the unknown voice; *posterior of that. */
static size_t decide(const rill_voice_model *voices, tracker *self, const parts *at, uint64_t step,
                     bool speech, float *posterior) {
    const bool room_left = self->speakers_count < self->settings.max_speakers &&
                           (self->pending != RILL_NOBODY || free_number(self, &at->memory) != RILL_NOBODY);
    const float cost = fmaxf(-60, fminf(60, voices->newcomer_cost + self->ease));
    const float newcomer = room_left ? expf(-cost) : 0.0F;
    const candidates of = {self->speakers_count, room_left, newcomer, (float)self->speakers_count + newcomer};
    const uint64_t last = self->heard - 1;
    uint64_t end = last >= step + voices->embedding_delay ? last - voices->embedding_delay : step;
    if (end > step + voices->lookahead) end = step + voices->lookahead;
    float unknown[MAX_WAIT + 1], ahead[RILL_TRACKER_MAX_SPEAKERS + 1];
    find_unknown(voices, self, at, step, end, unknown);
    look_ahead(voices, self, at, &of, step, end, unknown, ahead);
    look_back(self, &of, speech ? voices->change_rate : voices->pause_change_rate,
              at->likelihood + slot_of(voices, self, step) * RILL_TRACKER_MAX_SPEAKERS, unknown[0]);
    size_t who = of.known;
    float best = 0, chosen = 0, all = 0;
    for (size_t k = 0; k <= of.known; k++) {
        const float both = ahead[k] * (k < of.known ? self->speakers[k].belief : self->unknown_belief);
        const float weighed = holds_turn(self, of.known, k) ? both * voices->change_odds : both;
        all += both;
        if (weighed > best || (k == of.known && room_left && weighed >= best))
            best = weighed, chosen = both, who = k;
    }
    *posterior = all > 0 ? chosen / all : 0;
    return who;
}

/* The calibrated probability that a step's label is right. */
static float score_of(const rill_voice_model *voices, float posterior, double count, bool unknown) {
    double p = fmin(fmax((double)posterior, 0.01), 0.999);
    double sum = voices->score_offset + voices->score_posterior * log(p / (1 - p)) +
                 voices->score_age * log1p(count * voices->step_seconds) + (unknown ? voices->score_new : 0);
    return (float)(1 / (1 + exp(-sum)));
}

static void decide_step(const rill_voice_model *voices, tracker *self, parts *at) {
    const uint64_t step = self->decided;
    const size_t slot = slot_of(voices, self, step);
    const bool speech = speech_mean(voices, self, at, step) > voices->speech_threshold;
    float posterior = 0, score = 0;
    /* a step after the chunk came in, which may have cost as much */
    if (self->fresh_chunks >= voices->regroup_chunks && self->chunks_count > 1) regroup(voices, self, at);
    size_t who = decide(voices, self, at, step, speech, &posterior);
    const bool unknown = who == self->speakers_count;
    uint32_t number = RILL_NOBODY;
    self->pause = speech ? 0 : self->pause + 1;
    if (speech && unknown) {
        if (self->pending == RILL_NOBODY)
            self->pending = take_number(self, &at->memory), self->pending_steps = 0;
        self->pending_steps++;
        number = self->pending;
        score = score_of(voices, posterior, (double)self->pending_steps, true);
    } else if (speech) {
        number = self->speakers[who].number;
        score = score_of(voices, posterior, (double)self->speakers[who].count, false);
        self->pending = RILL_NOBODY;
    } else if (self->pause > voices->pause_steps) {
        self->pending = RILL_NOBODY;
    }
    tell_step(voices, self, at, step, slot, number, score);
    remember(voices, self, at, step, slot, number, posterior);
    self->decided++;
    if (speech && unknown && self->pending_steps >= voices->birth_steps) give_birth(voices, self, at);
    tell_corrections(voices, self, &at->memory, TOLD_EACH, 2);
}

static bool is_usable(size_t count, const float *embedding, float logit) {
    double norm = 0;
    for (size_t i = 0; i < count; i++) norm += (double)embedding[i] * (double)embedding[i];
    return isfinite(logit) && isfinite(norm) && norm > 1e-12 && norm < 1e12;
}

void rill_tracker_step(const rill_voice_model *voices, void *bytes, const float *embedding,
                       float speech_logit) {
    tracker *self = bytes;
    parts at;
    carve(voices, self->ring, bytes, &at);
    const size_t slot = (size_t)(self->heard % self->ring);
    float *kept = at.embeddings + slot * voices->embedding_dim, *x = at.steps + slot * voices->dim;
    if (is_usable(voices->embedding_dim, embedding, speech_logit)) {
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
    find_likelihood(voices, self, &at, slot);
    self->heard++;
    if (self->heard > self->wait) decide_step(voices, self, &at);
}

void rill_tracker_finish(const rill_voice_model *voices, void *bytes, double end_seconds) {
    tracker *self = bytes;
    parts at;
    carve(voices, self->ring, bytes, &at);
    size_t before = self->events_count;
    while (self->decided < self->heard) decide_step(voices, self, &at);
    end_turn(voices, self, &at, self->decided);
    tell_corrections(voices, self, &at.memory, QUEUE - self->events_count, 0);
    for (size_t i = before; i < self->events_count; i++) {
        rill_event *event = &self->events[(self->events_first + i) % QUEUE];
        event->end = fmin(event->end, end_seconds);
        event->start = fmin(event->start, event->end);
        event->decided_at = end_seconds;
    }
}

bool rill_tracker_has_room(const void *bytes) {
    const tracker *self = bytes;
    return self->events_count + RILL_TRACKER_EVENTS_PER_STEP + 2 * self->wait <= QUEUE;
}

bool rill_tracker_poll(void *bytes, rill_event *event) {
    tracker *self = bytes;
    if (!self->events_count) return false;
    *event = self->events[self->events_first];
    self->events_first = (self->events_first + 1) % QUEUE;
    self->events_count--;
    return true;
}

/* --- names --- */

/* Whole characters only: a UTF-8 sequence is not cut. */
static void set_name(speaker *of, const char *name) {
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
    tracker *self = bytes;
    parts at;
    carve(voices, self->ring, bytes, &at);
    if (self->speakers_count >= self->settings.max_speakers || 2 * self->chunks_count >= at.memory.capacity ||
        !is_usable(voices->embedding_dim, embedding, 0) || !(seconds_pooled > 0))
        return 0;
    const uint32_t number = take_number(self, &at.memory);
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
    speaker *known = add_speaker(self, number);
    known->enrolled = 1;
    set_name(known, name);
    learn(voices, self, &at);
    return known->number;
}

bool rill_tracker_rename(void *bytes, uint32_t number, const char *name) {
    speaker *known = find(bytes, number);
    if (known) set_name(known, name);
    return known != NULL;
}

bool rill_tracker_merge(const rill_voice_model *voices, void *bytes, uint32_t from, uint32_t number) {
    tracker *self = bytes;
    parts at;
    carve(voices, self->ring, bytes, &at);
    speaker *lost = find(self, from), *kept = find(self, number);
    if (!lost || !kept || lost == kept) return false;
    end_turn(voices, self, &at, self->decided);
    rill_memory_unite(voices, &at.memory, from, number);
    rill_event *event = tell(voices, self, RILL_EVENT_CORRECTION, number);
    event->from_speaker = from;
    event->end = seconds(voices, self->decided);
    event->score = 1; /* the user says so */
    kept->talk_steps += lost->talk_steps;
    kept->belief += lost->belief;
    if (!kept->name[0]) memcpy(kept->name, lost->name, sizeof kept->name);
    if (self->open.label == from) self->open.label = self->open.told = number;
    size_t at_index = (size_t)(lost - self->speakers);
    memmove(lost, lost + 1, (--self->speakers_count - at_index) * sizeof *lost);
    learn(voices, self, &at);
    return true;
}

size_t rill_tracker_speakers(const void *bytes, size_t capacity, rill_speaker_view *views) {
    const tracker *self = bytes;
    for (size_t k = 0, step_known = self->speakers_count; k < step_known && k < capacity; k++) {
        const speaker *known = &self->speakers[k];
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
    tracker *self = (tracker *)(uintptr_t)bytes; /* find and carve serve writers too; nothing is written */
    parts at;
    carve(voices, self->ring, self, &at);
    const speaker *known = find(self, number);
    if (!known) return 0;
    const float *heard = at.heard + (size_t)(known - self->speakers) * voices->embedding_dim;
    double norm = 0;
    for (size_t i = 0; i < voices->embedding_dim; i++) norm += (double)heard[i] * (double)heard[i];
    for (size_t i = 0; i < voices->embedding_dim; i++)
        embedding[i] = norm > 0 ? (float)(heard[i] / sqrt(norm)) : 0.0F;
    return norm > 0 ? (double)known->count * voices->step_seconds : 0;
}
