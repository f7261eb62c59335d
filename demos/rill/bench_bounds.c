/* SPDX-License-Identifier: MIT */
#include "bench_bounds.h"

#include <math.h>

enum { FMA_ROUNDS = 10000, FLOATS_AT_ONCE = 64 };

static void run_multiply_add(void *context) {
    struct bounds *bounds = context;
    bounds->sink = bounds->limits->multiply_add(FMA_ROUNDS);
}

static void run_read_write(void *context) {
    struct bounds *bounds = context;
    bounds->limits->read_write(bounds->state_floats, bounds->state);
}

static void run_read(void *context) {
    struct bounds *bounds = context;
    bounds->sink = bounds->limits->read(bounds->state_floats, bounds->state);
}

static void run_stream(void *context) {
    struct bounds *bounds = context;
    bounds->limits->stream(bounds->stream_floats, bounds->rows[0], bounds->rows[1], bounds->rows[2],
                           bounds->out);
}

static struct contender *enter(struct bounds *bounds, void (*run)(void *context), struct contender *at) {
    *at = (struct contender){.run = run, .context = bounds};
    return at;
}

size_t bounds_enter(struct bounds *bounds, struct contender *contenders) {
    struct contender *at = contenders;
    bounds->limits = limits_get();
    bounds->state_floats -= bounds->state_floats % FLOATS_AT_ONCE;
    bounds->stream_floats -= bounds->stream_floats % FLOATS_AT_ONCE;
    bounds->multiply_add = enter(bounds, run_multiply_add, at++);
    if (bounds->state_floats > 0) {
        bounds->read_write = enter(bounds, run_read_write, at++);
        bounds->read = enter(bounds, run_read, at++);
    }
    if (bounds->stream_floats > 0) bounds->stream = enter(bounds, run_stream, at++);
    return (size_t)(at - contenders);
}

double bounds_flops(const struct bounds *bounds) {
    return FMA_ROUNDS * (double)bounds->limits->round_flops / race_best(bounds->multiply_add);
}

double bounds_read_write_seconds(const struct bounds *bounds, double floats) {
    return bounds->read_write ? race_best(bounds->read_write) * floats / (double)bounds->state_floats : 0;
}

double bounds_read_seconds(const struct bounds *bounds, double floats) {
    return bounds->read ? race_best(bounds->read) * floats / (double)bounds->state_floats : 0;
}

double bounds_stream_bytes(const struct bounds *bounds) {
    if (!bounds->stream) return INFINITY;
    return 4 * sizeof(float) * (double)bounds->stream_floats / race_best(bounds->stream);
}
