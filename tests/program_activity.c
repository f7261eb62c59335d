/* SPDX-License-Identifier: MIT */
/* Laws of demos/rill/activity.c: the strips show what was told, however long it lasts. */
#include <criterion/criterion.h>
#include <math.h>

#include "activity.h"
#include "random_numbers.h"

static struct activity activity;

static double whole_seconds(uint32_t speaker) {
    enum { COLUMNS = 37 };
    double seconds = 0;
    for (size_t i = 0; i < COLUMNS; i++)
        seconds += (double)activity_whole(&activity, speaker, i, COLUMNS) * activity.seconds / COLUMNS;
    return seconds;
}

static double recent_seconds(uint32_t speaker) {
    double seconds = 0;
    for (size_t i = 0; i < ACTIVITY_CELLS; i++)
        seconds += (double)activity_recent(&activity, speaker, i) * ACTIVITY_CELL_SECONDS;
    return seconds;
}

/* Turns of two speakers one after the other, told as they run. spoken [3] receives the seconds of each. */
static double talk(double until, double spoken[3]) {
    double now = 0;
    while (now < until) {
        rill_event event = {.start = now + random_uniform(), .speaker = (uint32_t)(1 + random_below(2))};
        double end = event.start + 0.3 + 5 * random_uniform();
        event.kind = RILL_EVENT_START;
        event.end = event.start + 0.1;
        activity_event(&activity, &event);
        for (double t = event.end; t < end + 0.2; t += 0.1) activity_advance(&activity, t); /* told too far */
        event.kind = RILL_EVENT_TURN;
        event.end = end;
        activity_event(&activity, &event);
        spoken[event.speaker] += end - event.start;
        now = end + 0.3;
        activity_advance(&activity, now);
    }
    return now;
}

Test(activity, strips_hold_the_seconds_spoken_at_any_length) {
    random_seed(4);
    /* below and above what the fine cells hold; the whole is widened many times */
    static const double lengths[] = {5, 100, 500, 5000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        double spoken[3] = {0};
        activity_begin(&activity);
        talk(lengths[i], spoken);
        for (uint32_t speaker = 1; speaker <= 2; speaker++) {
            cr_expect_float_eq(whole_seconds(speaker), spoken[speaker], 1e-3 * lengths[i], "%g s",
                               lengths[i]);
            if (lengths[i] < ACTIVITY_CELLS * ACTIVITY_CELL_SECONDS - 10)
                cr_expect_float_eq(recent_seconds(speaker), spoken[speaker], 1e-3, "%g s", lengths[i]);
        }
    }
}

Test(activity, a_correction_moves_what_was_told) {
    double spoken[3] = {0};
    random_seed(5);
    activity_begin(&activity);
    double end = talk(200, spoken);
    rill_event event = {
        .kind = RILL_EVENT_CORRECTION, .start = 0, .end = end + 1, .speaker = 1, .from_speaker = 2};
    activity_event(&activity, &event);
    cr_expect_float_eq(whole_seconds(1), spoken[1] + spoken[2], 0.2);
    cr_expect_float_eq(recent_seconds(1), spoken[1] + spoken[2], 0.2);
    cr_expect_float_eq(whole_seconds(2), 0, 1e-3);
    cr_expect_float_eq(recent_seconds(2), 0, 1e-3);
}

Test(activity, more_speakers_than_strips_forget_the_longest_silent) {
    activity_begin(&activity);
    for (uint32_t speaker = 1; speaker <= RILL_TRACKER_MAX_SPEAKERS + 3; speaker++) {
        rill_event event = {
            .kind = RILL_EVENT_TURN, .start = speaker, .end = speaker + 0.5, .speaker = speaker};
        activity_event(&activity, &event);
    }
    cr_expect_eq(recent_seconds(3), 0);
    for (uint32_t speaker = 4; speaker <= RILL_TRACKER_MAX_SPEAKERS + 3; speaker++)
        cr_expect_float_eq(recent_seconds(speaker), 0.5, 1e-5, "S%u", speaker);
}
