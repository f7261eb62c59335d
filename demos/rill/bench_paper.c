/* SPDX-License-Identifier: MIT */
/* rill bench paper: the shape of the tables of 2006.16236 (section 4.2.3 and the supplement) on this machine.
 * Images are made value by value: softmax attention with everything computed anew for each, with a cache, and
 * linear attention. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/attention.h>

#include "bench.h"
#include "bench_choice.h"
#include "bench_workshop.h"
#include "command.h"
#include "json_line.h"
#include "message.h"

static const struct argp_child children[] = {{&choice_output, 0, NULL, 0}, {0}};

static const struct data_set data_sets[] = {{"mnist", 8, 784, {72.6, 7.4, 5.5}, {0.45, 7.56, 142.8}},
                                            {"cifar10", 16, 3072, {8651, 71.9, 45.1}, {0.004, 0.32, 17.85}}};
enum { DATA_SETS = sizeof data_sets / sizeof *data_sets };

struct arguments {
    struct choice choice;
    const char *data;
    bool full;
    size_t length; /* 0: the images' own */
};

enum { KEY_DATA = 0x300, KEY_WHOLE, KEY_STEPS };
static const struct argp_option own[] = {
    {"data", KEY_DATA, "mnist|cifar10", 0, "Only images of this shape", 0},
    {"steps", KEY_STEPS, "N", 0, "Only the first N values of an image", 0},
    {"whole", KEY_WHOLE, NULL, 0,
     "Make the whole image with everything computed anew for each value too, which takes from half a minute "
     "(mnist) to "
     "hours",
     0},
    {0}};

static error_t parse(int key, char *text, struct argp_state *state) {
    struct arguments *arguments = state->input;
    if (key == ARGP_KEY_INIT)
        choice_share(state, children, &arguments->choice);
    else if (key == KEY_DATA) {
        arguments->data = text;
        if (strcmp(text, "mnist") != 0 && strcmp(text, "cifar10") != 0)
            argp_error(state, "--data: \"%s\" is neither mnist nor cifar10", text);
    } else if (key == KEY_WHOLE)
        arguments->full = true;
    else if (key == KEY_STEPS)
        arguments->length = options_whole_number(state, "--steps", text, ANEW, 3072);
    else if (key == ARGP_KEY_ARG)
        argp_usage(state);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static void tell(struct bench_output *output, const struct workshop *shop, enum way way, double seconds,
                 double recomputed, double error) {
    const struct maker *maker = &shop->makers[way];
    const rill_transformer *transformer = &maker->model->transformer;
    const size_t memory = way == RECOMPUTED ? rill_transformer_workspace_size(transformer, shop->length, 0) +
                                                  2 * shop->length * IMAGE_MODEL_DIM * sizeof(float)
                                            : rill_transformer_size(transformer, shop->length, 0);
    const bool estimated = way == RECOMPUTED && !shop->whole,
               whole_image = shop->length == shop->data->length;
    json_t *row = json_object();
    json_object_set_new(row, "bench", json_string("paper"));
    json_object_set_new(row, "what", json_string(way_names[way]));
    json_object_set_new(row, "data", json_string(shop->data->name));
    json_object_set_new(row, "kernels", json_string(rill_kernels_name()));
    json_object_set_new(row, "layers", json_integer((json_int_t)shop->data->layers));
    json_object_set_new(row, "heads", json_integer(IMAGE_HEADS));
    json_object_set_new(row, "key_dim", json_integer(IMAGE_MODEL_DIM / IMAGE_HEADS));
    json_object_set_new(row, "value_dim", json_integer(IMAGE_MODEL_DIM / IMAGE_HEADS));
    json_object_set_new(row, "length", json_integer((json_int_t)shop->length));
    json_object_set_new(row, "threads", json_integer(1));
    json_object_set_new(row, "seconds_an_image", json_decimal(seconds, 4));
    json_object_set_new(row, "images_a_second", json_decimal(1 / seconds, 6));
    json_object_set_new(row, "times_recomputed", json_decimal(recomputed / seconds, 3));
    json_object_set_new(row, "spread",
                        way == RECOMPUTED ? json_null()
                                          : json_decimal(race_spread(&shop->contenders[way - CACHED]), 4));
    json_object_set_new(row, "estimated", json_boolean(estimated));
    json_object_set_new(row, "memory_bytes", json_integer((json_int_t)memory));
    json_object_set_new(row, "error", json_real(error));
    if (whole_image) {
        const struct data_set *paper = shop->data;
        json_object_set_new(row, "paper_cpu_seconds_an_image", json_real(paper->cpu_seconds[way]));
        json_object_set_new(row, "paper_cpu_times_recomputed",
                            json_decimal(paper->cpu_seconds[RECOMPUTED] / paper->cpu_seconds[way], 3));
        json_object_set_new(row, "paper_gpu_images_a_second", json_real(paper->gpu_images[way]));
    }
    bench_output_row(output, row);
}

static const char *const columns[] = {"bench",
                                      "what",
                                      "data",
                                      "kernels",
                                      "layers",
                                      "heads",
                                      "key_dim",
                                      "value_dim",
                                      "length",
                                      "threads",
                                      "seconds_an_image",
                                      "images_a_second",
                                      "times_recomputed",
                                      "spread",
                                      "estimated",
                                      "memory_bytes",
                                      "error",
                                      "paper_cpu_seconds_an_image",
                                      "paper_cpu_times_recomputed",
                                      "paper_gpu_images_a_second",
                                      NULL};

static const char heading[] =
    "                            this machine, one core                  the paper's CPU       its GPU\n"
    "images  attention           s/image  images/s     ratio    memory   s/image     ratio  images/s";

static void print_line(const json_t *row) {
    printf("%-7s %-18s %8.3f %9.4f %8.1fx %6.1f MB", json_member_text(row, "data"),
           json_member_text(row, "what"), json_member(row, "seconds_an_image"),
           json_member(row, "images_a_second"), json_member(row, "times_recomputed"),
           json_member(row, "memory_bytes") / 1e6);
    if (json_object_get(row, "paper_cpu_seconds_an_image"))
        printf(" %9.1f %8.1fx %9.3f", json_member(row, "paper_cpu_seconds_an_image"),
               json_member(row, "paper_cpu_times_recomputed"), json_member(row, "paper_gpu_images_a_second"));
    puts(json_is_true(json_object_get(row, "estimated")) ? "  from passes of 5 lengths" : "");
}

static int measure(const struct arguments *arguments, const struct data_set *data,
                   struct bench_output *output) {
    struct workshop *shop = calloc(1, sizeof *shop);
    int code = EXIT_INPUT;
    if (shop)
        *shop = (struct workshop){.data = data,
                                  .whole = arguments->full,
                                  .length = arguments->length && arguments->length < data->length
                                                ? arguments->length
                                                : data->length};
    double errors[WAYS];
    struct race_rules rules = race_rules_default;
    if (!shop || !workshop_open(shop))
        complain("out of memory");
    else if (workshop_ready(shop, errors)) {
        if (race(&rules, shop->count, shop->contenders))
            code = EXIT_DONE;
        else
            complain("%s: the images changed while they were measured", data->name);
    }
    if (code == EXIT_DONE) {
        const double recomputed = workshop_seconds_anew(shop);
        for (enum way way = 0; way < WAYS; way++)
            tell(output, shop, way,
                 way == RECOMPUTED ? recomputed : race_median(&shop->contenders[way - CACHED]), recomputed,
                 errors[way]);
        if (output->failed) code = EXIT_OUTPUT;
    }
    if (shop) workshop_close(shop);
    free(shop);
    return code;
}

int bench_paper(int count, char **given) {
    static const char doc[] = "Makes images value by value as the paper that this program's attention is "
                              "from (2006.16236): transformers of "
                              "its sizes with random weights, 784 values for MNIST and 3072 for CIFAR-10; "
                              "softmax attention with all computed "
                              "anew for each value, softmax with a cache of keys and values, and linear "
                              "attention. Beside its figures."
                              "\vOne image at a time, on one core. What is computed anew is timed at five "
                              "lengths and summed up, unless "
                              "--whole is given.";
    struct arguments arguments = {.choice = {.shared = options_defaults()}};
    const struct argp argp = {own, parse, NULL, doc, children, NULL, NULL};
    options_parse(&argp, count, given, &arguments);
    const struct choice *choice = &arguments.choice;
    struct bench_output output =
        bench_output_begin(choice_format(choice), choice->shared.quiet, columns, heading, print_line);
    int code = EXIT_DONE;
    for (size_t i = 0; i < DATA_SETS && code == EXIT_DONE; i++) {
        if (arguments.data && strcmp(arguments.data, data_sets[i].name) != 0) continue;
        bench_output_progress(&output, i, DATA_SETS, data_sets[i].name);
        code = measure(&arguments, &data_sets[i], &output);
    }
    bench_output_end(&output);
    return code;
}
