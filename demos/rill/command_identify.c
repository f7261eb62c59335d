/* SPDX-License-Identifier: MIT */
/* rill identify: which enrolled speaker a recording sounds like. */
#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <rill/stream/tracker.h>

#include "chosen_model.h"
#include "chosen_speakers.h"
#include "command.h"
#include "json_line.h"
#include "message.h"
#include "options.h"
#include "segment.h"
#include "text.h"

struct arguments {
    struct options shared;
    double threshold;
};

static const struct argp_child children[] = {{&options_output, 0, NULL, 0},
                                             {&options_model, 0, NULL, 0},
                                             {&options_speakers, 0, NULL, 0},
                                             {&options_channel, 0, NULL, 0},
                                             {0}};

static const struct argp_option own[] = {
    {"threshold", 't', "SCORE", 0,
     "Say \"unknown\" when the best score, a probability, is below (default: 0.5)", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state) {
    struct arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        options_share(state, children, &arguments->shared);
        break;
    case 't':
        arguments->threshold = options_number(state, "--threshold", text, 0, 1);
        break;
    case ARGP_KEY_END:
        if (arguments->shared.count == 0) argp_error(state, "no recording given");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char doc[] =
    "Tells which enrolled speaker a recording of one voice sounds like, or \"unknown\"."
    "\vThe score is the probability that both voices are one speaker's. With --json: {\"path\", \"matches\": "
    "[{\"name\", \"score\", \"cosine\"}, ...] best first, \"name\": the best, or null when it is unknown}; "
    "{\"path\", \"error\"} for a recording that fails.\n\n"
    "Example:\n"
    "  rill enroll Anna anna.wav && rill identify who.wav";

struct match {
    const char *name;
    float score, cosine;
};

static int best_first(const void *a, const void *b) {
    const struct match *x = a, *y = b;
    return (x->score < y->score) - (x->score > y->score);
}

static bool print_json(const char *path, const struct match *matches, size_t count, bool known) {
    json_t *made = json_object(), *list = json_array();
    json_object_set_new(made, "path", json_text(path));
    for (size_t i = 0; i < count; i++) {
        json_t *match = json_object();
        json_object_set_new(match, "name", json_text(matches[i].name));
        json_object_set_new(match, "score", json_decimal(matches[i].score, 4));
        json_object_set_new(match, "cosine", json_decimal(matches[i].cosine, 4));
        json_array_append_new(list, match);
    }
    json_object_set_new(made, "matches", list);
    json_object_set_new(made, "name", known ? json_text(matches[0].name) : json_null());
    return json_line(made);
}

static bool print_lines(const char *path, const struct match *matches, size_t count, bool known, bool quiet) {
    char file[1024], name[3 * RILL_NAME_SIZE];
    text_clean(file, sizeof file, path);
    text_clean(name, sizeof name, known ? matches[0].name : "unknown");
    printf("%s: %s\n", file, name);
    for (size_t i = 0; !quiet && i < count; i++) {
        text_clean(name, sizeof name, matches[i].name);
        printf("  %.2f  %s  (cosine %.2f)\n", (double)matches[i].score, name, (double)matches[i].cosine);
    }
    return output_flush();
}

struct identification {
    const struct arguments *arguments;
    const rill_model *model;
    const rill_speakers *speakers;
    rill_voice_model *voices;
    float *embedding;
    struct match *matches; /* [count] */
    size_t count;
};

static int fail(const struct identification *identification, const char *path, const char *message) {
    if (!identification->arguments->shared.json) {
        complain("%s", message);
        return EXIT_INPUT;
    }
    json_t *made = json_object();
    json_object_set_new(made, "path", json_text(path));
    json_object_set_new(made, "error", json_text(message));
    return json_line(made) ? EXIT_INPUT : EXIT_OUTPUT;
}

static int identify(struct identification *identification, const char *path) {
    const struct arguments *arguments = identification->arguments;
    struct match *matches = identification->matches;
    rill_error why;
    double seconds;
    if (segment_embed_file(identification->model, path, arguments->shared.channel, &seconds,
                           identification->embedding, &why) != RILL_OK)
        return fail(identification, path, why.message);
    for (size_t i = 0; i < identification->count; i++) {
        rill_enrolled enrolled = rill_speakers_at(identification->speakers, i);
        matches[i].name = enrolled.name;
        matches[i].score = rill_voice_score(identification->voices, identification->embedding, seconds,
                                            enrolled.embedding, enrolled.seconds, &matches[i].cosine);
    }
    qsort(matches, identification->count, sizeof *matches, best_first);
    bool known = (double)matches[0].score >= arguments->threshold;
    bool written = arguments->shared.json
                       ? print_json(path, matches, identification->count, known)
                       : print_lines(path, matches, identification->count, known, arguments->shared.quiet);
    return written ? EXIT_DONE : EXIT_OUTPUT;
}

static int identify_all(struct identification *identification) {
    const struct arguments *arguments = identification->arguments;
    rill_error why;
    identification->count = rill_speakers_count(identification->speakers);
    if (identification->count == 0) {
        complain("nobody is enrolled yet: rill enroll NAME FILE");
        return EXIT_INPUT;
    }
    if (rill_voice_model_create(identification->model, &identification->voices, &why) != RILL_OK) {
        complain("%s", why.message);
        return EXIT_INPUT;
    }
    size_t dim = rill_model_get_info(identification->model)->embedding_dim;
    identification->embedding = calloc(dim, sizeof(float));
    identification->matches = calloc(identification->count, sizeof *identification->matches);
    int code = EXIT_DONE;
    if (!identification->embedding || !identification->matches) {
        complain("out of memory for %zu speakers", identification->count);
        code = EXIT_INPUT;
    } else {
        for (size_t i = 0; i < arguments->shared.count && code != EXIT_OUTPUT; i++) {
            int one = identify(identification, arguments->shared.words[i]);
            if (one != EXIT_DONE) code = one;
        }
    }
    free(identification->embedding);
    free(identification->matches);
    rill_voice_model_destroy(identification->voices);
    return code;
}

int command_identify(int count, char **arguments_given) {
    struct arguments arguments = {.shared = options_defaults(), .threshold = SPEAKERS_ALIKE};
    const struct argp argp = {own, parse, "FILE...", doc, children, NULL, NULL};
    options_parse(&argp, count, arguments_given, &arguments);
    rill_model *model = chosen_model_open(arguments.shared.model);
    rill_speakers *speakers =
        model ? chosen_speakers_open(model, arguments.shared.speakers, MISSING_DEFAULT_IS_EMPTY) : NULL;
    int code = EXIT_INPUT;
    if (speakers) {
        struct identification identification = {
            .arguments = &arguments, .model = model, .speakers = speakers};
        code = identify_all(&identification);
    }
    rill_speakers_destroy(speakers);
    rill_model_close(model);
    return code;
}
