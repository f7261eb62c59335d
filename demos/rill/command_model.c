/* SPDX-License-Identifier: MIT */
/* rill model: what is in a model file. */
#include <argp.h>
#include <math.h>
#include <stdio.h>

#include <rill/stream/listener.h>
#include <rill/stream/tracker.h>

#include "chosen_model.h"
#include "command.h"
#include "json_line.h"
#include "message.h"
#include "options.h"
#include "text.h"

struct arguments {
    struct options shared;
};

static const struct argp_child children[] = {
    {&options_output, 0, NULL, 0}, {&options_model, 0, NULL, 0}, {0}};

static error_t parse(int key, char *text, struct argp_state *state) {
    struct arguments *arguments = state->input;
    if (key == ARGP_KEY_INIT)
        options_share(state, children, &arguments->shared);
    else if (key == ARGP_KEY_ARG && !arguments->shared.model)
        arguments->shared.model = text;
    else if (key == ARGP_KEY_ARG)
        argp_error(state, "one model at a time");
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const char doc[] =
    "Tells what is in a model file: shapes, parameters, bytes of state, frames a second, latency."
    "\vWithout a file, of the model built into the program. The fingerprint is what binds speaker files and "
    "saved states to a model.";

/* What the chain makes of the model; NAN when it lacks what tracking needs. */
struct chain {
    double least_latency, default_latency;
};

static bool print_json(const rill_model_info *info, const struct chain *chain) {
    json_t *made = json_object();
    json_object_set_new(made, "id", json_text(info->id));
    json_object_set_new(made, "licence", json_text(info->licence));
    json_object_set_new(made, "fingerprint", json_text(info->fingerprint));
    json_object_set_new(made, "parameters", json_integer((json_int_t)info->parameters));
    json_object_set_new(made, "layers", json_integer((json_int_t)info->layers));
    json_object_set_new(made, "shared_layers", json_integer((json_int_t)info->shared_layers));
    json_object_set_new(made, "speech_layers", json_integer((json_int_t)info->speech_layers));
    json_object_set_new(made, "model_dim", json_integer((json_int_t)info->model_dim));
    json_object_set_new(made, "heads", json_integer((json_int_t)info->heads));
    json_object_set_new(made, "feed_forward_dim", json_integer((json_int_t)info->feed_forward_dim));
    json_object_set_new(made, "convolution_kernel", json_integer((json_int_t)info->convolution_kernel));
    json_object_set_new(made, "embedding_dim", json_integer((json_int_t)info->embedding_dim));
    json_object_set_new(made, "state_bytes", json_integer((json_int_t)info->state_size));
    json_object_set_new(made, "sample_rate_hz", json_integer(info->sample_rate_hz));
    json_object_set_new(made, "window_samples", json_integer((json_int_t)info->window_samples));
    json_object_set_new(made, "hop_samples", json_integer((json_int_t)info->hop_samples));
    json_object_set_new(made, "fft_size", json_integer((json_int_t)info->fft_size));
    json_object_set_new(made, "mel_bands", json_integer((json_int_t)info->mel_bands));
    json_object_set_new(made, "frames_per_second",
                        json_decimal((double)info->sample_rate_hz / (double)info->hop_samples, 6));
    json_object_set_new(made, "steps_per_second", json_decimal(info->steps_per_second, 6));
    json_object_set_new(made, "latency_seconds", json_decimal(info->latency_seconds, 6));
    json_object_set_new(made, "least_decision_latency_seconds", json_decimal(chain->least_latency, 6));
    json_object_set_new(made, "default_decision_latency_seconds", json_decimal(chain->default_latency, 6));
    return json_line(made);
}

static bool print_lines(const rill_model_info *info, const struct chain *chain) {
    char id[3 * sizeof info->id], licence[3 * sizeof info->licence];
    text_clean(id, sizeof id, info->id);
    text_clean(licence, sizeof licence, info->licence);
    printf("model         %s\n", *id ? id : "(no id)");
    printf("licence       %s\n", *licence ? licence : "(not told)");
    printf("fingerprint   %s\n", info->fingerprint);
    printf("front end     %u Hz; windows of %zu samples every %zu, FFT of %zu, %zu mel bands from %.0f to "
           "%.0f Hz",
           info->sample_rate_hz, info->window_samples, info->hop_samples, info->fft_size, info->mel_bands,
           info->mel_hz_min, info->mel_hz_max);
    if (info->high_pass_hz > 0) printf(", high pass from %g Hz", info->high_pass_hz);
    printf("\nnetwork       %zu layers", info->layers);
    if (info->speech_layers)
        printf(", and behind the first %zu of them %zu more for speech", info->shared_layers,
               info->speech_layers);
    printf(", width %zu, %zu heads, feed-forward %zu, convolution over %zu steps, embedding %zu\n",
           info->model_dim, info->heads, info->feed_forward_dim, info->convolution_kernel,
           info->embedding_dim);
    printf("parameters    %zu\n", info->parameters);
    printf("state         %zu bytes a stream, for ever\n", info->state_size);
    printf("speed         %.6g frames and %.6g steps a second\n",
           (double)info->sample_rate_hz / (double)info->hop_samples, info->steps_per_second);
    printf("latency       %.3f s to an embedding", info->latency_seconds);
    if (isfinite(chain->default_latency))
        printf("; %.2f s to a decision (default), %.2f s at least", chain->default_latency,
               chain->least_latency);
    putchar('\n');
    return output_flush();
}

int command_model(int count, char **arguments_given) {
    struct arguments arguments = {.shared = options_defaults()};
    const struct argp argp = {NULL, parse, "[FILE]", doc, children, NULL, NULL};
    options_parse(&argp, count, arguments_given, &arguments);
    rill_model *model = chosen_model_open(arguments.shared.model);
    if (!model) return EXIT_INPUT;
    const rill_model_info *info = rill_model_get_info(model);
    struct chain chain = {NAN, NAN};
    rill_voice_model *voices = NULL;
    rill_error why;
    if (rill_voice_model_create(model, &voices, &why) == RILL_OK) {
        chain.least_latency = rill_tracker_least_latency(voices, info->latency_seconds);
        chain.default_latency = rill_listener_defaults(model).latency_seconds;
    } else {
        remark("note: this model embeds voices, but cannot track them: %s", why.message);
    }
    bool written = arguments.shared.json ? print_json(info, &chain) : print_lines(info, &chain);
    rill_voice_model_destroy(voices);
    rill_model_close(model);
    return written ? EXIT_DONE : EXIT_OUTPUT;
}
