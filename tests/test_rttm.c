/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rill/stream/diarization.h>

typedef rill_status parse_function(const char *name, const char *text, size_t size, rill_turns **turns,
                                   rill_error *why);

static rill_turns *parsed(parse_function *parse, const char *text) {
    rill_turns *turns;
    rill_error why = {""};
    cr_assert_eq(parse("talk.rttm", text, strlen(text), &turns, &why), RILL_OK, "%s: %s", text, why.message);
    return turns;
}

/* The text is refused with a message that names its place. */
static void assert_refused(parse_function *parse, const char *text, size_t size, const char *place) {
    rill_turns *turns;
    rill_error why = {""};
    cr_assert_eq(parse("talk.rttm", text, size, &turns, &why), RILL_BAD_FORMAT, "%s", text);
    cr_assert_null(turns);
    cr_assert_not_null(strstr(why.message, place), "%s: %s", text, why.message);
    cr_assert_null(strchr(why.message, '\n'));
}

static void assert_turn(const rill_turns *turns, size_t index, rill_turn expected) {
    rill_turn turn = rill_turns_at(turns, index);
    cr_assert_str_eq(turn.file, expected.file);
    cr_assert_str_eq(turn.speaker, expected.speaker);
    cr_assert_eq(turn.start, expected.start, "%.17g", turn.start);
    cr_assert_eq(turn.duration, expected.duration, "%.17g", turn.duration);
}

Test(rttm, speaker_lines_are_read_and_other_types_passed_over) {
    rill_turns *turns =
        parsed(rill_rttm_parse, "\xEF\xBB\xBF;; made by hand\n"
                                "SPKR-INFO a 1 <NA> <NA> <NA> adult_female Anna <NA>\r\n"
                                "SPEAKER a 1 0.50 1.25 <NA> <NA> Anna <NA> <NA>\r\n"
                                "\r\n"
                                "# a remark\n"
                                "NON-LEX a 1\n"
                                "A/P a 1\n"
                                "\t SPEAKER\ta\t1\t2\t.5\t<NA>\t<NA>\tBjörn\n"
                                "SPEAKER b 1 1e2 25E-1 <NA> <NA> Anna <NA> <NA> <NA> and more and more\n"
                                "SPEAKER b 1 +3. 0 <NA> <NA> Anna");
    cr_assert_eq(rill_turns_count(turns), 4);
    assert_turn(turns, 0, (rill_turn){"a", "Anna", 0.5, 1.25});
    assert_turn(turns, 1, (rill_turn){"a", "Björn", 2, 0.5});
    assert_turn(turns, 2, (rill_turn){"b", "Anna", 100, 2.5});
    assert_turn(turns, 3, (rill_turn){"b", "Anna", 3, 0});
    rill_turns_destroy(turns);
    const char *empty[] = {"", "\n", "\r\n \t\n;; nothing\n"};
    for (size_t i = 0; i < 3; i++) {
        turns = parsed(rill_rttm_parse, empty[i]);
        cr_assert_eq(rill_turns_count(turns), 0);
        rill_turns_destroy(turns);
    }
}

Test(rttm, a_line_that_is_wrong_is_named) {
    const char *time[] = {"-1",
                          "nan",
                          "inf",
                          "0x10",
                          "1,5",
                          "",
                          "1e400",
                          "1e10",
                          "--1",
                          "1.2.3",
                          "1e",
                          "e5",
                          ".",
                          "<NA>",
                          "1s",
                          "+",
                          "99999999999999999999999"};
    for (size_t i = 0; i < sizeof time / sizeof *time; i++) {
        char text[256];
        snprintf(text, sizeof text, ";;\nSPEAKER a 1 %s 1 <NA> <NA> A <NA>\n", time[i]);
        assert_refused(rill_rttm_parse, text, strlen(text), "talk.rttm:2:");
        snprintf(text, sizeof text, "SPEAKER a 1 1 %s <NA> <NA> A <NA>", time[i]);
        assert_refused(rill_rttm_parse, text, strlen(text), "talk.rttm:1:");
    }
    const char *text[] = {"SPEAKER",
                          "SPEAKER a 1 0 1 <NA> <NA>",
                          "{\"event\": \"turn\"}",
                          "SPEAKER my talk 1 0 1 <NA> <NA> A <NA> <NA>",
                          "SPEAKER a 1 0 1 <NA> <NA> Ann Lee <NA> <NA>",
                          "file 1 0 1",
                          "speaker a 1 0 1 <NA> <NA> A <NA> <NA>",
                          "RIFF\x01 is no text"};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        assert_refused(rill_rttm_parse, text[i], strlen(text[i]), "talk.rttm:1:");
    assert_refused(rill_rttm_parse, "\n\nSPEAKER a\0b", 14, "talk.rttm:3:");
    char *long_text = malloc(1 << 20);
    memset(long_text, '9', 1 << 20);
    assert_refused(rill_rttm_parse, long_text, 1 << 20, "talk.rttm:1:");
    free(long_text);
}

/* A line ends in LF, CR LF or CR, and counts once. */
Test(rttm, lines_end_as_on_any_system) {
    const char *ending[] = {"\n", "\r\n", "\r"};
    for (size_t i = 0; i < 3; i++) {
        const char *const e = ending[i];
        char text[256];
        snprintf(text, sizeof text,
                 ";; by hand%sSPEAKER a 1 0 1 <NA> <NA> A%s%sSPEAKER a 1 2 1 <NA> <NA> B%s", e, e, e, e);
        rill_turns *turns = parsed(rill_rttm_parse, text);
        cr_assert_eq(rill_turns_count(turns), 2, "ending %zu", i);
        assert_turn(turns, 0, (rill_turn){"a", "A", 0, 1});
        assert_turn(turns, 1, (rill_turn){"a", "B", 2, 1});
        rill_turns_destroy(turns);
        const size_t size =
            (size_t)snprintf(text, sizeof text, ";;%s%sSPEAKER a 1 x 1 <NA> <NA> A%s", e, e, e);
        assert_refused(rill_rttm_parse, text, size, "talk.rttm:3:");
    }
}

Test(rttm, uem_gives_regions) {
    rill_turns *turns =
        parsed(rill_uem_parse, ";; file channel start end\na 1 0.000 10.5\r\nb\t1\t2\t2 extra\n");
    cr_assert_eq(rill_turns_count(turns), 2);
    assert_turn(turns, 0, (rill_turn){"a", "", 0, 10.5});
    assert_turn(turns, 1, (rill_turn){"b", "", 2, 0});
    rill_turns_destroy(turns);
    const char *text[] = {"a 1 0", "a 1 2 1", "a 1 -1 1", "a 1 0 nan", "a 1 0 inf", "my talk 1 5 10"};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        assert_refused(rill_uem_parse, text[i], strlen(text[i]), "talk.rttm:1:");
}

Test(rttm, what_is_written_is_read_back) {
    rill_turn turns[] = {{"a", "S1", 0.0004, 1.0002},
                         {"my talk.wav", "Anna Maria", 36000.1235, 0.001},
                         {"", "", 0, 0},
                         {"x\ny", "a\tb\r", 1, 2}};
    rill_turn expected[] = {{"a", "S1", 0, 1.001},
                            {"my_talk.wav", "Anna_Maria", 36000.124, 0.001},
                            {"<NA>", "<NA>", 0, 0},
                            {"x_y", "a_b_", 1, 2}};
    for (size_t i = 0; i < 4; i++) {
        char line[1024];
        int length = rill_rttm_line(line, sizeof line, &turns[i]);
        cr_assert_eq((size_t)length, strlen(line));
        rill_turns *read = parsed(rill_rttm_parse, line);
        cr_assert_eq(rill_turns_count(read), 1);
        assert_turn(read, 0, expected[i]);
        rill_turns_destroy(read);
        char cut[8];
        cr_assert_eq(rill_rttm_line(cut, sizeof cut, &turns[i]), length, "as snprintf counts");
        cr_assert_eq(cut[7], 0);
    }
}

Test(rttm, turns_that_touch_still_touch_when_written) {
    for (int i = 0; i < 1000; i++) { /* cuts at odd fractions of a millisecond */
        double a = i * 0.0123456, b = a + 0.0543217, c = b + 0.0777777;
        char line[2][256];
        rill_rttm_line(line[0], sizeof line[0], &(rill_turn){"a", "A", a, b - a});
        rill_rttm_line(line[1], sizeof line[1], &(rill_turn){"a", "A", b, c - b});
        long second[4], thousandth[4];
        for (int k = 0; k < 2; k++)
            cr_assert_eq(sscanf(line[k], "SPEAKER a 1 %ld.%ld %ld.%ld", &second[2 * k], &thousandth[2 * k],
                                &second[2 * k + 1], &thousandth[2 * k + 1]),
                         4);
        long end = 1000 * (second[0] + second[1]) + thousandth[0] + thousandth[1];
        cr_assert_eq(end, 1000 * second[2] + thousandth[2], "%s / %s", line[0], line[1]);
    }
}

Test(rttm, a_turn_that_cannot_be_is_refused) {
    rill_turns *turns;
    rill_error why = {""};
    cr_assert_eq(rill_turns_create(&turns, &why), RILL_OK);
    double bad[] = {-0.001, NAN, INFINITY, 1.1e9};
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(rill_turns_add(turns, &(rill_turn){"a", "A", bad[i], 1}, &why), RILL_BAD_ARGUMENT);
        cr_assert_eq(rill_turns_add(turns, &(rill_turn){"a", "A", 1, bad[i]}, NULL), RILL_BAD_ARGUMENT);
    }
    char name[] = "Anna";
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(rill_turns_add(turns, &(rill_turn){"a", name, i, 1}, &why), RILL_OK);
    name[0] = '?';
    cr_assert_eq(rill_turns_count(turns), 1000);
    assert_turn(turns, 999, (rill_turn){"a", "Anna", 999, 1});
    rill_turns_destroy(turns);
    rill_turns_destroy(NULL);
}

Test(rttm, a_file_is_read_and_a_missing_one_named) {
    rill_turns *turns;
    rill_error why = {""};
    cr_assert_eq(rill_rttm_read("no/such.rttm", &turns, &why), RILL_NOT_FOUND);
    cr_assert_null(turns);
    cr_assert_not_null(strstr(why.message, "no/such.rttm"));
    cr_assert_eq(rill_uem_read("/", &turns, &why), RILL_IO_ERROR, "a directory");
    char path[] = "rttm_XXXXXX";
    FILE *file = fdopen(mkstemp(path), "wb");
    for (int i = 0; i < 5000; i++) fprintf(file, "SPEAKER talk 1 %d 0.5 <NA> <NA> S%d <NA> <NA>\n", i, i % 7);
    fclose(file);
    cr_assert_eq(rill_rttm_read(path, &turns, &why), RILL_OK, "%s", why.message);
    unlink(path);
    cr_assert_eq(rill_turns_count(turns), 5000);
    assert_turn(turns, 4999, (rill_turn){"talk", "S1", 4999, 0.5});
    rill_turns_destroy(turns);
}
