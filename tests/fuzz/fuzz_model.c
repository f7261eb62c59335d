/* SPDX-License-Identifier: MIT */
/* Any bytes are a model or an error; a model runs within its memory, and its state forgets no law: a step
 * that is not finite changes nothing. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rill/encoder.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law) {
    if (!law) abort();
}

/* Exactly the size the model asks for, so that a sanitizer sees a step beyond. */
static void *allocate(size_t size) {
    void *memory = NULL;
    require(posix_memalign(&memory, RILL_STATE_ALIGNMENT, size) == 0);
    return memory;
}

static void run(const rill_model *model) {
    const size_t steps = 18; /* more than a chunk */
    const rill_model_info *info = rill_model_get_info(model);
    const size_t inputs = info->frames_per_step * info->mel_bands, dim = info->embedding_dim;
    float *log_mel = allocate(steps * inputs * sizeof(float));
    float *embeddings = allocate(steps * dim * sizeof(float)), logits[18], overlap[18];
    for (size_t i = 0; i < steps * inputs; i++) log_mel[i] = (float)(i % 7) - 3;
    void *encoder = allocate(rill_encoder_size(model)), *before = allocate(info->state_size);
    rill_encoder_init(model, encoder);
    rill_encoder_prefill(model, encoder, steps, log_mel, embeddings, logits, overlap);
    rill_encoder_step_batch(model, 1, &encoder, log_mel, embeddings, logits, overlap);
    memcpy(before, encoder, info->state_size);
    log_mel[inputs - 1] = NAN;
    rill_encoder_step(model, encoder, log_mel, embeddings, logits, overlap);
    require(memcmp(before, encoder, info->state_size) == 0);
    require(logits[0] == -INFINITY && overlap[0] == -INFINITY && isnan(embeddings[0]));
    free(before), free(encoder), free(embeddings), free(log_mel);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rill_model *model;
    rill_error why = {""};
    if (rill_model_from_memory("input", data, size, &model, &why) != RILL_OK) {
        require(!model && why.message[0] != '\0');
        return 0;
    }
    require(rill_model_number(model, "layers", -1) == (double)rill_model_get_info(model)->layers);
    run(model);
    rill_model_close(model);
    return 0;
}
