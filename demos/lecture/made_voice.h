/* SPDX-License-Identifier: MIT */
/* Artificial talk: harmonics of a pitch under the formants of vowels drawn by chance, in syllables with
 * pauses between some of them, over a little noise. Two voices differ in pitch, in the length of the throat,
 * which scales the formants, and in pace. */
#ifndef MADE_VOICE_H
#define MADE_VOICE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "dice.h"

enum { MADE_RATE_HZ = 16000, MADE_HARMONICS = 48 };

typedef struct made_voice {
    double pitch_hz, throat, syllable_seconds;
} made_voice;

/* A voice by chance. */
static inline made_voice made_voice_draw(void) {
    return (made_voice){dice_between(85, 260), dice_between(0.85, 1.2), dice_between(0.15, 0.28)};
}

/* Gains of the harmonics of a vowel: three resonances, and the fall of the glottal source. */
static inline void made_voice_gains(const made_voice *voice, double gains[MADE_HARMONICS]) {
    /* Hz, as measured for men (Peterson and Barney 1952, rounded) */
    static const double vowels[5][3] = {
        {730, 1090, 2440}, {530, 1840, 2480}, {270, 2290, 3010}, {570, 840, 2410}, {300, 870, 2240}};
    const double *formants = vowels[dice_below(5)];
    for (int h = 0; h < MADE_HARMONICS; h++) {
        const double hz = (h + 1) * voice->pitch_hz;
        gains[h] = 0;
        for (int f = 0; f < 3 && hz < 6000; f++) {
            const double away = (hz - formants[f] * voice->throat) / (60 + 40 * f);
            gains[h] += 60 / (hz + 200) / (1 + f) / (1 + away * away);
        }
    }
}

/* count samples; speech [count] or NULL: whether the voice sounds. */
static inline void made_voice_speak(const made_voice *voice, double pauses, size_t count, float *samples,
                                    bool *speech) {
    double phase = 0;
    for (size_t done = 0; done < count;) {
        const bool pause = dice_between(0, 1) < pauses;
        const double seconds =
            pause ? dice_between(0.3, 0.9) : voice->syllable_seconds * dice_between(0.8, 1.2);
        const size_t length = (size_t)(seconds * MADE_RATE_HZ);
        const double rise = dice_between(0.94, 1.06);
        double gains[MADE_HARMONICS];
        made_voice_gains(voice, gains);
        for (size_t i = 0; i < length && done < count; i++, done++) {
            const double place = (double)i / (double)length,
                         loud = pause ? 0 : 0.3 + 0.7 * sin(3.14159 * place);
            phase += 6.283185307 * voice->pitch_hz * (1 + (rise - 1) * place) / MADE_RATE_HZ;
            /* sin(hφ) by sin((h + 1)φ) = 2 cos φ sin hφ − sin((h − 1)φ) */
            double twice = 2 * cos(phase), before = 0, now = sin(phase), sum = 0;
            for (int h = 0; h < MADE_HARMONICS && !pause; h++) {
                const double next = twice * now - before;
                sum += gains[h] * now;
                before = now, now = next;
            }
            samples[done] = (float)(loud * sum + dice_between(-0.002, 0.002));
            if (speech) speech[done] = !pause;
        }
    }
}

#endif
