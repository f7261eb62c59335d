/* SPDX-License-Identifier: MIT */
/* The rows of a benchmark: JSON, CSV or lines for people on standard output, progress on standard error. */
#ifndef BENCH_OUTPUT_H
#define BENCH_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum bench_format { BENCH_PEOPLE, BENCH_JSON, BENCH_CSV };

struct bench_output {
    enum bench_format format;
    bool quiet;                      /* no progress, no heading */
    const char *const *columns;      /* of the CSV, ending with NULL: members of the rows */
    const char *heading;             /* of the lines for people */
    void (*line)(const json_t *row); /* prints a row for people */
    json_t *rows;                    /* an array of all rows so far, for pictures and the report */
    bool failed;                     /* standard output could not be written */
};

struct bench_output bench_output_begin(enum bench_format format, bool quiet, const char *const *columns,
                                       const char *heading, void (*line)(const json_t *row));
/* Prints the row and takes it over. */
void bench_output_row(struct bench_output *output, json_t *row);
/* Progress, where standard error is a terminal: "[3/12] what", over the line before. */
void bench_output_progress(const struct bench_output *output, size_t done, size_t all, const char *what);
/* Takes the progress away. */
void bench_output_end(struct bench_output *output);

#endif
