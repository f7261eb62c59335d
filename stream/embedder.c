/* SPDX-License-Identifier: MIT */
/* The voice of a whole segment: Σ sigmoid(speech logit) · embedding over its steps, of unit length.
 *
 * A causal state knows little of a voice that has just begun. So a segment's beginning is heard again at its
 * end, when the model says so, by the state that has heard the rest, and these steps count twice what the
 * first ones count. On pairs of dev, dry and in noise, the equal error rate falls at 3 s from 4.8 to 4.4 %,
 * at 1 s from 12.9 to 12.5 %. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/listener.h>

#include "chain.h"
#include "failure.h"

struct rill_embedder {
    rill_chain chain;
    void *state;   /* of the chain */
    float *step;   /* [embedding_dim] of one step */
    double *sum;   /* [embedding_dim] */
    double speech; /* Σ of speech probability of what was heard once */
    uint64_t steps;
    float *beginning; /* [beginning_room] samples as they were pushed, beginning_count of them */
    size_t beginning_count, beginning_room;
    bool again; /* it is being heard again */
};

rill_status rill_embedder_open(const rill_model *model, unsigned sample_rate_hz, rill_embedder **embedder,
                               rill_error *why) {
    size_t dim = rill_model_get_info(model)->embedding_dim;
    *embedder = NULL;
    rill_embedder *made = calloc(1, sizeof *made);
    if (!made) return rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for an embedder");
    rill_status status = rill_chain_open(model, sample_rate_hz, &made->chain, why);
    if (status == RILL_OK) {
        made->state = aligned_alloc(RILL_STATE_ALIGNMENT, rill_chain_size(&made->chain));
        made->step = calloc(dim, sizeof *made->step);
        made->sum = calloc(dim, sizeof *made->sum);
        made->beginning_room = (size_t)(sample_rate_hz * rill_model_get_info(model)->heard_again_seconds);
        made->beginning = malloc((made->beginning_room + 1) * sizeof *made->beginning);
        if (!made->state || !made->step || !made->sum || !made->beginning)
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
    rill_chain_close(&embedder->chain);
    free(embedder->state);
    free(embedder->step);
    free(embedder->sum);
    free(embedder->beginning);
    free(embedder);
}

void rill_embedder_reset(rill_embedder *embedder) {
    size_t dim = rill_model_get_info(embedder->chain.model)->embedding_dim;
    rill_chain_init(&embedder->chain, embedder->state);
    for (size_t i = 0; i < dim; i++) embedder->sum[i] = 0;
    embedder->speech = 0;
    embedder->steps = 0;
    embedder->beginning_count = 0;
    embedder->again = false;
}

/* A step that begins within the skipped start says nothing: the state has hardly heard the voice. */
static void pool(rill_embedder *embedder, float speech_logit) {
    const rill_model_info *info = rill_model_get_info(embedder->chain.model);
    double start = (double)embedder->steps++ / info->steps_per_second;
    if (start < info->skipped_start_seconds - 1e-9 || !isfinite(speech_logit)) return;
    double speech = 1 / (1 + exp(-(double)speech_logit));
    double weight = embedder->again                     ? speech * 2 / 3
                    : start < info->heard_again_seconds ? speech / 3
                                                        : speech;
    for (size_t i = 0; i < info->embedding_dim; i++) embedder->sum[i] += weight * (double)embedder->step[i];
    if (!embedder->again) embedder->speech += speech;
}

static void hear(rill_embedder *embedder, size_t count, const float *samples) {
    for (size_t done = 0, consumed; done < count; done += consumed) {
        float logit;
        if (rill_chain_step(&embedder->chain, embedder->state, count - done, samples + done, &consumed,
                            embedder->step, &logit, NULL))
            pool(embedder, logit);
    }
}

void rill_embedder_push(rill_embedder *embedder, size_t count, const float *samples) {
    size_t room = embedder->beginning_room - embedder->beginning_count, kept = count < room ? count : room;
    if (kept > 0) {
        memcpy(embedder->beginning + embedder->beginning_count, samples, kept * sizeof *samples);
        embedder->beginning_count += kept;
    }
    hear(embedder, count, samples);
}

double rill_embedder_speech_seconds(const rill_embedder *embedder) {
    return embedder->speech / rill_model_get_info(embedder->chain.model)->steps_per_second;
}

double rill_embedder_finish(rill_embedder *embedder, float *embedding) {
    size_t dim = rill_model_get_info(embedder->chain.model)->embedding_dim;
    float logit;
    embedder->again = embedder->speech > 0 && embedder->beginning_count > 0;
    if (embedder->again) hear(embedder, embedder->beginning_count, embedder->beginning);
    while (rill_chain_finish(&embedder->chain, embedder->state, false, embedder->step, &logit, NULL))
        pool(embedder, logit);
    double square = 0;
    for (size_t i = 0; i < dim; i++) square += embedder->sum[i] * embedder->sum[i];
    double scale = square > 0 ? 1 / sqrt(square) : 0;
    for (size_t i = 0; i < dim; i++) embedding[i] = (float)(scale * embedder->sum[i]);
    return scale > 0 ? rill_embedder_speech_seconds(embedder) : 0;
}
