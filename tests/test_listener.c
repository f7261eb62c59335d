/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/listener.h>

#include "random_numbers.h"
#include "synthetic_voice.h"
#include "the_model.h"

TestSuite(listener, .init = open_the_model, .fini = close_the_model);

static rill_listener *open_listener(unsigned sample_rate_hz, double latency_seconds) {
    rill_listener_settings settings = rill_listener_defaults(model);
    settings.sample_rate_hz = sample_rate_hz;
    if (latency_seconds > 0) settings.latency_seconds = latency_seconds;
    rill_listener *listener;
    rill_error why = {""};
    cr_assert_eq(rill_listener_open(model, &settings, NULL, &listener, &why), RILL_OK, "%s", why.message);
    return listener;
}

typedef struct talk {
    unsigned sample_rate_hz;
    size_t count;
    float *samples;
} talk;

/* Two voices that take turns, with pauses, a little noise all along. */
static talk make_talk(unsigned sample_rate_hz, double seconds) {
    talk t = {sample_rate_hz, (size_t)(seconds * sample_rate_hz), NULL};
    t.samples = malloc((t.count + 1) * sizeof *t.samples);
    random_seed(sample_rate_hz);
    for (size_t i = 0; i < t.count; i++) {
        double time = (double)i / sample_rate_hz, in_turn = fmod(time, 3.1);
        double size = fmod(time, 6.2) < 3.1 ? 1 : 1.6;
        t.samples[i] = in_turn < 2.3 ? synthetic_voice(time, size) : 0;
        t.samples[i] += (float)(2e-4 * (random_uniform() - 0.5));
    }
    return t;
}

typedef struct heard {
    size_t count, capacity;
    rill_event *events;
} heard;

static void keep(heard *h, rill_event event) {
    if (h->count == h->capacity) {
        h->capacity = 2 * h->capacity + 64;
        h->events = realloc(h->events, h->capacity * sizeof *h->events);
    }
    h->events[h->count++] = event;
}

static void poll_all(rill_listener *listener, heard *h) {
    for (rill_event event; rill_listener_poll(listener, &event);) keep(h, event);
}

static void push_all(rill_listener *listener, size_t count, const float *samples, heard *h) {
    for (size_t done = 0; done < count;) {
        done += rill_listener_push(listener, count - done, samples + done);
        poll_all(listener, h);
    }
}

static void finish(rill_listener *listener, heard *h) {
    rill_listener_finish(listener);
    poll_all(listener, h);
}

/* Field by field: what lies between the fields, or after a name's end, is nobody's. */
static void assert_same(const heard *a, const heard *b, const char *what) {
    cr_assert_eq(a->count, b->count, "%s: %zu and %zu events", what, a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const rill_event *x = &a->events[i], *y = &b->events[i];
        cr_assert(x->kind == y->kind && x->start == y->start && x->end == y->end &&
                      x->decided_at == y->decided_at && x->speaker == y->speaker &&
                      x->from_speaker == y->from_speaker && !strcmp(x->name, y->name) &&
                      x->score == y->score && x->cosine == y->cosine,
                  "%s: event %zu of %zu differs", what, i, a->count);
    }
}

static heard listen_whole(const talk *t) {
    heard h = {0};
    rill_listener *listener = open_listener(t->sample_rate_hz, 0);
    push_all(listener, t->count, t->samples, &h);
    finish(listener, &h);
    rill_listener_close(listener);
    return h;
}

Test(listener, blocks_of_any_size_give_the_same_events) {
    const unsigned rate[] = {16000, 44100, 8000};
    for (size_t r = 0; r < 3; r++) {
        talk t = make_talk(rate[r], 6);
        heard whole = listen_whole(&t);
        cr_assert_geq(whole.count, 3, "there is something to hear");
        for (int trial = 0; trial < 2; trial++) {
            rill_listener *listener = open_listener(rate[r], 0);
            heard cut = {0};
            for (size_t done = 0; done < t.count;) {
                size_t block = random_below((size_t[]){90, 30000}[trial]);
                if (block > t.count - done) block = t.count - done;
                push_all(listener, block, t.samples + done, &cut);
                done += block;
            }
            finish(listener, &cut);
            assert_same(&whole, &cut, "cut in blocks");
            rill_listener_close(listener);
            free(cut.events);
        }
        free(whole.events);
        free(t.samples);
    }
}

/* Short words again and again, from sample `from` on: events without end. */
static void make_words(size_t from, size_t count, float *samples) {
    for (size_t i = 0; i < count; i++) {
        double time = (double)(from + i) / 8000;
        samples[i] = fmod(time, 2) < 1 ? synthetic_voice(time, 1.2) : 0;
    }
}

Test(listener, events_that_nobody_polls_are_not_lost) {
    enum { BLOCK = 4000, LIMIT = 8000 * 600 };
    static float samples[BLOCK];
    heard polled = {0}, waited = {0};
    /* A long latency keeps much of the queue for the end. */
    rill_listener *eager = open_listener(8000, 10), *lazy = open_listener(8000, 10);
    size_t count = 0, after_stop = 0;
    for (; after_stop < 8 && count < LIMIT; count += BLOCK) {
        make_words(count, BLOCK, samples);
        push_all(eager, BLOCK, samples, &polled);
        for (size_t done = 0; done < BLOCK;) {
            done += rill_listener_push(lazy, BLOCK - done, samples + done);
            rill_event event;
            if (done == BLOCK) break;
            after_stop++;
            cr_assert(rill_listener_poll(lazy, &event), "a stop without an event to poll would be for ever");
            keep(&waited, event);
        }
        after_stop += after_stop > 0;
    }
    cr_assert_gt(after_stop, 0, "%zu events fill no queue", polled.count);
    finish(eager, &polled);
    finish(lazy, &waited);
    assert_same(&polled, &waited, "polled late");
    rill_listener_close(eager);
    rill_listener_close(lazy);
    free(polled.events);
    free(waited.events);
}

Test(listener, a_turn_is_told_within_the_latency) {
    const unsigned rate[] = {16000, 44100};
    const double latency[] = {0.5, 1, 2};
    for (size_t r = 0; r < 2; r++) {
        talk t = make_talk(rate[r], 8);
        for (size_t l = 0; l < 3; l++) {
            rill_listener *listener = open_listener(rate[r], latency[l]);
            size_t block = rate[r] / 1000, turns = 0;
            for (size_t done = 0; done + block <= t.count; done += block) {
                cr_assert_eq(rill_listener_push(listener, block, t.samples + done), block);
                double pushed = (double)(done + block) / rate[r];
                for (rill_event e; rill_listener_poll(listener, &e);) {
                    /* a lag is told for the worst place of a sample between two */
                    cr_assert_leq(e.decided_at, pushed + 1.0 / rate[r], "decided at %g after %g s",
                                  e.decided_at, pushed);
                    cr_assert_leq(e.end, e.decided_at + 1e-9);
                    if (e.kind == RILL_EVENT_CORRECTION) continue;
                    /* the block that brought the last sample needed may bring a millisecond more */
                    cr_assert_leq(pushed, e.end + latency[l] + 0.001 + 1e-9, "%u Hz, %g s: %g told at %g",
                                  rate[r], latency[l], e.end, pushed);
                    turns += e.kind == RILL_EVENT_TURN;
                }
            }
            cr_assert_geq(turns, 2);
            rill_listener_close(listener);
        }
        free(t.samples);
    }
}

Test(listener, what_was_begun_is_ended_within_the_recording) {
    for (int trial = 0; trial < 4; trial++) {
        talk t = make_talk(16000, 3 + 1.37 * trial);
        t.count -= random_below(1000);
        double seconds = (double)t.count / 16000, last = 0;
        heard h = listen_whole(&t);
        size_t open = 0;
        for (size_t i = 0; i < h.count; i++) {
            const rill_event *e = &h.events[i];
            cr_assert(e->start >= 0 && e->start <= e->end && e->end <= seconds + 1e-9, "%g … %g of %g",
                      e->start, e->end, seconds);
            cr_assert(e->decided_at >= last && e->decided_at <= seconds + 1.0 / 16000);
            cr_assert(e->speaker >= 1 && e->speaker <= RILL_TRACKER_MAX_SPEAKERS);
            cr_assert(e->score >= 0 && e->score <= 1 && fabsf(e->cosine) <= 1.0001F);
            last = e->decided_at;
            open += e->kind == RILL_EVENT_START;
            open -= e->kind == RILL_EVENT_TURN;
        }
        cr_assert_eq(open, 0);
        free(h.events);
        free(t.samples);
    }
}

Test(listener, of_next_to_nothing_says_nothing) {
    float samples[1000] = {0};
    for (size_t count = 0; count <= 1000; count += count < 3 ? 1 : 499) {
        heard h = {0};
        rill_listener *listener = open_listener(16000, 0);
        push_all(listener, count, samples, &h);
        finish(listener, &h);
        cr_assert_eq(h.count, 0);
        cr_assert_eq(rill_listener_look(listener).samples, count);
        rill_listener_close(listener);
        free(h.events);
    }
}

Test(listener, look_measures_level_speech_and_time) {
    rill_listener *listener = open_listener(48000, 0);
    heard h = {0};
    static float samples[48000];
    for (size_t i = 0; i < 48000; i++) samples[i] = (float)(0.5 * sin(0.13 * (double)i));
    push_all(listener, 48000, samples, &h);
    rill_listener_view view = rill_listener_look(listener);
    cr_assert_eq(view.seconds, 1);
    cr_assert(fabs((double)view.level - 0.5 / sqrt(2)) < 0.005, "%g", (double)view.level);
    samples[100] = NAN, samples[200] = INFINITY, samples[300] = -1e9F;
    for (size_t i = 301; i < 48000; i++) samples[i] = 0;
    push_all(listener, 48000, samples, &h);
    view = rill_listener_look(listener);
    cr_assert_eq(view.samples, 96000);
    cr_assert_eq(view.refused_samples, 3);
    cr_assert_eq(view.level, 0);
    cr_assert_lt(view.speech, 0.2F);
    rill_listener_close(listener);
    talk t = make_talk(48000, 0.8);
    listener = open_listener(48000, 0);
    push_all(listener, t.count, t.samples, &h);
    cr_assert_gt(rill_listener_look(listener).speech, 0.8F);
    rill_listener_close(listener);
    free(t.samples);
    free(h.events);
}

Test(listener, one_bad_stretch_leaves_no_trace) {
    talk t = make_talk(16000, 7);
    for (size_t i = 40000; i < 44000; i++) t.samples[i] = 0;
    heard clean = listen_whole(&t);
    const float bad[] = {NAN, INFINITY, -INFINITY, 1e30F};
    for (size_t i = 40000; i < 44000; i++) t.samples[i] = bad[i % 4];
    heard dirty = listen_whole(&t);
    assert_same(&clean, &dirty, "silence instead");
    free(clean.events);
    free(dirty.events);
    free(t.samples);
}

Test(listener, settings_that_cannot_be_met_are_refused) {
    const rill_listener_settings good = rill_listener_defaults(model);
    rill_listener_settings bad[8];
    for (size_t i = 0; i < 8; i++) bad[i] = good;
    bad[0].sample_rate_hz = 0;
    bad[1].sample_rate_hz = 2000000;
    bad[2].latency_seconds = 0.01;
    bad[3].latency_seconds = NAN;
    bad[4].latency_seconds = -1;
    bad[5].max_speakers = 0;
    bad[6].max_speakers = RILL_TRACKER_MAX_SPEAKERS + 1;
    bad[7].latency_seconds = 1e9;
    for (size_t i = 0; i < 8; i++) {
        rill_listener *listener;
        rill_error why = {""};
        cr_assert_eq(rill_listener_open(model, &bad[i], NULL, &listener, &why), RILL_BAD_ARGUMENT,
                     "setting %zu", i);
        cr_assert_null(listener);
        cr_assert_gt(strlen(why.message), 0);
    }
    rill_listener_close(NULL);
}

Test(listener, enrolled_speakers_are_known_from_the_start) {
    rill_speakers *speakers;
    rill_listener *listener;
    rill_error why = {""};
    rill_listener_settings settings = rill_listener_defaults(model);
    rill_speaker_view views[4];
    float *voice = calloc(info->embedding_dim, sizeof *voice);
    cr_assert_eq(rill_speakers_create(model, &speakers, &why), RILL_OK);
    for (size_t i = 0; i < 2; i++) {
        voice[i] = 1;
        cr_assert_eq(rill_speakers_enroll(speakers, i ? "Bo" : "Anna", voice, 10, &why), RILL_OK);
        voice[i] = 0;
    }
    cr_assert_eq(rill_listener_open(model, &settings, speakers, &listener, &why), RILL_OK, "%s", why.message);
    cr_assert_eq(rill_listener_speakers(listener, 4, views), 2);
    cr_assert_str_eq(views[0].name, "Anna");
    cr_assert_str_eq(views[1].name, "Bo");
    rill_listener_close(listener);
    settings.max_speakers = 1;
    cr_assert_eq(rill_listener_open(model, &settings, speakers, &listener, &why), RILL_BAD_ARGUMENT);
    cr_assert_null(listener);
    rill_speakers_destroy(speakers);
    free(voice);
}
