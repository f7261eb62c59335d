/* SPDX-License-Identifier: MIT */
/* How the rows of rill bench attention are told, and what they add up to. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <rill/attention.h>

#include "bench_attention.h"
#include "json_line.h"

static const char *const measures[MEASURES] = {"total", "next_token", "memory"};

bool attention_has(const struct attention_bench *bench, enum form_kind kind) {
    return choice_names(bench->choice->what, forms[kind].name);
}

json_t *attention_row(const struct attention_bench *bench, const char *what) {
    json_t *row = json_object();
    json_object_set_new(row, "bench", json_string("attention"));
    json_object_set_new(row, "what", json_string(what));
    json_object_set_new(row, "kernels", json_string(rill_kernels_name()));
    json_object_set_new(row, "heads", json_integer((json_int_t)bench->heads));
    json_object_set_new(row, "key_dim", json_integer((json_int_t)bench->dim));
    json_object_set_new(row, "value_dim", json_integer((json_int_t)bench->dim));
    return row;
}

const char *const attention_columns[] = {"bench",
                                         "what",
                                         "kernels",
                                         "heads",
                                         "key_dim",
                                         "value_dim",
                                         "length",
                                         "threads",
                                         "ns_per_token_head",
                                         "total_ms",
                                         "us_per_token",
                                         "next_token_us",
                                         "memory_bytes",
                                         "spread",
                                         "turns",
                                         "error",
                                         "of",
                                         "over",
                                         "measure",
                                         "exponent",
                                         "ratio",
                                         NULL};

const char attention_heading[] = "what                length      total     a token  next token      memory";

void attention_line(const json_t *row) {
    const char *what = json_member_text(row, "what"), *of = json_member_text(row, "of"),
               *measure = json_member_text(row, "measure");
    const double length = json_member(row, "length");
    if (strcmp(what, "exponent") == 0)
        printf("%-18s %s ~ length^%.2f\n", of, measure, json_member(row, "exponent"));
    else if (strcmp(what, "crossing") == 0 && isnan(length))
        printf("%s is not below %s in %s at the greatest length: %.3gx\n", of, json_member_text(row, "over"),
               measure, json_member(row, "ratio"));
    else if (strcmp(what, "crossing") == 0) {
        printf("%s is below %s in %s ", of, json_member_text(row, "over"), measure);
        if (length > 0)
            printf("from length %.0f on", length);
        else
            printf("at every length");
        printf("; %.3gx at the greatest\n", json_member(row, "ratio"));
    } else
        printf("%-18s %7.0f %8.3f ms %8.2f us %8.2f us %8.1f kB  ±%.0f%%\n", what, length,
               json_member(row, "total_ms"), json_member(row, "us_per_token"),
               json_member(row, "next_token_us"), json_member(row, "memory_bytes") / 1e3,
               100 * json_member(row, "spread"));
}

static void tell_exponents(struct attention_bench *bench) {
    static const double from = 1024; /* what does not grow counts for little from there on */
    for (size_t k = 0; k < FORMS; k++)
        for (size_t m = 0; m < MEASURES && attention_has(bench, (enum form_kind)k); m++) {
            const double exponent = curve_exponent(&bench->curves[k][m], from);
            if (isnan(exponent)) continue;
            json_t *row = attention_row(bench, "exponent");
            json_object_set_new(row, "of", json_string(forms[k].name));
            json_object_set_new(row, "measure", json_string(measures[m]));
            json_object_set_new(row, "exponent", json_decimal(exponent, 3));
            bench_output_row(&bench->output, row);
        }
}

static void tell_crossing(struct attention_bench *bench, enum form_kind of, enum form_kind over,
                          enum measure m) {
    const struct curve *low = &bench->curves[of][m], *high = &bench->curves[over][m];
    if (!attention_has(bench, of) || !attention_has(bench, over) || low->count == 0) return;
    const double length = curve_crossing(low, high);
    json_t *row = attention_row(bench, "crossing");
    json_object_set_new(row, "of", json_string(forms[of].name));
    json_object_set_new(row, "over", json_string(forms[over].name));
    json_object_set_new(row, "measure", json_string(measures[m]));
    /* 0: below at every length; null: not at the last */
    json_object_set_new(row, "length", isinf(length) ? json_null() : json_decimal(length, 0));
    json_object_set_new(row, "ratio",
                        json_decimal(high->cost[high->count - 1] / low->cost[low->count - 1], 3));
    bench_output_row(&bench->output, row);
}

void attention_summarize(struct attention_bench *bench) {
    tell_exponents(bench);
    for (enum form_kind over = FORM_SOFTMAX_QUADRATIC; over <= FORM_LINEAR_PARALLEL; over++) {
        tell_crossing(bench, FORM_LINEAR_CHUNKWISE, over, TOTAL);
        tell_crossing(bench, FORM_LINEAR_RECURRENT, over, TOTAL);
        if (forms[over].steps) tell_crossing(bench, FORM_LINEAR_RECURRENT, over, NEXT_TOKEN);
        tell_crossing(bench, FORM_LINEAR_RECURRENT, over, MEMORY);
    }
}
