/* SPDX-License-Identifier: MIT */
#include "bench_output.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "json_line.h"
#include "message.h"

struct bench_output bench_output_begin(enum bench_format format, bool quiet, const char *const *columns,
                                       const char *heading, void (*line)(const json_t *row)) {
    struct bench_output output = {format, quiet, columns, heading, line, json_array(), false};
    if (format == BENCH_CSV) {
        for (size_t i = 0; columns[i]; i++) printf("%s%s", i ? "," : "", columns[i]);
        putchar('\n');
    }
    return output;
}

/* In quotes where it must be, quotes doubled (RFC 4180). */
static void print_text(const char *text) {
    const bool bare = !text[strcspn(text, ",\"\r\n")];
    if (!bare) putchar('"');
    for (const char *c = text; *c; c++) {
        if (*c == '"') putchar('"');
        putchar(*c);
    }
    if (!bare) putchar('"');
}

static void print_cell(const json_t *value) {
    if (json_is_string(value))
        print_text(json_string_value(value));
    else if (json_is_integer(value))
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        printf("%.9g", json_real_value(value));
    else if (json_is_boolean(value))
        fputs(json_is_true(value) ? "true" : "false", stdout);
}

static void wipe(const struct bench_output *output) {
    if (!output->quiet && isatty(STDERR_FILENO)) fputs("\r\x1b[K", stderr);
}

void bench_output_row(struct bench_output *output, json_t *row) {
    wipe(output);
    json_array_append(output->rows, row);
    if (output->format == BENCH_JSON) {
        if (!json_line(json_incref(row))) output->failed = true;
    } else if (output->format == BENCH_CSV) {
        for (size_t i = 0; output->columns[i]; i++) {
            if (i) putchar(',');
            print_cell(json_object_get(row, output->columns[i]));
        }
        putchar('\n');
    } else {
        if (json_array_size(output->rows) == 1 && output->heading && !output->quiet) puts(output->heading);
        output->line(row);
    }
    json_decref(row);
    if (!output_flush()) output->failed = true;
}

void bench_output_progress(const struct bench_output *output, size_t done, size_t all, const char *what) {
    if (output->quiet || !isatty(STDERR_FILENO)) return;
    fprintf(stderr, "\r\x1b[K[%zu/%zu] %s", done, all, what);
    fflush(stderr);
}

void bench_output_end(struct bench_output *output) {
    wipe(output);
    json_decref(output->rows);
    output->rows = NULL;
}
