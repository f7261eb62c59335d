/* SPDX-License-Identifier: MIT */
/* rill speakers: the enrolled voices, listed, renamed, removed. */
#include <argp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "chosen_model.h"
#include "chosen_speakers.h"
#include "command.h"
#include "json_line.h"
#include "message.h"
#include "options.h"
#include "text.h"

struct arguments {
    struct options shared;
};

static const struct argp_child children[] = {
    {&options_output, 0, NULL, 0}, {&options_model, 0, NULL, 0}, {&options_speakers, 0, NULL, 0}, {0}};

static void check(struct argp_state *state, const struct arguments *arguments) {
    static const struct {
        const char *word, *wanted;
        size_t count;
    } kinds[] = {{"list", "list takes nothing", 1},
                 {"rename", "rename takes the name and the new name", 3},
                 {"remove", "remove takes one name", 2}};
    if (arguments->shared.count == 0) return;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(arguments->shared.words[0], kinds[i].word) != 0) continue;
        if (arguments->shared.count != kinds[i].count) argp_error(state, "%s", kinds[i].wanted);
        return;
    }
    argp_error(state, "speakers can list, rename and remove, not \"%s\"", arguments->shared.words[0]);
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct arguments *arguments = state->input;
    (void)text;
    switch (key) {
    case ARGP_KEY_INIT:
        options_share(state, children, &arguments->shared);
        break;
    case ARGP_KEY_END:
        check(state, arguments);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char doc[] = "Lists, renames or removes the voices that rill enroll has learned."
                          "\vThe list gives every name and the seconds of speech it was learned from.";

static int list(const rill_speakers *speakers, bool json) {
    for (size_t i = 0; i < rill_speakers_count(speakers); i++) {
        rill_enrolled enrolled = rill_speakers_at(speakers, i);
        char name[3 * RILL_NAME_SIZE];
        text_clean(name, sizeof name, enrolled.name);
        if (json) {
            json_t *made = json_object();
            json_object_set_new(made, "name", json_text(enrolled.name));
            json_object_set_new(made, "seconds", json_decimal(enrolled.seconds, 3));
            if (!json_line(made)) return EXIT_OUTPUT;
        } else {
            printf("%s  %.1f s\n", name, enrolled.seconds);
        }
    }
    return output_flush() ? EXIT_DONE : EXIT_OUTPUT;
}

static int change(rill_speakers *speakers, const struct arguments *arguments) {
    char path[SPEAKERS_PATH_SIZE];
    rill_error why;
    if (!chosen_speakers_path(path, arguments->shared.speakers)) return EXIT_INPUT;
    rill_status status =
        arguments->shared.count == 3
            ? rill_speakers_rename(speakers, arguments->shared.words[1], arguments->shared.words[2], &why)
            : rill_speakers_remove(speakers, arguments->shared.words[1], &why);
    int code = status == RILL_OK ? EXIT_DONE : EXIT_INPUT;
    if (code == EXIT_DONE && rill_speakers_write(speakers, path, &why) != RILL_OK) code = EXIT_OUTPUT;
    if (code != EXIT_DONE) complain("%s", why.message);
    return code;
}

static bool lock(const struct options *shared) {
    char path[SPEAKERS_PATH_SIZE];
    if (!chosen_speakers_path(path, shared->speakers)) return false;
    if (access(path, F_OK) == 0) chosen_speakers_lock(path);
    return true;
}

int command_speakers(int count, char **arguments_given) {
    struct arguments arguments = {.shared = options_defaults()};
    const struct argp argp = {NULL, parse, "[list]\nrename NAME NEW_NAME\nremove NAME", doc, children,
                              NULL, NULL};
    options_parse(&argp, count, arguments_given, &arguments);
    rill_model *model = chosen_model_open(arguments.shared.model);
    const bool changes = arguments.shared.count > 1;
    rill_speakers *speakers = NULL;
    if (model && (!changes || lock(&arguments.shared)))
        speakers = chosen_speakers_open(model, arguments.shared.speakers, MISSING_DEFAULT_IS_EMPTY);
    int code = EXIT_INPUT;
    if (speakers) code = changes ? change(speakers, &arguments) : list(speakers, arguments.shared.json);
    rill_speakers_destroy(speakers);
    rill_model_close(model);
    return code;
}
