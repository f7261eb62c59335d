/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rill/stream/diarization.h>

#include "random_numbers.h"

static rill_turns *new_turns(void) {
    rill_turns *turns;
    cr_assert_eq(rill_turns_create(&turns, NULL), RILL_OK);
    return turns;
}

static void add(rill_turns *turns, const char *file, const char *speaker, double start, double end) {
    rill_error why = {""};
    cr_assert_eq(rill_turns_add(turns, &(rill_turn){file, speaker, start, end - start}, &why), RILL_OK, "%s",
                 why.message);
}

/* "file speaker start end" a turn, separated by ';'. */
static rill_turns *turns_of(const char *text) {
    rill_turns *turns = new_turns();
    for (int used = 0; *text; text += used) {
        char file[32], speaker[32];
        double start, end;
        cr_assert_eq(sscanf(text, " %31s %31s %lf %lf ;%n", file, speaker, &start, &end, &used), 4, "%s",
                     text);
        add(turns, file, speaker, start, end);
    }
    return turns;
}

typedef struct scores {
    size_t count;
    rill_diarization_error *row;
} scores;

static scores score(const rill_turns *reference, const rill_turns *hypothesis, const rill_turns *uem,
                    double collar) {
    scores s;
    rill_error why = {""};
    cr_assert_eq(rill_diarization_score(reference, hypothesis, uem, collar, &s.row, &s.count, &why), RILL_OK,
                 "%s", why.message);
    return s;
}

static double error_seconds(const rill_diarization_error *e) {
    return e->missed + e->false_alarm + e->confusion;
}

static void assert_row(const char *what, const rill_diarization_error *row, double reference, double missed,
                       double false_alarm, double confusion, double scored) {
    double found[] = {row->reference, row->missed, row->false_alarm, row->confusion, row->scored};
    double expected[] = {reference, missed, false_alarm, confusion, scored};
    for (int i = 0; i < 5; i++)
        cr_assert(fabs(found[i] - expected[i]) < 1e-9, "%s: value %d is %.12g, not %.12g", what, i, found[i],
                  expected[i]);
}

typedef struct example {
    const char *what, *reference, *hypothesis, *uem;
    double collar;
    double reference_seconds, missed, false_alarm, confusion, scored;
} example;

Test(diarization_error, is_what_a_pencil_gives) {
    const example examples[] = {
        {"one speaker late by 1, too long by 2", "f A 0 10;", "f x 1 12;", NULL, 0, 10, 1, 2, 0, 12},
        {"two speakers, the boundary off by 1", "f A 0 5; f B 5 10;", "f x 0 6; f y 6 10;", NULL, 0, 10, 0, 0,
         1, 10},
        {"overlap of 2 found by nobody", "f A 0 6; f B 4 10;", "f x 0 5; f y 5 10;", NULL, 0, 12, 2, 0, 0,
         10},
        {"both emitted where one speaks", "f A 0 10;", "f x 0 10; f y 4 7;", NULL, 0, 10, 0, 3, 0, 10},
        {"overlap found, one of the two is a stranger", "f A 0 10; f B 0 4;", "f x 0 10; f y 6 10; f z 0 4;",
         NULL, 0, 14, 0, 4, 0, 10},
        {"one label for two: the longer is mapped", "f A 0 4; f B 4 10;", "f x 0 10;", NULL, 0, 10, 0, 0, 4,
         10},
        {"two labels for one: the longer is mapped", "f A 0 10;", "f x 0 4; f y 4 10;", NULL, 0, 10, 0, 0, 4,
         10},
        {"together counts, not each one's best", "f A 0 10; f B 20 29;", "f x 0 10; f x 20 29; f y 0 9;",
         NULL, 0, 19, 0, 9, 1, 29},
        {"collar round both ends of every turn", "f A 0 10;", "f x 1 12;", NULL, 0.5, 9, 0.5, 1.5, 0, 10.5},
        {"collars that meet leave nothing of a short turn", "f A 0 4; f B 4 4.4; f A 4.4 8;", "f x 0 8;",
         NULL, 0.25, 3.5 + 3.1, 0, 0, 0, 6.6},
        {"a boundary inside another's turn", "f A 0 10; f B 4 6;", "f x 0 10;", NULL, 0.25,
         10 - 0.5 - 1 + 1.5, 1.5, 0, 0, 8.5},
        {"nothing said about a file", "f A 0 5; g A 0 5;", "f x 0 5;", NULL, 0, 10, 5, 0, 0, 10},
        {"no hypothesis at all", "f A 0 5;", "", NULL, 0, 5, 5, 0, 0, 5},
        {"no reference at all", "", "f x 0 5;", NULL, 0, 0, 0, 0, 0, 0},
        {"a reference turn without length", "f A 3 3;", "f x 0 5;", NULL, 0, 0, 0, 5, 0, 5},
        {"the regions decide", "f A 0 10; f B 10 20;", "f x 0 20; f y 30 40;",
         "f - 5 12; f - 8 15; f - 35 36;", 0, 10, 0, 1, 5, 11},
        {"a region beyond the last turn", "f A 0 10;", "f x 0 10;", "f - 0 100;", 0, 10, 0, 0, 0, 100},
        {"a region without length", "f A 0 10;", "f x 0 10;", "f - 5 5;", 0, 0, 0, 0, 0, 0},
        {"a region of another file", "f A 0 10;", "f x 0 9;", "g - 0 5;", 0, 10, 1, 0, 0, 10},
        {"the same voice twice at once is one voice", "f A 0 6; f A 4 10;", "f x 0 10; f x 2 3;", NULL, 0, 10,
         0, 0, 0, 10},
        {"files are mapped each for itself", "f A 0 10; g A 0 10;", "f x 0 10; g y 0 10;", NULL, 0, 20, 0, 0,
         0, 20},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const example *e = &examples[i];
        rill_turns *reference = turns_of(e->reference), *hypothesis = turns_of(e->hypothesis);
        rill_turns *uem = e->uem ? turns_of(e->uem) : NULL;
        scores s = score(reference, hypothesis, uem, e->collar);
        const rill_diarization_error *total = &s.row[s.count - 1];
        cr_assert_str_eq(total->file, "TOTAL");
        assert_row(e->what, total, e->reference_seconds, e->missed, e->false_alarm, e->confusion, e->scored);
        rill_diarization_errors_destroy(s.row);
        rill_turns_destroy(reference);
        rill_turns_destroy(hypothesis);
        rill_turns_destroy(uem);
    }
}

Test(diarization_error, rows_follow_the_reference_and_count_speakers) {
    rill_turns *reference = turns_of("z A 0 5; a A 0 0.5; a B 1 9; z C 5 6;");
    rill_turns *hypothesis = turns_of("a x 0 0.6; a x 2 2.3; a y 3 4; a z 5 9; only x 0 9; more x 0 9;");
    scores s = score(reference, hypothesis, NULL, 0.25);
    cr_assert_eq(s.count, 3);
    cr_assert_str_eq(s.row[0].file, "z");
    cr_assert_str_eq(s.row[1].file, "a");
    cr_assert_eq(s.row[0].reference_speakers, 2);
    cr_assert_eq(s.row[0].hypothesis_speakers, 0);
    cr_assert_eq(s.row[1].reference_speakers, 2);
    cr_assert_eq(s.row[1].hypothesis_speakers, 2, "x has 0.9 s, y just 1 s");
    cr_assert_eq(s.row[2].reference_speakers, 4);
    cr_assert_eq(s.row[2].left_out_files, 2);
    assert_row("sum", &s.row[2], s.row[0].reference + s.row[1].reference, s.row[0].missed + s.row[1].missed,
               s.row[0].false_alarm + s.row[1].false_alarm, s.row[0].confusion + s.row[1].confusion,
               s.row[0].scored + s.row[1].scored);
    rill_diarization_errors_destroy(s.row);
    rill_turns_destroy(reference);
    rill_turns_destroy(hypothesis);
}

Test(diarization_error, what_cannot_be_scored_is_refused) {
    rill_turns *turns = turns_of("f A 0 10;"), *many = new_turns();
    for (int i = 0; i < 1100; i++) {
        char speaker[16];
        snprintf(speaker, sizeof speaker, "%d", i);
        add(many, "f", speaker, i, i + 1);
    }
    double bad[] = {-0.1, NAN, INFINITY};
    rill_diarization_error *errors;
    size_t count;
    rill_error why = {""};
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(rill_diarization_score(turns, turns, NULL, bad[i], &errors, &count, &why),
                     RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_diarization_score(turns, many, NULL, 0, &errors, &count, &why), RILL_UNSUPPORTED);
    cr_assert_eq(rill_diarization_score(many, turns, NULL, 0, &errors, &count, &why), RILL_UNSUPPORTED);
    cr_assert_null(errors);
    rill_turns_destroy(turns);
    rill_turns_destroy(many);
}

/* Random conversations on a grid of a hundredth of a second, which is exact in neither format nor double. */
enum { GRID = 600, SPEAKERS = 5, FILES = 2 };
static const double QUANTUM = 0.01;

static const char *const file_names[FILES] = {"one", "two"};

static void random_span(size_t *start, size_t *end) {
    *start = random_below(GRID - 1);
    *end = *start + 1 + random_below(*start + 120 < GRID ? 120 : GRID - *start);
}

static rill_turns *random_turns(size_t turns, size_t speakers, const char *prefix) {
    rill_turns *list = new_turns();
    for (size_t i = 0; i < turns; i++) {
        char speaker[32];
        size_t start, end;
        random_span(&start, &end);
        snprintf(speaker, sizeof speaker, "%s%zu", prefix, random_below(speakers));
        add(list, file_names[random_below(FILES)], speaker, (double)start * QUANTUM, (double)end * QUANTUM);
    }
    return list;
}

static rill_turns *random_regions(size_t count) {
    rill_turns *list = new_turns();
    for (size_t i = 0; i < count; i++) {
        size_t start, end;
        random_span(&start, &end);
        add(list, file_names[0], "", (double)start * QUANTUM, (double)end * QUANTUM);
    }
    return list;
}

/* The definition, frame by frame: what holds in the middle of a hundredth of a second holds in all of it. */
typedef struct frame_count {
    bool reference[SPEAKERS], hypothesis[SPEAKERS], region, collar;
} frame_count;

static bool covers(const rill_turn *turn, double time) {
    return turn->start <= time && time < turn->start + turn->duration;
}

/* Merged boundaries: a moment is one when the speaker is there on one side of it only. */
static bool speaks(const rill_turns *turns, const char *file, const char *speaker, double time) {
    for (size_t i = 0; i < rill_turns_count(turns); i++) {
        rill_turn turn = rill_turns_at(turns, i);
        if (!strcmp(turn.file, file) && !strcmp(turn.speaker, speaker) && covers(&turn, time)) return true;
    }
    return false;
}

static double last_end(const rill_turns *turns, const char *file) {
    double end = 0;
    for (size_t i = 0; i < rill_turns_count(turns); i++) {
        rill_turn turn = rill_turns_at(turns, i);
        if (!strcmp(turn.file, file)) end = fmax(end, turn.start + turn.duration);
    }
    return end;
}

static void fill_frames(const rill_turns *reference, const rill_turns *hypothesis, const rill_turns *uem,
                        const char *file, size_t collar_frames, frame_count frames[GRID]) {
    bool has_uem = false;
    for (size_t i = 0; uem && i < rill_turns_count(uem); i++)
        has_uem |= !strcmp(rill_turns_at(uem, i).file, file);
    double end = fmax(last_end(reference, file), last_end(hypothesis, file));
    memset(frames, 0, GRID * sizeof *frames);
    for (size_t t = 0; t < GRID; t++) {
        double middle = ((double)t + 0.5) * QUANTUM;
        for (size_t s = 0; s < SPEAKERS; s++) {
            char r[16], h[16];
            snprintf(r, sizeof r, "r%zu", s);
            snprintf(h, sizeof h, "h%zu", s);
            frames[t].reference[s] = speaks(reference, file, r, middle);
            frames[t].hypothesis[s] = speaks(hypothesis, file, h, middle);
        }
        frames[t].region = has_uem ? speaks(uem, file, "", middle) : middle < end;
    }
    for (size_t t = 0; t <= GRID; t++) /* the boundary before frame t */
        for (size_t s = 0; s < SPEAKERS; s++) {
            bool before = t > 0 && frames[t - 1].reference[s], after = t < GRID && frames[t].reference[s];
            if (before == after) continue;
            for (size_t u = t < collar_frames ? 0 : t - collar_frames; u < t + collar_frames && u < GRID; u++)
                frames[u].collar = true;
        }
}

static rill_diarization_error count_errors(const frame_count frames[GRID], const size_t mapped[SPEAKERS]) {
    rill_diarization_error e = {0};
    for (size_t t = 0; t < GRID; t++) {
        if (!frames[t].region || frames[t].collar) continue;
        double n_reference = 0, n_hypothesis = 0, n_correct = 0;
        for (size_t s = 0; s < SPEAKERS; s++) {
            n_reference += frames[t].reference[s];
            n_hypothesis += frames[t].hypothesis[s];
            n_correct += frames[t].reference[s] && frames[t].hypothesis[mapped[s]];
        }
        e.scored += QUANTUM;
        e.reference += n_reference * QUANTUM;
        e.missed += fmax(0, n_reference - n_hypothesis) * QUANTUM;
        e.false_alarm += fmax(0, n_hypothesis - n_reference) * QUANTUM;
        e.confusion += (fmin(n_reference, n_hypothesis) - n_correct) * QUANTUM;
    }
    return e;
}

/* The least error over all permutations: confusion alone depends on the mapping. */
static rill_diarization_error best_errors(const frame_count frames[GRID], size_t mapped[SPEAKERS],
                                          size_t from) {
    if (from == SPEAKERS) return count_errors(frames, mapped);
    rill_diarization_error best = {.confusion = INFINITY};
    for (size_t i = from; i < SPEAKERS; i++) {
        size_t keep = mapped[from];
        mapped[from] = mapped[i], mapped[i] = keep;
        rill_diarization_error e = best_errors(frames, mapped, from + 1);
        if (e.confusion < best.confusion) best = e;
        keep = mapped[from], mapped[from] = mapped[i], mapped[i] = keep;
    }
    return best;
}

Test(diarization_error, equals_counting_frames_under_every_mapping) {
    unsigned long long seed = 20091201;
    random_seed(seed);
    for (int trial = 0; trial < 24; trial++) {
        rill_turns *reference = random_turns(random_below(24), SPEAKERS, "r");
        rill_turns *hypothesis = random_turns(random_below(24), SPEAKERS, "h");
        rill_turns *uem = trial % 3 ? random_regions(1 + random_below(5)) : NULL;
        size_t collar_frames = trial % 2 ? random_below(30) : 0;
        scores s = score(reference, hypothesis, uem, (double)collar_frames * QUANTUM);
        for (size_t i = 0; i + 1 < s.count; i++) {
            static frame_count frames[GRID];
            size_t mapped[SPEAKERS] = {0, 1, 2, 3, 4};
            fill_frames(reference, hypothesis, uem, s.row[i].file, collar_frames, frames);
            rill_diarization_error e = best_errors(frames, mapped, 0);
            char what[64];
            snprintf(what, sizeof what, "seed %llu trial %d", seed, trial);
            assert_row(what, &s.row[i], e.reference, e.missed, e.false_alarm, e.confusion, e.scored);
        }
        rill_diarization_errors_destroy(s.row);
        rill_turns_destroy(reference);
        rill_turns_destroy(hypothesis);
        rill_turns_destroy(uem);
    }
}

/* The same turns in another order, cut in two at random, under other names. */
static rill_turns *disguised(const rill_turns *turns, bool cut, const char *prefix) {
    rill_turns *list = new_turns();
    for (size_t i = rill_turns_count(turns); i-- > 0;) {
        rill_turn turn = rill_turns_at(turns, i);
        char speaker[32];
        snprintf(speaker, sizeof speaker, "%s%c", prefix, 'Z' - turn.speaker[1]);
        double end = turn.start + turn.duration,
               middle = cut ? turn.start + random_uniform() * turn.duration : end;
        add(list, turn.file, prefix ? speaker : turn.speaker, turn.start, middle);
        if (cut)
            add(list, turn.file, prefix ? speaker : turn.speaker,
                fmax(turn.start, middle - (i % 2 ? 1e-4 : 0)), end);
    }
    return list;
}

Test(diarization_error, does_not_see_labels_order_or_cuts) {
    random_seed(7);
    for (int trial = 0; trial < 40; trial++) {
        rill_turns *reference = random_turns(20, SPEAKERS, "r"),
                   *hypothesis = random_turns(20, SPEAKERS, "h");
        double collar = trial % 2 ? 0.05 : 0;
        rill_turns *other[2] = {disguised(reference, trial % 3 == 0, "x"),
                                disguised(hypothesis, trial % 3 == 1, "y")};
        scores plain = score(reference, hypothesis, NULL, collar),
               same = score(other[0], other[1], NULL, collar);
        scores self = score(reference, other[0], NULL, collar);
        const rill_diarization_error *p = &plain.row[plain.count - 1], *q = &same.row[same.count - 1];
        assert_row("disguised", q, p->reference, p->missed, p->false_alarm, p->confusion, p->scored);
        cr_assert_lt(error_seconds(&self.row[self.count - 1]), 1e-9, "a reference against itself");
        cr_assert_eq(p->hypothesis_speakers, q->hypothesis_speakers);
        rill_diarization_errors_destroy(plain.row);
        rill_diarization_errors_destroy(same.row);
        rill_diarization_errors_destroy(self.row);
        for (int i = 0; i < 2; i++) rill_turns_destroy(other[i]);
        rill_turns_destroy(reference);
        rill_turns_destroy(hypothesis);
    }
}

Test(diarization_error, of_identical_turns_is_exactly_zero) {
    random_seed(11);
    for (int trial = 0; trial < 20; trial++) {
        rill_turns *turns = random_turns(30, SPEAKERS, "r");
        scores s = score(turns, turns, NULL, 0);
        cr_assert_eq(error_seconds(&s.row[s.count - 1]), 0);
        cr_assert_gt(s.row[s.count - 1].reference, 0);
        rill_diarization_errors_destroy(s.row);
        rill_turns_destroy(turns);
    }
}

#define DER RILL_SHARED "/conformance/der/ami_test."

static rill_turns *read_turns(const char *path, bool uem) {
    rill_turns *turns;
    rill_error why = {""};
    rill_status status = (uem ? rill_uem_read : rill_rttm_read)(path, &turns, &why);
    cr_assert_eq(status, RILL_OK, "%s", why.message);
    return turns;
}

/* Published output of two systems, measured by an independent scorer. */
Test(diarization_error, agrees_with_an_independent_scorer_on_ami) {
    const char *system[] = {"diart_0.5s", "diart_1.0s", "diart_5.0s", "vbx_offline"};
    const double rate[2][4] = {{34.08, 30.40, 27.46, 24.14}, {26.66, 23.51, 21.04, 16.19}};
    if (access(DER "uem", R_OK) != 0) cr_skip_test("needs %s", DER "uem");
    rill_turns *reference = read_turns(DER "reference.rttm", false), *uem = read_turns(DER "uem", true);
    for (int i = 0; i < 4; i++) {
        char path[512];
        snprintf(path, sizeof path, DER "%s.rttm", system[i]);
        rill_turns *hypothesis = read_turns(path, false);
        for (int c = 0; c < 2; c++) {
            scores s = score(reference, hypothesis, uem, 0.25 * c);
            const rill_diarization_error *total = &s.row[s.count - 1];
            double percent = 100 * error_seconds(total) / total->reference;
            cr_log_info("%s, collar %.2f: %.3f %%\n", system[i], 0.25 * c, percent);
            cr_expect(fabs(percent - rate[c][i]) <= 0.05, "%s, collar %.2f: %.3f %%, not %.2f", system[i],
                      0.25 * c, percent, rate[c][i]);
            rill_diarization_errors_destroy(s.row);
        }
        rill_turns_destroy(hypothesis);
    }
    rill_turns_destroy(reference);
    rill_turns_destroy(uem);
}
