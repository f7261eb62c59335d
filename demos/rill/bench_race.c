/* SPDX-License-Identifier: MIT */
#include "bench_race.h"

#include <math.h>
#include <stdlib.h>

#include "clock.h"

enum { TURNS_AT_LEAST = 3 };

const struct race_rules race_rules_default = {.turn_seconds = 0.004, .contender_seconds = 1};

void race_rules_spend(struct race_rules *rules, double seconds) {
    rules->contender_seconds = seconds;
    rules->turn_seconds = fmin(rules->turn_seconds, seconds / RACE_TURNS);
}

static double turn(struct contender *contender, size_t repeats) {
    if (contender->before) contender->before(contender->context);
    const clockid_t clock = contender->threads ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
    double begin = clock_seconds(clock);
    for (size_t i = 0; i < repeats; i++) contender->run(contender->context);
    double seconds = (clock_seconds(clock) - begin) / (double)repeats;
    if (contender->after && !contender->after(contender->context)) contender->failed = true;
    return seconds;
}

/* The first runs warm caches and pages, and are thrown away. */
static void choose_repeats(const struct race_rules *rules, struct contender *contender) {
    contender->repeats = 1;
    for (;;) {
        double seconds = turn(contender, contender->repeats) * (double)contender->repeats;
        if (seconds >= rules->contender_seconds && contender->repeats == 1) {
            contender->turns[contender->count++] = seconds; /* too slow for more */
            break;
        }
        if (seconds >= rules->turn_seconds) break;
        contender->repeats =
            seconds < rules->turn_seconds / 16
                ? 8 * contender->repeats
                : (size_t)ceil(1.1 * rules->turn_seconds / seconds * (double)contender->repeats);
    }
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool race(const struct race_rules *rules, size_t count, struct contender *contenders) {
    bool all_well = true;
    for (size_t i = 0; i < count; i++) {
        contenders[i].count = 0;
        contenders[i].failed = false;
        choose_repeats(rules, &contenders[i]);
    }
    for (size_t t = 0; t < RACE_TURNS; t++) {
        if (rules->progress) rules->progress(rules->context, t);
        for (size_t i = 0; i < count; i++) {
            struct contender *contender = &contenders[i];
            double last = contender->count ? contender->turns[contender->count - 1] : 0;
            double spent = (double)contender->count * last * (double)contender->repeats;
            bool slow = last >= rules->contender_seconds;
            if (spent >= rules->contender_seconds && (slow || contender->count >= TURNS_AT_LEAST)) continue;
            contender->turns[contender->count++] = turn(contender, contender->repeats);
        }
    }
    for (size_t i = 0; i < count; i++) {
        qsort(contenders[i].turns, contenders[i].count, sizeof(double), ascending);
        all_well = all_well && !contenders[i].failed;
    }
    return all_well;
}

double race_best(const struct contender *contender) {
    return contender->turns[0];
}

/* Between two turns where the share falls between them. */
static double quantile(const struct contender *contender, double share) {
    double at = share * (double)(contender->count - 1);
    size_t below = (size_t)at, above = below + 1 < contender->count ? below + 1 : below;
    return contender->turns[below] +
           (at - (double)below) * (contender->turns[above] - contender->turns[below]);
}

double race_median(const struct contender *contender) {
    return quantile(contender, 0.5);
}

double race_spread(const struct contender *contender) {
    return (quantile(contender, 0.75) - quantile(contender, 0.25)) / (2 * quantile(contender, 0.5));
}
