/* SPDX-License-Identifier: MIT */
/* rill bench attention: time and memory of the ways to attend, against the length of the sequence. */
#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/attention.h>

#include "bench.h"
#include "bench_choice.h"
#include "bench_attention.h"
#include "command.h"
#include "json_line.h"
#include "kernels/kernels.h"
#include "message.h"

static const struct argp_child children[] = {
    {&choice_output, 0, NULL, 0}, {&choice_subject, 0, NULL, 0}, {0}};

static error_t parse(int key, char *text, struct argp_state *state) {
    (void)text;
    if (key == ARGP_KEY_INIT)
        choice_share(state, children, state->input);
    else if (key == ARGP_KEY_ARG)
        argp_usage(state);
    else if (key == ARGP_KEY_END) {
        const struct choice *choice = state->input;
        if (choice->dims.count > 1) argp_error(state, "--dim: one at a time");
        if (choice->kernels && strchr(choice->kernels, ',')) argp_error(state, "--kernels: one at a time");
    } else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

/* One form on one field, as a contender. */
struct runner {
    enum form_kind kind;
    struct field *field;
    float *expected; /* the last row of the sequence's outputs */
};

static size_t row_bytes(const struct field *field) {
    return field->heads * field->dim * sizeof(float);
}

static float *row_at(const struct field *field, size_t t) {
    return field->output + t * field->heads * field->dim;
}

static void run_whole(void *context) {
    struct runner *runner = context;
    form_whole(runner->kind, runner->field);
}

static void before_whole(void *context) {
    struct runner *runner = context;
    memset(row_at(runner->field, runner->field->length - 1), 0xFF, row_bytes(runner->field)); /* NaN */
}

static bool after_whole(void *context) {
    struct runner *runner = context;
    return memcmp(row_at(runner->field, runner->field->length - 1), runner->expected,
                  row_bytes(runner->field)) == 0;
}

static void run_next(void *context) {
    struct runner *runner = context;
    form_next(runner->kind, runner->field);
}

static void before_next(void *context) {
    struct runner *runner = context;
    memset(row_at(runner->field, runner->field->length), 0xFF, row_bytes(runner->field));
}

static bool after_next(void *context) {
    struct runner *runner = context;
    const float *row = row_at(runner->field, runner->field->length);
    for (size_t i = 0; i < runner->field->heads * runner->field->dim; i++)
        if (!isfinite(row[i])) return false;
    return true;
}

static void tell(struct attention_bench *bench, size_t length, enum form_kind kind, double error,
                 size_t memory, const struct contender *whole, const struct contender *next) {
    const double seconds = race_median(whole), n = (double)length;
    const double next_seconds = next ? race_median(next) : seconds;
    const double costs[MEASURES] = {seconds, next_seconds, (double)memory};
    for (size_t m = 0; m < MEASURES; m++) {
        struct curve *curve = &bench->curves[kind][m];
        curve->length[curve->count] = n;
        curve->cost[curve->count++] = costs[m];
    }
    json_t *row = attention_row(bench, forms[kind].name);
    json_object_set_new(row, "length", json_integer((json_int_t)length));
    json_object_set_new(row, "threads", json_integer(1));
    json_object_set_new(row, "ns_per_token_head", json_decimal(1e9 * seconds / n / (double)bench->heads, 3));
    json_object_set_new(row, "total_ms", json_decimal(1e3 * seconds, 6));
    json_object_set_new(row, "us_per_token", json_decimal(1e6 * seconds / n, 4));
    json_object_set_new(row, "next_token_us", json_decimal(1e6 * next_seconds, 4));
    json_object_set_new(row, "memory_bytes", json_integer((json_int_t)memory));
    json_object_set_new(row, "spread", json_decimal(race_spread(whole), 4));
    json_object_set_new(row, "turns", json_integer((json_int_t)whole->count));
    json_object_set_new(row, "error", json_real(error));
    bench_output_row(&bench->output, row);
}

static bool measure_length(struct attention_bench *bench, struct field *field, float *expected) {
    static const double tolerance = 1e-4;
    struct runner runners[FORMS];
    struct contender contenders[2 * FORMS], *whole[FORMS] = {NULL}, *next[FORMS] = {NULL};
    double errors[FORMS];
    size_t count = 0;
    for (size_t k = 0; k < FORMS; k++) {
        struct runner *runner = &runners[k];
        *runner = (struct runner){(enum form_kind)k, field, expected + k * field->heads * field->dim};
        if (!attention_has(bench, runner->kind)) continue;
        form_whole(runner->kind, field);
        errors[k] = form_error(runner->kind, field);
        if (!(errors[k] <= tolerance)) {
            complain("%s, length %zu: the outputs are off by %g", forms[k].name, field->length, errors[k]);
            return false;
        }
        memcpy(runner->expected, row_at(field, field->length - 1), row_bytes(field));
        whole[k] = &contenders[count++];
        *whole[k] = (struct contender){
            .run = run_whole, .before = before_whole, .after = after_whole, .context = runner};
        if (!forms[k].steps) continue;
        next[k] = &contenders[count++]; /* after the whole, in every turn */
        *next[k] = (struct contender){
            .run = run_next, .before = before_next, .after = after_next, .context = runner};
    }
    if (!race(&bench->race_rules, count, contenders)) {
        complain("length %zu: outputs changed while they were measured", field->length);
        return false;
    }
    for (size_t k = 0; k < FORMS; k++)
        if (whole[k])
            tell(bench, field->length, (enum form_kind)k, errors[k], form_memory((enum form_kind)k, field),
                 whole[k], next[k]);
    return true;
}

static int run_lengths(struct attention_bench *bench, const struct numbers *lengths) {
    for (size_t i = 0; i < lengths->count; i++) {
        char now[64];
        struct field field;
        snprintf(now, sizeof now, "length %zu", lengths->at[i]);
        bench_output_progress(&bench->output, i, lengths->count, now);
        float *expected = malloc(FORMS * bench->heads * bench->dim * sizeof *expected);
        if (!expected || !field_make(bench->heads, bench->dim, lengths->at[i], &field)) {
            complain("out of memory");
            free(expected);
            return EXIT_INPUT;
        }
        bool well = measure_length(bench, &field, expected);
        field_free(&field);
        free(expected);
        if (!well) return EXIT_INPUT;
        if (bench->output.failed) return EXIT_OUTPUT;
    }
    attention_summarize(bench);
    return bench->output.failed ? EXIT_OUTPUT : EXIT_DONE;
}

static bool choice_makes_sense(const struct choice *choice) {
    const char *names[FORMS];
    for (size_t k = 0; k < FORMS; k++) names[k] = forms[k].name;
    return choice_known("--what", choice->what, FORMS, names) && choice_kernels_known(choice->kernels);
}

static int ascending(const void *a, const void *b) {
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* What is told of the curves wants them to go up, each length once. */
static void sort_lengths(struct numbers *lengths) {
    size_t kept = 0;
    qsort(lengths->at, lengths->count, sizeof *lengths->at, ascending);
    for (size_t i = 0; i < lengths->count; i++)
        if (i == 0 || lengths->at[i] != lengths->at[kept - 1]) lengths->at[kept++] = lengths->at[i];
    lengths->count = kept;
}

static void use_kernels(const char *name) {
    bool runs_here;
    const rill_kernels *table;
    for (size_t i = 0; name && (table = rill_kernels_at(i, &runs_here)) != NULL; i++)
        if (runs_here && strcmp(table->name, name) == 0) rill_kernels_use(table);
}

int bench_attention(int count, char **arguments) {
    static const char doc[] =
        "Measures the time and memory of softmax attention, with and without a cache and in a sliding "
        "window, and of "
        "linear attention in its parallel, chunkwise and recurrent form, against the length of the sequence."
        "\vFigures: softmax_quadratic, softmax_cached, sliding_window (of 256), linear_parallel, "
        "linear_chunkwise, linear_recurrent. Lengths are the powers of two from 16 to 16384 unless given, "
        "the "
        "dimension is 64; one of each and one kernel table at a time. All takes about two minutes. The total "
        "is a whole sequence from nothing; the next token comes after so many, and where nothing "
        "is kept "
        "it costs the whole anew. At the end: the exponents of length, fitted from 1024 on, and from which "
        "length on "
        "linear attention costs less. Times are computed, not waited for; medians, ± half the quartiles' "
        "distance.";
    struct choice choice = {.shared = options_defaults()};
    const struct argp argp = {NULL, parse, NULL, doc, children, NULL, NULL};
    options_parse(&argp, count, arguments, &choice);
    if (!choice_makes_sense(&choice)) return EXIT_USAGE;
    struct numbers lengths = choice.lengths;
    for (size_t length = 16; !choice.lengths.count && length <= 16384; length *= 2)
        lengths.at[lengths.count++] = length;
    sort_lengths(&lengths);
    use_kernels(choice.kernels);
    struct attention_bench *bench = calloc(1, sizeof *bench);
    if (!bench) {
        complain("out of memory");
        return EXIT_INPUT;
    }
    bench->choice = &choice;
    bench->race_rules = race_rules_default;
    bench->heads = choice.heads ? choice.heads : 8;
    bench->dim = choice.dims.count ? choice.dims.at[0] : 64;
    race_rules_spend(&bench->race_rules, choice.seconds > 0 ? choice.seconds : 0.3);
    bench->output = bench_output_begin(choice_format(&choice), choice.shared.quiet, attention_columns,
                                       attention_heading, attention_line);
    const int code = run_lengths(bench, &lengths);
    bench_output_end(&bench->output);
    free(bench);
    return code;
}
