/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/tracker.h>

#include "count_allocations.h"
#include "random_numbers.h"
#include "the_model.h"
#include "voices.h"

#define DIM 512 /* at most */

static rill_voice_model *voices;
static double step_seconds;
static size_t dim;
static float *back; /* [embedding_dim][dim]: projection · back = identity */

/* back = projectionᵀ (projection projectionᵀ)⁻¹, by Gauss-Jordan elimination of [projection projectionᵀ |
 * projection]. */
static void find_back(void) {
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

static void open_all(void) {
    open_the_model();
    rill_error why = {""};
    cr_assert_eq(rill_voice_model_create(model, &voices, &why), RILL_OK, "%s", why.message);
    step_seconds = 1 / info->steps_per_second;
    cr_assert_leq(info->embedding_dim, DIM);
    find_back();
}

static void close_all(void) {
    free(back);
    rill_voice_model_destroy(voices);
    close_the_model();
}

TestSuite(tracker, .init = open_all, .fini = close_all);

static rill_tracker_settings ordinary(void) {
    return (rill_tracker_settings){1.0, 0.06, NAN, 16};
}

static void *open_tracker(const rill_tracker_settings *settings) {
    rill_error why = {""};
    cr_assert_eq(rill_tracker_check(voices, settings, &why), RILL_OK, "%s", why.message);
    void *tracker = aligned_alloc(RILL_STATE_ALIGNMENT, rill_tracker_size(voices, settings));
    rill_tracker_init(voices, settings, tracker);
    return tracker;
}

/* --- made voices: drawn as the model believes voices are, further apart, and steps that scatter round them
 * --- */

static double normal(void) {
    return sqrt(-2 * log(1 - random_uniform())) * cos(6.283185307179586 * random_uniform());
}

typedef struct voice {
    float place[DIM];
} voice;

static voice make_voice(void) {
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

static void say(const voice *of, float *embedding) {
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

static void listen(void *tracker, story *told) {
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
static void hear_with(void *tracker, story *told, const voice *who, double seconds, float overlap) {
    float embedding[DIM];
    for (long left = lround(seconds / step_seconds); left > 0; left--, told->steps++) {
        static const voice nobody = {{1}};
        say(who ? who : &nobody, embedding);
        cr_assert(rill_tracker_has_room(tracker));
        rill_tracker_step(voices, tracker, embedding, who ? 4.0F : -6.0F, overlap);
        listen(tracker, told);
    }
}

static void hear(void *tracker, story *told, const voice *who, double seconds) {
    hear_with(tracker, told, who, seconds, -INFINITY);
}

static void finish(void *tracker, story *told) {
    rill_tracker_finish(voices, tracker, (double)told->steps * step_seconds);
    listen(tracker, told);
    free(tracker);
}

/* The label that was told for most of [from, to). */
static uint32_t label_at(const story *told, double from, double to) {
    uint32_t label = 0;
    double longest = 0;
    for (size_t i = 0; i < told->count; i++) {
        const rill_event *e = &told->events[i];
        double shared = fmin(e->end, to) - fmax(e->start, from);
        if (e->kind == RILL_EVENT_TURN && shared > longest) longest = shared, label = e->speaker;
    }
    return label;
}

static story random_talk(uint64_t seed, void *tracker, size_t speakers, double seconds) {
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

static bool same_story(const story *a, const story *b) {
    return a->count == b->count && !memcmp(a->events, b->events, a->count * sizeof *a->events);
}

/* --- laws --- */

Test(tracker, two_voices_are_two_speakers) {
    rill_tracker_settings settings = ordinary();
    void *tracker = open_tracker(&settings);
    story told = {0};
    random_seed(1);
    voice a = make_voice(), b = make_voice();
    for (int i = 0; i < 4; i++) {
        hear(tracker, &told, &a, 4);
        hear(tracker, &told, &b, 4);
    }
    finish(tracker, &told);
    uint32_t first = label_at(&told, 16.5, 19.5), second = label_at(&told, 20.5, 23.5);
    cr_assert(first && second && first != second);
    cr_assert_eq(label_at(&told, 24.5, 27.5), first);
    cr_assert_eq(label_at(&told, 28.5, 31.5), second);
    free(told.events);
}

/* Seconds within [from, to) that a label is told for. */
static double told_for(const story *told, uint32_t label, double from, double to) {
    double seconds = 0;
    for (size_t i = 0; i < told->count; i++) {
        const rill_event *e = &told->events[i];
        if (e->kind == RILL_EVENT_TURN && e->speaker == label)
            seconds += fmax(0, fmin(e->end, to) - fmax(e->start, from));
    }
    return seconds;
}

/* Each speaker's turns begin and end by turns, none within another of the same speaker. */
static bool turns_alternate(const story *told) {
    bool open[RILL_TRACKER_MAX_SPEAKERS + 1] = {false};
    for (size_t i = 0; i < told->count; i++) {
        const rill_event *e = &told->events[i];
        if (e->kind == RILL_EVENT_CORRECTION) continue;
        if (open[e->speaker] == (e->kind == RILL_EVENT_START)) return false;
        open[e->speaker] = e->kind == RILL_EVENT_START;
    }
    for (size_t k = 0; k <= RILL_TRACKER_MAX_SPEAKERS; k++)
        if (open[k]) return false;
    return true;
}

Test(tracker, two_at_once_are_both_told) {
    rill_tracker_settings settings = ordinary();
    for (int overlaps = 0; overlaps < 2; overlaps++) {
        void *tracker = open_tracker(&settings);
        story told = {0};
        random_seed(19);
        voice a = make_voice(), b = make_voice();
        for (int i = 0; i < 3; i++) { /* 24 s */
            hear(tracker, &told, &a, 4);
            hear(tracker, &told, &b, 4);
        }
        hear_with(tracker, &told, &a, 3, overlaps ? 4 : -INFINITY);
        hear_with(tracker, &told, &b, 3, overlaps ? 4 : NAN); /* the same two, the other one louder */
        hear(tracker, &told, &a, 4);
        finish(tracker, &told);
        const uint32_t first = label_at(&told, 16.5, 19.5), second = label_at(&told, 20.5, 23.5);
        cr_assert(first && second && first != second);
        cr_assert_gt(told_for(&told, first, 24, 27), 2.5);
        cr_assert_gt(told_for(&told, second, 27, 30), 2.5);
        const double beside = told_for(&told, second, 24.5, 26.5), alone = told_for(&told, second, 31, 34);
        if (overlaps) cr_assert_gt(beside, 1.9);
        if (!overlaps) cr_assert_lt(beside, 0.1);
        cr_assert_lt(alone, 0.1);
        cr_assert(turns_alternate(&told));
        free(told.events);
    }
}

/* Whatever the overlap logits are, every turn begins and ends once, at most two run at a time, and the queue
 * holds all of it. */
Test(tracker, random_overlap_tells_at_most_two) {
    rill_tracker_settings settings = ordinary();
    for (uint64_t seed = 20; seed < 26; seed++) {
        void *tracker = open_tracker(&settings);
        story told = {0};
        voice cast[4];
        random_seed(seed);
        for (size_t i = 0; i < 4; i++) cast[i] = make_voice();
        while ((double)told.steps * step_seconds < 120) {
            float logit = random_below(9) ? (float)(8 * random_uniform() - 4) : NAN;
            hear_with(tracker, &told, &cast[random_below(4)], 2 * random_uniform(), logit);
            if (!random_below(3)) hear(tracker, &told, NULL, random_uniform());
        }
        double end = (double)told.steps * step_seconds;
        finish(tracker, &told);
        cr_assert(turns_alternate(&told), "seed %llu", (unsigned long long)seed);
        for (double t = 0.02; t < end; t += step_seconds) {
            size_t speaking = 0;
            for (size_t i = 0; i < told.count; i++)
                speaking += told.events[i].kind == RILL_EVENT_TURN && told.events[i].start <= t &&
                            t < told.events[i].end;
            cr_assert_leq(speaking, 2, "seed %llu at %g s", (unsigned long long)seed, t);
        }
        free(told.events);
    }
}

Test(tracker, silence_tells_nothing) {
    rill_tracker_settings settings = ordinary();
    void *tracker = open_tracker(&settings);
    story told = {0};
    random_seed(2);
    hear(tracker, &told, NULL, 30);
    finish(tracker, &told);
    cr_assert_eq(told.count, 0);
}

Test(tracker, a_speaker_back_after_ten_minutes_of_silence_keeps_the_label) {
    rill_tracker_settings settings = ordinary();
    void *tracker = open_tracker(&settings);
    story told = {0};
    random_seed(3);
    voice a = make_voice(), b = make_voice();
    hear(tracker, &told, &a, 8);
    hear(tracker, &told, &b, 8);
    hear(tracker, &told, NULL, 600);
    hear(tracker, &told, &a, 4);
    hear(tracker, &told, &b, 4);
    finish(tracker, &told);
    cr_assert_neq(label_at(&told, 2, 8), 0);
    cr_assert_eq(label_at(&told, 616, 620), label_at(&told, 2, 8));
    cr_assert_eq(label_at(&told, 620.5, 624), label_at(&told, 9, 16));
    free(told.events);
}

Test(tracker, birth_needs_about_a_second) {
    rill_tracker_settings settings = ordinary();
    for (int tenths = 2; tenths <= 30; tenths += 2) {
        void *tracker = open_tracker(&settings);
        story told = {0};
        random_seed(4);
        voice a = make_voice();
        hear(tracker, &told, &a, tenths / 10.0);
        hear(tracker, &told, NULL, 5);
        size_t known = rill_tracker_speakers(tracker, 0, NULL);
        if (tenths <= 4) cr_assert_eq(known, 0, "born of %.1f s", tenths / 10.0);
        if (tenths >= 20) cr_assert_eq(known, 1, "not born of %.1f s", tenths / 10.0);
        finish(tracker, &told);
        free(told.events);
    }
}

Test(tracker, pending_speech_has_a_label_of_its_own) {
    rill_tracker_settings settings = ordinary();
    void *tracker = open_tracker(&settings);
    story told = {0};
    random_seed(5);
    voice a = make_voice(), cough = make_voice();
    hear(tracker, &told, &a, 10);
    hear(tracker, &told, NULL, 2);
    hear(tracker, &told, &cough, 0.8); /* too short to be born of */
    hear(tracker, &told, NULL, 3);
    cr_assert_eq(rill_tracker_speakers(tracker, 0, NULL), 1);
    finish(tracker, &told);
    uint32_t label = label_at(&told, 12, 12.8);
    cr_assert_neq(label, 0);
    cr_assert_neq(label, label_at(&told, 1, 9));
    free(told.events);
}

/* One label is lent to voices that fall silent before they are speakers, however many; the next voice that
 * stays keeps it. */
Test(tracker, a_provisional_label_is_lent_again) {
    for (uint64_t seed = 70; seed < 74; seed++) {
        rill_tracker_settings settings = ordinary();
        void *tracker = open_tracker(&settings);
        story told = {0};
        random_seed(seed);
        voice a = make_voice(), b = make_voice();
        hear(tracker, &told, &a, 10);
        for (int i = 0; i < 20; i++) { /* from 10 s on, 3.8 s each */
            voice cough = make_voice();
            hear(tracker, &told, NULL, 2);
            hear(tracker, &told, &cough, 0.8);
            hear(tracker, &told, NULL, 1);
        }
        hear(tracker, &told, &b, 4);
        cr_assert_eq(rill_tracker_speakers(tracker, 0, NULL), 2, "seed %llu", (unsigned long long)seed);
        finish(tracker, &told);
        const uint32_t own = label_at(&told, 1, 9), lent = label_at(&told, 12, 12.8);
        cr_assert(own && lent && own != lent);
        for (size_t i = 0; i < told.count; i++)
            cr_assert(told.events[i].speaker == own || told.events[i].speaker == lent,
                      "seed %llu: S%u is told", (unsigned long long)seed, told.events[i].speaker);
        cr_assert_eq(label_at(&told, 86.5, 90), lent);
        free(told.events);
    }
}

/* A stranger is taken for somebody known when little evidence is asked for, and a known voice never is a
 * stranger. */
Test(tracker, a_newcomer_is_one_by_evidence) {
    static const float asked[] = {-1000, 2, 1000};
    for (size_t i = 0; i < 3; i++)
        for (uint64_t seed = 80; seed < 84; seed++) {
            rill_tracker_settings settings = ordinary();
            void *tracker = open_tracker(&settings);
            story told = {0};
            random_seed(seed);
            voice a = make_voice(), b = make_voice(), c = make_voice();
            voices->recognition_evidence = asked[i];
            hear(tracker, &told, &a, 6); /* nobody is known yet: a newcomer whatever is asked */
            hear(tracker, &told, NULL, 2);
            hear(tracker, &told, &b, 2);
            hear(tracker, &told, NULL, 2);
            hear(tracker, &told, &a, 3);
            hear(tracker, &told, &c, 2);
            finish(tracker, &told);
            const uint32_t first = label_at(&told, 1, 5), other = label_at(&told, 8.2, 9.8);
            cr_assert(first && other);
            cr_assert_eq(other == first, asked[i] < 0, "seed %llu, %g asked", (unsigned long long)seed,
                         (double)asked[i]);
            cr_assert_eq(label_at(&told, 12.5, 15), first);
            free(told.events);
        }
}

/* Every turn is told in time, begins with a START of its label, and turns neither overlap nor go back. */
Test(tracker, what_is_told_is_in_time_and_in_order) {
    static const double latencies[] = {0.4, 0.5, 1, 2, 5};
    for (size_t l = 0; l < sizeof latencies / sizeof *latencies; l++) {
        rill_tracker_settings settings = ordinary();
        settings.latency_seconds = latencies[l];
        void *tracker = open_tracker(&settings);
        story told = random_talk(60 + l, tracker, 5, 120);
        size_t turns = 0, before_finish = told.count;
        finish(tracker, &told);
        uint32_t running = 0;
        double running_from = 0, end = 0;
        for (size_t i = 0; i < told.count; i++) {
            const rill_event *e = &told.events[i];
            cr_assert(e->score >= 0 && e->score <= 1);
            cr_assert(e->cosine >= -1 && e->cosine <= 1);
            cr_assert_neq(e->speaker, 0);
            if (i < before_finish && e->kind != RILL_EVENT_CORRECTION)
                cr_assert_leq(e->decided_at,
                              (e->kind == RILL_EVENT_START ? e->start : e->end) + latencies[l]);
            if (e->kind == RILL_EVENT_START) {
                cr_assert_eq(running, 0);
                cr_assert_geq(e->start, end);
                running = e->speaker;
                running_from = e->start;
            } else if (e->kind == RILL_EVENT_TURN) {
                cr_assert_eq(e->speaker, running);
                cr_assert_eq(e->start, running_from);
                cr_assert_gt(e->end, e->start);
                end = e->end;
                running = 0;
                turns++;
            } else {
                cr_assert_neq(e->from_speaker, e->speaker);
                cr_assert_lt(e->start, e->end);
            }
        }
        cr_assert_eq(running, 0);
        cr_assert_gt(turns, 20);
        free(told.events);
    }
}

Test(tracker, the_same_again_is_the_same) {
    rill_tracker_settings settings = ordinary();
    void *one = open_tracker(&settings), *two = open_tracker(&settings);
    story a = random_talk(7, one, 6, 100), b = random_talk(7, two, 6, 100);
    cr_assert(same_story(&a, &b));
    rill_tracker_reset(voices, one);
    free(a.events);
    a = random_talk(7, one, 6, 100);
    cr_assert(same_story(&a, &b));
    finish(one, &a);
    finish(two, &b);
    cr_assert(same_story(&a, &b));
    free(a.events);
    free(b.events);
}

/* Whatever was heard, the state is one that may be taken up again. */
Test(tracker, every_state_is_valid) {
    for (uint64_t seed = 90; seed < 93; seed++) {
        rill_tracker_settings settings = ordinary();
        settings.max_speakers = seed == 90 ? 3 : 16;
        void *tracker = open_tracker(&settings);
        story told = {0};
        voice cast[8];
        random_seed(seed);
        for (size_t i = 0; i < 8; i++) cast[i] = make_voice();
        for (int turn = 0; turn < 120; turn++) {
            hear(tracker, &told, random_below(3) ? &cast[random_below(8)] : NULL, 1.5 * random_uniform());
            cr_assert(rill_tracker_valid(voices, &settings, tracker), "seed %llu", (unsigned long long)seed);
        }
        finish(tracker, &told);
        free(told.events);
    }
}

Test(tracker, a_copy_goes_on_alike) {
    rill_tracker_settings settings = ordinary();
    void *tracker = open_tracker(&settings), *copy = open_tracker(&settings);
    story before = random_talk(8, tracker, 4, 63.2);
    memcpy(copy, tracker, rill_tracker_size(voices, &settings));
    story a = random_talk(9, tracker, 5, 60), b = random_talk(9, copy, 5, 60);
    finish(tracker, &a);
    finish(copy, &b);
    cr_assert_gt(a.count, 10);
    cr_assert(same_story(&a, &b));
    free(before.events);
    free(a.events);
    free(b.events);
}

/* As if nobody had spoken: not a bit of what is remembered is another. */
Test(tracker, vectors_that_are_no_voice_are_no_speech) {
    static const float bad[] = {NAN, INFINITY, -INFINITY, 0, 1e30F};
    rill_tracker_settings settings = ordinary();
    story silent = {0};
    for (size_t i = 0; i < 1 + 2 * sizeof bad / sizeof *bad; i++) {
        void *tracker = open_tracker(&settings);
        story told = {0};
        random_seed(10);
        voice a = make_voice(), b = make_voice();
        hear(tracker, &told, &a, 5);
        for (int step = 0; step < 50; step++, told.steps++) {
            float embedding[DIM] = {0}, logit = -50;
            embedding[3] = 1;
            if (i > 0 && i % 2)
                for (size_t d = 0; d < info->embedding_dim; d++) embedding[d] = bad[i / 2];
            if (i > 0 && i % 2) logit = 5;
            if (i > 0 && !(i % 2)) logit = isfinite(bad[i / 2 - 1]) ? -50 : bad[i / 2 - 1];
            rill_tracker_step(voices, tracker, embedding, logit, -INFINITY);
            listen(tracker, &told);
        }
        hear(tracker, &told, &b, 5);
        hear(tracker, &told, &a, 3);
        finish(tracker, &told);
        if (i == 0)
            silent = told;
        else
            cr_assert(same_story(&silent, &told), "case %zu", i);
        if (i > 0) free(told.events);
    }
    cr_assert_gt(silent.count, 4);
    free(silent.events);
}

Test(tracker, speakers_are_bounded) {
    for (size_t most = 1; most <= 5; most += 2) {
        rill_tracker_settings settings = ordinary();
        settings.max_speakers = most;
        void *tracker = open_tracker(&settings);
        story told = {0};
        size_t peak = 0;
        random_seed(11);
        for (int i = 0; i < 12; i++) {
            voice next = make_voice();
            hear(tracker, &told, &next, 4);
            size_t known = rill_tracker_speakers(tracker, 0, NULL);
            if (known > peak) peak = known;
        }
        cr_assert_eq(peak, most);
        finish(tracker, &told);
        for (size_t i = 0; i < told.count; i++)
            cr_assert(told.events[i].speaker >= 1 && told.events[i].speaker <= most, "S%u of %zu",
                      told.events[i].speaker, most);
        free(told.events);
    }
}

/* Doubt does not cut a turn to pieces: two voices in turns of three seconds, few scraps between. */
Test(tracker, a_turn_stays_in_one_piece) {
    rill_tracker_settings settings = ordinary();
    void *tracker = open_tracker(&settings);
    story told = {0};
    random_seed(21);
    voice a = make_voice(), b = make_voice();
    for (int i = 0; i < 20; i++) hear(tracker, &told, i % 2 ? &b : &a, 3);
    finish(tracker, &told);
    size_t turns = 0, scraps = 0;
    for (size_t i = 0; i < told.count; i++) {
        if (told.events[i].kind != RILL_EVENT_TURN) continue;
        turns++;
        scraps += told.events[i].end - told.events[i].start < 0.2;
    }
    cr_assert(turns >= 20 && scraps <= 4, "%zu turns, %zu of them scraps", turns, scraps);
    free(told.events);
}

Test(tracker, hours_of_many_voices_fit_in_the_same_memory) {
    rill_tracker_settings settings = ordinary();
    settings.max_speakers = RILL_TRACKER_MAX_SPEAKERS;
    void *tracker = open_tracker(&settings);
    story told = random_talk(12, tracker, 12, 1500);
    size_t known = rill_tracker_speakers(tracker, 0, NULL);
    cr_assert(known >= 10 && known <= 16, "%zu of 12 voices", known);
    finish(tracker, &told);
    free(told.events);
}

Test(tracker, an_enrolled_voice_is_told_by_name) {
    rill_tracker_settings settings = ordinary();
    void *tracker = open_tracker(&settings);
    story told = {0};
    random_seed(13);
    voice anna = make_voice(), other = make_voice();
    uint32_t number = rill_tracker_enroll(voices, tracker, "Anna", anna.place, 10);
    cr_assert_eq(number, 1);
    hear(tracker, &told, &other, 4);
    hear(tracker, &told, &anna, 4);
    rill_speaker_view views[4];
    cr_assert_eq(rill_tracker_speakers(tracker, 4, views), 2);
    cr_assert(views[0].enrolled && !strcmp(views[0].name, "Anna") && views[0].talk_seconds > 2);
    cr_assert(!views[1].enrolled && views[1].talk_seconds > 3);
    finish(tracker, &told);
    cr_assert_eq(label_at(&told, 5, 8), number);
    cr_assert_neq(label_at(&told, 0, 4), number);
    for (size_t i = 0; i < told.count; i++)
        cr_assert_str_eq(told.events[i].name, told.events[i].speaker == number ? "Anna" : "");
    free(told.events);
}

Test(tracker, what_is_no_voice_is_not_enrolled) {
    rill_tracker_settings settings = ordinary();
    settings.max_speakers = 2;
    void *tracker = open_tracker(&settings);
    random_seed(14);
    voice a = make_voice();
    float bad[DIM] = {0};
    cr_assert_eq(rill_tracker_enroll(voices, tracker, "zero", bad, 10), 0);
    bad[1] = NAN;
    cr_assert_eq(rill_tracker_enroll(voices, tracker, "NaN", bad, 10), 0);
    cr_assert_eq(rill_tracker_enroll(voices, tracker, "no time", a.place, 0), 0);
    cr_assert_eq(rill_tracker_enroll(voices, tracker, "one", a.place, 10), 1);
    cr_assert_eq(rill_tracker_enroll(voices, tracker, "two", make_voice().place, 10), 2);
    cr_assert_eq(rill_tracker_enroll(voices, tracker, "three", make_voice().place, 10), 0);
    free(tracker);
}

Test(tracker, names_and_merges_are_the_users) {
    rill_tracker_settings settings = ordinary();
    void *tracker = open_tracker(&settings);
    story told = {0};
    random_seed(15);
    voice a = make_voice(), b = make_voice();
    hear(tracker, &told, &a, 6);
    hear(tracker, &told, &b, 6);
    rill_speaker_view views[4];
    cr_assert_eq(rill_tracker_speakers(tracker, 4, views), 2);
    uint32_t first = views[0].speaker, second = views[1].speaker;
    char name[200];
    memset(name, 'x', sizeof name);
    memcpy(name + 62, "\xc3\xa4", 3); /* ä across the end of the field */
    cr_assert(rill_tracker_rename(tracker, first, name));
    cr_assert_not(rill_tracker_rename(tracker, 99, "nobody"));
    rill_tracker_speakers(tracker, 4, views);
    cr_assert_eq(strlen(views[0].name), 62);
    cr_assert_not(rill_tracker_merge(voices, tracker, first, first));
    cr_assert_not(rill_tracker_merge(voices, tracker, 99, first));
    cr_assert(rill_tracker_merge(voices, tracker, second, first));
    size_t before = told.count;
    listen(tracker, &told);
    bool corrected = false;
    for (size_t i = before; i < told.count; i++)
        corrected |= told.events[i].kind == RILL_EVENT_CORRECTION && told.events[i].speaker == first &&
                     told.events[i].from_speaker == second;
    cr_assert(corrected);
    cr_assert_eq(rill_tracker_speakers(tracker, 4, views), 1);
    float voice_learned[DIM];
    cr_assert_gt(rill_tracker_voice(voices, tracker, first, voice_learned), 8.0);
    cr_assert_eq(rill_tracker_voice(voices, tracker, second, voice_learned), 0);
    finish(tracker, &told);
    free(told.events);
}

/* Bob sounds exactly like Anna, and only names keep them apart. */
Test(tracker, what_is_merged_into_an_enrolled_voice_is_enrolled) {
    for (int from_enrolled = 0; from_enrolled < 2; from_enrolled++) {
        rill_tracker_settings settings = ordinary();
        void *tracker = open_tracker(&settings);
        story told = {0};
        random_seed(16);
        voice a = make_voice();
        hear(tracker, &told, &a, 6);
        rill_speaker_view views[8];
        cr_assert_eq(rill_tracker_speakers(tracker, 8, views), 1);
        const uint32_t heard = views[0].speaker;
        const uint32_t anna = rill_tracker_enroll(voices, tracker, "Anna", a.place, 10);
        cr_assert(from_enrolled ? rill_tracker_merge(voices, tracker, anna, heard)
                                : rill_tracker_merge(voices, tracker, heard, anna));
        const uint32_t kept = from_enrolled ? heard : anna;
        cr_assert_neq(rill_tracker_enroll(voices, tracker, "Bob", a.place, 10), 0);
        hear(tracker, &told, &a, 20);
        const size_t known = rill_tracker_speakers(tracker, 8, views);
        const rill_speaker_view *found = NULL;
        for (size_t i = 0; i < known; i++)
            if (views[i].speaker == kept) found = views + i;
        cr_assert(known == 2 && found, "%zu are known", known);
        cr_assert(found->enrolled && !strcmp(found->name, "Anna"), "\"%s\"", found->name);
        finish(tracker, &told);
        free(told.events);
    }
}

Test(tracker, a_step_allocates_nothing) {
    rill_tracker_settings settings = ordinary();
    void *tracker = open_tracker(&settings);
    random_seed(18);
    voice cast[3] = {make_voice(), make_voice(), make_voice()};
    rill_event event;
    size_t events = 0, before = allocations;
    for (int step = 0; step < 3000; step++) {
        float embedding[DIM];
        say(&cast[step / 70 % 3], embedding);
        rill_tracker_step(voices, tracker, embedding, step % 90 < 80 ? 4.0F : -6.0F,
                          step % 20 < 9 ? 3.0F : -3.0F);
        while (rill_tracker_poll(tracker, &event)) events++;
    }
    cr_assert_eq(allocations, before);
    cr_assert_gt(events, 50);
    free(tracker);
}

Test(tracker, settings_that_cannot_be_met_are_refused) {
    rill_error why = {""};
    rill_tracker_settings s = ordinary();
    cr_assert_eq(rill_tracker_check(voices, &s, &why), RILL_OK);
    s.latency_seconds = rill_tracker_least_latency(voices, s.overhead_seconds);
    cr_assert_eq(rill_tracker_check(voices, &s, &why), RILL_OK);
    s.latency_seconds -= 0.01;
    cr_assert_eq(rill_tracker_check(voices, &s, &why), RILL_BAD_ARGUMENT);
    cr_assert_gt(strlen(why.message), 0);
    static const double latencies[] = {NAN, -1, 0, 100, INFINITY};
    for (size_t i = 0; i < sizeof latencies / sizeof *latencies; i++) {
        s = ordinary();
        s.latency_seconds = latencies[i];
        cr_assert_eq(rill_tracker_check(voices, &s, &why), RILL_BAD_ARGUMENT);
    }
    for (int i = 0; i < 2; i++) {
        s = ordinary();
        s.max_speakers = i ? RILL_TRACKER_MAX_SPEAKERS + 1 : 0;
        cr_assert_eq(rill_tracker_check(voices, &s, &why), RILL_BAD_ARGUMENT);
    }
}

Test(tracker, a_higher_threshold_finds_no_fewer_speakers) {
    size_t before = 0;
    for (int i = -1; i <= 1; i++) {
        rill_tracker_settings settings = ordinary();
        settings.threshold = rill_model_number(model, "tracker.threshold", 0) + 60 * i;
        void *tracker = open_tracker(&settings);
        story told = random_talk(16, tracker, 6, 120);
        size_t known = rill_tracker_speakers(tracker, 0, NULL);
        cr_assert_geq(known, before);
        before = known;
        finish(tracker, &told);
        free(told.events);
    }
    cr_assert_gt(before, 1);
}

Test(tracker, a_voice_is_like_itself_and_unlike_others) {
    random_seed(17);
    voice a = make_voice(), b = make_voice();
    float cosine, zero[DIM] = {0};
    float same = rill_voice_score(voices, a.place, 10, a.place, 10, &cosine);
    cr_assert_gt(same, 0.9F);
    cr_assert_float_eq(cosine, 1, 1e-6);
    float different = rill_voice_score(voices, a.place, 10, b.place, 10, &cosine);
    cr_assert_lt(different, 0.5F);
    cr_assert_eq(rill_voice_score(voices, b.place, 10, a.place, 10, NULL), different);
    cr_assert_eq(rill_voice_score(voices, a.place, 10, zero, 10, &cosine), 0);
    cr_assert_eq(rill_voice_score(voices, a.place, 0, a.place, 10, &cosine), 0);
}
