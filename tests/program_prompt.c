/* SPDX-License-Identifier: MIT */
/* Laws of demos/rill/prompt.c, on a listener that has heard two voices. */
#include <criterion/criterion.h>
#include <string.h>

#include "prompt.h"
#include "synthetic_voice.h"

enum { RATE_HZ = 16000, SECONDS = 10 };

static rill_model *model;

static rill_listener *open_listener(void) {
    rill_error why = {""};
    rill_listener *listener;
    cr_assert_eq(rill_model_open(RILL_MODEL, &model, &why), RILL_OK, "%s", why.message);
    const rill_listener_settings settings = rill_listener_defaults(model);
    cr_assert_eq(rill_listener_open(model, &settings, NULL, &listener, &why), RILL_OK, "%s", why.message);
    return listener;
}

/* One voice for the first half, another for the second. */
static float samples[SECONDS * RATE_HZ];

static rill_listener *conversation(void) {
    rill_listener *listener = open_listener();
    rill_event event;
    for (size_t i = 0; i < SECONDS * RATE_HZ; i++) {
        double t = (double)i / RATE_HZ;
        samples[i] = synthetic_voice(t, t < SECONDS / 2 ? 1 : 1.7);
    }
    for (size_t done = 0; done < SECONDS * RATE_HZ;) {
        done += rill_listener_push(listener, SECONDS * RATE_HZ - done, samples + done);
        while (rill_listener_poll(listener, &event)) {
        }
    }
    return listener;
}

static void close_listener(rill_listener *listener) {
    rill_listener_close(listener);
    rill_model_close(model);
}

static size_t speakers_of(const rill_listener *listener, rill_speaker_view views[RILL_TRACKER_MAX_SPEAKERS]) {
    return rill_listener_speakers(listener, RILL_TRACKER_MAX_SPEAKERS, views);
}

/* False when one of the keys quits. */
static bool type(struct prompt *prompt, const char *keys, rill_listener *listener) {
    for (; *keys; keys++)
        if (!prompt_key(prompt, (unsigned char)*keys, listener)) return false;
    return true;
}

static bool asks(const struct prompt *prompt, const char *what) {
    char line[PROMPT_LINE_SIZE] = "";
    return prompt_line(prompt, line) ? *what && strstr(line, what) != NULL : !*what;
}

Test(prompt, names_a_speaker_once_the_answer_is_complete) {
    rill_listener *listener = conversation();
    rill_speaker_view views[RILL_TRACKER_MAX_SPEAKERS];
    struct prompt prompt = {0};
    cr_assert_geq(speakers_of(listener, views), 2);
    char number[] = {(char)('0' + views[0].speaker), '\n', 0};
    cr_assert(asks(&prompt, ""));
    cr_assert(type(&prompt, "n", listener) && asks(&prompt, "Name which speaker"));
    cr_assert(type(&prompt, number, listener) && asks(&prompt, "Name of S"));
    cr_assert(type(&prompt, "Annq\xC3\xA4\x7F\x7F", listener), "a q in a name does not quit");
    cr_assert(asks(&prompt, "Ann_"), "the delete key takes whole characters");
    speakers_of(listener, views);
    cr_assert_str_eq(views[0].name, "", "not before the end of the line");
    cr_assert(type(&prompt, "a\r", listener) && asks(&prompt, ""));
    speakers_of(listener, views);
    cr_assert_str_eq(views[0].name, "Anna");
    cr_assert(strstr(prompt.notice, "Anna") != NULL, "\"%s\"", prompt.notice);
    close_listener(listener);
}

Test(prompt, merges_two_speakers_and_tells_it_as_a_correction) {
    rill_listener *listener = conversation();
    rill_speaker_view views[RILL_TRACKER_MAX_SPEAKERS];
    struct prompt prompt = {0};
    rill_event event;
    size_t count = speakers_of(listener, views);
    const uint32_t from = views[1].speaker, into = views[0].speaker;
    char answers[] = {'m', (char)('0' + from), '\n', 'S', (char)('0' + into), '\n', 0};
    cr_assert_geq(count, 2);
    cr_assert(type(&prompt, answers, listener) && asks(&prompt, ""));
    cr_assert_eq(speakers_of(listener, views), count - 1);
    bool corrected = false;
    while (rill_listener_poll(listener, &event))
        corrected |=
            event.kind == RILL_EVENT_CORRECTION && event.from_speaker == from && event.speaker == into;
    cr_assert(corrected);
    /* it speaks on: its label is gone for good */
    size_t told = 0;
    for (size_t begun = 0, done; begun < 5; begun++)
        for (done = SECONDS * RATE_HZ / 2; done < SECONDS * RATE_HZ;) {
            done += rill_listener_push(listener, SECONDS * RATE_HZ - done, samples + done);
            for (; rill_listener_poll(listener, &event); told++)
                cr_assert(event.speaker != from && event.from_speaker != from, "S%u again at %g s", from,
                          event.decided_at);
        }
    cr_assert_gt(told, 0);
    close_listener(listener);
}

Test(prompt, the_keys_that_the_help_names_work_while_it_is_shown) {
    rill_listener *listener = open_listener();
    struct prompt prompt = {0};
    cr_assert(type(&prompt, "?", listener) && asks(&prompt, "n name"));
    cr_assert(type(&prompt, "\x1b", listener) && asks(&prompt, ""));
    cr_assert(type(&prompt, "?n", listener) && asks(&prompt, "Name which speaker"));
    cr_assert(type(&prompt, "\x1b?m", listener) && asks(&prompt, "Which speaker is another"));
    cr_assert_not(type(&prompt, "\x1b?q", listener));
    close_listener(listener);
}

Test(prompt, nonsense_changes_nothing_and_says_so) {
    rill_listener *listener = conversation();
    rill_speaker_view before[RILL_TRACKER_MAX_SPEAKERS], after[RILL_TRACKER_MAX_SPEAKERS];
    const char *nonsense[] = {"nS\n",  "n0\n",        "n-1\n",   "n99999999999\n",
                              "n1x\n", "n99\nAnna\n", "m1\n1\n", "m99\n1\n"};
    size_t count = speakers_of(listener, before);
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        struct prompt prompt = {0};
        cr_assert(type(&prompt, nonsense[i], listener));
        cr_expect(asks(&prompt, "") && prompt.notice[0], "%s", nonsense[i]);
        cr_assert_eq(speakers_of(listener, after), count);
        cr_expect(!memcmp(before, after, count * sizeof *after), "%s", nonsense[i]);
    }
    struct prompt prompt = {0};
    char longest[2 * RILL_NAME_SIZE];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    cr_assert(type(&prompt, "n", listener) && type(&prompt, longest, listener));
    cr_assert_eq(strlen(prompt.typed), RILL_NAME_SIZE - 1);
    close_listener(listener);
}
