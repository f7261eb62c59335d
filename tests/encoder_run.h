/* SPDX-License-Identifier: MIT */
/* Models opened, encoders made, and recordings run through them by steps, by prefill or by a mix. */
#ifndef RILL_TEST_ENCODER_RUN_H
#define RILL_TEST_ENCODER_RUN_H

#include <criterion/criterion.h>

#include <rill/encoder.h>

#include "model_bytes.h"

static inline rill_model *open_shipped(void) {
    rill_model *model;
    rill_error why = {""};
    cr_assert_eq(rill_model_open(RILL_MODEL, &model, &why), RILL_OK, "%s", why.message);
    return model;
}

static inline rill_model *open_random(const model_sizes *sizes, uint64_t seed) {
    file_bytes file = model_bytes(sizes, seed, false);
    rill_model *model;
    rill_error why = {""};
    cr_assert_eq(rill_model_from_memory("random", file.data, file.size, &model, &why), RILL_OK, "%s",
                 why.message);
    free(file.data);
    return model;
}

static inline void *new_encoder(const rill_model *model) {
    const size_t size = rill_encoder_size(model);
    cr_assert_eq(size % RILL_STATE_ALIGNMENT, 0);
    unsigned char *encoder = aligned_alloc(RILL_STATE_ALIGNMENT, size);
    memset(encoder, 0xa5, size);
    rill_encoder_init(model, encoder);
    return encoder;
}

/* A sequence of inputs and room for what comes out. */
typedef struct recording {
    size_t steps, inputs, dim;
    float *log_mel, *embeddings, *logits, *overlap;
} recording;

static inline recording recording_new(const rill_model *model, size_t steps) {
    const rill_model_info *info = rill_model_get_info(model);
    const size_t inputs = info->frames_per_step * info->mel_bands, dim = info->embedding_dim;
    return (recording){steps,
                       inputs,
                       dim,
                       calloc(steps * inputs, sizeof(float)),
                       calloc(steps * dim, sizeof(float)),
                       calloc(steps, sizeof(float)),
                       calloc(steps, sizeof(float))};
}

static inline recording recording_random(const rill_model *model, size_t steps) {
    recording of = recording_new(model, steps);
    for (size_t i = 0; i < steps * of.inputs; i++) of.log_mel[i] = 2 * random_float();
    return of;
}

static inline void recording_free(recording *of) {
    free(of->log_mel);
    free(of->embeddings);
    free(of->logits);
    free(of->overlap);
}

/* Runs steps from … to − 1, in one call or by single steps. */
static inline void run(const rill_model *model, void *encoder, recording *of, size_t from, size_t to,
                       bool by_steps) {
    if (!by_steps) {
        rill_encoder_prefill(model, encoder, to - from, of->log_mel + from * of->inputs,
                             of->embeddings + from * of->dim, of->logits + from, of->overlap + from);
        return;
    }
    for (size_t t = from; t < to; t++)
        rill_encoder_step(model, encoder, of->log_mel + t * of->inputs, of->embeddings + t * of->dim,
                          of->logits + t, of->overlap + t);
}

/* Pieces of random length, each by prefill or by steps. */
static inline void run_mixed(const rill_model *model, void *encoder, recording *of, size_t longest) {
    for (size_t from = 0; from < of->steps;) {
        size_t length = random_size(0, longest);
        size_t to = from + length < of->steps ? from + length : of->steps;
        run(model, encoder, of, from, to, random_bits() >> 63);
        from = to;
    }
}

/* The larger one; NaN stays, where fmax would lose it. */
static inline double worse(double a, double b) {
    return isnan(a) || b <= a ? a : b;
}

static inline double largest_difference(size_t count, const float *a, const float *b) {
    double largest = 0;
    for (size_t i = 0; i < count; i++) largest = worse(largest, fabs((double)a[i] - (double)b[i]));
    return largest;
}

#endif
