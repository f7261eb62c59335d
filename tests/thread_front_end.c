/* SPDX-License-Identifier: MIT */
/* One front end and one resampler, several threads, a state each: all get the bits one thread gets. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/resampler.h>

#include "front_end_parameters.h"
#include "random_numbers.h"

#define THREADS 4
#define INPUTS  48000
#define FRAMES  98

static rill_front_end *front_end;
static rill_resampler *resampler;
static float input[INPUTS];

/* One second from 48 kHz to frames [FRAMES][80], which the caller frees. */
static void *listen(void *unused) {
    (void)unused;
    float *frames = calloc(FRAMES, 80 * sizeof *frames), samples[160];
    void *first = malloc(rill_resampler_size(resampler)), *second = malloc(rill_front_end_size(front_end));
    size_t consumed, taken, frame = 0;
    rill_resampler_init(resampler, first);
    rill_front_end_init(front_end, second);
    for (size_t used = 0; used < INPUTS; used += consumed) {
        const size_t block = INPUTS - used < 480 ? INPUTS - used : 480;
        const size_t made =
            rill_resampler_step(resampler, first, block, input + used, &consumed, 160, samples);
        for (size_t done = 0; done < made; done += taken)
            frame += rill_front_end_step(front_end, second, made - done, samples + done, &taken,
                                         frames + frame * 80);
    }
    free(first);
    free(second);
    return frames;
}

int main(void) {
    const rill_front_end_parameters shipped = {
        16000, 400, 160, 512, 80, 20, 7600, 1e-6, -8.0, 0.25, 5, "hann_periodic", "htk"};
    random_seed(1);
    for (size_t i = 0; i < INPUTS; i++) input[i] = (float)(random_uniform() - 0.5);
    if (rill_front_end_create_from(&shipped, &front_end, NULL) != RILL_OK ||
        rill_resampler_create(48000, 16000, &resampler, NULL) != RILL_OK)
        return 1;
    float *alone = listen(NULL);
    pthread_t threads[THREADS];
    int failures = 0;
    for (size_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, listen, NULL);
    for (size_t i = 0; i < THREADS; i++) {
        void *frames;
        pthread_join(threads[i], &frames);
        failures += memcmp(frames, alone, FRAMES * 80 * sizeof *alone) != 0;
        free(frames);
    }
    failures += alone[FRAMES * 80 - 1] == 0; /* the last frame was reached */
    free(alone);
    rill_front_end_destroy(front_end);
    rill_resampler_destroy(resampler);
    printf("%d threads, %d differences\n", THREADS, failures);
    return failures != 0;
}
