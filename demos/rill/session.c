/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <math.h>
#include <string.h>

#include "clock.h"
#include "command.h"
#include "event_output.h"
#include "message.h"
#include "terminal.h"

bool turn_files_open(struct turn_files *files, const struct options *options, bool keep_first) {
    *files = (struct turn_files){.options = options};
    rill_error why;
    if ((options->rttm && !(files->rttm = rttm_open(options->rttm))) ||
        (options->rttm_corrected && !(files->rttm_corrected = rttm_open(options->rttm_corrected)))) {
        turn_files_close(files);
        return false;
    }
    if ((options->rttm_corrected && rill_turns_create(&files->corrected, &why) != RILL_OK) ||
        (keep_first && rill_turns_create(&files->first, &why) != RILL_OK)) {
        complain("%s", why.message);
        turn_files_close(files);
        return false;
    }
    return true;
}

bool turn_files_close(struct turn_files *files) {
    const struct options *options = files->options;
    bool good = true;
    if (files->rttm_corrected && files->corrected)
        good = rttm_write(files->rttm_corrected, options->rttm_corrected, files->corrected);
    good &= rttm_close(files->rttm, options->rttm);
    good &= rttm_close(files->rttm_corrected, options->rttm_corrected);
    rill_turns_destroy(files->corrected);
    rill_turns_destroy(files->first);
    return good;
}

/* Whether sound at this rate can be followed with the default settings. */
static bool rate_can_be_used(const rill_model *model, unsigned sample_rate_hz) {
    rill_listener_settings settings = rill_listener_defaults(model);
    settings.sample_rate_hz = sample_rate_hz;
    rill_listener *listener;
    bool opened = rill_listener_open(model, &settings, NULL, &listener, NULL) == RILL_OK;
    if (opened) rill_listener_close(listener);
    return opened;
}

int session_listener(const rill_model *model, const struct options *options, const char *name,
                     unsigned sample_rate_hz, const rill_speakers *speakers, rill_listener **listener) {
    rill_listener_settings settings = rill_listener_defaults(model);
    settings.sample_rate_hz = sample_rate_hz;
    if (!isnan(options->latency)) settings.latency_seconds = options->latency;
    if (!isnan(options->threshold)) settings.threshold = options->threshold;
    if (options->max_speakers) settings.max_speakers = options->max_speakers;
    rill_error why;
    rill_status status = rill_listener_open(model, &settings, speakers, listener, &why);
    if (status == RILL_OK) return EXIT_DONE;
    if (status == RILL_BAD_ARGUMENT && !rate_can_be_used(model, sample_rate_hz)) {
        complain("%s: sound at %u Hz cannot be followed: %s", name, sample_rate_hz, why.message);
        return EXIT_INPUT;
    }
    complain("%s", why.message);
    return status == RILL_BAD_ARGUMENT ? EXIT_USAGE : EXIT_INPUT;
}

void session_begin(struct session *session, const struct options *options, rill_listener *listener,
                   struct turn_files *files, const char *path) {
    *session = (struct session){.options = options, .listener = listener, .files = files};
    turn_file_id(session->id, path);
    session->log.rttm = files->rttm;
    session->log.rttm_path = options->rttm;
    session->log.keep = files->corrected || files->first;
}

void session_draw(struct session *session, const char *title, bool keys) {
    const struct options *options = session->options;
    if (options->json || options->quiet || options_rttm_is_output(options) || !terminal_can_draw()) return;
    session->display = display_open(title, session->listener, keys);
}

static bool print_event(struct session *session, const rill_event *event) {
    if (options_rttm_is_output(session->options)) return true;
    if (session->options->json) return json_event(session->key, event);
    return line_event(event);
}

void session_poll(struct session *session) {
    rill_event event;
    while (rill_listener_poll(session->listener, &event)) {
        turn_log_event(&session->log, session->id, &event);
        if (session->display)
            display_event(session->display, &event);
        else if (!session->output_failed)
            session->output_failed = !print_event(session, &event);
    }
    if (session->display && !display_update(session->display, &session->figures, false))
        session->output_failed = true;
}

void session_push(struct session *session, size_t count, const float *samples) {
    for (size_t done = 0; done < count;) {
        double before = clock_busy();
        done += rill_listener_push(session->listener, count - done, samples + done);
        session->figures.busy_seconds += clock_busy() - before;
        session_poll(session);
    }
}

void session_finish(struct session *session) {
    rill_listener_finish(session->listener);
    session_poll(session);
    double seconds = rill_listener_look(session->listener).seconds;
    if (session->display || session->output_failed) return;
    bool printed = true;
    if (session->options->json)
        printed = json_end(session->key, seconds, session->figures.lost_samples);
    else if (!session->options->quiet && !options_rttm_is_output(session->options))
        printed = line_end(seconds, session->figures.lost_samples);
    session->output_failed = !printed;
}

bool session_end(struct session *session) {
    struct turn_files *files = session->files;
    display_close(session->display, true);
    session->display = NULL;
    bool good = !session->output_failed && !session->log.failed;
    if (files->corrected) good &= turn_log_collect(&session->log, session->id, true, files->corrected);
    if (files->first) good &= turn_log_collect(&session->log, session->id, false, files->first);
    turn_log_clear(&session->log);
    rill_listener_close(session->listener);
    return good;
}
