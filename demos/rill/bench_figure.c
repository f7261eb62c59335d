/* SPDX-License-Identifier: MIT */
#include "bench_figure.h"

#include <stdio.h>

#include "json_line.h"

json_t *figure_row(const struct figure *figure, const struct bounds *bounds) {
    const double seconds = race_median(figure->contender) / figure->token_heads;
    const double best = race_best(figure->contender) / figure->token_heads;
    json_t *row = json_object();
    json_object_set_new(row, "bench", json_string("kernels"));
    json_object_set_new(row, "what", json_string(figure->what));
    if (figure->rule) json_object_set_new(row, "rule", json_string(figure->rule));
    json_object_set_new(row, "kernels", json_string(figure->kernels));
    json_object_set_new(row, "heads", json_integer((json_int_t)figure->heads));
    json_object_set_new(row, "key_dim", json_integer((json_int_t)figure->key_dim));
    json_object_set_new(row, "value_dim", json_integer((json_int_t)figure->value_dim));
    json_object_set_new(row, "length", json_integer((json_int_t)figure->length));
    json_object_set_new(row, "threads", json_integer((json_int_t)figure->threads));
    json_object_set_new(row, "ns_per_token_head", json_decimal(1e9 * seconds, 3));
    if (figure->flops > 0)
        json_object_set_new(row, "gflops", json_decimal(1e-9 * figure->flops / seconds, 3));
    json_object_set_new(row, "limit", json_string(figure->limit));
    json_object_set_new(row, "fraction_of_limit", json_decimal(figure->least_seconds / seconds, 4));
    json_object_set_new(row, "limit_ns_per_token_head", json_decimal(1e9 * figure->least_seconds, 3));
    json_object_set_new(row, "best_ns_per_token_head", json_decimal(1e9 * best, 3));
    json_object_set_new(row, "spread", json_decimal(race_spread(figure->contender), 4));
    if (figure->flops > 0) json_object_set_new(row, "flops_per_token_head", json_decimal(figure->flops, 0));
    json_object_set_new(row, "fma_gflops", json_decimal(1e-9 * bounds_flops(bounds), 3));
    return row;
}

const char *const figure_columns[] = {"bench",
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
                                      "ns_per_float",
                                      "weights",
                                      "weight_bytes",
                                      "streams",
                                      "us_per_step",
                                      NULL};

const char figure_heading[] =
    "what           rule        kernels     dim length thr ns/token/head      GFLOP/s  of the limit";

void figure_line(const json_t *row) {
    printf("%-14s %-11s %-10s %4.0f %6.0f %2.0f %10.1f ±%3.0f%% ", json_member_text(row, "what"),
           json_member_text(row, "rule"), json_member_text(row, "kernels"), json_member(row, "key_dim"),
           json_member(row, "length"), json_member(row, "threads"), json_member(row, "ns_per_token_head"),
           100 * json_member(row, "spread"));
    if (json_object_get(row, "gflops"))
        printf("%8.1f", json_member(row, "gflops"));
    else
        printf("%8s", "");
    printf(" %5.0f%% of %s", 100 * json_member(row, "fraction_of_limit"), json_member_text(row, "limit"));
    static const struct {
        const char *member, *before, *after;
    } remarks[] = {{"speed_up", "", "x one thread"},
                   {"worst_step_read_writes", "worst step ", " read-and-writes"},
                   {"ns_per_float", "", " ns a float"},
                   {"streams", "", " streams"},
                   {"us_per_step", "", " us a step"}};
    for (size_t i = 0; i < sizeof remarks / sizeof *remarks; i++)
        if (json_object_get(row, remarks[i].member) && json_member(row, remarks[i].member) != 1)
            printf(", %s%.3g%s", remarks[i].before, json_member(row, remarks[i].member), remarks[i].after);
    putchar('\n');
}
