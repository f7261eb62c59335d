/* SPDX-License-Identifier: MIT */
/* Law: threads that share one model, each with a memory of its own, get what one thread gets. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/encoder.h>

#include "model_bytes.h"

#define STEPS   ((size_t)200)
#define THREADS 3

typedef struct stream {
    const rill_model *model;
    size_t first_length; /* of the pieces it is heard in */
    float *log_mel;      /* [STEPS][frames_per_step][mel_bands] */
    float *embeddings;   /* [STEPS][embedding_dim] */
    float logits[STEPS];
} stream;

/* The whole life of a stream, beginning at the memory. */
static void *hear(void *argument) {
    stream *of = argument;
    const rill_model_info *info = rill_model_get_info(of->model);
    const size_t inputs = info->frames_per_step * info->mel_bands, dim = info->embedding_dim;
    void *encoder = aligned_alloc(RILL_STATE_ALIGNMENT, rill_encoder_size(of->model));
    rill_encoder_init(of->model, encoder);
    for (size_t t = 0, piece = of->first_length; t < STEPS; piece++) {
        size_t length = 1 + piece * 7 % 20;
        if (length > STEPS - t) length = STEPS - t;
        rill_encoder_prefill(of->model, encoder, length, of->log_mel + t * inputs, of->embeddings + t * dim,
                             of->logits + t, NULL);
        t += length;
    }
    free(encoder);
    return NULL;
}

static stream new_stream(const rill_model *model, size_t number) {
    const rill_model_info *info = rill_model_get_info(model);
    const size_t count = STEPS * info->frames_per_step * info->mel_bands;
    stream of = {.model = model, .first_length = number};
    of.log_mel = malloc(count * sizeof *of.log_mel);
    of.embeddings = malloc(STEPS * info->embedding_dim * sizeof *of.embeddings);
    random_seed(number);
    for (size_t i = 0; i < count; i++) of.log_mel[i] = random_float();
    return of;
}

static void free_stream(stream *of) {
    free(of->log_mel);
    free(of->embeddings);
}

int main(void) {
    rill_model *model;
    rill_error why;
    if (rill_model_open(RILL_MODEL, &model, &why) != RILL_OK) return fprintf(stderr, "%s\n", why.message), 1;
    const size_t size = STEPS * rill_model_get_info(model)->embedding_dim * sizeof(float);
    pthread_t threads[THREADS];
    stream together[THREADS];
    for (size_t i = 0; i < THREADS; i++) together[i] = new_stream(model, i);
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, hear, &together[i])) return perror("pthread_create"), 1;
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    size_t wrong = 0;
    for (size_t i = 0; i < THREADS; i++) {
        stream alone = new_stream(model, i);
        hear(&alone);
        wrong += memcmp(alone.embeddings, together[i].embeddings, size) != 0;
        wrong += memcmp(alone.logits, together[i].logits, sizeof alone.logits) != 0;
        free_stream(&alone);
        free_stream(&together[i]);
    }
    rill_model_close(model);
    printf("%d threads, %zu steps each: %zu differ from one alone\n", THREADS, STEPS, wrong);
    return wrong != 0;
}
