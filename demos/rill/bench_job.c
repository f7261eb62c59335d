/* SPDX-License-Identifier: MIT */
#include "bench_job.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <rill/steady_state.h>

#include "clock.h"

/* Rounding alone, D = 128 over some steps, stays below 2e-5. */
static const double tolerance = 1e-4;

static void take_step(const struct job *job, size_t t, float *output) {
    const rill_sequence step = inputs_step(job->inputs, t % job->inputs->sequence.length);
    if (job->kind == JOB_STEP_FOLDED)
        rill_steady_attention(&job->inputs->shape, job->state, &step, output);
    else
        rill_attention_recurrent(&job->inputs->shape, job->state, &step, output);
}

static void forget(const struct job *job) {
    if (job->kind == JOB_STEP_FOLDED)
        rill_steady_reset(&job->inputs->shape, job->state);
    else
        rill_attention_reset(&job->inputs->shape, job->state);
}

static void run(void *context) {
    struct job *job = context;
    forget(job);
    if (job->kind == JOB_PREFILL)
        rill_attention_chunkwise(&job->inputs->shape, job->state, &job->inputs->sequence, job->output);
    else
        for (size_t t = 0; t < JOB_STEPS; t++) take_step(job, t, job->output);
}

/* The same with every step timed: a clock's 20 ns come on top. */
static void run_timed(void *context) {
    struct job *job = context;
    forget(job);
    double begin = clock_now();
    for (size_t t = 0; t < JOB_STEPS; t++) {
        take_step(job, t, job->output);
        double end = clock_now();
        double *slowest = &job->slowest[t % JOB_FOLD_PERIOD_MAX];
        *slowest = fmin(*slowest, end - begin);
        begin = end;
    }
}

static size_t row_floats(const struct job *job) {
    return job->inputs->shape.heads * job->inputs->shape.value_dim;
}

static float *last_row(const struct job *job) {
    return job->output + (job->kind == JOB_PREFILL ? job->inputs->sequence.length - 1 : 0) * row_floats(job);
}

static void before(void *context) {
    struct job *job = context;
    rill_kernels_use(job->table);
    memset(last_row(job), 0xFF, row_floats(job) * sizeof(float)); /* NaN */
}

/* The last row depends on every step before it. */
static bool after(void *context) {
    struct job *job = context;
    return memcmp(last_row(job), job->expected, row_floats(job) * sizeof(float)) == 0;
}

static double check(struct job *job) {
    if (job->kind == JOB_PREFILL) {
        run(job);
        size_t steps = job->inputs->sequence.length;
        return inputs_error(job->inputs, steps < JOB_CHECKED_STEPS ? steps : JOB_CHECKED_STEPS, job->output);
    }
    float *rows = aligned_memory(JOB_CHECKED_STEPS * row_floats(job) * sizeof *rows);
    if (!rows) return NAN;
    forget(job);
    for (size_t t = 0; t < JOB_CHECKED_STEPS; t++) take_step(job, t, rows + t * row_floats(job));
    double error = inputs_error(job->inputs, JOB_CHECKED_STEPS, rows);
    free(rows);
    run(job);
    return error;
}

bool job_make(enum job_kind kind, const rill_kernels *table, const struct inputs *inputs, struct job *job) {
    *job = (struct job){.kind = kind,
                        .table = table,
                        .inputs = inputs,
                        .state = inputs->state,
                        .output = inputs->output,
                        .error = NAN};
    job->expected = aligned_memory(row_floats(job) * sizeof(float));
    if (kind == JOB_STEP_FOLDED) job->state = aligned_memory(rill_steady_size(&inputs->shape));
    if (job->expected && job->state) {
        before(job);
        job->error = check(job);
        memcpy(job->expected, last_row(job), row_floats(job) * sizeof(float));
    }
    return job->error <= tolerance;
}

void job_free(struct job *job) {
    free(job->expected);
    if (job->inputs && job->state != job->inputs->state) free(job->state);
    *job = (struct job){0};
}

struct contender job_contender(struct job *job) {
    return (struct contender){
        .run = job->slowest ? run_timed : run, .before = before, .after = after, .context = job};
}

bool pair_make(enum job_kind kind, const rill_kernels *table, const struct inputs *inputs, size_t passes,
               struct pair *pair) {
    bool well = true;
    for (size_t i = 0; i < 2; i++) {
        if (!job_make(kind, table, inputs, &pair->halves[i].job)) well = false;
        pair->halves[i].passes = passes;
    }
    struct job *second = &pair->halves[1].job;
    second->state = aligned_memory(inputs->state_size);
    second->output = aligned_memory(inputs->sequence.length * row_floats(second) * sizeof(float));
    return well && second->state && second->output;
}

void pair_free(struct pair *pair) {
    free(pair->halves[1].job.output);
    for (size_t i = 0; i < 2; i++) job_free(&pair->halves[i].job);
}

static void *run_half(void *context) {
    struct pair_half *half = context;
    for (size_t i = 0; i < half->passes; i++) run(&half->job);
    return NULL;
}

static void run_pair(void *context) {
    struct pair *pair = context;
    pthread_t other;
    bool started = pthread_create(&other, NULL, run_half, &pair->halves[1]) == 0;
    run_half(&pair->halves[0]);
    if (started)
        pthread_join(other, NULL);
    else
        run_half(&pair->halves[1]);
}

static void run_pair_alone(void *context) {
    struct pair *pair = context;
    for (size_t i = 0; i < 2; i++) run_half(&pair->halves[i]);
}

static void before_pair(void *context) {
    struct pair *pair = context;
    for (size_t i = 0; i < 2; i++) before(&pair->halves[i].job);
}

static bool after_pair(void *context) {
    struct pair *pair = context;
    return after(&pair->halves[0].job) && after(&pair->halves[1].job);
}

struct contender pair_contender(struct pair *pair) {
    return (struct contender){
        .run = run_pair, .before = before_pair, .after = after_pair, .context = pair, .threads = true};
}

struct contender pair_contender_alone(struct pair *pair) {
    return (struct contender){
        .run = run_pair_alone, .before = before_pair, .after = after_pair, .context = pair};
}
