/* SPDX-License-Identifier: MIT */
/* A figure of rill bench kernels: how long something took, and the least it can take here. */
#ifndef BENCH_FIGURE_H
#define BENCH_FIGURE_H

#include <jansson.h>
#include <stddef.h>

#include "bench_bounds.h"
#include "bench_output.h"
#include "bench_race.h"

struct figure {
    const char *what, *rule, *kernels; /* rule NULL: none */
    size_t heads, key_dim, value_dim, length, threads;
    const struct contender *contender;
    double token_heads; /* a run takes: tokens × heads */
    double flops;       /* a token and head needs at least */
    const char *limit;
    double least_seconds; /* of a token and head, on so many threads */
};

/* The members every row has; the caller may add more. */
json_t *figure_row(const struct figure *figure, const struct bounds *bounds);

extern const char *const figure_columns[];
extern const char figure_heading[];
void figure_line(const json_t *row);

#endif
