/* SPDX-License-Identifier: MIT */
/* The voice of a whole segment: Σ speech probability ^ power · embedding over its steps, of unit length. A
 * power below 1 lets steps count that begin or follow speech: they are about the voice that the state has
 * heard.
 *
 * A causal state knows little of a voice that has just begun. So a segment's beginning is heard again at its
 * end, when the model says so, by the state that has heard the rest, and these steps count twice what the
 * first ones count. And it is heard, likewise twice, as if it had been recorded at another rate: slower, as
 * the shipped model says, it has more steps. On pairs of dev and strangers, dry and in noise, that and the
 * power take 4 % off the equal error rate at 1 s and 11 % at 3 s (models/README.md). */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/listener.h>

#include "chain.h"
#include "failure.h"

/* One state that hears the segment, or its beginning. */
typedef struct hearing {
    rill_chain chain;
    void *state;  /* of the chain */
    double share; /* of a step: how much of the recording it is, against one at its own speed */
    uint64_t steps;
    bool again; /* the beginning, the second time */
} hearing;

struct rill_embedder {
    hearing own, other; /* other: at another speed; no state where the model does without */
    float *step;        /* [embedding_dim] of one step */
    double *sum;        /* [embedding_dim] */
    double speech;      /* Σ of speech probability of what was heard once, at its own speed */
    float *beginning;   /* [beginning_room] samples as they were pushed, beginning_count of them */
    size_t beginning_count, beginning_room;
};

static rill_status open_hearing(const rill_model *model, double sample_rate_hz, double speed, hearing *made,
                                rill_error *why) {
    const rill_status status =
        rill_chain_open(model, (unsigned)lround(sample_rate_hz * speed), &made->chain, why);
    if (status != RILL_OK) return status;
    made->share = speed;
    made->state = aligned_alloc(RILL_STATE_ALIGNMENT, rill_chain_size(&made->chain));
    return made->state ? RILL_OK : rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for an embedder");
}

static void close_hearing(hearing *hearing) {
    rill_chain_close(&hearing->chain);
    free(hearing->state);
}

static void reset_hearing(hearing *hearing) {
    if (hearing->state) rill_chain_init(&hearing->chain, hearing->state);
    hearing->steps = 0;
    hearing->again = false;
}

static const rill_model_info *info_of(const rill_embedder *embedder) {
    return rill_model_get_info(embedder->own.chain.model);
}

rill_status rill_embedder_open(const rill_model *model, unsigned sample_rate_hz, rill_embedder **embedder,
                               rill_error *why) {
    const rill_model_info *info = rill_model_get_info(model);
    *embedder = NULL;
    rill_embedder *made = calloc(1, sizeof *made);
    if (!made) return rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for an embedder");
    rill_status status = open_hearing(model, sample_rate_hz, 1, &made->own, why);
    if (status == RILL_OK && info->heard_again_seconds > 0 && info->heard_again_speed != 1)
        status = open_hearing(model, sample_rate_hz, info->heard_again_speed, &made->other, why);
    if (status == RILL_OK) {
        made->step = calloc(info->embedding_dim, sizeof *made->step);
        made->sum = calloc(info->embedding_dim, sizeof *made->sum);
        made->beginning_room = (size_t)(sample_rate_hz * info->heard_again_seconds);
        made->beginning = malloc((made->beginning_room + 1) * sizeof *made->beginning);
        if (!made->step || !made->sum || !made->beginning)
            status = rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for an embedder");
    }
    if (status != RILL_OK) {
        rill_embedder_close(made);
        return status;
    }
    rill_embedder_reset(made);
    *embedder = made;
    return RILL_OK;
}

void rill_embedder_close(rill_embedder *embedder) {
    if (!embedder) return;
    close_hearing(&embedder->own);
    close_hearing(&embedder->other);
    free(embedder->step);
    free(embedder->sum);
    free(embedder->beginning);
    free(embedder);
}

void rill_embedder_reset(rill_embedder *embedder) {
    const size_t dim = info_of(embedder)->embedding_dim;
    reset_hearing(&embedder->own);
    reset_hearing(&embedder->other);
    for (size_t i = 0; i < dim; i++) embedder->sum[i] = 0;
    embedder->speech = 0;
    embedder->beginning_count = 0;
}

/* A step that begins within the skipped start says nothing: the state has hardly heard the voice. */
static void pool(rill_embedder *embedder, hearing *hearing, float speech_logit) {
    const rill_model_info *info = info_of(embedder);
    double start = (double)hearing->steps++ / info->steps_per_second;
    if (start < info->skipped_start_seconds - 1e-9 || !isfinite(speech_logit)) return;
    double speech = 1 / (1 + exp(-(double)speech_logit));
    double share = hearing->again ? 2. / 3 : start * hearing->share < info->heard_again_seconds ? 1. / 3 : 1;
    double weight = share * hearing->share * pow(speech, info->pooling_speech_power);
    for (size_t i = 0; i < info->embedding_dim; i++) embedder->sum[i] += weight * (double)embedder->step[i];
    if (hearing == &embedder->own && !hearing->again) embedder->speech += speech;
}

static void hear(rill_embedder *embedder, hearing *hearing, size_t count, const float *samples) {
    for (size_t done = 0, consumed; done < count; done += consumed) {
        float logit;
        if (rill_chain_step(&hearing->chain, hearing->state, count - done, samples + done, &consumed,
                            embedder->step, &logit, NULL))
            pool(embedder, hearing, logit);
    }
}

static void hear_beginning(rill_embedder *embedder, hearing *hearing) {
    hear(embedder, hearing, embedder->beginning_count, embedder->beginning);
}

static void finish_hearing(rill_embedder *embedder, hearing *hearing) {
    float logit;
    while (rill_chain_finish(&hearing->chain, hearing->state, false, embedder->step, &logit, NULL))
        pool(embedder, hearing, logit);
}

void rill_embedder_push(rill_embedder *embedder, size_t count, const float *samples) {
    size_t room = embedder->beginning_room - embedder->beginning_count, kept = count < room ? count : room;
    if (kept > 0) {
        memcpy(embedder->beginning + embedder->beginning_count, samples, kept * sizeof *samples);
        embedder->beginning_count += kept;
    }
    hear(embedder, &embedder->own, count, samples);
}

double rill_embedder_speech_seconds(const rill_embedder *embedder) {
    return embedder->speech / info_of(embedder)->steps_per_second;
}

double rill_embedder_finish(rill_embedder *embedder, float *embedding) {
    const size_t dim = info_of(embedder)->embedding_dim;
    const bool again = embedder->speech > 0 && embedder->beginning_count > 0;
    embedder->own.again = again;
    if (again) hear_beginning(embedder, &embedder->own);
    finish_hearing(embedder, &embedder->own);
    if (again && embedder->other.state) {
        hear_beginning(embedder, &embedder->other);
        embedder->other.again = true;
        hear_beginning(embedder, &embedder->other);
        finish_hearing(embedder, &embedder->other);
    }
    double square = 0;
    for (size_t i = 0; i < dim; i++) square += embedder->sum[i] * embedder->sum[i];
    double scale = square > 0 ? 1 / sqrt(square) : 0;
    for (size_t i = 0; i < dim; i++) embedding[i] = (float)(scale * embedder->sum[i]);
    return scale > 0 ? rill_embedder_speech_seconds(embedder) : 0;
}
