/* SPDX-License-Identifier: MIT */
/* A state is plain memory: a copy of an encoder that has listened goes its own way, and an unused copy stays
 * as it was. 03_fork_a_state MODEL.safetensors */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/encoder.h>

/* One step of a made-up log-mel picture: kind changes its shape. */
static void picture(const rill_model_info *info, size_t step, double kind, float *log_mel) {
    for (size_t i = 0; i < info->frames_per_step * info->mel_bands; i++)
        log_mel[i] = (float)sin(kind * (double)(i % info->mel_bands) + 0.3 * (double)step);
}

int main(int count, char **arguments) {
    rill_model *model = NULL;
    rill_error why;
    if (count != 2 || rill_model_open(arguments[1], &model, &why) != RILL_OK) {
        fprintf(stderr, "%s\n", count != 2 ? "usage: 03_fork_a_state MODEL.safetensors" : why.message);
        return 1;
    }
    const rill_model_info *info = rill_model_get_info(model);
    size_t size = rill_encoder_size(model);
    size = (size + RILL_STATE_ALIGNMENT - 1) / RILL_STATE_ALIGNMENT * RILL_STATE_ALIGNMENT;
    void *encoder = aligned_alloc(RILL_STATE_ALIGNMENT, size),
         *fork = aligned_alloc(RILL_STATE_ALIGNMENT, size);
    float *log_mel = calloc(info->frames_per_step * info->mel_bands, sizeof(float));
    float *heard = calloc(info->embedding_dim, sizeof(float)),
          *forked = calloc(info->embedding_dim, sizeof(float));
    if (!encoder || !fork || !log_mel || !heard || !forked) return 1;
    float speech;
    rill_encoder_init(model, encoder);
    for (size_t step = 0; step < 50; step++) {
        picture(info, step, 0.2, log_mel);
        rill_encoder_step(model, encoder, log_mel, heard, &speech, NULL);
    }
    memcpy(fork, encoder, rill_encoder_size(model));
    printf("forked a memory of %zu bytes after 50 steps\n", rill_encoder_size(model));
    for (int same = 1; same >= 0; same--) {
        double worst = 0;
        picture(info, 50, 0.2, log_mel);
        rill_encoder_step(model, encoder, log_mel, heard, &speech, NULL);
        picture(info, 50, same ? 0.2 : 0.9, log_mel);
        rill_encoder_step(model, fork, log_mel, forked, &speech, NULL);
        for (size_t i = 0; i < info->embedding_dim; i++)
            worst = fmax(worst, fabs((double)(heard[i] - forked[i])));
        printf("both hear %s: embeddings differ by %.2g\n", same ? "the same" : "something else", worst);
    }
    free(encoder);
    free(fork);
    free(log_mel);
    free(heard);
    free(forked);
    rill_model_close(model);
    return 0;
}
