/* SPDX-License-Identifier: MIT */
/* Measures contenders in turns, so that noise that comes and goes meets all of them alike. */
#ifndef BENCH_RACE_H
#define BENCH_RACE_H

#include <stdbool.h>
#include <stddef.h>

enum { RACE_TURNS = 15 };

struct contender {
    void (*run)(void *context); /* the work, once */
    /* Before and after the runs of a turn, or NULL: not timed. after tells whether the work was really done.
     */
    void (*before)(void *context);
    bool (*after)(void *context);
    void *context;
    /* It has threads of its own and is timed by the clock on the wall; else by what this thread computed, so
     * that others on the machine do not count. */
    bool threads;
    /* filled in by race() */
    size_t repeats;           /* runs in a turn */
    double turns[RACE_TURNS]; /* seconds of a run, by turn; ascending once the race is over */
    size_t count;             /* of them: a slow contender takes fewer turns */
    bool failed;              /* after said no */
};

struct race_rules {
    double turn_seconds;      /* a turn is so many runs that it lasts about so long */
    double contender_seconds; /* one that has used up so much takes no further turn after its third; one
                                 whose run takes so long, none after its first */
    void (*progress)(void *context, size_t turn); /* or NULL */
    void *context;
};

extern const struct race_rules race_rules_default;

/* So much for each contender, in shorter turns when it is little. */
void race_rules_spend(struct race_rules *rules, double seconds);

/* False when a contender failed. */
bool race(const struct race_rules *rules, size_t count, struct contender *contenders);

double race_best(const struct contender *contender);
double race_median(const struct contender *contender);
/* Half the distance of the quartiles over the median. */
double race_spread(const struct contender *contender);

#endif
