/* SPDX-License-Identifier: MIT */
/* rill eval: how wrong turns are. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/diarization.h>

#include "command.h"
#include "error_table.h"
#include "message.h"
#include "options.h"

struct arguments {
    struct options shared;
    double collar;
    const char *uem;
};

static const struct argp_child children[] = {{&options_output, 0, NULL, 0}, {0}};

static const struct argp_option own[] = {
    {"collar", 'c', "SECONDS", 0,
     "Leave this much before and after every reference boundary out (default: 0)", 0},
    {"uem", 'u', "FILE", 0, "Score only these regions: lines of file, channel, start, end", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state) {
    struct arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        options_share(state, children, &arguments->shared);
        break;
    case 'c':
        arguments->collar = options_number(state, "--collar", text, 0, 1000);
        break;
    case 'u':
        arguments->uem = text;
        break;
    case ARGP_KEY_END:
        if (arguments->shared.count == 0 || arguments->shared.count % 2)
            argp_error(state, "eval takes pairs: a reference, then what is judged by it");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char doc[] = "Diarization error rate: missed speech, false alarms and confused speakers, as "
                          "fractions of the reference's "
                          "speech, a row a file and a total pooled over all."
                          "\vLabels need not be the same: they are mapped one to one, a file at a time, so "
                          "that the time they share is "
                          "greatest. Overlapping speech counts. Files are told apart by the ids inside the "
                          "RTTMs; one the hypothesis "
                          "lacks is all missed. The last column counts the speakers of what is scored: found "
                          "with at least a second of speech, of true.\n\n"
                          "Example:\n"
                          "  rill track --rttm found.rttm meeting.wav\n"
                          "  rill eval --collar 0.25 meeting.rttm found.rttm";

static bool print_row(bool json, const rill_diarization_error *error) {
    return json ? error_json_row(NULL, error) : error_table_row(error);
}

static bool has_file(const rill_turns *turns, const char *file) {
    for (size_t i = 0; i < rill_turns_count(turns); i++)
        if (!strcmp(file, rill_turns_at(turns, i).file)) return true;
    return false;
}

/* RTTMs keep a file's turns together: a file is looked for once, where its turns begin. */
static void warn_of_strangers(const rill_turns *reference, const rill_turns *hypothesis) {
    const char *last = NULL, *stranger = NULL;
    size_t strangers = 0;
    for (size_t i = 0; i < rill_turns_count(hypothesis); i++) {
        const char *file = rill_turns_at(hypothesis, i).file;
        if ((!last || strcmp(file, last) != 0) && !has_file(reference, file)) {
            stranger = file;
            strangers++;
        }
        last = file;
    }
    if (strangers)
        remark("note: the reference has no turns of \"%s\"%s; those of the hypothesis are left out", stranger,
               strangers > 1 ? " and other files" : "");
}

/* Rows of one pair; its sum goes to the total. */
static int score(const struct arguments *arguments, const rill_turns *reference, const rill_turns *hypothesis,
                 const rill_turns *uem, rill_diarization_error *total) {
    rill_diarization_error *errors = NULL;
    size_t count = 0;
    rill_error why;
    rill_status status =
        rill_diarization_score(reference, hypothesis, uem, arguments->collar, &errors, &count, &why);
    if (status != RILL_OK) {
        complain("%s", why.message);
        return EXIT_INPUT;
    }
    bool written = true;
    for (size_t i = 0; written && i + 1 < count; i++) { /* the last is this pair's own total */
        written = print_row(arguments->shared.json, &errors[i]);
        error_add(total, &errors[i]);
    }
    rill_diarization_errors_destroy(errors);
    return written ? EXIT_DONE : EXIT_OUTPUT;
}

static int score_pair(const struct arguments *arguments, char **pair, const rill_turns *uem,
                      rill_diarization_error *total) {
    rill_turns *reference = NULL, *hypothesis = NULL;
    rill_error why;
    int code = EXIT_INPUT;
    if (rill_rttm_read(pair[0], &reference, &why) != RILL_OK ||
        rill_rttm_read(pair[1], &hypothesis, &why) != RILL_OK) {
        complain("%s", why.message);
    } else {
        if (!arguments->shared.quiet) warn_of_strangers(reference, hypothesis);
        code = score(arguments, reference, hypothesis, uem, total);
    }
    rill_turns_destroy(reference);
    rill_turns_destroy(hypothesis);
    return code;
}

int command_eval(int count, char **arguments_given) {
    struct arguments arguments = {.shared = options_defaults()};
    const struct argp argp = {own, parse, "REFERENCE.rttm HYPOTHESIS.rttm...", doc, children, NULL, NULL};
    options_parse(&argp, count, arguments_given, &arguments);
    rill_diarization_error total = {.file = "TOTAL"};
    rill_turns *uem = NULL;
    rill_error why;
    if (arguments.uem && rill_uem_read(arguments.uem, &uem, &why) != RILL_OK) {
        complain("%s", why.message);
        return EXIT_INPUT;
    }
    int code = arguments.shared.json || error_table_head() ? EXIT_DONE : EXIT_OUTPUT;
    for (size_t i = 0; code == EXIT_DONE && i < arguments.shared.count; i += 2)
        code = score_pair(&arguments, arguments.shared.words + i, uem, &total);
    if (code == EXIT_DONE && !print_row(arguments.shared.json, &total)) code = EXIT_OUTPUT;
    rill_turns_destroy(uem);
    return code;
}
