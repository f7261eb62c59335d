/* SPDX-License-Identifier: MIT */
/* Laws of demos/rill/turn_log.c: corrections, against a picture painted cell by cell; labels that stay. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "random_numbers.h"
#include "turn_log.h"

enum { CELLS = 400, SPEAKERS = 6, ROUNDS = 300 }; /* cells of 0.25 s, exact in binary */
static const double cell_seconds = 0.25;

typedef uint32_t picture[CELLS]; /* bit s: speaker s speaks */

static rill_event random_event(rill_event_kind kind) {
    size_t start = random_below(CELLS - 1), end = start + 1 + random_below(CELLS - start - 1);
    rill_event event = {
        .kind = kind, .start = (double)start * cell_seconds, .end = (double)end * cell_seconds};
    event.speaker = (uint32_t)(1 + random_below(SPEAKERS));
    return event;
}

static void paint_turn(picture cells, const rill_event *event) {
    for (size_t i = (size_t)(event->start / cell_seconds); i < (size_t)(event->end / cell_seconds); i++)
        cells[i] |= 1u << event->speaker;
}

static void paint_correction(picture cells, const rill_event *event) {
    for (size_t i = (size_t)(event->start / cell_seconds); i < (size_t)(event->end / cell_seconds); i++)
        if (cells[i] & 1u << event->from_speaker)
            cells[i] = (cells[i] & ~(1u << event->from_speaker)) | 1u << event->speaker;
}

static void paint_turns(picture cells, const rill_turns *turns) {
    for (size_t i = 0; i < rill_turns_count(turns); i++) {
        rill_turn turn = rill_turns_at(turns, i);
        cr_assert_eq(turn.speaker[0], 'S');
        rill_event event = {.start = turn.start, .end = turn.start + turn.duration};
        event.speaker = (uint32_t)(turn.speaker[1] - '0');
        paint_turn(cells, &event);
    }
}

Test(turn_log, corrections_are_applied_cell_by_cell_and_first_labels_stay) {
    random_seed(3);
    for (int round = 0; round < ROUNDS; round++) {
        picture first = {0}, corrected = {0}, logged_first = {0}, logged_corrected = {0};
        struct turn_log log = {.keep = true};
        for (size_t events = random_below(30); events > 0; events--) {
            rill_event event = random_event(random_below(3) ? RILL_EVENT_TURN : RILL_EVENT_CORRECTION);
            if (event.kind == RILL_EVENT_CORRECTION) {
                event.from_speaker = 1 + event.speaker % SPEAKERS;
                paint_correction(corrected, &event);
            } else {
                paint_turn(first, &event);
                paint_turn(corrected, &event);
            }
            turn_log_event(&log, "file", &event);
        }
        rill_turns *turns = NULL;
        cr_assert_eq(rill_turns_create(&turns, NULL), RILL_OK);
        cr_assert(turn_log_collect(&log, "file", false, turns));
        paint_turns(logged_first, turns);
        rill_turns_destroy(turns);
        cr_assert_eq(rill_turns_create(&turns, NULL), RILL_OK);
        cr_assert(turn_log_collect(&log, "file", true, turns));
        paint_turns(logged_corrected, turns);
        rill_turns_destroy(turns);
        turn_log_clear(&log);
        cr_assert_arr_eq(logged_first, first, sizeof first, "round %d", round);
        cr_assert_arr_eq(logged_corrected, corrected, sizeof corrected, "round %d", round);
    }
}

static const char *label_after(struct turn_log *log, unsigned speaker, const char *name) {
    rill_event event = {.kind = RILL_EVENT_START, .speaker = speaker};
    snprintf(event.name, sizeof event.name, "%s", name);
    turn_log_event(log, "file", &event);
    for (size_t i = 0; i < log->labels.count; i++)
        if (log->labels.labels[i].speaker == speaker) return log->labels.labels[i].text;
    return "";
}

Test(turn_log, a_label_is_one_speakers_and_stays) {
    struct turn_log log = {0};
    cr_expect_str_eq(label_after(&log, 1, ""), "S1");
    cr_expect_str_eq(label_after(&log, 1, "Anna"), "S1");
    cr_expect_str_eq(label_after(&log, 2, "Anna"), "Anna");
    cr_expect_str_eq(label_after(&log, 2, ""), "Anna");
    cr_expect_str_eq(label_after(&log, 3, "Anna"), "S3");
    cr_expect_str_eq(label_after(&log, 4, "S1"), "S4");
    cr_expect_str_eq(label_after(&log, 5, "Bo X"), "Bo_X");
    cr_expect_str_eq(label_after(&log, 6, "Bo_X"), "S6");
    turn_log_clear(&log);
}

Test(turn_log, a_file_id_is_one_field) {
    static const char *const cases[][2] = {
        {"a/b/meeting.wav", "meeting"}, {"meeting", "meeting"}, {"-", "stdin"},
        {".hidden", ".hidden"},         {"a.b.wav", "a.b"},     {"x y\tz.wav", "x_y_z"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char id[FILE_ID_SIZE];
        turn_file_id(id, cases[i][0]);
        cr_expect_str_eq(id, cases[i][1]);
    }
}
