/* SPDX-License-Identifier: MIT */
/* rill listen: who is speaking now, on a live microphone. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include <rill/stream/audio_file.h>
#include <rill/stream/live.h>

#include "chosen_model.h"
#include "chosen_speakers.h"
#include "command.h"
#include "message.h"
#include "microphone.h"
#include "options.h"
#include "session.h"
#include "terminal.h"

struct arguments {
    struct options shared;
    const char *record;
    double seconds;
};

static const struct argp_child children[] = {{&options_output, 0, NULL, 0},
                                             {&options_model, 0, NULL, 0},
                                             {&options_speakers, 0, NULL, 0},
                                             {&options_channel, 0, NULL, 0},
                                             {&options_device, 0, NULL, 0},
                                             {&options_tracking, 0, NULL, 0},
                                             {0}};

static const struct argp_option own[] = {
    {"seconds", 's', "N", 0, "End after N seconds of audio", 0},
    {"record", 'r', "FILE", 0, "Write what was heard, bit for bit, to a WAV file (or .w64)", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state) {
    struct arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        options_share(state, children, &arguments->shared);
        break;
    case 's':
        arguments->seconds = options_number(state, "--seconds", text, 0.001, 1e9);
        break;
    case 'r':
        arguments->record = text;
        break;
    case ARGP_KEY_END:
        if (arguments->record && !strcmp(arguments->record, "-"))
            argp_error(state, "--record takes a file: its header is written again and again");
        if (options_same_file(arguments->record, arguments->shared.rttm) ||
            options_same_file(arguments->record, arguments->shared.rttm_corrected))
            argp_error(state, "--record and the turns cannot be one file");
        break;
    case ARGP_KEY_ARG:
        options_refuse(state, "listen takes no file; rill track %s does", text);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char doc[] =
    "Tells who is speaking now, on a live microphone, until Ctrl-C."
    "\vOn a terminal it draws: n names a speaker, m merges two, q quits, ? helps. Off a terminal, or with "
    "NO_COLOR "
    "set, it prints a line a turn; with --json one object a turn, correction, and the end.\n\n"
    "Examples:\n"
    "  rill listen\n"
    "  rill listen --seconds 60 --record talk.wav --rttm talk.rttm\n"
    "  rill listen --json | while read -r line; do echo \"$line\"; done\n\n"
    "Exit codes: 0 ended as asked; 1 an input is refused; 2 wrong usage; 3 no such microphone; 4 the "
    "microphone "
    "vanished (what was heard has been written); 5 output could not be written.";

struct listening {
    struct session session;
    rill_live *live;
    rill_recording *recording;
    bool record_failed;
    rill_error record_why;
};

static bool on_block(void *receiver, size_t count, const float *samples) {
    struct listening *listening = receiver;
    if (listening->recording && !listening->record_failed)
        listening->record_failed =
            rill_recording_write(listening->recording, count, samples, &listening->record_why) != RILL_OK;
    session_push(&listening->session, count, samples);
    return !listening->record_failed && !listening->session.output_failed && !listening->session.log.failed;
}

static bool on_tick(void *receiver) {
    struct listening *listening = receiver;
    struct session *session = &listening->session;
    session->figures.lost_samples = rill_live_lost_samples(listening->live);
    session_poll(session);
    if (session->output_failed) return false;
    return !session->display || display_keys(session->display, session->listener);
}

static int end_recording(struct listening *listening) {
    rill_error why;
    rill_status closed = RILL_OK;
    if (listening->recording) closed = rill_recording_close(listening->recording, &why);
    if (listening->record_failed)
        complain("%s", listening->record_why.message);
    else if (closed != RILL_OK)
        complain("%s", why.message);
    return listening->record_failed || closed != RILL_OK ? EXIT_OUTPUT : EXIT_DONE;
}

static int listen_to(struct listening *listening, const struct arguments *arguments) {
    struct session *session = &listening->session;
    rill_error why;
    session->figures.device_latency = rill_live_input_latency(listening->live);
    session_draw(session, rill_live_device_name(listening->live), true);
    if (!session->display && !arguments->shared.quiet)
        remark("listening on %s at %u Hz; Ctrl-C ends", rill_live_device_name(listening->live),
               rill_live_sample_rate_hz(listening->live));
    rill_status status =
        microphone_listen(listening->live, arguments->seconds, on_block, on_tick, listening, &why);
    session->figures.lost_samples = rill_live_lost_samples(listening->live);
    session_finish(session);
    bool told = session_end(session);
    int recorded = end_recording(listening);
    if (session->figures.lost_samples && !arguments->shared.quiet)
        complain("%llu samples were lost: this machine could not keep up; times after a loss are early",
                 (unsigned long long)session->figures.lost_samples);
    if (status != RILL_OK) complain("%s", why.message);
    if (!told || recorded != EXIT_DONE) return EXIT_OUTPUT;
    return microphone_exit_code(status);
}

/* The listener runs at the rate the device gives. */
static int with_microphone(const struct arguments *arguments, const rill_model *model,
                           const rill_speakers *speakers, struct turn_files *files) {
    struct listening listening = {0};
    rill_error why;
    unsigned wished = rill_model_get_info(model)->sample_rate_hz;
    rill_status status =
        microphone_open(arguments->shared.device, arguments->shared.channel, wished, &listening.live);
    if (status != RILL_OK) return microphone_exit_code(status);
    unsigned rate = rill_live_sample_rate_hz(listening.live);
    rill_listener *listener = NULL;
    int code = session_listener(model, &arguments->shared, rill_live_device_name(listening.live), rate,
                                speakers, &listener);
    if (code == EXIT_DONE && arguments->record &&
        rill_recording_create(arguments->record, rate, &listening.recording, &why) != RILL_OK) {
        complain("%s", why.message);
        rill_listener_close(listener);
        code = EXIT_OUTPUT;
    } else if (code == EXIT_DONE) {
        const char *path = arguments->record ? arguments->record : "live";
        session_begin(&listening.session, &arguments->shared, listener, files, path);
        code = listen_to(&listening, arguments);
    }
    rill_live_close(listening.live);
    return code;
}

int command_listen(int count, char **arguments_given) {
    struct arguments arguments = {.shared = options_defaults()};
    const struct argp argp = {own, parse, "", doc, children, NULL, NULL};
    options_parse(&argp, count, arguments_given, &arguments);
    rill_model *model = chosen_model_open(arguments.shared.model);
    rill_speakers *speakers =
        model ? chosen_speakers_open(model, arguments.shared.speakers, MISSING_DEFAULT_IS_EMPTY) : NULL;
    struct turn_files files;
    int code = EXIT_INPUT;
    stop_watch();
    if (speakers) {
        code = EXIT_OUTPUT;
        if (turn_files_open(&files, &arguments.shared, false)) {
            code = with_microphone(&arguments, model, speakers, &files);
            if (!turn_files_close(&files)) code = EXIT_OUTPUT;
        }
    }
    rill_speakers_destroy(speakers);
    rill_model_close(model);
    return code;
}
