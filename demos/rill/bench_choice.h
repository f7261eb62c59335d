/* SPDX-License-Identifier: MIT */
/* The options by which a benchmark is told what to measure, and how to tell it. */
#ifndef BENCH_CHOICE_H
#define BENCH_CHOICE_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

#include "bench_output.h"
#include "options.h"

enum { CHOICE_NUMBERS = 16 };

struct numbers {
    size_t at[CHOICE_NUMBERS], count;
};

struct choice {
    struct options shared;             /* --json, --quiet */
    bool csv;                          /* --csv */
    const char *what, *rule, *kernels; /* comma-separated names; NULL: all */
    struct numbers dims, lengths;      /* empty: the benchmark's own */
    size_t heads;                      /* 0: the benchmark's own */
    bool decay_per_key;
    double seconds; /* 0: the benchmark's own */
};

extern const struct argp choice_output;  /* --json --quiet --csv */
extern const struct argp choice_subject; /* --what --kernels --dim --length --heads --seconds */
extern const struct argp choice_rule;    /* --rule --decay */

/* For ARGP_KEY_INIT of a benchmark's own parser, whose children are of these. */
void choice_share(struct argp_state *state, const struct argp_child *children, struct choice *choice);

/* Is the name in the comma-separated list? Everything is in NULL. */
bool choice_names(const char *list, const char *name);

/* Whether every name in the list of an option is one of those known; else says which is not, and what is
 * known. */
bool choice_known(const char *option, const char *list, size_t count, const char *const known[]);

/* The same for --kernels: a table must run here, too. */
bool choice_kernels_known(const char *list);

enum bench_format choice_format(const struct choice *choice);

#endif
