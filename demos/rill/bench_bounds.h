/* SPDX-License-Identifier: MIT */
/* The limits of the machine as contenders of a race, on memory as large as the work's own. */
#ifndef BENCH_BOUNDS_H
#define BENCH_BOUNDS_H

#include "bench_limits.h"
#include "bench_race.h"

struct bounds {
    /* the caller's; NULL and 0 where that limit is of no interest */
    float *state;
    size_t state_floats;
    const float *rows[3]; /* [stream_floats] each */
    float *out;
    size_t stream_floats;
    /* filled in by bounds_enter */
    const struct limits *limits;
    struct contender *multiply_add, *read_write, *read, *stream; /* NULL: not entered */
    volatile float sink;
};

enum { BOUNDS_MAX = 4 };

/* Fills in the contenders there are, at most BOUNDS_MAX, and tells how many. */
size_t bounds_enter(struct bounds *bounds, struct contender *contenders);

/* After the race, the best turn of each; one that was not entered, for want of floats, limits nothing: */
double bounds_flops(const struct bounds *bounds); /* F, a second */
double bounds_read_write_seconds(const struct bounds *bounds,
                                 double floats); /* R of so many of the state's floats */
double bounds_read_seconds(const struct bounds *bounds, double floats); /* r */
double bounds_stream_bytes(const struct bounds *bounds);                /* a second, read and written */

#endif
