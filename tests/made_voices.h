/* SPDX-License-Identifier: MIT */
/* Made voices for tests of the tracker, and what it tells of them. Each test file has
 * TestSuite(name, .init = open_all, .fini = close_all). */
#ifndef RILL_TEST_MADE_VOICES_H
#define RILL_TEST_MADE_VOICES_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/tracker.h>

#include "random_numbers.h"
#include "the_model.h"

#define DIM 512 /* at most */

static rill_voice_model *voices;
static double step_seconds;
static size_t dim;
static float *back; /* [embedding_dim][dim]: projection · back = identity */

/* back = projectionᵀ (projection projectionᵀ)⁻¹, by Gauss-Jordan elimination of [projection projectionᵀ |
 * projection]. */
static inline void find_back(void) {
    size_t shape[4], size = info->embedding_dim;
    const float *projection = rill_model_tensor(model, "tracker.projection", shape);
    dim = shape[0];
    size_t width = dim + size;
    double *rows = calloc(dim * width, sizeof *rows);
    for (size_t i = 0; i < dim; i++) {
        for (size_t j = 0; j < dim; j++)
            for (size_t k = 0; k < size; k++)
                rows[i * width + j] += (double)projection[i * size + k] * (double)projection[j * size + k];
        for (size_t k = 0; k < size; k++) rows[i * width + dim + k] = projection[i * size + k];
    }
    for (size_t p = 0; p < dim; p++) {
        cr_assert_gt(rows[p * width + p], 0); /* positive definite: no pivoting */
        for (size_t j = width; j-- > p;) rows[p * width + j] /= rows[p * width + p];
        for (size_t i = 0; i < dim; i++)
            for (size_t j = width; i != p && j-- > p;)
                rows[i * width + j] -= rows[i * width + p] * rows[p * width + j];
    }
    back = malloc(size * dim * sizeof *back);
    for (size_t k = 0; k < size; k++)
        for (size_t i = 0; i < dim; i++) back[k * dim + i] = (float)rows[i * width + dim + k];
    free(rows);
}

static inline void open_all(void) {
    open_the_model();
    rill_error why = {""};
    cr_assert_eq(rill_voice_model_create(model, &voices, &why), RILL_OK, "%s", why.message);
    step_seconds = 1 / info->steps_per_second;
    cr_assert_leq(info->embedding_dim, DIM);
    find_back();
}

static inline void close_all(void) {
    free(back);
    rill_voice_model_destroy(voices);
    close_the_model();
}

static inline rill_tracker_settings ordinary(void) {
    return (rill_tracker_settings){1.0, 0.06, NAN, 16};
}

static inline void *open_tracker(const rill_tracker_settings *settings) {
    rill_error why = {""};
    cr_assert_eq(rill_tracker_check(voices, settings, &why), RILL_OK, "%s", why.message);
    void *tracker = aligned_alloc(RILL_STATE_ALIGNMENT, rill_tracker_size(voices, settings));
    rill_tracker_init(voices, settings, tracker);
    return tracker;
}

/* --- made voices: drawn as the model believes voices are, further apart, and steps that scatter round them
 * --- */

static inline double normal(void) {
    return sqrt(-2 * log(1 - random_uniform())) * cos(6.283185307179586 * random_uniform());
}

typedef struct voice {
    float place[DIM];
} voice;

static inline voice make_voice(void) {
    voice made;
    float x[DIM];
    size_t shape[4];
    const float *mean = rill_model_tensor(model, "tracker.mean", shape);
    const float *between = rill_model_tensor(model, "tracker.between", shape);
    for (size_t d = 0; d < dim; d++) x[d] = (float)(1.5 * sqrt((double)between[d]) * normal());
    for (size_t i = 0; i < info->embedding_dim; i++) {
        made.place[i] = mean[i];
        for (size_t d = 0; d < dim; d++) made.place[i] += back[i * dim + d] * x[d];
    }
    return made;
}

static inline void say(const voice *of, float *embedding) {
    float noise[DIM];
    for (size_t d = 0; d < dim; d++) noise[d] = (float)normal();
    for (size_t i = 0; i < info->embedding_dim; i++) {
        embedding[i] = of->place[i];
        for (size_t d = 0; d < dim; d++) embedding[i] += back[i * dim + d] * noise[d];
    }
}

/* What a tracker has told. */
typedef struct story {
    size_t count, capacity;
    rill_event *events;
    uint64_t steps;
} story;

static inline void listen(void *tracker, story *told) {
    rill_event event;
    while (rill_tracker_poll(tracker, &event)) {
        if (told->count == told->capacity) {
            told->capacity = told->capacity * 2 + 64;
            told->events = realloc(told->events, told->capacity * sizeof *told->events);
        }
        told->events[told->count++] = event;
    }
}

/* So many seconds of a voice, or of silence; overlap is the logit of two speaking. */
static inline void hear_with(void *tracker, story *told, const voice *who, double seconds, float overlap) {
    float embedding[DIM];
    for (long left = lround(seconds / step_seconds); left > 0; left--, told->steps++) {
        static const voice nobody = {{1}};
        say(who ? who : &nobody, embedding);
        cr_assert(rill_tracker_has_room(tracker));
        rill_tracker_step(voices, tracker, embedding, who ? 4.0F : -6.0F, overlap);
        listen(tracker, told);
    }
}

static inline void hear(void *tracker, story *told, const voice *who, double seconds) {
    hear_with(tracker, told, who, seconds, -INFINITY);
}

static inline void finish(void *tracker, story *told) {
    rill_tracker_finish(voices, tracker, (double)told->steps * step_seconds);
    listen(tracker, told);
    free(tracker);
}

/* The label that was told for most of [from, to). */
static inline uint32_t label_at(const story *told, double from, double to) {
    uint32_t label = 0;
    double longest = 0;
    for (size_t i = 0; i < told->count; i++) {
        const rill_event *e = &told->events[i];
        double shared = fmin(e->end, to) - fmax(e->start, from);
        if (e->kind == RILL_EVENT_TURN && shared > longest) longest = shared, label = e->speaker;
    }
    return label;
}

static inline story random_talk(uint64_t seed, void *tracker, size_t speakers, double seconds) {
    story told = {0};
    voice cast[16];
    random_seed(seed);
    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    for (size_t i = 0; i < speakers; i++) cast[i] = make_voice();
    while ((double)told.steps * step_seconds < seconds) {
        hear(tracker, &told, &cast[random_below(speakers)], 0.3 + 5 * random_uniform() * random_uniform());
        if (random_below(2)) hear(tracker, &told, NULL, 1.5 * random_uniform());
    }
    return told;
}

static inline bool same_story(const story *a, const story *b) {
    return a->count == b->count && !memcmp(a->events, b->events, a->count * sizeof *a->events);
}

#endif
