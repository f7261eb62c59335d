/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <rill/attention.h>
#include <rill/stream/audio_file.h>
#include <rill/stream/tracker.h>

#include "command.h"
#include "text.h"

enum option_key {
    KEY_JSON = 0x100,
    KEY_MODEL,
    KEY_SPEAKERS,
    KEY_CHANNEL,
    KEY_LATENCY,
    KEY_THRESHOLD,
    KEY_MAX_SPEAKERS,
    KEY_RTTM,
    KEY_RTTM_CORRECTED
};

struct options options_defaults(void) {
    return (struct options){.latency = NAN, .threshold = NAN, .channel = RILL_CHANNEL_MIX};
}

void options_refuse(struct argp_state *state, const char *format, ...) {
    char clean[TEXT_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    text_message(clean, format, arguments);
    va_end(arguments);
    argp_error(state, "%s", clean);
}

double options_number(struct argp_state *state, const char *option, const char *text, double least,
                      double greatest) {
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    if (end == text || *end || errno || !(number >= least && number <= greatest))
        argp_error(state, "%s: \"%s\" is no number from %.10g to %.10g", option, text, least, greatest);
    return number;
}

size_t options_whole_number(struct argp_state *state, const char *option, const char *text, double least,
                            double greatest) {
    const double number = options_number(state, option, text, least, greatest);
    if (number != floor(number)) argp_error(state, "%s: \"%s\" is no whole number", option, text);
    return (size_t)number;
}

static bool is_output(const char *path) {
    return path && !strcmp(path, "-");
}

bool options_rttm_is_output(const struct options *options) {
    return is_output(options->rttm) || is_output(options->rttm_corrected);
}

static bool is_one(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The folder that path lies in; returns where its own name begins. */
static const char *find_folder(const char *path, struct stat *folder, bool *found) {
    const char *slash = strrchr(path, '/');
    char *name = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    *found = name && stat(name, folder) == 0;
    free(name);
    return slash ? slash + 1 : path;
}

/* Neither is there, and both would be made under one name in one folder. */
static bool would_be_one(const char *a, const char *b) {
    struct stat one, other;
    bool found_one, found_other;
    const char *name_a = find_folder(a, &one, &found_one), *name_b = find_folder(b, &other, &found_other);
    return found_one && found_other && is_one(&one, &other) && !strcmp(name_a, name_b);
}

bool options_same_file(const char *a, const char *b) {
    struct stat one, other;
    if (!a || !b) return false;
    if (!strcmp(a, b)) return true;
    const bool found_one = stat(a, &one) == 0, found_other = stat(b, &other) == 0;
    if (!found_one && !found_other) return would_be_one(a, b);
    return found_one && found_other && S_ISREG(one.st_mode) && is_one(&one, &other);
}

static unsigned channel_number(struct argp_state *state, const char *text) {
    if (!strcmp(text, "mix")) return RILL_CHANNEL_MIX;
    double number = options_number(state, "--channel (a number, or mix)", text, 1, 1024);
    if (number != floor(number)) argp_error(state, "--channel: \"%s\" is no whole number", text);
    return (unsigned)number;
}

/* Opened by that name, a file that is standard output would be written at two places at once. */
static const char *output_path(const char *path) {
    return strcmp(path, "/dev/stdout") != 0 ? path : "-";
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct options *options = state->input;
    switch (key) {
    case KEY_JSON:
        options->json = true;
        break;
    case 'q':
        options->quiet = true;
        break;
    case 'h':
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        break;
    case KEY_MODEL:
        options->model = text;
        break;
    case KEY_SPEAKERS:
        options->speakers = text;
        break;
    case 'd':
        options->device = text;
        break;
    case KEY_CHANNEL:
        options->channel = channel_number(state, text);
        break;
    case KEY_LATENCY:
        options->latency = options_number(state, "--latency", text, 0, 3600);
        break;
    case KEY_THRESHOLD:
        options->threshold = options_number(state, "--threshold", text, -1e6, 1e6);
        break;
    case KEY_MAX_SPEAKERS:
        options->max_speakers =
            options_whole_number(state, "--max-speakers", text, 1, RILL_TRACKER_MAX_SPEAKERS);
        break;
    case KEY_RTTM:
        options->rttm = output_path(text);
        break;
    case KEY_RTTM_CORRECTED:
        options->rttm_corrected = output_path(text);
        break;
    case ARGP_KEY_ARGS:
        options->words = state->argv + state->next;
        options->count = (size_t)(state->argc - state->next);
        break;
    case ARGP_KEY_END:
        if (options_same_file(options->rttm, options->rttm_corrected))
            argp_error(state, "--rttm and --rttm-corrected cannot be one file");
        if (options->json && options_rttm_is_output(options))
            argp_error(state, "--json and RTTM cannot both go to standard output");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option output[] = {
    {"json", KEY_JSON, NULL, 0, "Print one JSON object a line", 0},
    {"quiet", 'q', NULL, 0, "Print results and errors only", 0},
    {NULL, 'h', NULL, OPTION_HIDDEN, NULL, 0},
    {0},
};
static const struct argp_option model[] = {
    {"model", KEY_MODEL, "FILE", 0, "Use this model (default: the one built into the program)", 0},
    {0},
};
static const struct argp_option speakers[] = {
    {"speakers", KEY_SPEAKERS, "FILE", 0,
     "The file of enrolled voices (default: $XDG_DATA_HOME/rill/speakers.json or "
     "~/.local/share/rill/speakers.json)",
     0},
    {0},
};
static const struct argp_option device[] = {
    {"device", 'd', "NAME or INDEX", 0, "The microphone, by part of its name or its index in rill devices",
     0},
    {0},
};
static const struct argp_option channel[] = {
    {"channel", KEY_CHANNEL, "N|mix", 0, "Take channel N, counted from 1, or the mean of all (default: mix)",
     0},
    {0},
};
static const struct argp_option tracking[] = {
    {"latency", KEY_LATENCY, "SECONDS", 0,
     "How long a decision may wait after the sound it is about; a shorter wait is less sure, one beyond what "
     "the model looks ahead no better",
     0},
    {"threshold", KEY_THRESHOLD, "NUMBER", 0,
     "How alike a voice must be to be a known one, on the model's own scale; higher makes more speakers", 0},
    {"max-speakers", KEY_MAX_SPEAKERS, "N", 0,
     "Never tell more than N speakers apart (default: 64, the most); enrolled ones count", 0},
    {"rttm", KEY_RTTM, "FILE", 0,
     "Write the turns, with the labels first told, as RTTM; - is standard output, with nothing else", 0},
    {"rttm-corrected", KEY_RTTM_CORRECTED, "FILE", 0,
     "Write the turns with all corrections applied, as RTTM; - likewise", 0},
    {0},
};

const struct argp options_output = {output, parse, NULL, NULL, NULL, NULL, NULL};
const struct argp options_model = {model, parse, NULL, NULL, NULL, NULL, NULL};
const struct argp options_speakers = {speakers, parse, NULL, NULL, NULL, NULL, NULL};
const struct argp options_device = {device, parse, NULL, NULL, NULL, NULL, NULL};
const struct argp options_channel = {channel, parse, NULL, NULL, NULL, NULL, NULL};
const struct argp options_tracking = {tracking, parse, NULL, NULL, NULL, NULL, NULL};

static void print_version(FILE *to, struct argp_state *state) {
    (void)state;
    fprintf(to, "rill %s (kernels: %s)\n", rill_version(), rill_kernels_name());
}

void options_parse(const struct argp *argp, int count, char **arguments, void *input) {
    argp_err_exit_status = EXIT_USAGE;
    argp_program_version_hook = print_version;
    argp_parse(argp, count, arguments, 0, NULL, input);
}

void options_share(struct argp_state *state, const struct argp_child *children, struct options *shared) {
    for (size_t i = 0; children[i].argp; i++) state->child_inputs[i] = shared;
}
