/* SPDX-License-Identifier: MIT */
/* The whole chain behind push and poll. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "enrolled_voices.h"
#include "failure.h"
#include "listener_memory.h"

rill_listener_settings rill_listener_defaults(const rill_model *model) {
    return (rill_listener_settings){
        .sample_rate_hz = rill_model_get_info(model)->sample_rate_hz,
        .latency_seconds = rill_model_number(model, "tracker.latency_seconds", 1),
        .threshold = NAN,
        .max_speakers = RILL_TRACKER_MAX_SPEAKERS,
    };
}

static rill_status open_parts(const rill_model *model, rill_listener *listener, rill_error *why) {
    const rill_listener_settings *settings = &listener->settings;
    rill_status status = rill_chain_open(model, settings->sample_rate_hz, &listener->chain, why);
    if (status == RILL_OK) status = rill_voice_model_create(model, &listener->voices, why);
    if (status != RILL_OK) return status;
    listener->tracker_settings = (rill_tracker_settings){
        .latency_seconds = settings->latency_seconds,
        .overhead_seconds = rill_chain_lag_seconds(&listener->chain),
        .threshold = settings->threshold,
        .max_speakers = settings->max_speakers,
    };
    return rill_tracker_check(listener->voices, &listener->tracker_settings, why);
}

static rill_status allocate(rill_listener *listener, rill_error *why) {
    size_t tracker_size = rill_tracker_size(listener->voices, &listener->tracker_settings);
    size_t dim = rill_model_get_info(listener->chain.model)->embedding_dim;
    listener->tracker_offset = rill_aligned(sizeof(rill_listener_state));
    listener->chain_offset = listener->tracker_offset + rill_aligned(tracker_size);
    listener->memory_size = listener->chain_offset + rill_chain_size(&listener->chain);
    listener->memory = aligned_alloc(RILL_STATE_ALIGNMENT, listener->memory_size);
    listener->embedding = calloc(dim, sizeof *listener->embedding);
    if (!listener->memory || !listener->embedding)
        return rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for a listener of %zu bytes",
                         listener->memory_size);
    memset(listener->memory, 0, listener->memory_size); /* padding too: equal states are equal bytes */
    rill_tracker_init(listener->voices, &listener->tracker_settings, rill_listener_tracker(listener));
    rill_chain_init(&listener->chain, rill_listener_chain(listener));
    return RILL_OK;
}

static rill_status enroll(rill_listener *listener, const rill_speakers *speakers, rill_error *why) {
    const rill_model_info *info = rill_model_get_info(listener->chain.model);
    if (strcmp(speakers->fingerprint, info->fingerprint) != 0)
        return rill_fail(why, RILL_WRONG_MODEL,
                         "the speakers were enrolled with model %s (%s), not with %s (%s)",
                         speakers->model_id, speakers->fingerprint, info->id, info->fingerprint);
    for (size_t i = 0; i < rill_speakers_count(speakers); i++) {
        rill_enrolled voice = rill_speakers_at(speakers, i);
        if (!rill_tracker_enroll(listener->voices, rill_listener_tracker(listener), voice.name,
                                 voice.embedding, voice.seconds))
            return rill_fail(why, RILL_BAD_ARGUMENT,
                             "%s: %zu speakers are enrolled, but only %zu can be told apart at once: take a "
                             "smaller speaker file, or none",
                             voice.name, rill_speakers_count(speakers), listener->settings.max_speakers);
    }
    return RILL_OK;
}

rill_status rill_listener_open(const rill_model *model, const rill_listener_settings *settings,
                               const rill_speakers *speakers, rill_listener **listener, rill_error *why) {
    *listener = NULL;
    rill_listener *made = calloc(1, sizeof *made);
    if (!made) return rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for a listener");
    made->settings = *settings;
    rill_status status = open_parts(model, made, why);
    if (status == RILL_OK) status = allocate(made, why);
    if (status == RILL_OK && speakers) status = enroll(made, speakers, why);
    if (status != RILL_OK) {
        rill_listener_close(made);
        return status;
    }
    *listener = made;
    return RILL_OK;
}

void rill_listener_close(rill_listener *listener) {
    if (!listener) return;
    rill_chain_close(&listener->chain);
    rill_voice_model_destroy(listener->voices);
    free(listener->memory);
    free(listener->embedding);
    free(listener);
}

const rill_listener_settings *rill_listener_get_settings(const rill_listener *listener) {
    return &listener->settings;
}

/* Sums of squares over bins of 10 ms: the level does not depend on the blocks. */
static void meter(rill_listener *listener, size_t count, const float *samples) {
    rill_listener_state *head = rill_listener_head(listener);
    uint32_t bin_samples = listener->settings.sample_rate_hz / RILL_LEVEL_BINS_PER_SECOND;
    for (size_t i = 0; i < count; i++) {
        double sample = (double)rill_chain_heard(samples[i]);
        head->bin_energy += sample * sample;
        if (++head->bin_samples < bin_samples) continue;
        head->energy[head->next_bin] = head->bin_energy / head->bin_samples;
        head->next_bin = (head->next_bin + 1) % RILL_LEVEL_BINS;
        head->bin_energy = 0;
        head->bin_samples = 0;
    }
    head->samples += count;
}

static void track(rill_listener *listener, float speech_logit, float overlap_logit) {
    rill_listener_head(listener)->speech = (float)(1 / (1 + exp(-(double)speech_logit)));
    rill_tracker_step(listener->voices, rill_listener_tracker(listener), listener->embedding, speech_logit,
                      overlap_logit);
}

size_t rill_listener_push(rill_listener *listener, size_t count, const float *samples) {
    assert(!rill_listener_head(listener)->finishing);
    size_t done = 0;
    while (done < count && rill_tracker_has_room(rill_listener_tracker(listener))) {
        size_t consumed;
        float logit, overlap;
        bool step = rill_chain_step(&listener->chain, rill_listener_chain(listener), count - done,
                                    samples + done, &consumed, listener->embedding, &logit, &overlap);
        meter(listener, consumed, samples + done);
        done += consumed;
        if (step) track(listener, logit, overlap);
    }
    return done;
}

/* Decides what still waits, as far as there is room for events. */
static void go_on_finishing(rill_listener *listener) {
    rill_listener_state *head = rill_listener_head(listener);
    void *tracker = rill_listener_tracker(listener);
    float logit, overlap;
    while (head->finishing == 1 && rill_tracker_has_room(tracker)) {
        if (rill_chain_finish(&listener->chain, rill_listener_chain(listener), true, listener->embedding,
                              &logit, &overlap)) {
            track(listener, logit, overlap);
        } else {
            rill_tracker_finish(listener->voices, tracker,
                                (double)head->samples / listener->settings.sample_rate_hz);
            head->finishing = 2;
        }
    }
}

void rill_listener_finish(rill_listener *listener) {
    rill_listener_state *head = rill_listener_head(listener);
    if (!head->finishing) head->finishing = 1;
    go_on_finishing(listener);
}

/* The last step is padded with silence that nobody has pushed: no event may lie in it. */
static void clip(const rill_listener *listener, rill_event *event) {
    double sample = 1.0 / listener->settings.sample_rate_hz;
    double seconds = (double)rill_listener_head(listener)->samples * sample;
    event->start = fmin(event->start, seconds);
    event->end = fmin(event->end, seconds);
    /* What was decided before the end may be told up to a sample late: it stays, whenever it is polled. */
    if (event->decided_at > seconds + sample) event->decided_at = seconds;
}

bool rill_listener_poll(rill_listener *listener, rill_event *event) {
    bool polled = rill_tracker_poll(rill_listener_tracker(listener), event);
    if (polled && rill_listener_head(listener)->finishing) clip(listener, event);
    go_on_finishing(listener);
    return polled;
}

bool rill_listener_rename(rill_listener *listener, uint32_t speaker, const char *name) {
    return rill_tracker_rename(rill_listener_tracker(listener), speaker, name);
}

bool rill_listener_merge(rill_listener *listener, uint32_t from, uint32_t speaker) {
    return rill_tracker_merge(listener->voices, rill_listener_tracker(listener), from, speaker);
}

size_t rill_listener_speakers(const rill_listener *listener, size_t capacity, rill_speaker_view *views) {
    return rill_tracker_speakers(rill_listener_tracker(listener), capacity, views);
}

rill_listener_view rill_listener_look(const rill_listener *listener) {
    const rill_listener_state *head = rill_listener_head(listener);
    double energy = 0;
    for (size_t i = 0; i < RILL_LEVEL_BINS; i++) energy += head->energy[i];
    return (rill_listener_view){
        .seconds = (double)head->samples / listener->settings.sample_rate_hz,
        .samples = head->samples,
        .refused_samples = rill_chain_refused_samples(rill_listener_chain(listener)),
        .level = (float)fmin(1, sqrt(energy / RILL_LEVEL_BINS)),
        .speech = head->speech,
    };
}
