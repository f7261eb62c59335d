/* SPDX-License-Identifier: MIT */
#include "segment_list.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_seconds(const char *text, double *seconds) {
    char *end;
    errno = 0;
    *seconds = strtod(text, &end);
    return end != text && !*end && !errno && *seconds >= 0 && *seconds <= SEGMENT_MOST_SECONDS;
}

static void parse_line(char *line, size_t length, size_t number, struct listed_segment *listed) {
    *listed = (struct listed_segment){.path = line, .duration = NAN};
    if (length > 0 && line[length - 1] == '\r') line[--length] = 0;
    bool whole = strlen(line) == length;
    char *start = strchr(line, '\t'), *duration = start ? strchr(start + 1, '\t') : NULL;
    if (start) *start++ = 0;
    if (duration) *duration++ = 0;
    if (!whole)
        snprintf(listed->error, sizeof listed->error, "line %zu: has a zero byte", number);
    else if (!*line)
        snprintf(listed->error, sizeof listed->error, "line %zu: no path", number);
    else if (start && *start && !read_seconds(start, &listed->start))
        snprintf(listed->error, sizeof listed->error, "line %zu: the start \"%.20s\" is no number of seconds",
                 number, start);
    else if (duration && *duration && (!read_seconds(duration, &listed->duration) || !(listed->duration > 0)))
        snprintf(listed->error, sizeof listed->error,
                 "line %zu: the duration \"%.20s\" is no number of seconds", number, duration);
}

struct listed_segment *segment_list_parse(char *text, size_t size, size_t *count) {
    size_t lines = 0;
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        text += 3, size -= 3; /* a spreadsheet's mark of UTF-8 */
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n' || i + 1 == size;
    struct listed_segment *listed = calloc(lines + 1, sizeof *listed);
    char *line = text;
    for (size_t i = 0; listed && i < lines; i++) {
        size_t left = (size_t)(text + size - line);
        char *end = memchr(line, '\n', left);
        size_t length = end ? (size_t)(end - line) : left;
        line[length] = 0;
        parse_line(line, length, i + 1, &listed[i]);
        if (end) line = end + 1;
    }
    *count = lines;
    return listed;
}

struct sort_key {
    const struct listed_segment *listed;
    size_t line, first_line; /* of the file */
};

static int by_path(const void *a, const void *b) {
    const struct sort_key *x = a, *y = b;
    int order = strcmp(x->listed->path, y->listed->path);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

static int by_file_and_start(const void *a, const void *b) {
    const struct sort_key *x = a, *y = b;
    if (x->first_line != y->first_line) return x->first_line < y->first_line ? -1 : 1;
    if (x->listed->start < y->listed->start) return -1;
    if (x->listed->start > y->listed->start) return 1;
    return (x->line > y->line) - (x->line < y->line);
}

size_t *segment_list_order(const struct listed_segment *listed, size_t count) {
    struct sort_key *keys = malloc((count + 1) * sizeof *keys);
    size_t *order = malloc((count + 1) * sizeof *order);
    if (!keys || !order) {
        free(keys);
        free(order);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) keys[i] = (struct sort_key){&listed[i], i, i};
    qsort(keys, count, sizeof *keys, by_path);
    for (size_t i = 1; i < count; i++)
        if (!strcmp(keys[i].listed->path, keys[i - 1].listed->path))
            keys[i].first_line = keys[i - 1].first_line;
    qsort(keys, count, sizeof *keys, by_file_and_start);
    for (size_t i = 0; i < count; i++) order[i] = keys[i].line;
    free(keys);
    return order;
}
