/* SPDX-License-Identifier: MIT */
/* Laws of what rill bench measures with: the loops do the work they are counted for, wrong outputs are found,
 * and a race is just. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_curve.h"
#include "bench_form.h"
#include "bench_inputs.h"
#include "bench_job.h"
#include "bench_limits.h"
#include "bench_race.h"
#include "random_numbers.h"

Test(limits, do_all_that_they_are_counted_for) {
    enum { floats = 64 * 5 };
    const struct limits *limits = limits_get();
    float *x = aligned_memory(floats * sizeof *x), *out = aligned_memory(floats * sizeof *out);
    double sum = 0;
    for (size_t i = 0; i < floats; i++) sum += x[i] = (float)random_below(1000);
    cr_expect_eq((double)limits->read(floats, x), sum);
    memcpy(out, x, floats * sizeof *x);
    limits->read_write(floats, out);
    for (size_t i = 0; i < floats; i++) cr_assert_eq(out[i], x[i] + 1);
    limits->stream(floats, x, x, x, out);
    for (size_t i = 0; i < floats; i++) cr_assert_eq(out[i], x[i] * x[i] + x[i]);
    /* Every sum s of the registers becomes 0.999 s + 0.001 round after round, so that s − 1 shrinks by 0.999:
     * the sums begin at i / 1000, i = 0 … n − 1, each in every lane. */
    const double sums = (double)limits->round_flops / 2, registers = sums / (double)limits->register_floats;
    for (size_t rounds = 0; rounds <= 2000; rounds += 1000) {
        double expected = sums + ((registers - 1) / 2 / 1000 - 1) * sums * pow(0.999, (double)rounds);
        cr_expect_float_eq(limits->multiply_add(rounds), expected, 1e-3 * sums, "%zu rounds", rounds);
    }
    free(x);
    free(out);
}

static const rill_update_rule rules[] = {RILL_RULE_LINEAR, RILL_RULE_GATED, RILL_RULE_DELTA,
                                         RILL_RULE_GATED_DELTA};

/* The definition here and the quadratic form of the library share no code. */
Test(inputs, error_is_rounding_for_the_right_outputs_and_found_in_wrong_ones) {
    enum { length = 9 };
    random_seed(20261125);
    for (size_t r = 0; r < 4; r++)
        for (int by_key = 0; by_key < 2; by_key++) {
            struct inputs inputs;
            const size_t heads = 1 + random_below(3), dim = 1 + random_below(40);
            cr_assert(inputs_make(rules[r], by_key, heads, dim, length, &inputs));
            void *workspace = malloc(rill_attention_parallel_size(&inputs.shape, length));
            rill_attention_parallel(&inputs.shape, inputs.state, &inputs.sequence, inputs.output, workspace);
            cr_expect_lt(inputs_error(&inputs, length, inputs.output), 1e-5);
            float *wrong = &inputs.output[random_below(length * heads * dim)];
            *wrong += 0.1f;
            cr_expect_gt(inputs_error(&inputs, length, inputs.output), 1e-3);
            *wrong = NAN;
            cr_expect(isnan(inputs_error(&inputs, length, inputs.output)));
            free(workspace);
            inputs_free(&inputs);
        }
}

/* Steps cycle through few rows: the definition does too. */
Test(job, every_table_and_kind_gives_the_definitions_outputs_and_keeps_to_them) {
    bool runs_here;
    const rill_kernels *table;
    for (size_t i = 0; (table = rill_kernels_at(i, &runs_here)) != NULL; i++)
        for (size_t r = 0; r < 4 && runs_here; r++)
            for (enum job_kind kind = JOB_PREFILL; kind <= JOB_STEP_FOLDED; kind++) {
                if (kind == JOB_STEP_FOLDED && rules[r] != RILL_RULE_LINEAR) continue;
                struct inputs inputs;
                struct job job;
                cr_assert(
                    inputs_make(rules[r], false, 2, 12, kind == JOB_PREFILL ? 50 : JOB_STEP_ROWS, &inputs));
                cr_assert(job_make(kind, table, &inputs, &job), "%s: off by %g", table->name, job.error);
                cr_expect_lt(job.error, 1e-5);
                struct contender contender = job_contender(&job);
                contender.before(&job);
                cr_expect_not(contender.after(&job), "%s: work that was left out is not missed", table->name);
                contender.run(&job);
                cr_expect(contender.after(&job));
                job_free(&job);
                inputs_free(&inputs);
            }
}

struct worker {
    size_t runs, befores, afters;
    volatile double sum;
    size_t work;
    bool lazy;
};

static void work(void *context) {
    struct worker *worker = context;
    worker->runs++;
    for (size_t i = 0; i < worker->work; i++) worker->sum += 1;
}

static void get_ready(void *context) {
    ((struct worker *)context)->befores++;
}

static bool is_well(void *context) {
    struct worker *worker = context;
    worker->afters++;
    return !worker->lazy;
}

static struct contender contender_of(struct worker *worker) {
    return (struct contender){.run = work, .before = get_ready, .after = is_well, .context = worker};
}

Test(race, tells_times_in_proportion_to_the_work) {
    struct worker small = {.work = 2000}, large = {.work = 20000};
    struct contender contenders[] = {contender_of(&small), contender_of(&large)};
    const struct race_rules rules_of_race = {.turn_seconds = 1e-3, .contender_seconds = 1};
    cr_assert(race(&rules_of_race, 2, contenders));
    double ratio = race_best(&contenders[1]) / race_best(&contenders[0]);
    cr_expect(ratio > 7 && ratio < 14, "ten times the work takes %g times as long", ratio);
    for (size_t i = 0; i < 2; i++) {
        cr_expect_eq(contenders[i].count, RACE_TURNS);
        cr_expect_leq(race_best(&contenders[i]), race_median(&contenders[i]));
        cr_expect_geq(race_spread(&contenders[i]), 0);
    }
    cr_expect_eq(small.befores, small.afters);
    cr_expect_geq(small.runs, RACE_TURNS * contenders[0].repeats);
}

Test(race, a_slow_contender_takes_fewer_turns_and_a_lazy_one_is_found) {
    struct worker slow = {.work = 3000000}, lazy = {.work = 10, .lazy = true};
    struct contender contenders[] = {contender_of(&slow), contender_of(&lazy)};
    const struct race_rules rules_of_race = {.turn_seconds = 1e-4, .contender_seconds = 1e-3};
    cr_expect_not(race(&rules_of_race, 2, contenders));
    cr_expect_not(contenders[0].failed);
    cr_expect(contenders[1].failed);
    cr_expect_eq(contenders[0].count, 1);
}

Test(race, median_and_spread_are_those_of_the_turns) {
    const struct contender contender = {.turns = {1, 2, 3, 4, 5}, .count = 5};
    cr_expect_eq(race_best(&contender), 1);
    cr_expect_eq(race_median(&contender), 3);
    cr_expect_eq(race_spread(&contender), 2.0 / 6);
    const struct contender pair = {.turns = {2, 4}, .count = 2};
    cr_expect_eq(race_median(&pair), 3);
}

Test(curve, exponent_is_that_of_a_power) {
    struct curve curve = {.count = 6};
    for (size_t i = 0; i < 6; i++) {
        curve.length[i] = (double)(16 << i);
        curve.cost[i] = 3 * pow(curve.length[i], 1.7);
    }
    cr_expect_float_eq(curve_exponent(&curve, 0), 1.7, 1e-9);
    curve.cost[0] = 1e9; /* before the fitted part */
    cr_expect_float_eq(curve_exponent(&curve, 64), 1.7, 1e-9);
    curve.count = 1;
    cr_expect(isnan(curve_exponent(&curve, 0)));
}

Test(curve, crossing_is_where_two_powers_meet) {
    struct curve linear = {.count = 8}, quadratic = {.count = 8};
    for (size_t i = 0; i < 8; i++) {
        const double length = linear.length[i] = quadratic.length[i] = (double)(16 << i);
        linear.cost[i] = 100 * length;
        quadratic.cost[i] = length * length;
    }
    cr_expect_float_eq(curve_crossing(&linear, &quadratic), 100, 1e-6);
    cr_expect(isinf(curve_crossing(&quadratic, &linear)));
    linear.count = quadratic.count = 2; /* 16 and 32: quadratic is below */
    cr_expect(isinf(curve_crossing(&linear, &quadratic)));
    cr_expect_eq(curve_crossing(&quadratic, &linear), 0);
}

Test(form, each_gives_its_definitions_outputs_at_every_length) {
    static const size_t lengths[] = {1, 2, 63, 65, 300}; /* around a chunk, beyond the window */
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct field field;
        cr_assert(field_make(2, 12, lengths[i], &field));
        for (enum form_kind kind = 0; kind < FORMS; kind++) {
            float *last = field.output + (lengths[i] - 1) * 2 * 12;
            last[5] = NAN;
            cr_expect(isinf(form_error(kind, &field)), "what was not computed is not missed");
            form_whole(kind, &field);
            const double error = form_error(kind, &field);
            cr_expect_lt(error, 1e-5, "%s, length %zu: %g", forms[kind].name, lengths[i], error);
            last[5] += 0.1f;
            cr_expect_gt(form_error(kind, &field), 1e-3);
        }
        field_free(&field);
    }
}

/* One token more is what a sequence longer by one gives last. */
Test(form, the_next_token_is_that_of_the_longer_sequence) {
    struct field field;
    cr_assert(field_make(2, 12, 40, &field));
    for (enum form_kind kind = 0; kind < FORMS; kind++) {
        if (!forms[kind].steps || kind == FORM_SLIDING_WINDOW)
            continue; /* its window is as long as the sequence */
        form_whole(kind, &field);
        form_next(kind, &field);
        field.length++;
        cr_expect_lt(form_error(kind, &field), 1e-5, "%s", forms[kind].name);
        field.length--;
    }
    field_free(&field);
}
