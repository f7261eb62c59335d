/* SPDX-License-Identifier: MIT */
/* rill bench attention: what has been measured so far. */
#ifndef BENCH_ATTENTION_H
#define BENCH_ATTENTION_H

#include "bench_choice.h"
#include "bench_curve.h"
#include "bench_form.h"
#include "bench_output.h"
#include "bench_race.h"

enum measure { TOTAL, NEXT_TOKEN, MEMORY, MEASURES };

struct attention_bench {
    const struct choice *choice;
    struct bench_output output;
    struct race_rules race_rules;
    size_t heads, dim;
    struct curve curves[FORMS][MEASURES];
};

bool attention_has(const struct attention_bench *bench, enum form_kind kind);

/* A row that says which run it belongs to. */
json_t *attention_row(const struct attention_bench *bench, const char *what);

/* Tells the exponents of the curves, and where linear attention's cross the others. */
void attention_summarize(struct attention_bench *bench);

extern const char *const attention_columns[];
extern const char attention_heading[];
void attention_line(const json_t *row);

#endif
