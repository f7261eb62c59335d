/* SPDX-License-Identifier: MIT */
/* One way of computing linear attention with one kernel table, as a contender whose outputs are checked:
 * against the definition before the race, and against that checked run after every turn of it. */
#ifndef BENCH_JOB_H
#define BENCH_JOB_H

#include "bench_inputs.h"
#include "bench_race.h"
#include "kernels/kernels.h"

enum job_kind {
    JOB_PREFILL,    /* the whole sequence, chunkwise */
    JOB_STEP,       /* one step after another, recurrent */
    JOB_STEP_FOLDED /* the same through a steady state */
};

enum {
    JOB_STEPS = 256,         /* a run of steps takes so many, from the empty history on */
    JOB_STEP_ROWS = 4,       /* cycling through so many rows, which stay in the first-level cache */
    JOB_CHECKED_STEPS = 48,  /* compared with the definition */
    JOB_FOLD_PERIOD_MAX = 64 /* steps after which a steady state's work is the same again, at most */
};

struct job {
    enum job_kind kind;
    const rill_kernels *table;
    const struct inputs *inputs;
    void *state;     /* for JOB_STEP_FOLDED a steady state; else the inputs' */
    float *output;   /* the inputs' own, or another thread's */
    float *expected; /* the last row of outputs, once checked; the job's own */
    double error;    /* against the definition, relative to the greatest magnitude */
    double
        *slowest; /* [JOB_FOLD_PERIOD_MAX] or NULL: the best seconds of the step at each place of the fold */
};

/* Checks the job's outputs and readies it. False when memory is short or the outputs are wrong: error tells,
 * NAN for memory. */
bool job_make(enum job_kind kind, const rill_kernels *table, const struct inputs *inputs, struct job *job);
void job_free(struct job *job);

struct contender job_contender(struct job *job);

/* The job on two threads at once, each with its own state and output, `passes` times a run. */
struct pair_half {
    struct job job;
    size_t passes;
};
struct pair {
    struct pair_half halves[2];
};
bool pair_make(enum job_kind kind, const rill_kernels *table, const struct inputs *inputs, size_t passes,
               struct pair *pair);
void pair_free(struct pair *pair);
struct contender pair_contender(struct pair *pair);
/* The same work on one thread, one half after the other. */
struct contender pair_contender_alone(struct pair *pair);

#endif
