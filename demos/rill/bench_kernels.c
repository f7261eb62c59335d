/* SPDX-License-Identifier: MIT */
/* rill bench kernels: every kernel table against every other and against what the machine can do at best. */
#include "bench_kernels.h"

#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_choice.h"
#include "bench_figure.h"
#include "command.h"
#include "message.h"

static const struct argp_child children[] = {{&choice_output, 0, NULL, 0},
                                             {&choice_subject, 0, NULL, 0},
                                             {&choice_rule, 0, NULL, 0},
                                             {&options_model, 0, NULL, 0},
                                             {0}};

static error_t parse(int key, char *text, struct argp_state *state) {
    (void)text;
    struct choice *choice = state->input;
    if (key == ARGP_KEY_INIT) {
        choice_share(state, children, choice);
        state->child_inputs[3] = &choice->shared;
    } else if (key == ARGP_KEY_ARG)
        argp_usage(state);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct {
    const char *name;
    rill_update_rule rule;
    bool delta;
} rules[] = {{"linear", RILL_RULE_LINEAR, false},
             {"gated", RILL_RULE_GATED, false},
             {"delta", RILL_RULE_DELTA, true},
             {"gated_delta", RILL_RULE_GATED_DELTA, true}};
static const char *const feature_maps[] = {"elu1", "exp"};
static const char *const figures[] = {"prefill",     "delta_prefill", "step",         "step_folded",
                                      "feature_map", "encoder_step",  "encoder_batch"};
enum {
    RULES = sizeof rules / sizeof *rules,
    MAPS = sizeof feature_maps / sizeof *feature_maps,
    FIGURES = sizeof figures / sizeof *figures,
    HEADS = 8,
    STREAMS = 3
};

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

static bool choice_makes_sense(const struct choice *choice) {
    const char *names[RULES + MAPS];
    for (size_t r = 0; r < RULES; r++) names[r] = rules[r].name;
    for (size_t m = 0; m < MAPS; m++) names[RULES + m] = feature_maps[m];
    return choice_known("--what", choice->what, FIGURES, figures) &&
           choice_known("--rule", choice->rule, RULES + MAPS, names) && choice_kernels_known(choice->kernels);
}

struct plan {
    const struct choice *choice;
    struct planned_race *races;
    size_t count;
};

static void add(struct plan *plan, struct planned_race race) {
    if (!choice_names(plan->choice->what, race.what)) return;
    if (race.rule_name && !choice_names(plan->choice->rule, race.rule_name)) return;
    plan->races[plan->count++] = race;
}

/* All that is chosen, in room for all there is. */
static void make_plan(const struct numbers *dims, const struct numbers *lengths, struct plan *plan) {
    struct planned_race race = {.heads = plan->choice->heads ? plan->choice->heads : HEADS,
                                .decay_per_key = plan->choice->decay_per_key};
    for (size_t r = 0; r < RULES; r++)
        for (size_t d = 0; d < dims->count; d++) {
            race.run = race_attention;
            race.rule_name = rules[r].name;
            race.rule = rules[r].rule;
            race.dim = dims->at[d];
            race.what = rules[r].delta ? "delta_prefill" : "prefill";
            race.kind = JOB_PREFILL;
            for (size_t l = 0; l < lengths->count; l++) {
                race.length = lengths->at[l];
                add(plan, race);
            }
            race.length = 1;
            race.what = "step";
            race.kind = JOB_STEP;
            add(plan, race);
            race.what = "step_folded";
            race.kind = JOB_STEP_FOLDED;
            if (race.rule == RILL_RULE_LINEAR) add(plan, race); /* a decayed state needs no folding */
        }
    for (size_t m = 0; m < MAPS; m++)
        for (size_t d = 0; d < dims->count; d++) {
            race.run = race_feature_map;
            race.what = "feature_map";
            race.rule_name = feature_maps[m];
            race.dim = dims->at[d];
            add(plan, race);
        }
    static const size_t streams[] = {1, 4, 16};
    for (size_t i = 0; i < STREAMS && !plan->choice->rule; i++)
        add(plan, (struct planned_race){.run = race_encoder,
                                        .what = streams[i] == 1 ? "encoder_step" : "encoder_batch",
                                        .length = streams[i]});
}

/* A table that differs from one before in its dense layers alone is no other to attention: those go last.
 * Returns how many there are before them. */
static size_t order_tables(struct kernels_bench *bench) {
    const rill_kernels *others[TABLES_MAX];
    size_t count = 0, others_count = 0;
    for (size_t i = 0; i < bench->tables_count; i++) {
        const rill_kernels *table = bench->tables[i];
        const rill_kernels *before = count > 0 ? bench->tables[count - 1] : NULL;
        if (before && before->recurrent == table->recurrent && before->chunk == table->chunk)
            others[others_count++] = table;
        else
            bench->tables[count++] = table;
    }
    memcpy(bench->tables + count, others, others_count * sizeof *others);
    return count;
}

static int run_plan(struct kernels_bench *bench, const struct plan *plan) {
    const size_t all = bench->tables_count, of_attention = order_tables(bench);
    int code = EXIT_DONE;
    for (size_t i = 0; i < plan->count && code == EXIT_DONE; i++) {
        const struct planned_race *race = &plan->races[i];
        char now[128];
        snprintf(now, sizeof now, "%s %s, %zu dimensions, length %zu", race->what,
                 race->rule_name ? race->rule_name : "", race->dim, race->length);
        bench_output_progress(&bench->output, i, plan->count, now);
        bench->tables_count = race->run == race_encoder ? all : of_attention;
        code = race->run(bench, race);
        if (code == EXIT_DONE && bench->output.failed) code = EXIT_OUTPUT;
    }
    return code;
}

int bench_kernels(int count, char **arguments) {
    static const char doc[] =
        "Measures attention in bulk and step by step, with every kernel table that runs here, against what "
        "this "
        "machine can do at best: multiply-adds, reads and writes of a state, a stream through memory."
        "\vFigures: prefill (of linear and gated), delta_prefill (of the delta rules), step, step_folded (of "
        "linear), feature_map (as --rule: elu1, exp), encoder_step, encoder_batch. Dimensions are 32, 64, "
        "128 "
        "and lengths 1024, 4096, 16384 unless given; the table `reference' is measured only when it is "
        "named. A "
        "figure is the median of several turns, which alternate with the limits' own; a limit is the best of "
        "its turns. Every output is compared with the definition first. All takes minutes.";
    struct choice choice = {.shared = options_defaults()};
    const struct argp argp = {NULL, parse, NULL, doc, children, NULL, NULL};
    options_parse(&argp, count, arguments, &choice);
    if (!choice_makes_sense(&choice)) return EXIT_USAGE;
    const struct numbers dims = choice.dims.count ? choice.dims : (struct numbers){{32, 64, 128}, 3};
    const struct numbers lengths =
        choice.lengths.count ? choice.lengths : (struct numbers){{1024, 4096, 16384}, 3};
    struct kernels_bench bench = {.race_rules = race_rules_default, .model = choice.shared.model};
    if (choice.seconds > 0) race_rules_spend(&bench.race_rules, choice.seconds);
    bench.tables_count = find_tables(choice.kernels, bench.tables);
    struct plan plan = {
        .choice = &choice,
        .races = calloc((RULES * (lengths.count + 2) + MAPS) * dims.count + STREAMS, sizeof *plan.races)};
    if (!plan.races) {
        complain("out of memory");
        return EXIT_INPUT;
    }
    make_plan(&dims, &lengths, &plan);
    int code = EXIT_USAGE;
    if (bench.tables_count == 0 || plan.count == 0)
        complain("no figure is of all that was chosen: see rill bench kernels --help");
    else {
        bench.output = bench_output_begin(choice_format(&choice), choice.shared.quiet, figure_columns,
                                          figure_heading, figure_line);
        code = run_plan(&bench, &plan);
        bench_output_end(&bench.output);
    }
    free(plan.races);
    return code;
}
