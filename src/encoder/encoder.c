/* SPDX-License-Identifier: MIT */
/* The network over its layers. A stream's memory is the state, layer by layer, then a call's workspace; a
 * step is a prefill of length 1. */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "encoder/layer.h"

size_t rill_encoder_size(const rill_model *model) {
    assert(model);
    return model->info.state_size + rill_workspace_size(&model->info);
}

void rill_encoder_init(const rill_model *model, void *encoder) {
    assert(model && encoder && (uintptr_t)encoder % RILL_STATE_ALIGNMENT == 0);
    memset(encoder, 0, rill_encoder_size(model)); /* padding too: equal states are equal bytes */
    for (size_t i = 0; i < rill_model_layers(&model->info); i++)
        rill_attention_init(&model->attention, (unsigned char *)encoder + i * rill_layer_state_size(model));
}

void rill_encoder_reset(const rill_model *model, void *encoder) {
    rill_encoder_init(model, encoder);
}

static bool is_finite(const rill_model *model, size_t count, const float *values) {
    return model->kernels->within(count, values, -FLT_MAX, FLT_MAX);
}

/* hidden = norm(input · log_mel) for the rows that are finite, closed up; taken[i] is the row that hidden[i]
 * came from. Returns their count. An overflow in the sums refuses a row as NaN in it does. */
static size_t take_in(const rill_model *model, size_t steps, const float *log_mel, rill_workspace work,
                      size_t taken[RILL_ENCODER_CHUNK]) {
    const size_t dim = model->info.model_dim, inputs = model->input.inputs;
    rill_dense_run(model, &model->input, steps, log_mel, work.hidden);
    rill_norm_run(model, &model->input_norm, steps, work.hidden, work.hidden);
    size_t length = 0;
    for (size_t t = 0; t < steps; t++) {
        const float *row = work.hidden + t * dim;
        if (!is_finite(model, inputs, log_mel + t * inputs) || !is_finite(model, dim, row)) continue;
        memmove(work.hidden + length * dim, row, dim * sizeof *row);
        taken[length++] = t;
    }
    return length;
}

/* unit = x / |x|, and zero for zero; count values */
static void scale_to_unit(size_t count, const float *x, float *unit) {
    double square = 0;
    for (size_t i = 0; i < count; i++) square += (double)x[i] * (double)x[i];
    const double scale = square > 0 ? 1 / sqrt(square) : 0;
    for (size_t i = 0; i < count; i++) unit[i] = (float)((double)x[i] * scale);
}

/* Where a call's outputs go, one row a step. */
typedef struct outputs {
    float *embeddings, *speech_logits;
    float *overlap_logits; /* or NULL */
} outputs;

static outputs outputs_from(const rill_model *model, outputs to, size_t step) {
    return (outputs){to.embeddings + step * model->info.embedding_dim, to.speech_logits + step,
                     to.overlap_logits ? to.overlap_logits + step : NULL};
}

/* What a refused step gives. */
static void give_nothing(const rill_model *model, size_t steps, outputs to) {
    for (size_t i = 0; i < steps * model->info.embedding_dim; i++) to.embeddings[i] = NAN;
    for (size_t t = 0; t < steps; t++) to.speech_logits[t] = -INFINITY;
    for (size_t t = 0; to.overlap_logits && t < steps; t++) to.overlap_logits[t] = -INFINITY;
}

static void give_logits(const rill_model *model, const rill_packed_dense *head, size_t length,
                        const size_t taken[RILL_ENCODER_CHUNK], const float *normed, float *logits) {
    float rows[RILL_ENCODER_CHUNK];
    rill_dense_run(model, head, length, normed, rows);
    for (size_t i = 0; i < length; i++) logits[taken[i]] = rows[i];
}

/* The embeddings of the rows that were taken in, to their places; normed: output_norm of their hidden. */
static void give_embeddings(const rill_model *model, size_t length, const size_t taken[RILL_ENCODER_CHUNK],
                            rill_workspace work, outputs to) {
    const size_t dim = model->info.embedding_dim;
    rill_dense_run(model, &model->embedding, length, work.normed, work.wide);
    for (size_t i = 0; i < length; i++)
        scale_to_unit(dim, work.wide + i * dim, to.embeddings + taken[i] * dim);
}

/* The same of what is told of speech; normed: speech_norm of their hidden. */
static void give_speech(const rill_model *model, size_t length, const size_t taken[RILL_ENCODER_CHUNK],
                        rill_workspace work, outputs to) {
    give_logits(model, &model->speech, length, taken, work.normed, to.speech_logits);
    if (to.overlap_logits && model->info.has_overlap)
        give_logits(model, &model->overlap, length, taken, work.normed, to.overlap_logits);
}

/* Layers first … first + count − 1 of model->layers. */
static void run_layers(const rill_model *model, size_t first, size_t count, const rill_stream_rows *rows,
                       rill_workspace work) {
    for (size_t i = first; i < first + count; i++)
        rill_layer_run(model, &model->layers[i], i * rill_layer_state_size(model), rows, work);
}

/* rows ≤ RILL_ENCODER_CHUNK steps of one stream, or of as many streams: those of encoders[0 … streams − 1].
 * The first one's workspace is worked in. */
static void run_chunk(const rill_model *model, size_t streams, void *const *encoders, size_t rows,
                      const float *log_mel, outputs to) {
    unsigned char *states[RILL_ENCODER_CHUNK] = {encoders[0]};
    rill_workspace work = rill_workspace_at(&model->info, states[0] + model->info.state_size);
    size_t taken[RILL_ENCODER_CHUNK];
    give_nothing(model, rows, to);
    const size_t length = take_in(model, rows, log_mel, work, taken);
    if (length == 0) return;
    for (size_t i = 0; streams > 1 && i < length; i++) states[i] = encoders[taken[i]];
    const rill_stream_rows kept = {streams > 1 ? length : 1, streams > 1 ? 1 : length, states};
    const size_t branched = model->info.speech_layers, shared = model->info.shared_layers;
    run_layers(model, 0, shared, &kept, work);
    if (branched) memcpy(work.parting, work.hidden, length * model->info.model_dim * sizeof *work.hidden);
    run_layers(model, shared, model->info.layers - shared, &kept, work);
    rill_norm_run(model, &model->output_norm, length, work.hidden, work.normed);
    give_embeddings(model, length, taken, work, to);
    if (branched) {
        work.hidden = work.parting;
        run_layers(model, model->info.layers, branched, &kept, work);
        rill_norm_run(model, &model->speech_norm, length, work.hidden, work.normed);
    }
    give_speech(model, length, taken, work, to);
}

static size_t chunk_of(size_t rows) {
    return rows < RILL_ENCODER_CHUNK ? rows : RILL_ENCODER_CHUNK;
}

void rill_encoder_prefill(const rill_model *model, void *encoder, size_t steps, const float *log_mel,
                          float *embeddings, float *speech_logits, float *overlap_logits) {
    const outputs to = {embeddings, speech_logits, overlap_logits};
    assert(model && encoder && (steps == 0 || (log_mel && embeddings && speech_logits)));
    for (size_t done = 0, now; done < steps; done += now) {
        now = chunk_of(steps - done);
        run_chunk(model, 1, &encoder, now, log_mel + done * model->input.inputs,
                  outputs_from(model, to, done));
    }
}

void rill_encoder_step(const rill_model *model, void *encoder, const float *log_mel, float *embedding,
                       float *speech_logit, float *overlap_logit) {
    rill_encoder_prefill(model, encoder, 1, log_mel, embedding, speech_logit, overlap_logit);
}

void rill_encoder_step_batch(const rill_model *model, size_t count, void *const *encoders,
                             const float *log_mel, float *embeddings, float *speech_logits,
                             float *overlap_logits) {
    const outputs to = {embeddings, speech_logits, overlap_logits};
    assert(model && (count == 0 || (encoders && log_mel && embeddings && speech_logits)));
    for (size_t done = 0, now; done < count; done += now) {
        now = chunk_of(count - done);
        run_chunk(model, now, encoders + done, now, log_mel + done * model->input.inputs,
                  outputs_from(model, to, done));
    }
}
