/* SPDX-License-Identifier: MIT */
/* rill track: who spoke when, in recordings. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rill/stream/audio_file.h>

#include "chosen_model.h"
#include "chosen_speakers.h"
#include "clock.h"
#include "command.h"
#include "error_table.h"
#include "message.h"
#include "options.h"
#include "reference_turns.h"
#include "session.h"
#include "terminal.h"
#include "text.h"
#include "byte_file.h"

struct arguments {
    struct options shared;
    const char *save_state, *resume, *reference;
    double collar;
};

enum { KEY_SAVE_STATE = 0x1000, KEY_RESUME, KEY_REFERENCE, KEY_COLLAR };

static const struct argp_child children[] = {{&options_output, 0, NULL, 0},   {&options_model, 0, NULL, 0},
                                             {&options_speakers, 0, NULL, 0}, {&options_channel, 0, NULL, 0},
                                             {&options_tracking, 0, NULL, 0}, {0}};

static const struct argp_option own[] = {
    {"reference", KEY_REFERENCE, "FILE", 0, "Print the error rate against these turns (RTTM) at the end", 0},
    {"collar", KEY_COLLAR, "SECONDS", 0,
     "For --reference: leave this much round every boundary out (default: 0)", 0},
    {"save-state", KEY_SAVE_STATE, "FILE", 0,
     "Do not end: write all that is remembered to FILE, for --resume with what follows", 0},
    {"resume", KEY_RESUME, "FILE", 0, "Go on from a saved state: same labels, times go on", 0},
    {0},
};

static bool is_read(const struct arguments *arguments, const char *path) {
    const struct options *shared = &arguments->shared;
    /* A state that is resumed may be replaced by what it has become. */
    const char *const state = path == arguments->save_state ? NULL : arguments->resume;
    const char *const inputs[] = {arguments->reference, shared->model, shared->speakers, state};
    bool read = false;
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) read |= options_same_file(path, inputs[i]);
    for (size_t i = 0; i < shared->count; i++) read |= options_same_file(path, shared->words[i]);
    return read;
}

/* Nothing that is read may be written over, and no output by another. */
static void check_outputs(struct argp_state *state, const struct arguments *arguments) {
    const struct options *shared = &arguments->shared;
    const char *const outputs[] = {shared->rttm, shared->rttm_corrected, arguments->save_state};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        if (outputs[i] && strcmp(outputs[i], "-") != 0 && is_read(arguments, outputs[i]))
            options_refuse(state, "%s is read: it cannot be written as well", outputs[i]);
    if (options_same_file(arguments->save_state, shared->rttm) ||
        options_same_file(arguments->save_state, shared->rttm_corrected))
        argp_error(state, "--save-state and the turns cannot be one file");
    if (arguments->reference && options_rttm_is_output(shared))
        argp_error(state, "--reference and RTTM cannot both go to standard output");
}

struct named {
    char id[FILE_ID_SIZE];
    const char *path;
};

static int by_id(const void *a, const void *b) {
    return strcmp(((const struct named *)a)->id, ((const struct named *)b)->id);
}

/* In RTTM a recording is known by its id alone. */
static void check_ids(struct argp_state *state, const struct options *shared) {
    struct named *named = calloc(shared->count, sizeof *named);
    if (!named) argp_failure(state, EXIT_INPUT, ENOMEM, "%zu recordings", shared->count);
    for (size_t i = 0; i < shared->count; i++) {
        turn_file_id(named[i].id, shared->words[i]);
        named[i].path = shared->words[i];
    }
    qsort(named, shared->count, sizeof *named, by_id);
    for (size_t i = 1; i < shared->count; i++)
        if (!by_id(&named[i - 1], &named[i]))
            options_refuse(state, "%s and %s are both called \"%s\" in RTTM: track them one by one",
                           named[i - 1].path, named[i].path, named[i].id);
    free(named);
}

static void check(struct argp_state *state, const struct arguments *arguments) {
    const struct options *shared = &arguments->shared;
    if (shared->count == 0) argp_error(state, "no recording given; - is standard input");
    if (shared->count > 1 && (arguments->save_state || arguments->resume))
        argp_error(state, "--save-state and --resume take one recording, not %zu", shared->count);
    if (arguments->resume &&
        (!isnan(shared->latency) || !isnan(shared->threshold) || shared->max_speakers || shared->speakers))
        argp_error(state, "--resume goes on with the settings and voices that were saved: leave --latency, "
                          "--threshold, --max-speakers and --speakers out");
    check_outputs(state, arguments);
    if (shared->rttm || shared->rttm_corrected || arguments->reference) check_ids(state, shared);
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        options_share(state, children, &arguments->shared);
        break;
    case KEY_REFERENCE:
        arguments->reference = text;
        break;
    case KEY_COLLAR:
        arguments->collar = options_number(state, "--collar", text, 0, 1000);
        break;
    case KEY_SAVE_STATE:
        arguments->save_state = text;
        break;
    case KEY_RESUME:
        arguments->resume = text;
        break;
    case ARGP_KEY_END:
        check(state, arguments);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char doc[] =
    "Tells who spoke when in recordings: anything libsndfile reads, at any rate, with any number of "
    "channels; - is "
    "standard input."
    "\vOne line a turn: from when to when, the speaker, the probability that the label is right. A label "
    "once "
    "told is never changed silently: what is learned later is a line \"correction\". On a terminal the turns "
    "are "
    "drawn (not with NO_COLOR, --json or --quiet). Several recordings are tracked one by one, each from a "
    "fresh "
    "start.\n\n"
    "Examples:\n"
    "  rill track meeting.wav\n"
    "  rill track --json --latency 2 meeting.flac\n"
    "  ffmpeg -i film.mp4 -f wav - | rill track -\n"
    "  rill track --reference meeting.rttm --collar 0.25 meeting.wav\n\n"
    "Exit codes: 0 done; 1 a recording or another input was missing, broken or refused, or the work was "
    "interrupted (what was heard has been told); 2 wrong usage; 5 output could not be written.";

struct run {
    const struct arguments *arguments;
    const rill_model *model;
    const rill_speakers *speakers;
    struct turn_files files;
    size_t tracked; /* recordings, at least in part */
};

/* How far it is, on standard error, when that is a terminal and standard output is a file. */
struct progress {
    const char *path;
    bool shown;
    double begun, told, whole_seconds;
};

/* What reads a pipe may well print on the same terminal: tee, grep, less. */
static bool progress_is_seen_alone(void) {
    struct stat output;
    return isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO) && fstat(STDOUT_FILENO, &output) == 0 &&
           !S_ISFIFO(output.st_mode);
}

static void progress_tell(struct progress *progress, double seconds) {
    double now = clock_now();
    if (!progress->shown || now - progress->told < 0.25) return;
    progress->told = now;
    char at[TEXT_TIME_SIZE], whole[TEXT_TIME_SIZE] = "", clean[256], rest[2 * TEXT_TIME_SIZE + 64];
    const char *slash = strrchr(progress->path, '/');
    text_clean(clean, sizeof clean, slash ? slash + 1 : progress->path);
    text_time(at, seconds, 0);
    if (progress->whole_seconds > 0) text_time(whole, progress->whole_seconds, 0);
    snprintf(rest, sizeof rest, ": %s%s%s, %.0f times as fast as it was spoken", at, *whole ? " of " : "",
             whole, seconds / fmax(now - progress->begun, 1e-3));
    size_t columns, rows;
    terminal_size(&columns, &rows); /* a line that is wrapped could not be taken away again */
    const size_t room = columns > strlen(rest) ? columns - strlen(rest) : 1;
    fprintf(stderr, "\r\x1b[K%.*s%.*s", (int)text_fit(clean, room - 1, NULL), clean, (int)columns - 1, rest);
}

static void progress_end(const struct progress *progress) {
    if (!progress->shown) return;
    if (progress->told > 0) fputs("\r\x1b[K", stderr);
    messages_tell();
}

/* Everything the file holds goes through the session. */
static rill_status push_file(struct session *session, rill_audio_file *file, struct progress *progress,
                             rill_error *why) {
    float samples[4096];
    size_t count = 1;
    rill_status status = RILL_OK;
    if (progress->shown) messages_hold();
    while (status == RILL_OK && count > 0 && !session->output_failed && !session->log.failed &&
           !stop_requested()) {
        count = 0;
        status = rill_audio_file_read(file, sizeof samples / sizeof *samples, samples, &count, why);
        session_push(session, count, samples);
        progress_tell(progress, rill_listener_look(session->listener).seconds);
    }
    progress_end(progress);
    return status;
}

static bool save_state(const rill_listener *listener, const char *path) {
    size_t size = rill_listener_saved_size(listener);
    void *bytes = malloc(size);
    if (!bytes) {
        complain("%s: out of memory", path);
        return false;
    }
    rill_listener_save(listener, bytes);
    bool saved = byte_file_write(path, bytes, size);
    free(bytes);
    return saved;
}

static const char *name_of(const char *path) {
    return strcmp(path, "-") != 0 ? path : "standard input";
}

static int resume(const struct run *run, unsigned sample_rate_hz, const char *path,
                  rill_listener **listener) {
    const char *state = run->arguments->resume;
    size_t size;
    char *bytes = byte_file_read(state, &size);
    if (!bytes) return EXIT_INPUT;
    rill_error why;
    rill_status status = rill_listener_load(run->model, state, bytes, size, listener, &why);
    free(bytes);
    if (status != RILL_OK) {
        complain("%s", why.message);
        return EXIT_INPUT;
    }
    unsigned saved_rate = rill_listener_get_settings(*listener)->sample_rate_hz;
    if (saved_rate == sample_rate_hz) return EXIT_DONE;
    complain("%s was saved at %u Hz, but %s is at %u Hz: go on with a recording at the same rate", state,
             saved_rate, name_of(path), sample_rate_hz);
    rill_listener_close(*listener);
    return EXIT_INPUT;
}

static int track_open_file(struct run *run, rill_audio_file *file, const char *path,
                           rill_listener *listener) {
    const struct arguments *arguments = run->arguments;
    const struct options *options = &arguments->shared;
    struct session session;
    session_begin(&session, options, listener, &run->files, path);
    if (arguments->shared.count > 1) session.key = path;
    session.figures.whole_seconds =
        (double)rill_audio_file_length(file) / (double)rill_audio_file_sample_rate_hz(file);
    session_draw(&session, name_of(path), false);
    struct progress progress = {path, !session.display && !options->quiet && progress_is_seen_alone(),
                                clock_now(), 0, session.figures.whole_seconds};
    if (session.key && !session.display && !options->json && !options_rttm_is_output(options)) {
        char clean[1024];
        text_clean(clean, sizeof clean, path);
        printf("%s:\n", clean);
    }
    rill_error why;
    rill_status status = push_file(&session, file, &progress, &why);
    bool saved = !arguments->save_state || save_state(listener, arguments->save_state);
    if (!arguments->save_state) session_finish(&session);
    rill_listener_view view = rill_listener_look(listener);
    bool told = session_end(&session) && saved;
    if (status != RILL_OK && !stop_requested()) complain("%s", why.message);
    if (view.refused_samples > 0)
        complain("%s: %" PRIu64 " samples are no numbers or far out of range; they were taken as silence",
                 name_of(path), view.refused_samples);
    if (stop_requested()) complain("%s: interrupted at %.2f s", name_of(path), view.seconds);
    if (!told) return EXIT_OUTPUT;
    return status == RILL_OK && !stop_requested() ? EXIT_DONE : EXIT_INPUT;
}

static bool stop_reading(void *asked) {
    (void)asked;
    return stop_requested();
}

static int track(struct run *run, const char *path) {
    rill_audio_file *file = NULL;
    rill_error why;
    if (rill_audio_file_open_until(path, run->arguments->shared.channel, stop_reading, NULL, &file, &why) !=
        RILL_OK) {
        if (stop_requested())
            complain("%s: interrupted", name_of(path));
        else
            complain("%s", why.message);
        return EXIT_INPUT;
    }
    unsigned rate = rill_audio_file_sample_rate_hz(file);
    rill_listener *listener = NULL;
    int code = run->arguments->resume ? resume(run, rate, path, &listener)
                                      : session_listener(run->model, &run->arguments->shared, name_of(path),
                                                         rate, run->speakers, &listener);
    if (code == EXIT_DONE) {
        code = track_open_file(run, file, path, listener);
        run->tracked++;
    }
    rill_audio_file_close(file);
    return code;
}

/* A recording that fails does not keep the others from being tracked; a failing output does. */
static int track_all(struct run *run) {
    const struct arguments *arguments = run->arguments;
    rill_turns *reference = NULL;
    if (arguments->reference &&
        !(reference = reference_read(arguments->reference, arguments->shared.words, arguments->shared.count)))
        return EXIT_INPUT;
    if ((arguments->save_state && !byte_file_can_write(arguments->save_state)) ||
        !turn_files_open(&run->files, &arguments->shared, reference)) {
        rill_turns_destroy(reference);
        return EXIT_OUTPUT;
    }
    int code = EXIT_DONE;
    for (size_t i = 0;
         i < arguments->shared.count && code != EXIT_OUTPUT && code != EXIT_USAGE && !stop_requested(); i++) {
        int one = track(run, arguments->shared.words[i]);
        if (one != EXIT_DONE) code = one;
    }
    if (run->tracked > 0 && reference && code != EXIT_OUTPUT) {
        int scored = reference_score(reference, run->files.first, arguments->collar, arguments->shared.json);
        if (scored != EXIT_DONE) code = scored;
    }
    rill_turns_destroy(reference);
    return turn_files_close(&run->files) ? code : EXIT_OUTPUT;
}

int command_track(int count, char **arguments_given) {
    struct arguments arguments = {.shared = options_defaults()};
    const struct argp argp = {own, parse, "FILE...", doc, children, NULL, NULL};
    options_parse(&argp, count, arguments_given, &arguments);
    rill_model *model = chosen_model_open(arguments.shared.model);
    rill_speakers *speakers = NULL;
    /* A resumed state knows its voices. */
    const char *path = arguments.resume ? "" : arguments.shared.speakers;
    if (model) speakers = chosen_speakers_open(model, path, MISSING_DEFAULT_IS_EMPTY);
    int code = EXIT_INPUT;
    stop_watch();
    if (speakers) {
        struct run run = {.arguments = &arguments, .model = model, .speakers = speakers};
        code = track_all(&run);
    }
    rill_speakers_destroy(speakers);
    rill_model_close(model);
    return code;
}
