/* SPDX-License-Identifier: MIT */
/* Utterances of known speakers, as the model hears them: made here, or from a list of recordings. */
#ifndef UTTERANCES_H
#define UTTERANCES_H

#include <stdio.h>
#include <string.h>

#include "heard.h"
#include "made_voice.h"

enum { SPEAKERS_MAX = 1024, UTTERANCES_MAX = 20000, MADE_SPEAKERS = 8, MADE_UTTERANCES = 12 };

typedef struct utterance {
    uint32_t speaker;
    bool tested;
    size_t steps;
    float *rows;   /* [steps][dim], √dim long */
    float *speech; /* [steps] its probability: for the eye only */
} utterance;

static char names[SPEAKERS_MAX][64];
static size_t seen[SPEAKERS_MAX], speakers, utterances_count, dim, longest;
static utterance utterances[UTTERANCES_MAX];

/* Every third of a speaker is for testing. False, with a message, when it cannot be heard. */
static inline bool utterances_take(const rill_model *model, const char *speaker, unsigned rate_hz,
                                   size_t count, const float *samples) {
    rill_error why;
    heard h;
    uint32_t s = 0;
    while (s < speakers && strcmp(names[s], speaker) != 0) s++;
    if (s == SPEAKERS_MAX || utterances_count == UTTERANCES_MAX) return fprintf(stderr, "too many\n"), false;
    if (heard_make(model, rate_hz, count, samples, &h, &why) != RILL_OK)
        return fprintf(stderr, "%s\n", why.message), false;
    if (s == speakers) snprintf(names[speakers++], sizeof names[0], "%s", speaker);
    utterance *u = &utterances[utterances_count++];
    *u = (utterance){s, seen[s]++ % 3 == 2, 0, h.embeddings, h.speech_logits};
    for (size_t t = 0; t < h.steps; t++) {
        if (!isfinite(h.speech_logits[t])) continue; /* a step that was not taken in */
        for (size_t d = 0; d < dim; d++)
            u->rows[u->steps * dim + d] = sqrtf((float)dim) * h.embeddings[t * dim + d];
        u->speech[u->steps++] = 1 / (1 + expf(-h.speech_logits[t]));
    }
    longest = u->steps > longest ? u->steps : longest;
    return true;
}

static inline bool utterances_make(const rill_model *model) {
    static float samples[2 * MADE_RATE_HZ];
    for (int s = 0; s < MADE_SPEAKERS; s++) {
        const made_voice voice = made_voice_draw();
        char name[24];
        snprintf(name, sizeof name, "voice %d", s + 1);
        for (int n = 0; n < MADE_UTTERANCES; n++) {
            made_voice_speak(&voice, 0.3, sizeof samples / sizeof *samples, samples, NULL);
            if (!utterances_take(model, name, MADE_RATE_HZ, sizeof samples / sizeof *samples, samples))
                return false;
        }
    }
    return true;
}

/* Lines of speaker, path and, when wanted, start and seconds, tabs between. */
static inline bool utterances_read(const rill_model *model, const char *path) {
    FILE *list = fopen(path, "r");
    char line[4096], speaker[64], recording[3900];
    bool good = list != NULL;
    for (size_t n = 1; good && fgets(line, sizeof line, list); n++) {
        double start = 0, seconds = 600;
        unsigned rate_hz;
        size_t count;
        rill_error why;
        const int fields =
            sscanf(line, "%63[^\t\n]\t%3899[^\t\n]\t%lf\t%lf", speaker, recording, &start, &seconds);
        good = fields >= 2 && start >= 0 && seconds > 0 && start < 1e6 && seconds <= 600;
        if (!good) fprintf(stderr, "%s:%zu: not a speaker, a path, a start and seconds\n", path, n);
        float *samples = good ? heard_read(recording, start, seconds, &rate_hz, &count, &why) : NULL;
        if (good && !samples) fprintf(stderr, "%s:%zu: %s\n", path, n, why.message);
        good = samples && utterances_take(model, speaker, rate_hz, count, samples);
        free(samples);
    }
    if (!list) perror(path);
    if (list) fclose(list);
    return good;
}

#endif
