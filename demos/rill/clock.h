/* SPDX-License-Identifier: MIT */
/* Seconds of two clocks. */
#ifndef CLOCK_H
#define CLOCK_H

#include <time.h>

static inline double clock_seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Since some moment; never set back. */
static inline double clock_now(void) {
    return clock_seconds(CLOCK_MONOTONIC);
}

/* Computed by this thread. */
static inline double clock_busy(void) {
    return clock_seconds(CLOCK_THREAD_CPUTIME_ID);
}

#endif
