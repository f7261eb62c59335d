/* SPDX-License-Identifier: MIT */
/* Samples to voice embeddings: resampler → front end → encoder, step by step in one plain memory. What a
 * listener and an embedder have in common. */
#ifndef RILL_CHAIN_H
#define RILL_CHAIN_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/encoder.h>
#include <rill/stream/front_end.h>
#include <rill/stream/resampler.h>

/* size, rounded up so that what follows is aligned as a state is. */
static inline size_t rill_aligned(size_t size) {
    return (size + RILL_STATE_ALIGNMENT - 1) / RILL_STATE_ALIGNMENT * RILL_STATE_ALIGNMENT;
}

/* What never changes. The model is borrowed. */
typedef struct rill_chain {
    const rill_model *model;
    rill_resampler *resampler;
    rill_front_end *front_end;
    unsigned sample_rate_hz; /* of the samples pushed */
    size_t step_samples;     /* of one step, at the model's rate */
    size_t resampler_offset, front_end_offset, log_mel_offset, encoder_offset; /* in a state */
} rill_chain;

rill_status rill_chain_open(const rill_model *model, unsigned sample_rate_hz, rill_chain *chain,
                            rill_error *why);
void rill_chain_close(rill_chain *chain);

/* Seconds of input that must have followed a moment before the step that begins there is made. */
double rill_chain_lag_seconds(const rill_chain *chain);

/* A stream's memory, aligned to RILL_STATE_ALIGNMENT: the first rill_chain_saved_size bytes are its state,
 * the rest is the encoder's workspace. Equal samples leave equal states, whatever the blocks. */
size_t rill_chain_size(const rill_chain *chain);
size_t rill_chain_saved_size(const rill_chain *chain);
void rill_chain_init(const rill_chain *chain, void *state);
/* Whether saved bytes can be stepped on safely. */
bool rill_chain_valid(const rill_chain *chain, const void *state);

/* Takes samples until a step is complete or count are used; *consumed says how many were taken. True when the
 * embedding [embedding_dim] and the logits of a step were written, that of overlap unless it is NULL.
 * Real-time safe. */
bool rill_chain_step(const rill_chain *chain, void *state, size_t count, const float *samples,
                     size_t *consumed, float *embedding, float *speech_logit, float *overlap_logit);

/* After the last sample: the steps still owed, one a call, then false. When padded, silence follows until
 * every sample lies within a step; otherwise a step that is not full is dropped. Real-time safe. */
bool rill_chain_finish(const rill_chain *chain, void *state, bool padded, float *embedding,
                       float *speech_logit, float *overlap_logit);

/* Samples that no sound can be, taken as silence. */
uint64_t rill_chain_refused_samples(const void *state);

/* A sample as it is taken. */
static inline float rill_chain_heard(float sample) {
    return fabsf(sample) <= 1000 ? sample : 0; /* false for NaN */
}

#endif
