/* SPDX-License-Identifier: MIT */
/* Samples to voice embeddings: resampler → front end → encoder. Each is asked for exactly what the next
 * needs, so nothing waits between them and the state does not depend on the blocks. */
#include "chain.h"

#include <string.h>

#include "failure.h"

enum { BLOCK = 256 }; /* samples at a time, on the stack */

/* At the start of a state; followed by those of the resampler, the front end, the frames of the step that is
 * filling, [frames_per_step][mel_bands], and the encoder's. */
typedef struct chain_state {
    uint64_t samples; /* made at the model's rate */
    uint64_t frames;  /* made */
    uint64_t refused; /* samples taken as silence */
} chain_state;

rill_status rill_chain_open(const rill_model *model, unsigned sample_rate_hz, rill_chain *chain,
                            rill_error *why) {
    const rill_model_info *info = rill_model_get_info(model);
    *chain = (rill_chain){.model = model, .sample_rate_hz = sample_rate_hz};
    rill_status status = rill_resampler_create(sample_rate_hz, info->sample_rate_hz, &chain->resampler, why);
    if (status == RILL_OK) status = rill_front_end_create(model, &chain->front_end, why);
    if (status != RILL_OK) {
        rill_chain_close(chain);
        return status;
    }
    chain->step_samples = info->hop_samples * info->frames_per_step;
    chain->resampler_offset = rill_aligned(sizeof(chain_state));
    chain->front_end_offset = chain->resampler_offset + rill_aligned(rill_resampler_size(chain->resampler));
    chain->log_mel_offset = chain->front_end_offset + rill_aligned(rill_front_end_size(chain->front_end));
    chain->encoder_offset =
        chain->log_mel_offset + rill_aligned(info->frames_per_step * info->mel_bands * sizeof(float));
    return RILL_OK;
}

void rill_chain_close(rill_chain *chain) {
    rill_resampler_destroy(chain->resampler);
    rill_front_end_destroy(chain->front_end);
    *chain = (rill_chain){0};
}

double rill_chain_lag_seconds(const rill_chain *chain) {
    const rill_model_info *info = rill_model_get_info(chain->model);
    double lag = rill_resampler_lag_seconds(chain->resampler);
    /* The window's last sample stands for the moment it begins at; the input that its filter ends with must
     * have come whole. */
    if (lag > 0) lag += 1.0 / chain->sample_rate_hz - 1.0 / info->sample_rate_hz;
    return lag + info->latency_seconds;
}

size_t rill_chain_size(const rill_chain *chain) {
    return chain->encoder_offset + rill_aligned(rill_encoder_size(chain->model));
}

size_t rill_chain_saved_size(const rill_chain *chain) {
    return chain->encoder_offset + rill_model_get_info(chain->model)->state_size;
}

static void *part(void *state, size_t offset) {
    return (unsigned char *)state + offset;
}

void rill_chain_init(const rill_chain *chain, void *state) {
    memset(state, 0, rill_chain_size(chain)); /* padding too: equal states are equal bytes */
    rill_resampler_init(chain->resampler, part(state, chain->resampler_offset));
    rill_front_end_init(chain->front_end, part(state, chain->front_end_offset));
    rill_encoder_init(chain->model, part(state, chain->encoder_offset));
}

bool rill_chain_valid(const rill_chain *chain, const void *state) {
    const unsigned char *bytes = state;
    const unsigned char *front_end = bytes + chain->front_end_offset;
    const chain_state *head = state;
    const rill_model_info *info = rill_model_get_info(chain->model);
    if (!rill_resampler_valid(chain->resampler, bytes + chain->resampler_offset) ||
        !rill_front_end_valid(chain->front_end, front_end) ||
        head->frames > UINT64_MAX / 2 / info->hop_samples)
        return false;
    /* Frame n is complete when window + hop · n samples have come. */
    return head->samples == info->window_samples + info->hop_samples * head->frames -
                                rill_front_end_wanted(chain->front_end, front_end);
}

uint64_t rill_chain_refused_samples(const void *state) {
    return ((const chain_state *)state)->refused;
}

/* Gives count ≤ wanted samples of the model's rate to the front end, and a full step to the encoder. */
static bool take(const rill_chain *chain, void *state, size_t count, const float *samples, float *embedding,
                 float *speech_logit, float *overlap_logit) {
    const rill_model_info *info = rill_model_get_info(chain->model);
    chain_state *head = state;
    float *log_mel = part(state, chain->log_mel_offset);
    size_t frame = head->frames % info->frames_per_step, consumed;
    if (!rill_front_end_step(chain->front_end, part(state, chain->front_end_offset), count, samples,
                             &consumed, log_mel + frame * info->mel_bands))
        return false;
    head->frames++;
    if (frame + 1 < info->frames_per_step) return false;
    rill_encoder_step(chain->model, part(state, chain->encoder_offset), log_mel, embedding, speech_logit,
                      overlap_logit);
    return true;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* How many samples the front end takes before its next frame, in a block. */
static size_t wanted(const rill_chain *chain, const void *state) {
    const unsigned char *front_end = (const unsigned char *)state + chain->front_end_offset;
    return smaller(BLOCK, rill_front_end_wanted(chain->front_end, front_end));
}

/* One block into the resampler; returns how many were taken, *made how many came out. */
static size_t resample(const rill_chain *chain, void *state, size_t count, const float *samples, size_t *made,
                       float *output) {
    float heard[BLOCK];
    size_t consumed;
    count = smaller(count, BLOCK);
    for (size_t i = 0; i < count; i++) heard[i] = rill_chain_heard(samples[i]);
    *made = rill_resampler_step(chain->resampler, part(state, chain->resampler_offset), count, heard,
                                &consumed, wanted(chain, state), output);
    for (size_t i = 0; i < consumed; i++) ((chain_state *)state)->refused += !(fabsf(samples[i]) <= 1000);
    ((chain_state *)state)->samples += *made;
    return consumed;
}

bool rill_chain_step(const rill_chain *chain, void *state, size_t count, const float *samples,
                     size_t *consumed, float *embedding, float *speech_logit, float *overlap_logit) {
    for (*consumed = 0; *consumed < count;) {
        float block[BLOCK];
        size_t made;
        *consumed += resample(chain, state, count - *consumed, samples + *consumed, &made, block);
        if (take(chain, state, made, block, embedding, speech_logit, overlap_logit)) return true;
    }
    return false;
}

bool rill_chain_finish(const rill_chain *chain, void *state, bool padded, float *embedding,
                       float *speech_logit, float *overlap_logit) {
    chain_state *head = state;
    float block[BLOCK];
    for (;;) {
        size_t made = rill_resampler_finish(chain->resampler, part(state, chain->resampler_offset),
                                            wanted(chain, state), block);
        if (!made) break;
        head->samples += made;
        if (take(chain, state, made, block, embedding, speech_logit, overlap_logit)) return true;
    }
    memset(block, 0, sizeof block);
    size_t frames_per_step = rill_model_get_info(chain->model)->frames_per_step;
    while (padded && head->frames / frames_per_step * chain->step_samples < head->samples)
        if (take(chain, state, wanted(chain, state), block, embedding, speech_logit, overlap_logit))
            return true;
    return false;
}
