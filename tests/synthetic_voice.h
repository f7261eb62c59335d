/* SPDX-License-Identifier: MIT */
/* Talk made of nothing but sums of sines: a pitch with harmonics under three formants, in syllables. Good
 * enough for the model to hear speech; exact at any sample rate. */
#ifndef RILL_TEST_SYNTHETIC_VOICE_H
#define RILL_TEST_SYNTHETIC_VOICE_H

#include <math.h>
#include <stddef.h>

/* One sample at time t of a voice: pitch and formants scaled by size (1: a man, 1.7: a child). */
static inline float synthetic_voice(double t, double size) {
    static const double formant[4][3] = {
        {700, 1200, 2500}, {350, 2000, 2800}, {400, 900, 2300}, {550, 1750, 2450}};
    const double two_pi = 6.283185307179586, syllable = 4.7 * t, place = syllable - floor(syllable);
    const double *vowel = formant[(size_t)(syllable * 2.618) % 4];
    double phase = two_pi * size * (110 * t + 2.5 * sin(3.1 * t)), sum = 0;
    /* sin(hφ) by sin((h + 1)φ) = 2 cos φ sin hφ − sin((h − 1)φ) */
    double cosine = 2 * cos(phase), before = 0, now = sin(phase);
    for (int h = 1; h <= 24; h++) {
        double hz = 110 * size * h, gain = 0;
        for (int f = 0; f < 3; f++) {
            double away = (hz - vowel[f] * (0.8 + 0.2 * size)) / (80 + 40 * f);
            gain += 1 / (1 + away * away) / (f + 1);
        }
        sum += gain * now;
        double next = cosine * now - before;
        before = now;
        now = next;
    }
    return (float)(0.1 * sum * sin(0.5 * two_pi * fmin(1, place * 1.25)));
}

#endif
