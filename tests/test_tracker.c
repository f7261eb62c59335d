/* SPDX-License-Identifier: MIT */
#include "count_allocations.h"
#include "made_voices.h"
#include "voices.h"

TestSuite(tracker, .init = open_all, .fini = close_all);

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

/* Of few speakers, whom two at once teach little of, the grouping may leave none: then whoever speaks is told
 * all the same, and the state stays one that can be saved. */
Test(tracker, nobody_known_is_not_the_end) {
    static const uint64_t seeds[] = {32, 126, 177, 293, 387, 388};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        random_seed(seeds[i]);
        rill_tracker_settings settings = ordinary();
        settings.max_speakers = 1 + random_below(3);
        settings.latency_seconds = random_below(2) ? 0.4 : 1;
        void *tracker = open_tracker(&settings);
        story told = {0};
        voice cast[4];
        for (size_t v = 0; v < 4; v++) cast[v] = make_voice();
        while ((double)told.steps * step_seconds < 60) {
            hear_with(tracker, &told, &cast[random_below(4)], 0.2 + 2 * random_uniform(),
                      random_below(3) ? 4 : -4);
            if (!random_below(2)) hear(tracker, &told, NULL, 1.3 * random_uniform());
            cr_assert(rill_tracker_valid(voices, &settings, tracker), "seed %llu at %g s",
                      (unsigned long long)seeds[i], (double)told.steps * step_seconds);
        }
        hear(tracker, &told, &cast[0], 4);
        finish(tracker, &told);
        cr_assert(turns_alternate(&told));
        cr_assert(label_at(&told, 61, 63), "seed %llu", (unsigned long long)seeds[i]);
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

/* One step that is another's, nobody's or doubtful within a turn moves no end and no label of any turn: what
 * is decided on the last bit of a step, a copy of the recording would decide otherwise. */
Test(tracker, a_flip_in_one_step_moves_no_label) {
    enum { as_it_was, anothers, a_strangers, silent, kinds };
    rill_tracker_settings settings = ordinary();
    voices->steady = 6;
    voices->change_odds = 3;
    voices->recognition_hold = 3;
    for (uint64_t seed = 90; seed < 98; seed++) {
        story first = {0};
        for (int kind = as_it_was; kind < kinds; kind++) {
            void *tracker = open_tracker(&settings);
            story told = {0};
            random_seed(seed);
            voice a = make_voice(), b = make_voice(), c = make_voice();
            const voice *odd[kinds] = {&a, &b, &c, NULL};
            for (int i = 0; i < 3; i++) {
                hear(tracker, &told, &a, 4);
                hear(tracker, &told, &b, 3);
                hear(tracker, &told, NULL, 2);
                hear(tracker, &told, &a, 2);
                hear(tracker, &told, odd[kind], step_seconds);
                hear(tracker, &told, &a, 2);
            }
            finish(tracker, &told);
            if (kind == as_it_was) {
                first = told;
                continue;
            }
            cr_assert_eq(told.count, first.count, "seed %llu, kind %d", (unsigned long long)seed, kind);
            for (size_t i = 0; i < told.count; i++) {
                const rill_event *x = &first.events[i], *y = &told.events[i];
                cr_assert(x->kind == y->kind && x->speaker == y->speaker, "seed %llu, kind %d, event %zu",
                          (unsigned long long)seed, kind, i);
                cr_assert(fabs(x->start - y->start) < 0.0801 && fabs(x->end - y->end) < 0.0801,
                          "seed %llu, kind %d: %g to %g s, not %g to %g", (unsigned long long)seed, kind,
                          y->start, y->end, x->start, x->end);
            }
            free(told.events);
        }
        free(first.events);
    }
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

/* After a merge there is nobody of the label given up: what is learned later of its turns is told of the one
 * that has taken them over. */
Test(tracker, no_correction_is_of_a_label_merged_away) {
    static const uint64_t seeds[] = {13, 44, 52, 118, 174};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        random_seed(seeds[i]);
        rill_tracker_settings settings = ordinary();
        settings.latency_seconds = seeds[i] % 2 ? 0.4 : 1;
        settings.max_speakers = seeds[i] % 3 ? RILL_TRACKER_MAX_SPEAKERS : 3;
        void *tracker = open_tracker(&settings);
        story told = {0};
        voice cast[5];
        bool merged[RILL_TRACKER_MAX_SPEAKERS + 1] = {false};
        for (size_t v = 0; v < 5; v++) { /* much alike */
            cast[v] = make_voice();
            for (size_t k = 0; v > 0 && k < DIM; k++)
                cast[v].place[k] = (cast[0].place[k] + cast[v].place[k]) / 2;
        }
        for (size_t seen = 0; (double)told.steps * step_seconds < 90;) {
            hear_with(tracker, &told, &cast[random_below(5)], 0.2 + 3 * random_uniform(),
                      random_below(4) ? -4 : 4);
            if (!random_below(2)) hear(tracker, &told, NULL, 1.3 * random_uniform());
            for (; seen < told.count; seen++) {
                const rill_event *e = &told.events[seen];
                if (e->kind == RILL_EVENT_START) merged[e->speaker] = false;
                cr_assert(e->kind != RILL_EVENT_CORRECTION || !merged[e->from_speaker], "seed %llu: S%u",
                          (unsigned long long)seeds[i], e->from_speaker);
            }
            rill_speaker_view views[RILL_TRACKER_MAX_SPEAKERS];
            const size_t count = rill_tracker_speakers(tracker, RILL_TRACKER_MAX_SPEAKERS, views);
            if (random_below(6) || count < 2) continue;
            const uint32_t from = views[random_below(count)].speaker, to = views[random_below(count)].speaker;
            if (from == to) continue;
            cr_assert(rill_tracker_merge(voices, tracker, from, to));
            listen(tracker, &told);
            seen = told.count;
            merged[from] = true;
        }
        finish(tracker, &told);
        free(told.events);
    }
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
    for (int i = 0; i < 100; i++) { /* what the reason names can be met */
        double limits[2];
        s = ordinary();
        s.overhead_seconds += i * 1e-4;
        s.latency_seconds = 0;
        cr_assert_eq(rill_tracker_check(voices, &s, &why), RILL_BAD_ARGUMENT);
        cr_assert_eq(sscanf(why.message, "latency 0 s: this model needs %lf s and uses at most %lf s",
                            &limits[0], &limits[1]),
                     2, "%s", why.message);
        for (int k = 0; k < 2; k++) {
            s.latency_seconds = limits[k];
            cr_assert_eq(rill_tracker_check(voices, &s, NULL), RILL_OK, "%s", why.message);
        }
    }
    for (int i = 0; i < 2; i++) {
        s = ordinary();
        s.max_speakers = i ? RILL_TRACKER_MAX_SPEAKERS + 1 : 0;
        cr_assert_eq(rill_tracker_check(voices, &s, &why), RILL_BAD_ARGUMENT);
    }
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
