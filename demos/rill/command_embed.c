/* SPDX-License-Identifier: MIT */
/* rill embed: voice embeddings of segments, as JSON. */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chosen_model.h"
#include "command.h"
#include "json_line.h"
#include "message.h"
#include "options.h"
#include "segment.h"
#include "segment_list.h"
#include "byte_file.h"

struct arguments {
    struct options shared;
    double start, duration;
    const char *list;
};

static const struct argp_child children[] = {
    {&options_output, 0, NULL, 0}, {&options_model, 0, NULL, 0}, {&options_channel, 0, NULL, 0}, {0}};

static const struct argp_option own[] = {
    {"start", 's', "SECONDS", 0, "Where the segment begins (default: 0)", 0},
    {"duration", 'd', "SECONDS", 0, "How long it is (default: to the end)", 0},
    {"list", 'l', "FILE", 0,
     "Embed many segments: lines of path, start, duration with tabs between; - is standard "
     "input",
     0},
    {0},
};

static void check(struct argp_state *state, const struct arguments *arguments) {
    if (!arguments->list && arguments->shared.count == 0) argp_error(state, "no recording given");
    if (arguments->list && (arguments->shared.count || arguments->start > 0 || !isnan(arguments->duration)))
        argp_error(state, "--list says path, start and duration itself: give it alone");
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        options_share(state, children, &arguments->shared);
        break;
    case 's':
        arguments->start = options_number(state, "--start", text, 0, SEGMENT_MOST_SECONDS);
        break;
    case 'd':
        arguments->duration = options_number(state, "--duration", text, 0.001, SEGMENT_MOST_SECONDS);
        break;
    case 'l':
        arguments->list = text;
        break;
    case ARGP_KEY_END:
        check(state, arguments);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char doc[] = "Prints the voice embedding of a recording, or of a segment of it, as one JSON "
                          "object a line: path, start, "
                          "duration, speech_seconds, embedding."
                          "\vEvery segment is heard from a fresh state. An embedding has unit length; the "
                          "cosine of two says how alike "
                          "the voices are. A segment that fails gives {\"path\", \"error\"} in its place, so "
                          "that lines and order stay "
                          "those of the list, and the exit code is 1 at the end. With --list every file is "
                          "opened once: results that "
                          "wait for an earlier line are held in memory, at most one embedding a line.";

static json_t *failed(const char *path, const char *error) {
    json_t *made = json_object();
    json_object_set_new(made, "path", json_text(path));
    json_object_set_new(made, "error", json_text(error));
    return made;
}

static json_t *embedded(const char *path, const struct segment *segment, size_t dim, const float *embedding) {
    json_t *made = json_object(), *numbers = json_array();
    json_object_set_new(made, "path", json_text(path));
    json_object_set_new(made, "start", json_decimal(segment->start, 6));
    json_object_set_new(made, "duration", json_decimal(segment->duration, 6));
    json_object_set_new(made, "speech_seconds", json_decimal(segment->speech_seconds, 4));
    for (size_t i = 0; i < dim; i++) json_array_append_new(numbers, json_real((double)embedding[i]));
    json_object_set_new(made, "embedding", numbers);
    return made;
}

/* A line of the list, once it has been dealt with. */
struct result {
    bool done, good;
    struct segment segment;
    char *text; /* the error, or the embedding's bytes */
};

struct embedding_run {
    const rill_model *model;
    unsigned channel;
    size_t dim, count, printed;
    const struct listed_segment *listed;
    struct result *results;
    bool any_failed, output_failed, out_of_memory;
};

/* Prints what is next in order, as far as it is done. */
static void print_ready(struct embedding_run *run) {
    for (; run->printed < run->count && run->results[run->printed].done; run->printed++) {
        struct result *result = &run->results[run->printed];
        const char *path = run->listed[run->printed].path;
        json_t *made = result->good
                           ? embedded(path, &result->segment, run->dim, (const float *)(void *)result->text)
                           : failed(path, result->text);
        if (!run->output_failed)
            run->output_failed = !json_line(made);
        else
            json_decref(made);
        free(result->text);
        result->text = NULL;
    }
}

static void keep(struct embedding_run *run, size_t line, const struct segment *segment, const void *bytes,
                 size_t size) {
    struct result *result = &run->results[line];
    result->done = true;
    result->good = segment;
    if (segment) result->segment = *segment;
    result->text = malloc(size);
    if (result->text)
        memcpy(result->text, bytes, size);
    else
        run->out_of_memory = true;
    run->any_failed |= !segment;
}

static void keep_error(struct embedding_run *run, size_t line, const char *message) {
    keep(run, line, NULL, message, strlen(message) + 1);
}

/* One file, opened once: the lines order[0 … count). */
static void embed_file(struct embedding_run *run, const size_t *order, size_t count, float *embedding) {
    struct segment_source source;
    const char *path = run->listed[order[0]].path;
    rill_error why;
    rill_status opened = RILL_OK;
    bool is_open = false;
    for (size_t i = 0; i < count && !run->output_failed && !run->out_of_memory; i++) {
        const struct listed_segment *listed = &run->listed[order[i]];
        if (listed->error[0]) {
            keep_error(run, order[i], listed->error);
        } else {
            if (!is_open && opened == RILL_OK) {
                opened = segment_open(run->model, path, run->channel, &source, &why);
                is_open = opened == RILL_OK;
            }
            struct segment segment = {listed->start, listed->duration, 0};
            if (is_open && segment_embed(&source, path, &segment, embedding, &why) == RILL_OK)
                keep(run, order[i], &segment, embedding, run->dim * sizeof *embedding);
            else
                keep_error(run, order[i], why.message);
        }
        if (!run->out_of_memory) print_ready(run);
    }
    if (is_open) segment_close(&source);
}

static int embed(struct embedding_run *run) {
    run->dim = rill_model_get_info(run->model)->embedding_dim;
    run->results = calloc(run->count + 1, sizeof *run->results);
    float *embedding = malloc(run->dim * sizeof *embedding);
    size_t *order = segment_list_order(run->listed, run->count);
    run->out_of_memory = !run->results || !embedding || !order;
    for (size_t i = 0, next; i < run->count && !run->out_of_memory && !run->output_failed; i = next) {
        for (next = i + 1; next < run->count; next++)
            if (strcmp(run->listed[order[next]].path, run->listed[order[i]].path) != 0) break;
        embed_file(run, order + i, next - i, embedding);
    }
    for (size_t i = run->printed; run->results && i < run->count; i++) free(run->results[i].text);
    free(run->results);
    free(embedding);
    free(order);
    if (run->out_of_memory) complain("out of memory for %zu embeddings", run->count);
    if (run->output_failed) return EXIT_OUTPUT;
    return run->any_failed || run->out_of_memory ? EXIT_INPUT : EXIT_DONE;
}

/* The recordings of the command line, as a list. */
static struct listed_segment *list_of_paths(const struct arguments *arguments) {
    struct listed_segment *listed = calloc(arguments->shared.count, sizeof *listed);
    for (size_t i = 0; listed && i < arguments->shared.count; i++) {
        listed[i].path = arguments->shared.words[i];
        listed[i].start = arguments->start;
        listed[i].duration = arguments->duration;
    }
    return listed;
}

int command_embed(int count, char **arguments_given) {
    struct arguments arguments = {.shared = options_defaults(), .duration = NAN};
    const struct argp argp = {own, parse, "FILE...\n--list FILE.tsv", doc, children, NULL, NULL};
    options_parse(&argp, count, arguments_given, &arguments);
    struct embedding_run run = {.channel = arguments.shared.channel, .count = arguments.shared.count};
    size_t size = 0;
    char *text = arguments.list ? byte_file_read(arguments.list, &size) : NULL;
    if (arguments.list && !text) return EXIT_INPUT;
    struct listed_segment *listed =
        text ? segment_list_parse(text, size, &run.count) : list_of_paths(&arguments);
    rill_model *model = listed ? chosen_model_open(arguments.shared.model) : NULL;
    int code = EXIT_INPUT;
    if (!listed) complain("out of memory for the list");
    if (model) {
        run.model = model;
        run.listed = listed;
        code = embed(&run);
    }
    rill_model_close(model);
    free(listed);
    free(text);
    return code;
}
