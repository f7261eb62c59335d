/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/listener.h>

#include "listener_memory.h"
#include "random_numbers.h"
#include "synthetic_voice.h"
#include "the_model.h"
#include "tracker_state.h"

enum { SECONDS = 8, EVENTS_MAX = 256 };

TestSuite(saved_listener, .init = open_the_model, .fini = close_the_model);

static rill_listener *open_listener(unsigned sample_rate_hz) {
    rill_listener_settings settings = rill_listener_defaults(model);
    settings.sample_rate_hz = sample_rate_hz;
    rill_listener *listener;
    rill_error why = {""};
    cr_assert_eq(rill_listener_open(model, &settings, NULL, &listener, &why), RILL_OK, "%s", why.message);
    return listener;
}

static float *talk(unsigned sample_rate_hz, size_t *count) {
    *count = (size_t)SECONDS * sample_rate_hz;
    float *samples = malloc(*count * sizeof *samples);
    for (size_t i = 0; i < *count; i++) {
        double time = (double)i / sample_rate_hz;
        samples[i] = fmod(time, 3.1) < 2.3 ? synthetic_voice(time, fmod(time, 6.2) < 3.1 ? 1 : 1.6) : 0;
    }
    return samples;
}

/* One line an event, so that two accounts can be compared. */
typedef struct account {
    size_t count;
    char line[EVENTS_MAX][256];
} account;

static void poll_all(rill_listener *listener, account *told) {
    for (rill_event e; rill_listener_poll(listener, &e);) {
        cr_assert_lt(told->count, EVENTS_MAX);
        snprintf(told->line[told->count++], sizeof *told->line, "%d %a %a %a %u %u %s %a %a", (int)e.kind,
                 e.start, e.end, e.decided_at, e.speaker, e.from_speaker, e.name, (double)e.score,
                 (double)e.cosine);
    }
}

static void push_all(rill_listener *listener, size_t count, const float *samples, account *told) {
    for (size_t done = 0; done < count;) {
        done += rill_listener_push(listener, count - done, samples + done);
        if (told) poll_all(listener, told);
    }
}

static unsigned char *saved(const rill_listener *listener, size_t *size) {
    *size = rill_listener_saved_size(listener);
    unsigned char *bytes = malloc(*size);
    rill_listener_save(listener, bytes);
    return bytes;
}

static rill_listener *loaded(const unsigned char *bytes, size_t size) {
    rill_listener *listener;
    rill_error why = {""};
    cr_assert_eq(rill_listener_load(model, "state", bytes, size, &listener, &why), RILL_OK, "%s",
                 why.message);
    return listener;
}

static void assert_same(const account *a, const account *b) {
    cr_assert_eq(a->count, b->count, "%zu and %zu events", a->count, b->count);
    for (size_t i = 0; i < a->count; i++) cr_assert_str_eq(a->line[i], b->line[i]);
}

Test(saved_listener, goes_on_bit_for_bit_wherever_it_was_cut) {
    const unsigned rate[] = {16000, 44100};
    unsigned long long seed = 77;
    for (size_t r = 0; r < 2; r++) {
        size_t count, size, same_size;
        float *samples = talk(rate[r], &count);
        static account whole, cut;
        whole.count = 0;
        rill_listener *straight = open_listener(rate[r]);
        push_all(straight, count, samples, &whole);
        size = rill_listener_saved_size(straight);
        rill_listener_finish(straight);
        poll_all(straight, &whole);
        rill_listener_close(straight);
        cr_assert_geq(whole.count, 3);
        random_seed(seed + r);
        for (int trial = 0; trial < 2; trial++) {
            rill_listener *listener = open_listener(rate[r]);
            cut.count = 0;
            for (size_t done = 0; done < count;) {
                size_t part = random_below(trial ? count / 2 : rate[r] / 3);
                if (part > count - done) part = count - done;
                /* Events not polled are part of what is saved. */
                push_all(listener, part, samples + done, random_below(2) ? &cut : NULL);
                done += part;
                unsigned char *bytes = saved(listener, &same_size);
                cr_assert_eq(size, same_size, "the size never changes");
                rill_listener_close(listener);
                listener = loaded(bytes, size);
                free(bytes);
            }
            poll_all(listener, &cut);
            cr_assert_eq(rill_listener_look(listener).samples, count);
            rill_listener_finish(listener);
            poll_all(listener, &cut);
            assert_same(&whole, &cut);
            rill_listener_close(listener);
        }
        free(samples);
    }
}

Test(saved_listener, saving_changes_nothing_and_loading_makes_a_twin) {
    size_t count, size, twin_size;
    float *samples = talk(16000, &count);
    static account told, twin_told;
    rill_listener *listener = open_listener(16000);
    push_all(listener, count / 2, samples, &told);
    unsigned char *bytes = saved(listener, &size), *again = saved(listener, &twin_size);
    cr_assert_arr_eq(bytes, again, size, "saving twice gives the same");
    rill_listener *twin = loaded(bytes, size);
    told.count = 0;
    push_all(listener, count / 2, samples + count / 2, &told);
    push_all(twin, count / 2, samples + count / 2, &twin_told);
    assert_same(&told, &twin_told);
    free(again);
    again = saved(twin, &twin_size);
    free(bytes);
    bytes = saved(listener, &size);
    cr_assert_arr_eq(bytes, again, size, "and so do the two, later");
    cr_assert_eq(rill_listener_get_settings(twin)->sample_rate_hz, 16000);
    rill_listener_close(listener);
    rill_listener_close(twin);
    free(bytes);
    free(again);
    free(samples);
}

Test(saved_listener, is_refused_when_not_whole_and_unchanged) {
    size_t count, size;
    float *samples = talk(16000, &count);
    rill_listener *listener = open_listener(16000), *none;
    rill_error why = {""};
    push_all(listener, count / 3, samples, NULL);
    unsigned char *bytes = saved(listener, &size), *longer = malloc(size + 1);
    rill_listener_close(listener);
    for (size_t cut = 0; cut < size; cut += cut < 200 ? 1 : size / 60 + 1) {
        cr_assert_eq(rill_listener_load(model, "state", bytes, cut, &none, &why), RILL_BAD_FORMAT, "%zu",
                     cut);
        cr_assert_null(none);
        cr_assert_not_null(strstr(why.message, "state"));
    }
    memcpy(longer, bytes, size);
    longer[size] = 0;
    cr_assert_eq(rill_listener_load(model, "state", longer, size + 1, &none, &why), RILL_BAD_FORMAT);
    for (size_t place = 0; place < size; place += place < 200 ? 1 : size / 100 + 1) {
        bytes[place] ^= 0x10;
        cr_assert_eq(rill_listener_load(model, "state", bytes, size, &none, NULL), RILL_BAD_FORMAT,
                     "byte %zu", place);
        bytes[place] ^= 0x10;
    }
    listener = loaded(bytes, size);
    rill_listener_close(listener);
    char *fingerprint = strstr((char *)bytes + 32, info->fingerprint);
    cr_assert_not_null(fingerprint);
    fingerprint[3] = fingerprint[3] == '0' ? '1' : '0';
    rill_saved_listener_seal(bytes, size);
    cr_assert_eq(rill_listener_load(model, "state", bytes, size, &none, &why), RILL_WRONG_MODEL);
    cr_assert_not_null(strstr(why.message, "enrol"));
    free(bytes);
    free(longer);
    free(samples);
}

/* As a stranger may have written it: the checksum is right. */
static void expect_refused(const rill_listener *listener, size_t number) {
    size_t size;
    unsigned char *bytes = saved(listener, &size);
    rill_listener *none;
    cr_assert_eq(rill_listener_load(model, "state", bytes, size, &none, NULL), RILL_BAD_FORMAT, "case %zu",
                 number);
    free(bytes);
}

static void expect_accepted(const rill_listener *listener) {
    size_t size;
    unsigned char *bytes = saved(listener, &size);
    rill_listener_close(loaded(bytes, size));
    free(bytes);
}

/* Events that nobody had polled. */
Test(saved_listener, is_refused_with_events_that_no_listener_tells) {
    size_t count;
    float *samples = talk(16000, &count);
    rill_listener *listener = open_listener(16000);
    push_all(listener, count, samples, NULL);
    rill_tracker_state *state = rill_listener_tracker(listener);
    cr_assert_gt(state->events_count, 0);
    rill_event *event = &state->events[state->events_first];
    const rill_event good = *event;
    const struct {
        rill_event_kind kind;
        double start, end;
    } cases[] = {{(rill_event_kind)3, good.start, good.end},
                 {(rill_event_kind)-1, good.start, good.end},
                 {good.kind, NAN, good.end},
                 {good.kind, -1, good.end},
                 {good.kind, good.start, INFINITY},
                 {good.kind, good.start, 1e300}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        event->kind = cases[i].kind;
        event->start = cases[i].start;
        event->end = cases[i].end;
        expect_refused(listener, i);
    }
    *event = good;
    expect_accepted(listener);
    rill_listener_close(listener);
    free(samples);
}

/* Labels are numbers up to max_speakers, and nothing is told of what has not been heard: also of what a state
 * that a stranger wrote will tell. */
Test(saved_listener, is_refused_with_numbers_that_nobody_gave) {
    size_t count;
    float *samples = talk(16000, &count);
    rill_listener *listener = open_listener(16000);
    push_all(listener, count, samples, NULL);
    rill_tracker_state *state = rill_listener_tracker(listener);
    rill_tracker_parts at;
    rill_tracker_carve(listener->voices, state->ring, state, &at);
    cr_assert_gt(state->chunks_count, 0);
    rill_event *event = &state->events[state->events_first];
    uint32_t *numbers[] = {&state->next_number, &state->turns[1].speaker,   &state->open.label,
                           &state->open.told,   &at.memory.chunks[0].label, &at.memory.chunks[0].told,
                           &event->speaker,     &event->from_speaker};
    uint64_t *steps[] = {&at.memory.chunks[0].first, &at.memory.chunks[0].end, &state->open.end};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers + sizeof steps / sizeof *steps; i++) {
        const size_t beyond = i - sizeof numbers / sizeof *numbers;
        const bool number = i < sizeof numbers / sizeof *numbers;
        const uint32_t good_number = number ? *numbers[i] : 0;
        const uint64_t good_step = number ? 0 : *steps[beyond];
        if (number) *numbers[i] = RILL_TRACKER_MAX_SPEAKERS + 2;
        if (!number) *steps[beyond] = state->decided + 1;
        expect_refused(listener, i);
        if (number) *numbers[i] = good_number;
        if (!number) *steps[beyond] = good_step;
    }
    expect_accepted(listener);
    rill_listener_close(listener);
    free(samples);
}

/* Numbers are not checked one by one: whatever they are, nothing is written or read beyond the memory. */
Test(saved_listener, goes_on_within_its_memory_whatever_the_numbers) {
    size_t count, size;
    float *samples = talk(16000, &count);
    rill_listener *listener = open_listener(16000);
    push_all(listener, count, samples, NULL);
    rill_tracker_state *state = rill_listener_tracker(listener);
    rill_tracker_parts at;
    rill_tracker_carve(listener->voices, state->ring, state, &at);
    cr_assert_gt(state->chunks_count, 1);
    for (size_t i = 0; i < at.memory.capacity; i++) at.memory.partner[i] = UINT32_MAX;
    for (size_t i = 0; i < at.memory.capacity * listener->voices->dim; i++) at.memory.sums[i] = NAN;
    unsigned char *bytes = saved(listener, &size);
    rill_listener_close(listener);
    listener = loaded(bytes, size);
    static account told;
    for (int again = 0; again < 3; again++) {
        told.count = 0;
        push_all(listener, count, samples, &told);
    }
    rill_listener_close(listener);
    free(bytes);
    free(samples);
}
