/* SPDX-License-Identifier: MIT */
/* Laws of demos/rill/text.c: what is printed of strangers' text. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "random_numbers.h"
#include "text.h"

/* Bytes that are likely to be trouble. */
static void random_text(char *text, size_t size) {
    static const char *const pieces[] = {
        "a",        "é",        "漢",           "🎤",    "\x1b[2J", "\n", "\xC0\x80", "\xED\xA0\x80", "\xF5",
        "\xE2\x82", "\xC2\x9B", "\xE2\x80\xAE", "\x7F", "\xFF",    " "};
    text[0] = 0;
    for (;;) {
        char byte[2] = {(char)(1 + random_below(255)), 0};
        const char *piece = random_below(2) ? byte : pieces[random_below(sizeof pieces / sizeof *pieces)];
        if (strlen(text) + strlen(piece) >= size || random_below(40) == 0) return;
        strcat(text, piece);
    }
}

static bool is_harmless(const char *text) {
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < ' ' || *c == 0x7F || (c[0] == 0xC2 && c[1] >= 0x80 && c[1] < 0xA0) ||
            !memcmp(c, "\xE2\x80\xAE", c[1] && c[2] ? 3 : 1))
            return false;
    return true;
}

Test(text, clean_is_harmless_utf8_of_any_bytes_and_stays_so) {
    random_seed(1);
    for (int round = 0; round < 20000; round++) {
        char text[64], clean[200], again[200], small[16];
        random_text(text, sizeof text);
        text_clean(clean, sizeof clean, text);
        cr_assert(is_harmless(clean), "round %d", round);
        json_t *string = json_string(clean); /* refuses what is no UTF-8 */
        cr_assert_not_null(string, "round %d", round);
        json_decref(string);
        text_clean(again, sizeof again, clean);
        cr_assert_str_eq(again, clean, "round %d", round);
        size_t capacity = 1 + random_below(sizeof small);
        text_clean(small, capacity, text);
        cr_assert_lt(strlen(small), capacity);
        cr_assert(!strncmp(small, clean, strlen(small)), "round %d", round);
    }
}

Test(text, fit_never_exceeds_the_columns_and_cuts_between_characters) {
    random_seed(2);
    for (int round = 0; round < 20000; round++) {
        char text[64], clean[200], part[200];
        random_text(text, sizeof text);
        text_clean(clean, sizeof clean, text);
        size_t columns = random_below(20), used, whole;
        size_t bytes = text_fit(clean, columns, &used);
        cr_assert_leq(used, columns);
        snprintf(part, sizeof part, "%.*s", (int)bytes, clean);
        json_t *string = json_string(part);
        cr_assert_not_null(string, "round %d", round);
        json_decref(string);
        cr_assert_eq(text_fit(clean, 1000, &whole), strlen(clean));
        cr_assert(bytes == strlen(clean) || used + 2 > columns, "round %d: room is left", round);
        while (*clean) { /* taking characters away ends at nothing, and stays UTF-8 */
            text_drop_last(clean);
            string = json_string(clean);
            cr_assert_not_null(string, "round %d", round);
            json_decref(string);
        }
    }
}

Test(text, times_are_read_by_people) {
    static const struct {
        double seconds;
        int decimals;
        const char *text;
    } cases[] = {{0, 2, "00:00.00"},       {1.239, 2, "00:01.24"},      {59.996, 2, "01:00.00"},
                 {83, 0, "01:23"},         {3599.999, 2, "1:00:00.00"}, {3661.5, 1, "1:01:01.5"},
                 {360000, 0, "100:00:00"}, {-1, 2, "00:00.00"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char time[TEXT_TIME_SIZE];
        text_time(time, cases[i].seconds, cases[i].decimals);
        cr_expect_str_eq(time, cases[i].text);
    }
}
