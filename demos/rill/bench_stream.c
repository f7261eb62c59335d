/* SPDX-License-Identifier: MIT */
/* rill bench stream: what the main job costs on this machine. */
#include <argp.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/attention.h>
#include <rill/stream/audio_file.h>
#include <rill/stream/listener.h>

#include "bench.h"
#include "bench_choice.h"
#include "bench_output.h"
#include "chosen_model.h"
#include "clock.h"
#include "command.h"
#include "json_line.h"
#include "message.h"
#include "options.h"
#include "text.h"

enum { BLOCKS_A_SECOND = 100 };

struct arguments {
    struct choice choice;
    double seconds;
};

static const struct argp_child children[] = {
    {&choice_output, 0, NULL, 0}, {&options_model, 0, NULL, 0}, {&options_channel, 0, NULL, 0}, {0}};

static const struct argp_option own[] = {
    {"seconds", 's', "SECONDS", 0, "Stop after so much audio (default: the whole file; 60 without one)", 0},
    {0}};

static error_t parse(int key, char *text, struct argp_state *state) {
    struct arguments *arguments = state->input;
    if (key == ARGP_KEY_INIT) {
        options_share(state, children, &arguments->choice.shared);
        state->child_inputs[0] = &arguments->choice;
    } else if (key == 's')
        arguments->seconds = options_number(state, "--seconds", text, 1, 1e6);
    else if (key == ARGP_KEY_END && arguments->choice.shared.count > 1)
        argp_error(state, "one recording at a time");
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const char doc[] =
    "Measures what following a conversation costs on one core: audio is pushed in blocks of 10 ms, as a "
    "microphone "
    "gives it, and every push is timed."
    "\vWithout a FILE, a buzzing stand-in for voices is made up: its cost is that of speech, its turns mean "
    "nothing. "
    "The wait is what a turn's end waits for its event, in audio; the cost of a push comes on top of it.";

/* Four buzzes of different pitch and colour take turns of three seconds, pauses between: cheap, and speech
 * enough for the tracker to have something to do. */
static void make_up(double rate, uint64_t first, size_t count, float *samples) {
    static const double pitch[] = {110, 180, 140, 230}, colour[] = {700, 1100, 450, 1500};
    for (size_t i = 0; i < count; i++) {
        double t = (double)(first + i) / rate, in_turn = fmod(t, 3.5);
        size_t voice = (size_t)(t / 3.5) % 4;
        double since_pulse = fmod(t, 1 / pitch[voice]), syllable = 0.5 - 0.5 * cos(6.283185307179586 * 4 * t);
        samples[i] = in_turn > 3 ? 0
                                 : (float)(0.3 * syllable * exp(-150 * since_pulse) *
                                           sin(6.283185307179586 * colour[voice] * since_pulse));
    }
}

struct measured {
    double *pushes; /* [count] seconds of each push, ascending once sorted */
    size_t count, room;
    double audio, busy;    /* seconds */
    double wait, wait_sum; /* from the end of a turn to its event, in audio */
    size_t turns, speakers, state_bytes;
};

static bool keep_push(struct measured *measured, double seconds) {
    if (measured->count == measured->room) {
        size_t room = measured->room ? 2 * measured->room : 8192;
        double *pushes = realloc(measured->pushes, room * sizeof *pushes);
        if (!pushes) return false;
        measured->pushes = pushes;
        measured->room = room;
    }
    measured->pushes[measured->count++] = seconds;
    return true;
}

static void poll_all(rill_listener *listener, double heard, struct measured *measured) {
    for (rill_event event; rill_listener_poll(listener, &event);) {
        if (event.kind != RILL_EVENT_TURN) continue;
        measured->turns++;
        measured->wait_sum += heard - event.end;
        measured->wait = fmax(measured->wait, heard - event.end);
    }
}

static bool push_block(rill_listener *listener, size_t count, const float *samples, double rate,
                       struct measured *measured) {
    double begin = clock_now(), busy = clock_busy();
    for (size_t done = 0; done < count;) {
        done += rill_listener_push(listener, count - done, samples + done);
        poll_all(listener, measured->audio + (double)count / rate, measured);
    }
    measured->busy += clock_busy() - busy;
    measured->audio += (double)count / rate;
    return keep_push(measured, clock_now() - begin);
}

/* file NULL: made up. */
static int measure(const rill_model *model, rill_audio_file *file, double seconds,
                   struct measured *measured) {
    rill_error why;
    rill_listener_settings settings = rill_listener_defaults(model);
    if (file) settings.sample_rate_hz = rill_audio_file_sample_rate_hz(file);
    rill_listener *listener = NULL;
    if (rill_listener_open(model, &settings, NULL, &listener, &why) != RILL_OK) {
        complain("%s", why.message);
        return EXIT_INPUT;
    }
    const double rate = settings.sample_rate_hz;
    const size_t block = (settings.sample_rate_hz + BLOCKS_A_SECOND - 1) / BLOCKS_A_SECOND;
    float *samples = malloc(block * sizeof *samples);
    int code = samples ? EXIT_DONE : EXIT_INPUT;
    for (uint64_t made = 0; code == EXIT_DONE && !(measured->audio >= seconds);) {
        size_t count = block;
        if (!file)
            make_up(rate, made, block, samples);
        else if (rill_audio_file_read(file, block, samples, &count, &why) != RILL_OK) {
            complain("%s", why.message);
            code = EXIT_INPUT;
        }
        if (count == 0) break;
        made += count;
        if (code == EXIT_DONE && !push_block(listener, count, samples, rate, measured)) {
            complain("out of memory");
            code = EXIT_INPUT;
        }
    }
    measured->speakers = rill_listener_speakers(listener, 0, NULL);
    measured->state_bytes = rill_listener_saved_size(listener);
    free(samples);
    rill_listener_close(listener);
    return code;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const struct measured *measured, double share) {
    return measured->pushes[(size_t)(share * (double)(measured->count - 1))];
}

static json_t *row_of(const struct measured *measured, const char *audio) {
    const double factor = measured->busy / measured->audio;
    const double wait = measured->turns ? measured->wait_sum / (double)measured->turns : 0;
    json_t *row = json_object();
    json_object_set_new(row, "bench", json_string("stream"));
    json_object_set_new(row, "kernels", json_string(rill_kernels_name()));
    json_object_set_new(row, "audio", json_text(audio));
    json_object_set_new(row, "audio_seconds", json_decimal(measured->audio, 3));
    json_object_set_new(row, "real_time_factor", json_decimal(factor, 6));
    json_object_set_new(row, "streams_a_core", json_decimal(1 / factor, 3));
    json_object_set_new(row, "bytes_a_stream", json_integer((json_int_t)measured->state_bytes));
    json_object_set_new(row, "push_ms_p50", json_decimal(1e3 * quantile(measured, 0.5), 4));
    json_object_set_new(row, "push_ms_p99", json_decimal(1e3 * quantile(measured, 0.99), 4));
    json_object_set_new(row, "push_ms_p999", json_decimal(1e3 * quantile(measured, 0.999), 4));
    json_object_set_new(row, "push_ms_max", json_decimal(1e3 * quantile(measured, 1), 4));
    json_object_set_new(row, "decision_wait_seconds_mean", json_decimal(wait, 3));
    json_object_set_new(row, "decision_wait_seconds_max", json_decimal(measured->wait, 3));
    json_object_set_new(row, "turns", json_integer((json_int_t)measured->turns));
    json_object_set_new(row, "speakers", json_integer((json_int_t)measured->speakers));
    return row;
}

static const char *const columns[] = {"bench",
                                      "kernels",
                                      "audio",
                                      "audio_seconds",
                                      "real_time_factor",
                                      "streams_a_core",
                                      "bytes_a_stream",
                                      "push_ms_p50",
                                      "push_ms_p99",
                                      "push_ms_p999",
                                      "push_ms_max",
                                      "decision_wait_seconds_mean",
                                      "decision_wait_seconds_max",
                                      "turns",
                                      "speakers",
                                      NULL};

static void print_lines(const json_t *row) {
    const double factor = json_member(row, "real_time_factor");
    char audio[1024];
    text_clean(audio, sizeof audio, json_member_text(row, "audio"));
    printf("audio              %.1f s of %s, kernels %s\n", json_member(row, "audio_seconds"), audio,
           json_member_text(row, "kernels"));
    printf("real-time factor   %.4f: an hour in %.0f s, %.0f streams a core\n", factor, 3600 * factor,
           json_member(row, "streams_a_core"));
    printf("push of 10 ms      p50 %.3f  p99 %.3f  p99.9 %.3f  max %.3f ms\n",
           json_member(row, "push_ms_p50"), json_member(row, "push_ms_p99"), json_member(row, "push_ms_p999"),
           json_member(row, "push_ms_max"));
    printf("wait of a turn     mean %.2f  max %.2f s of audio after its end (%.0f turns, %.0f speakers)\n",
           json_member(row, "decision_wait_seconds_mean"), json_member(row, "decision_wait_seconds_max"),
           json_member(row, "turns"), json_member(row, "speakers"));
    printf("memory             %.0f bytes a stream, for ever\n", json_member(row, "bytes_a_stream"));
}

static bool print(const struct choice *choice, json_t *row) {
    struct bench_output output =
        bench_output_begin(choice_format(choice), choice->shared.quiet, columns, NULL, print_lines);
    bench_output_row(&output, row);
    bench_output_end(&output);
    return !output.failed;
}

int bench_stream(int count, char **arguments_given) {
    struct arguments arguments = {.choice = {.shared = options_defaults()}, .seconds = NAN};
    const struct options *shared = &arguments.choice.shared;
    const struct argp argp = {own, parse, "[FILE]", doc, children, NULL, NULL};
    options_parse(&argp, count, arguments_given, &arguments);
    const char *path = shared->count > 0 ? shared->words[0] : NULL;
    double seconds = isnan(arguments.seconds) ? (path ? INFINITY : 60) : arguments.seconds;
    rill_model *model = chosen_model_open(shared->model);
    if (!model) return EXIT_INPUT;
    rill_audio_file *file = NULL;
    rill_error why;
    struct measured measured = {0};
    int code = EXIT_DONE;
    if (path && rill_audio_file_open(path, shared->channel, &file, &why) != RILL_OK) {
        complain("%s", why.message);
        code = EXIT_INPUT;
    }
    if (code == EXIT_DONE) code = measure(model, file, seconds, &measured);
    if (code == EXIT_DONE && measured.count == 0) {
        complain("%s: no audio in it", path);
        code = EXIT_INPUT;
    }
    if (code == EXIT_DONE) {
        qsort(measured.pushes, measured.count, sizeof *measured.pushes, ascending);
        if (!print(&arguments.choice, row_of(&measured, path ? path : "made-up buzzing"))) code = EXIT_OUTPUT;
    }
    free(measured.pushes);
    rill_audio_file_close(file);
    rill_model_close(model);
    return code;
}
