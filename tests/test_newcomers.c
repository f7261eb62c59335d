/* SPDX-License-Identifier: MIT */
/* When an unknown voice is a speaker, and what it is called until then. */
#include "made_voices.h"
#include "voices.h"

TestSuite(newcomers, .init = open_all, .fini = close_all);

Test(newcomers, birth_needs_about_a_second) {
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

Test(newcomers, pending_speech_has_a_label_of_its_own) {
    rill_tracker_settings settings = ordinary();
    void *tracker = open_tracker(&settings);
    story told = {0};
    random_seed(5);
    voice a = make_voice(), cough = make_voice();
    hear(tracker, &told, &a, 10);
    hear(tracker, &told, NULL, 2);
    hear(tracker, &told, &cough, 1); /* too short to be born of */
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
Test(newcomers, a_provisional_label_is_lent_again) {
    for (uint64_t seed = 70; seed < 74; seed++) {
        rill_tracker_settings settings = ordinary();
        void *tracker = open_tracker(&settings);
        story told = {0};
        random_seed(seed);
        voice a = make_voice(), b = make_voice();
        hear(tracker, &told, &a, 10);
        for (int i = 0; i < 20; i++) { /* from 10 s on, 4 s each */
            voice cough = make_voice();
            hear(tracker, &told, NULL, 2);
            hear(tracker, &told, &cough, 1);
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
        cr_assert_eq(label_at(&told, 90.5, 94), lent);
        free(told.events);
    }
}

/* A stranger is taken for somebody known when little evidence is asked for, and a known voice never is a
 * stranger. */
Test(newcomers, a_newcomer_is_one_by_evidence) {
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

/* Steps that scatter as widely as the model believes that they do: one counts as evidence_scale of an
 * observation, so that it takes a while to know a voice. */
static void hear_vaguely(void *tracker, story *told, const voice *who, double seconds) {
    const float wide = 1 / sqrtf(voices->evidence_scale);
    float embedding[DIM];
    for (long left = lround(seconds / step_seconds); left > 0; left--, told->steps++) {
        say(who, embedding);
        for (size_t i = 0; i < info->embedding_dim; i++)
            embedding[i] = who->place[i] + wide * (embedding[i] - who->place[i]);
        rill_tracker_step(voices, tracker, embedding, 4, -6);
        listen(tracker, told);
    }
}

/* Who sounds otherwise than before is recognised when enough of the unknown voice has been heard: the more
 * evidence is asked for, the later. */
Test(newcomers, a_voice_is_recognised_as_more_of_it_is_heard) {
    int late = 0;
    for (uint64_t seed = 90; seed < 94; seed++) {
        double before = 0;
        for (float asked = -20; asked <= 20; asked += 2) {
            rill_tracker_settings settings = ordinary();
            void *tracker = open_tracker(&settings);
            story told = {0};
            random_seed(seed);
            const voice a = make_voice(), b = make_voice(), other = make_voice();
            voice hoarse = a;
            for (size_t i = 0; i < info->embedding_dim; i++)
                hoarse.place[i] += 0.35F * (other.place[i] - a.place[i]);
            hear(tracker, &told, &a, 10);
            hear(tracker, &told, NULL, 1);
            hear(tracker, &told, &b, 10);
            hear(tracker, &told, NULL, 2);
            const rill_voice_model usual = *voices;
            voices->newcomer_cost = -30; /* whoever it is seems unknown */
            voices->birth_steps = 1000;  /* and is never born: no grouping recognises it */
            voices->recognition_evidence = asked;
            hear_vaguely(tracker, &told, &hoarse, 5);
            finish(tracker, &told);
            *voices = usual;
            const uint32_t own = label_at(&told, 1, 9);
            double recognised = 28;
            for (size_t i = 0; i < told.count; i++)
                if (told.events[i].kind == RILL_EVENT_TURN && told.events[i].speaker == own &&
                    told.events[i].end > 23)
                    recognised = fmin(recognised, told.events[i].start);
            cr_assert_geq(recognised, before, "seed %llu: at %.2f s by %g, at %.2f s by less",
                          (unsigned long long)seed, recognised, (double)asked, before);
            late += recognised > 23.3 && recognised < 28;
            before = recognised;
            free(told.events);
        }
    }
    cr_assert_gt(late, 2, "%d are recognised only later", late);
}

Test(newcomers, speakers_are_bounded) {
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

Test(newcomers, a_higher_threshold_finds_no_fewer_speakers) {
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
