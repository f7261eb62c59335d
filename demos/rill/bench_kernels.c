/* SPDX-License-Identifier: MIT */
/* rill bench kernels: every kernel table against every other and against what the machine can do at best. */
#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_bounds.h"
#include "bench_choice.h"
#include "bench_job.h"
#include "bench_machine.h"
#include "command.h"
#include "json_line.h"
#include "message.h"

static const struct argp_child children[] = {
    {&choice_output, 0, NULL, 0}, {&choice_subject, 0, NULL, 0}, {0}};

static error_t parse(int key, char *text, struct argp_state *state) {
    (void)text;
    if (key == ARGP_KEY_INIT)
        choice_share(state, children, state->input);
    else if (key == ARGP_KEY_ARG)
        argp_usage(state);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct {
    const char *name;
    rill_update_rule rule;
    bool decayed, delta;
} rules[] = {{"linear", RILL_RULE_LINEAR, false, false},
             {"gated", RILL_RULE_GATED, true, false},
             {"delta", RILL_RULE_DELTA, false, true},
             {"gated_delta", RILL_RULE_GATED_DELTA, true, true}};

enum { RULES = sizeof rules / sizeof *rules, TABLES_MAX = 8, HEADS = 8, JOBS_MAX = 2 * TABLES_MAX + 1 };

/* A race: the limits of the machine and every table, at one shape. */
struct heat {
    const char *what; /* prefill, delta_prefill, step, step_folded */
    enum job_kind kind;
    size_t rule; /* in rules */
    size_t heads, dim, length;
    bool decay_per_key;
    /* filled in when it is run */
    struct inputs inputs;
    struct bounds bounds;
    const rill_kernels *tables[TABLES_MAX];
    struct job jobs[TABLES_MAX];
    struct job timed[TABLES_MAX];                    /* the same with every step timed; they own nothing */
    double slowest[TABLES_MAX][JOB_FOLD_PERIOD_MAX]; /* what they find */
    struct pair pair;
    struct contender contenders[BOUNDS_MAX + JOBS_MAX];
};

/* The fewest floating-point operations that a token and head need; a multiplication by the decay takes as
 * long as a multiply-add, and in bulk there is one of them for many tokens. */
static double flops_of(const struct heat *heat) {
    const bool delta = rules[heat->rule].delta;
    const bool multiplies = heat->kind == JOB_STEP && rules[heat->rule].decayed;
    return (delta || multiplies ? 6.0 : 4.0) * (double)heat->dim * (double)heat->dim;
}

/* The least time that a token and head can take on one thread, and why. */
static double limit_of(const struct heat *heat, const char **limit) {
    const double multiply_adds = flops_of(heat) / bounds_flops(&heat->bounds);
    const double dim = (double)heat->dim;
    double other = 0;
    if (heat->kind == JOB_STEP)
        other = bounds_read_write_seconds(&heat->bounds, dim * dim);
    else if (heat->kind == JOB_PREFILL)
        other = 4 * sizeof(float) * dim / bounds_stream_bytes(&heat->bounds);
    *limit = other <= multiply_adds ? "fma" : heat->kind == JOB_STEP ? "read_write" : "stream";
    return fmax(other, multiply_adds);
}

static json_t *row_of(const struct heat *heat, const struct job *job, const struct contender *contender,
                      size_t threads, double tokens) {
    const struct bounds *bounds = &heat->bounds;
    const double token_heads = tokens * (double)heat->heads, flops = flops_of(heat);
    const double seconds = race_median(contender) / token_heads;
    const char *limit;
    const double least = limit_of(heat, &limit) / (double)threads;
    json_t *row = json_object();
    json_object_set_new(row, "bench", json_string("kernels"));
    json_object_set_new(row, "what", json_string(heat->what));
    json_object_set_new(row, "rule", json_string(rules[heat->rule].name));
    json_object_set_new(row, "kernels", json_string(job->table->name));
    json_object_set_new(row, "heads", json_integer((json_int_t)heat->heads));
    json_object_set_new(row, "key_dim", json_integer((json_int_t)heat->dim));
    json_object_set_new(row, "value_dim", json_integer((json_int_t)heat->dim));
    json_object_set_new(row, "length", json_integer((json_int_t)heat->length));
    json_object_set_new(row, "threads", json_integer((json_int_t)threads));
    json_object_set_new(row, "ns_per_token_head", json_decimal(1e9 * seconds, 3));
    json_object_set_new(row, "gflops", json_decimal(1e-9 * flops / seconds, 3));
    json_object_set_new(row, "limit", json_string(limit));
    json_object_set_new(row, "fraction_of_limit", json_decimal(least / seconds, 4));
    json_object_set_new(row, "limit_ns_per_token_head", json_decimal(1e9 * least, 3));
    json_object_set_new(row, "best_ns_per_token_head",
                        json_decimal(1e9 * race_best(contender) / token_heads, 3));
    json_object_set_new(row, "spread", json_decimal(race_spread(contender), 4));
    json_object_set_new(row, "flops_per_token_head", json_integer((json_int_t)flops));
    json_object_set_new(row, "decay",
                        json_string(!rules[heat->rule].decayed ? "none"
                                    : heat->decay_per_key      ? "step_key"
                                                               : "step_head"));
    json_object_set_new(row, "normalized", json_boolean(!rules[heat->rule].delta));
    json_object_set_new(row, "error", json_real(job->error));
    json_object_set_new(row, "fma_gflops", json_decimal(1e-9 * bounds_flops(bounds), 3));
    const double state = (double)(heat->dim * heat->dim);
    if (bounds->read_write) {
        json_object_set_new(row, "read_write_ns",
                            json_decimal(1e9 * bounds_read_write_seconds(bounds, state), 3));
        json_object_set_new(row, "read_ns", json_decimal(1e9 * bounds_read_seconds(bounds, state), 3));
    }
    if (bounds->stream)
        json_object_set_new(row, "stream_gb_s", json_decimal(1e-9 * bounds_stream_bytes(bounds), 3));
    return row;
}

static const char *const columns[] = {"bench",
                                      "what",
                                      "rule",
                                      "kernels",
                                      "heads",
                                      "key_dim",
                                      "value_dim",
                                      "length",
                                      "threads",
                                      "ns_per_token_head",
                                      "gflops",
                                      "limit",
                                      "fraction_of_limit",
                                      "limit_ns_per_token_head",
                                      "best_ns_per_token_head",
                                      "spread",
                                      "flops_per_token_head",
                                      "decay",
                                      "normalized",
                                      "error",
                                      "fma_gflops",
                                      "read_write_ns",
                                      "read_ns",
                                      "stream_gb_s",
                                      "speed_up",
                                      "worst_step_ns",
                                      "worst_step_read_writes",
                                      NULL};

static const char heading[] =
    "what           rule        kernels    dim length thr ns/token/head      GFLOP/s  of the limit";

static void print_line(const json_t *row) {
    printf("%-14s %-11s %-9s %4d %6d %2d %9.1f ±%3.0f%% %8.1f %5.0f%% of %s", json_member_text(row, "what"),
           json_member_text(row, "rule"), json_member_text(row, "kernels"), (int)json_member(row, "key_dim"),
           (int)json_member(row, "length"), (int)json_member(row, "threads"),
           json_member(row, "ns_per_token_head"), 100 * json_member(row, "spread"),
           json_member(row, "gflops"), 100 * json_member(row, "fraction_of_limit"),
           json_member_text(row, "limit"));
    if (json_object_get(row, "speed_up")) printf(", %.2fx one thread", json_member(row, "speed_up"));
    if (json_object_get(row, "worst_step_read_writes"))
        printf(", worst %.2f read-and-writes", json_member(row, "worst_step_read_writes"));
    putchar('\n');
}

/* The tables chosen that run here; the reference, which is slow, only when it is named. */
static size_t find_tables(const char *chosen, const rill_kernels *tables[TABLES_MAX]) {
    size_t count = 0;
    bool runs_here;
    const rill_kernels *table;
    for (size_t i = 0; (table = rill_kernels_at(i, &runs_here)) != NULL && count < TABLES_MAX; i++) {
        bool wanted = chosen ? choice_names(chosen, table->name) : strcmp(table->name, "reference") != 0;
        if (wanted && runs_here) tables[count++] = table;
    }
    return count;
}

/* The worst step, seen at its best: at every place of the fold, the least of many. */
static void tell_worst(const struct heat *heat, const double slowest[JOB_FOLD_PERIOD_MAX], json_t *row) {
    double worst = 0;
    for (size_t i = 0; i < JOB_FOLD_PERIOD_MAX; i++) worst = fmax(worst, slowest[i]);
    worst /= (double)heat->heads;
    const double state = (double)(heat->dim * heat->dim);
    json_object_set_new(row, "worst_step_ns", json_decimal(1e9 * worst, 3));
    json_object_set_new(row, "worst_step_read_writes",
                        json_decimal(worst / bounds_read_write_seconds(&heat->bounds, state), 4));
}

static size_t enter_bounds(struct heat *heat) {
    struct bounds *bounds = &heat->bounds;
    *bounds = (struct bounds){.state = NULL};
    if (heat->kind == JOB_PREFILL) {
        const rill_sequence *sequence = &heat->inputs.sequence;
        bounds->rows[0] = sequence->queries;
        bounds->rows[1] = sequence->keys;
        bounds->rows[2] = sequence->values;
        bounds->out = heat->inputs.output;
        bounds->stream_floats = heat->length * heat->heads * heat->dim;
    } else {
        bounds->state = heat->inputs.state;
        bounds->state_floats = heat->heads * heat->dim * heat->dim;
    }
    return bounds_enter(bounds, heat->contenders);
}

static bool make_jobs(struct heat *heat, size_t tables) {
    for (size_t i = 0; i < tables; i++) {
        struct job *job = &heat->jobs[i];
        if (!job_make(heat->kind, heat->tables[i], &heat->inputs, job)) {
            complain("%s, %s, %s, %zu dimensions: the outputs are off by %g", heat->what,
                     rules[heat->rule].name, heat->tables[i]->name, heat->dim, job->error);
            return false;
        }
        if (heat->kind != JOB_STEP_FOLDED) continue;
        heat->timed[i] = *job;
        for (size_t j = 0; j < JOB_FOLD_PERIOD_MAX; j++) heat->slowest[i][j] = INFINITY;
        heat->timed[i].slowest = heat->slowest[i];
    }
    return true;
}

static void free_heat(struct heat *heat) {
    for (size_t i = 0; i < TABLES_MAX; i++) job_free(&heat->jobs[i]);
    if (heat->pair.halves[0].job.inputs) pair_free(&heat->pair);
    inputs_free(&heat->inputs);
}

static void tell(struct bench_output *output, const struct heat *heat, size_t tables,
                 const struct contender *contenders) {
    const bool prefill = heat->kind == JOB_PREFILL;
    const double tokens = prefill ? (double)heat->length : JOB_STEPS;
    for (size_t i = 0; i < tables; i++) {
        json_t *row = row_of(heat, &heat->jobs[i], &contenders[i], 1, tokens);
        if (heat->kind == JOB_STEP_FOLDED) tell_worst(heat, heat->slowest[i], row);
        bench_output_row(output, row);
    }
    if (!heat->pair.halves[0].job.inputs) return;
    const struct pair_half *half = &heat->pair.halves[0];
    json_t *row = row_of(heat, &half->job, &contenders[tables], 2, 2 * tokens * (double)half->passes);
    /* the best of both: one may have run while nobody else did, and two threads are seldom so lucky in the
     * median */
    const double alone = race_best(&contenders[tables - 1]), both = race_best(&contenders[tables]);
    json_object_set_new(row, "speed_up", json_decimal(2 * alone * (double)half->passes / both, 4));
    bench_output_row(output, row);
}

static int run_heat(struct bench_output *output, const struct race_rules *race_rules, size_t tables,
                    struct heat *heat) {
    enum { two_threads_tokens = 8192 };
    const size_t length = heat->kind == JOB_PREFILL ? heat->length : JOB_STEP_ROWS;
    int code = EXIT_INPUT;
    if (!inputs_make(rules[heat->rule].rule, heat->decay_per_key, heat->heads, heat->dim, length,
                     &heat->inputs)) {
        complain("out of memory");
        return code;
    }
    const size_t bounds = enter_bounds(heat);
    struct contender *contenders = heat->contenders + bounds;
    size_t count = 0;
    if (!make_jobs(heat, tables)) goto end;
    for (size_t i = 0; i < tables; i++) contenders[count++] = job_contender(&heat->jobs[i]);
    for (size_t i = 0; i < tables && heat->kind == JOB_STEP_FOLDED; i++)
        contenders[count++] = job_contender(&heat->timed[i]);
    if (heat->kind == JOB_PREFILL && machine_processors() > 1) {
        size_t passes = (two_threads_tokens + length - 1) / length;
        if (!pair_make(heat->kind, heat->tables[tables - 1], &heat->inputs, passes, &heat->pair)) {
            complain("out of memory");
            goto end;
        }
        contenders[count++] = pair_contender(&heat->pair);
    }
    if (!race(race_rules, bounds + count, heat->contenders)) {
        complain("%s, %s, %zu dimensions: outputs changed while they were measured", heat->what,
                 rules[heat->rule].name, heat->dim);
        goto end;
    }
    tell(output, heat, tables, contenders);
    code = output->failed ? EXIT_OUTPUT : EXIT_DONE;
end:
    free_heat(heat);
    return code;
}

static bool is_chosen(const struct choice *choice, const char *what, size_t rule) {
    return choice_names(choice->what, what) && choice_names(choice->rule, rules[rule].name);
}

/* Lists the heats chosen, in room for all there may be, and tells how many. */
static size_t plan(const struct choice *choice, const struct numbers *dims, const struct numbers *lengths,
                   struct heat *heats) {
    size_t count = 0;
    for (size_t rule = 0; rule < RULES; rule++) {
        const char *prefill = rules[rule].delta ? "delta_prefill" : "prefill";
        for (size_t d = 0; d < dims->count; d++) {
            struct heat heat = {.rule = rule,
                                .heads = choice->heads ? choice->heads : HEADS,
                                .dim = dims->at[d],
                                .decay_per_key = choice->decay_per_key};
            for (size_t l = 0; l < lengths->count && is_chosen(choice, prefill, rule); l++) {
                heat.what = prefill;
                heat.kind = JOB_PREFILL;
                heat.length = lengths->at[l];
                heats[count++] = heat;
            }
            heat.length = 1;
            if (is_chosen(choice, "step", rule)) {
                heat.what = "step";
                heat.kind = JOB_STEP;
                heats[count++] = heat;
            }
            if (rules[rule].rule == RILL_RULE_LINEAR && is_chosen(choice, "step_folded", rule)) {
                heat.what = "step_folded";
                heat.kind = JOB_STEP_FOLDED;
                heats[count++] = heat;
            }
        }
    }
    return count;
}

int bench_kernels(int count, char **arguments) {
    static const char doc[] =
        "Measures attention in bulk and step by step, with every kernel table that runs here, against what "
        "this "
        "machine can do at best: multiply-adds, reads and writes of a state, a stream through memory."
        "\vFigures: prefill, delta_prefill, step, step_folded. A figure is the median of several turns, "
        "which "
        "alternate with the limits' own; a limit is the best of its turns. Every output is compared with the "
        "definition first.";
    struct choice choice = {.shared = options_defaults()};
    const struct argp argp = {NULL, parse, NULL, doc, children, NULL, NULL};
    options_parse(&argp, count, arguments, &choice);
    const struct numbers dims = choice.dims.count ? choice.dims : (struct numbers){{32, 64, 128}, 3};
    const struct numbers lengths =
        choice.lengths.count ? choice.lengths : (struct numbers){{1024, 4096, 16384}, 3};
    const rill_kernels *tables[TABLES_MAX];
    const size_t tables_count = find_tables(choice.kernels, tables);
    struct heat *heats = calloc(RULES * dims.count * (lengths.count + 2), sizeof *heats);
    const size_t heats_count = heats ? plan(&choice, &dims, &lengths, heats) : 0;
    struct race_rules race_rules = race_rules_default;
    if (choice.seconds > 0) {
        race_rules.contender_seconds = choice.seconds;
        race_rules.turn_seconds = fmin(race_rules.turn_seconds, choice.seconds / RACE_TURNS);
    }
    int code = EXIT_DONE;
    if (tables_count == 0 || heats_count == 0) {
        complain("nothing of that name can be measured here");
        code = EXIT_USAGE;
    }
    struct bench_output output =
        bench_output_begin(choice_format(&choice), choice.shared.quiet, columns, heading, print_line);
    for (size_t i = 0; i < heats_count && code == EXIT_DONE; i++) {
        char now[128];
        snprintf(now, sizeof now, "%s, %s, %zu dimensions, length %zu", heats[i].what,
                 rules[heats[i].rule].name, heats[i].dim, heats[i].length);
        bench_output_progress(&output, i, heats_count, now);
        memcpy(heats[i].tables, tables, sizeof tables);
        code = run_heat(&output, &race_rules, tables_count, &heats[i]);
    }
    bench_output_end(&output);
    free(heats);
    return code;
}
