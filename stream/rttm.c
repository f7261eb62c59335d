/* SPDX-License-Identifier: MIT */
/* RTTM and UEM, the interchange formats of NIST's Rich Transcription evaluations: text that anybody wrote.
 *
 *     SPEAKER file channel start duration <NA> <NA> speaker <NA> <NA>         (RTTM; the last two may lack)
 *     file channel start end                                                 (UEM)
 *
 * Fields are separated by blanks; a line that starts with ; or # is a comment, and one ends as on any system:
 * in LF, CR LF, or CR. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/diarization.h>

#include "failure.h"
#include "whole_file.h"

enum {
    FIELDS = 11, /* one more than a line has */
    TEXT_SIZE_LIMIT = 1 << 28
};

typedef struct rttm_line {
    const char *name; /* of the text, for errors */
    size_t number;    /* from 1 */
    size_t fields;    /* found, counted up to FIELDS */
    char *field[FIELDS];
} rttm_line;

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\v' || c == '\f';
}

/* Cuts text into its first FIELDS words, in place. */
static void split(char *text, rttm_line *line) {
    for (line->fields = 0; line->fields < FIELDS; line->fields++) {
        while (is_blank(*text)) text++;
        if (!*text) return;
        line->field[line->fields] = text;
        while (*text && !is_blank(*text)) text++;
        if (*text) *text++ = 0;
    }
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* A decimal number without regard to the locale, which strtod would obey. Up to 15 significant digits it is
 * the nearest double. */
static bool parse_seconds(const char *text, double *seconds) {
    bool negative = *text == '-', any = false, point = false;
    if (*text == '-' || *text == '+') text++;
    double mantissa = 0;
    int exponent = 0;
    for (; is_digit(*text) || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        any = true;
        if (mantissa < 1e15) { /* digits beyond are less than a double can hold */
            mantissa = 10 * mantissa + (*text - '0');
            exponent -= point;
        } else {
            exponent += !point;
        }
        if (exponent > 400) exponent = 400;
    }
    if (any && (*text == 'e' || *text == 'E')) {
        bool down = *++text == '-';
        if (*text == '-' || *text == '+') text++;
        any = is_digit(*text);
        int power = 0;
        for (; is_digit(*text); text++)
            if (power < 400) power = 10 * power + (*text - '0');
        exponent += down ? -power : power;
    }
    mantissa = exponent < 0 ? mantissa / pow(10, -exponent) : mantissa * pow(10, exponent);
    *seconds = negative ? -mantissa : mantissa;
    return any && !*text;
}

static bool is_number(const char *text) {
    double seconds;
    return parse_seconds(text, &seconds);
}

static rill_status parse_time(const rttm_line *line, size_t field, const char *what, double *seconds,
                              rill_error *why) {
    if (!parse_seconds(line->field[field], seconds) || !(*seconds <= RILL_TURN_SECONDS_MAX) || *seconds < 0)
        return rill_fail(why, RILL_BAD_FORMAT, "%s:%zu: \"%.40s\" is no %s in seconds", line->name,
                         line->number, line->field[field], what);
    return RILL_OK;
}

static rill_status add(rill_turns *turns, const char *file, const char *speaker, double start,
                       double duration, rill_error *why) {
    return rill_turns_add(turns, &(rill_turn){file, speaker, start, duration}, why);
}

/* What begins an RTTM line: SPEAKER, SPKR-INFO, NON-LEX, A/P … */
static bool is_type(const char *word) {
    return word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_/")] == 0;
}

/* Behind the speaker, who is somebody, comes a confidence. A word there is what a blank in a name has moved:
 * out of the speaker's place, or, with more fields than there are, out of the speaker's name. */
static bool is_shifted(const rttm_line *line) {
    return line->fields > 8 && strcmp(line->field[8], "<NA>") != 0 && !is_number(line->field[8]) &&
           (strcmp(line->field[7], "<NA>") == 0 || line->fields > 10);
}

static rill_status parse_rttm_line(rttm_line *line, rill_turns *turns, rill_error *why) {
    if (!is_type(line->field[0]))
        return rill_fail(why, RILL_BAD_FORMAT, "%s:%zu: \"%.40s\" does not begin a line of RTTM", line->name,
                         line->number, line->field[0]);
    if (strcmp(line->field[0], "SPEAKER") != 0) return RILL_OK;
    if (line->fields < 8)
        return rill_fail(why, RILL_BAD_FORMAT,
                         "%s:%zu: a SPEAKER line has at least 8 fields, the eighth the speaker; here are %zu",
                         line->name, line->number, line->fields);
    if (is_shifted(line))
        return rill_fail(why, RILL_BAD_FORMAT,
                         "%s:%zu: \"%.40s\" stands behind the speaker: blanks in a name must become \"_\"",
                         line->name, line->number, line->field[8]);
    double start, duration;
    rill_status status = parse_time(line, 3, "start", &start, why);
    if (status == RILL_OK) status = parse_time(line, 4, "duration", &duration, why);
    return status == RILL_OK ? add(turns, line->field[1], line->field[7], start, duration, why) : status;
}

static rill_status parse_uem_line(rttm_line *line, rill_turns *turns, rill_error *why) {
    if (line->fields < 4)
        return rill_fail(why, RILL_BAD_FORMAT, "%s:%zu: a UEM line is \"file channel start end\"", line->name,
                         line->number);
    if (line->fields > 4 && is_number(line->field[4]) && !is_number(line->field[1]))
        return rill_fail(why, RILL_BAD_FORMAT,
                         "%s:%zu: \"%.40s\" stands where the channel is: blanks in a name must become \"_\"",
                         line->name, line->number, line->field[1]);
    double start, end;
    rill_status status = parse_time(line, 2, "start", &start, why);
    if (status == RILL_OK) status = parse_time(line, 3, "end", &end, why);
    if (status != RILL_OK) return status;
    if (end < start)
        return rill_fail(why, RILL_BAD_FORMAT, "%s:%zu: the region ends before it starts", line->name,
                         line->number);
    return add(turns, line->field[0], "", start, end - start, why);
}

typedef rill_status parse_line(rttm_line *line, rill_turns *turns, rill_error *why);

/* Takes the text apart, which is overwritten and has a NUL at text[size]. */
static rill_status parse_lines(const char *name, char *text, size_t size, parse_line *parse,
                               rill_turns *turns, rill_error *why) {
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) text += 3, size -= 3;
    rttm_line line = {.name = name, .number = 1};
    for (char *end = text + size; text < end; line.number++) {
        char *newline = text + strcspn(text, "\r\n");
        if (!*newline && newline < end)
            return rill_fail(why, RILL_BAD_FORMAT, "%s:%zu: a NUL byte: this is no text", name, line.number);
        if (newline[0] == '\r' && newline[1] == '\n') *newline++ = 0;
        *newline = 0;
        split(text, &line);
        if (line.fields && line.field[0][0] != ';' && line.field[0][0] != '#') {
            rill_status status = parse(&line, turns, why);
            if (status != RILL_OK) return status;
        }
        text = newline + 1;
    }
    return RILL_OK;
}

static rill_status parse_text(const char *name, const char *text, size_t size, parse_line *parse,
                              rill_turns **turns, rill_error *why) {
    *turns = NULL;
    char *copy = size < SIZE_MAX ? malloc(size + 1) : NULL;
    if (!copy) return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: no memory to parse it", name);
    if (size) memcpy(copy, text, size);
    copy[size] = 0;
    rill_status status = rill_turns_create(turns, why);
    if (status == RILL_OK) status = parse_lines(name, copy, size, parse, *turns, why);
    free(copy);
    if (status != RILL_OK) {
        rill_turns_destroy(*turns);
        *turns = NULL;
    }
    return status;
}

static rill_status read_text(const char *path, parse_line *parse, rill_turns **turns, rill_error *why) {
    char *text;
    size_t size;
    *turns = NULL;
    rill_status status = rill_whole_file_read(path, TEXT_SIZE_LIMIT, &text, &size, why);
    if (status != RILL_OK) return status;
    status = parse_text(path, text, size, parse, turns, why);
    free(text);
    return status;
}

rill_status rill_rttm_parse(const char *name, const char *text, size_t size, rill_turns **turns,
                            rill_error *why) {
    return parse_text(name, text, size, parse_rttm_line, turns, why);
}

rill_status rill_rttm_read(const char *path, rill_turns **turns, rill_error *why) {
    return read_text(path, parse_rttm_line, turns, why);
}

rill_status rill_uem_parse(const char *name, const char *text, size_t size, rill_turns **turns,
                           rill_error *why) {
    return parse_text(name, text, size, parse_uem_line, turns, why);
}

rill_status rill_uem_read(const char *path, rill_turns **turns, rill_error *why) {
    return read_text(path, parse_uem_line, turns, why);
}

/* One field: blanks and control characters would end it early, so they become '_'. */
static void write_field(char *field, size_t capacity, const char *text) {
    if (!*text) text = "<NA>";
    size_t size = strlen(text);
    if (size >= capacity) size = capacity - 1;
    for (size_t i = 0; i < size; i++) {
        bool blank = (unsigned char)text[i] <= ' ' || text[i] == 0x7F;
        field[i] = blank ? '_' : text[i];
    }
    field[size] = 0;
}

static long long milliseconds(double seconds) {
    return llround(1000 * fmin(fmax(seconds, 0), 2 * RILL_TURN_SECONDS_MAX));
}

int rill_rttm_line(char *line, size_t capacity, const rill_turn *turn) {
    char file[256], speaker[256];
    write_field(file, sizeof file, turn->file);
    write_field(speaker, sizeof speaker, turn->speaker);
    /* Start and end are rounded, not the duration: turns that touch still touch. */
    long long start = milliseconds(turn->start);
    long long duration = milliseconds(turn->start + turn->duration) - start;
    return snprintf(line, capacity, "SPEAKER %s 1 %lld.%03lld %lld.%03lld <NA> <NA> %s <NA> <NA>", file,
                    start / 1000, start % 1000, duration / 1000, duration % 1000, speaker);
}
