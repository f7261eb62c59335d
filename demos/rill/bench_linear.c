/* SPDX-License-Identifier: MIT */
/* The races of linear attention: in bulk, step by step, and with a folded state. */
#include <math.h>
#include <stdlib.h>

#include "bench_bounds.h"
#include "bench_figure.h"
#include "bench_kernels.h"
#include "bench_machine.h"
#include "clock.h"
#include "command.h"
#include "json_line.h"
#include "message.h"

enum { CONTENDERS_MAX = BOUNDS_MAX + 2 * TABLES_MAX + 2 };

struct heat {
    const struct planned_race *planned;
    struct inputs inputs;
    struct bounds bounds;
    size_t tables;
    struct job jobs[TABLES_MAX];
    struct job timed[TABLES_MAX];                    /* the same with every step timed; they own nothing */
    double slowest[TABLES_MAX][JOB_FOLD_PERIOD_MAX]; /* what they find */
    struct pair pair;
    bool paired;
    struct contender contenders[CONTENDERS_MAX];
};

static bool is_delta(const struct heat *heat) {
    return heat->planned->rule == RILL_RULE_DELTA || heat->planned->rule == RILL_RULE_GATED_DELTA;
}

/* The fewest floating-point operations that a token and head need; a multiplication by the decay takes as
 * long as a multiply-add, and in bulk there is one of them for many tokens. */
static double flops_of(const struct heat *heat) {
    const bool multiplies = heat->planned->kind == JOB_STEP && heat->inputs.shape.decay != RILL_DECAY_NONE;
    return (is_delta(heat) || multiplies ? 6.0 : 4.0) * (double)heat->planned->dim *
           (double)heat->planned->dim;
}

/* The least time that a token and head can take on one thread, and why. */
static double limit_of(const struct heat *heat, const char **limit) {
    const double multiply_adds = flops_of(heat) / bounds_flops(&heat->bounds);
    const double dim = (double)heat->planned->dim;
    double other = 0;
    if (heat->planned->kind == JOB_STEP)
        other = bounds_read_write_seconds(&heat->bounds, dim * dim);
    else if (heat->planned->kind == JOB_PREFILL)
        other = 4 * sizeof(float) * dim / bounds_stream_bytes(&heat->bounds);
    *limit = other <= multiply_adds ? "fma" : heat->planned->kind == JOB_STEP ? "read_write" : "stream";
    return fmax(other, multiply_adds);
}

static json_t *row_of(const struct heat *heat, const struct job *job, const struct contender *contender,
                      size_t threads, double tokens) {
    const struct planned_race *planned = heat->planned;
    const struct bounds *bounds = &heat->bounds;
    struct figure figure = {.what = planned->what,
                            .rule = planned->rule_name,
                            .kernels = job->table->name,
                            .heads = planned->heads,
                            .key_dim = planned->dim,
                            .value_dim = planned->dim,
                            .length = planned->length,
                            .threads = threads,
                            .contender = contender,
                            .token_heads = tokens * (double)planned->heads,
                            .flops = flops_of(heat)};
    figure.least_seconds = limit_of(heat, &figure.limit) / (double)threads;
    json_t *row = figure_row(&figure, bounds);
    const rill_decay decay = heat->inputs.shape.decay;
    json_object_set_new(row, "decay",
                        json_string(decay == RILL_DECAY_NONE       ? "none"
                                    : decay == RILL_DECAY_STEP_KEY ? "step_key"
                                                                   : "step_head"));
    json_object_set_new(row, "normalized", json_boolean(heat->inputs.shape.normalize));
    json_object_set_new(row, "error", json_real(job->error));
    const double state = (double)(planned->dim * planned->dim);
    if (bounds->read_write) {
        json_object_set_new(row, "read_write_ns",
                            json_decimal(1e9 * bounds_read_write_seconds(bounds, state), 3));
        json_object_set_new(row, "read_ns", json_decimal(1e9 * bounds_read_seconds(bounds, state), 3));
    }
    if (bounds->stream)
        json_object_set_new(row, "stream_gb_s", json_decimal(1e-9 * bounds_stream_bytes(bounds), 3));
    return row;
}

/* The worst step, seen at its best: at every place of the fold, the least of many. */
static void tell_worst(const struct heat *heat, const double slowest[JOB_FOLD_PERIOD_MAX], json_t *row) {
    double worst = 0;
    for (size_t i = 0; i < JOB_FOLD_PERIOD_MAX; i++) worst = fmax(worst, slowest[i]);
    worst /= (double)heat->planned->heads;
    const double state = (double)(heat->planned->dim * heat->planned->dim);
    json_object_set_new(row, "worst_step_ns", json_decimal(1e9 * worst, 3));
    if (heat->bounds.read_write)
        json_object_set_new(row, "worst_step_read_writes",
                            json_decimal(worst / bounds_read_write_seconds(&heat->bounds, state), 4));
}

static size_t enter_bounds(struct heat *heat) {
    struct bounds *bounds = &heat->bounds;
    *bounds = (struct bounds){.state = NULL};
    if (heat->planned->kind == JOB_PREFILL) {
        const rill_sequence *sequence = &heat->inputs.sequence;
        bounds->rows[0] = sequence->queries;
        bounds->rows[1] = sequence->keys;
        bounds->rows[2] = sequence->values;
        bounds->out = heat->inputs.output;
        bounds->stream_floats = heat->planned->length * heat->planned->heads * heat->planned->dim;
    } else {
        bounds->state = heat->inputs.state;
        bounds->state_floats = heat->planned->heads * heat->planned->dim * heat->planned->dim;
    }
    return bounds_enter(bounds, heat->contenders);
}

static bool make_jobs(struct heat *heat, const rill_kernels *const *tables) {
    for (size_t i = 0; i < heat->tables; i++) {
        struct job *job = &heat->jobs[i];
        if (!job_make(heat->planned->kind, tables[i], &heat->inputs, job)) {
            complain("%s, %s, %s, %zu dimensions: the outputs are off by %g", heat->planned->what,
                     heat->planned->rule_name, tables[i]->name, heat->planned->dim, job->error);
            return false;
        }
        if (heat->planned->kind != JOB_STEP_FOLDED) continue;
        heat->timed[i] = *job;
        for (size_t j = 0; j < JOB_FOLD_PERIOD_MAX; j++) heat->slowest[i][j] = INFINITY;
        heat->timed[i].slowest = heat->slowest[i];
    }
    return true;
}

static void free_heat(struct heat *heat) {
    for (size_t i = 0; i < heat->tables; i++) job_free(&heat->jobs[i]);
    if (heat->paired) pair_free(&heat->pair);
    inputs_free(&heat->inputs);
}

/* So many passes a run that the start of a thread, some 50 µs, is nothing beside it. */
static size_t passes_of(const struct race_rules *rules, struct contender alone) {
    const double wanted = 5 * rules->turn_seconds;
    double seconds = 0;
    for (int i = 0; i < 2; i++) { /* the first one warms caches */
        alone.before(alone.context);
        const double begin = clock_busy();
        alone.run(alone.context);
        seconds = clock_busy() - begin;
    }
    return seconds > 0 && wanted > seconds ? (size_t)ceil(wanted / seconds) : 1;
}

static bool enter_pair(struct heat *heat, const struct race_rules *rules, struct contender contenders[2]) {
    struct job *best = &heat->jobs[heat->tables - 1];
    heat->paired = true;
    if (!pair_make(JOB_PREFILL, best->table, &heat->inputs, passes_of(rules, job_contender(best)),
                   &heat->pair))
        return false;
    contenders[0] = pair_contender(&heat->pair);
    contenders[1] = pair_contender_alone(&heat->pair);
    return true;
}

static void tell_pair(struct heat *heat, struct bench_output *output, const struct contender *both,
                      const struct contender *alone) {
    const struct pair_half *half = &heat->pair.halves[0];
    const double passes = (double)half->passes;
    json_t *row = row_of(heat, &half->job, both, 2, 2 * (double)heat->planned->length * passes);
    /* the best of both: one thread may run while nobody else does; two are seldom so lucky in the median */
    json_object_set_new(row, "speed_up", json_decimal(race_best(alone) / race_best(both), 4));
    bench_output_row(output, row);
}

static void tell(struct heat *heat, struct bench_output *output, const struct contender *contenders) {
    const bool prefill = heat->planned->kind == JOB_PREFILL;
    for (size_t i = 0; i < heat->tables; i++) {
        json_t *row = row_of(heat, &heat->jobs[i], &contenders[i], 1,
                             prefill ? (double)heat->planned->length : JOB_STEPS);
        if (heat->planned->kind == JOB_STEP_FOLDED) tell_worst(heat, heat->slowest[i], row);
        bench_output_row(output, row);
    }
    if (heat->paired) tell_pair(heat, output, &contenders[heat->tables], &contenders[heat->tables + 1]);
}

int race_attention(struct kernels_bench *bench, const struct planned_race *planned) {
    struct heat *heat = calloc(1, sizeof *heat);
    int code = EXIT_INPUT;
    const size_t rows = planned->kind == JOB_PREFILL ? planned->length : JOB_STEP_ROWS;
    if (!heat || !inputs_make(planned->rule, planned->decay_per_key, planned->heads, planned->dim, rows,
                              &heat->inputs)) {
        complain("out of memory");
        free(heat);
        return code;
    }
    heat->planned = planned;
    heat->tables = bench->tables_count;
    const size_t bounds = enter_bounds(heat);
    struct contender *contenders = heat->contenders + bounds;
    size_t count = 0;
    if (!make_jobs(heat, bench->tables)) goto end;
    for (size_t i = 0; i < heat->tables; i++) contenders[count++] = job_contender(&heat->jobs[i]);
    for (size_t i = 0; i < heat->tables && planned->kind == JOB_STEP_FOLDED; i++)
        contenders[count++] = job_contender(&heat->timed[i]);
    if (planned->kind == JOB_PREFILL && machine_processors() > 1) {
        if (!enter_pair(heat, &bench->race_rules, &contenders[count])) {
            complain("out of memory");
            goto end;
        }
        count += 2;
    }
    if (!race(&bench->race_rules, bounds + count, heat->contenders)) {
        complain("%s, %s, %zu dimensions: outputs changed while they were measured", planned->what,
                 planned->rule_name, planned->dim);
        goto end;
    }
    tell(heat, &bench->output, contenders);
    code = EXIT_DONE;
end:
    free_heat(heat);
    free(heat);
    return code;
}
