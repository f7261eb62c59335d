/* SPDX-License-Identifier: MIT */
/* Recordings for the tests of the program, made here: two artificial voices in turn.
 *
 *     make_audio talk FILE RATE_HZ CHANNELS SECONDS     (the same sound at every rate)
 *     make_audio voice FILE RATE_HZ NUMBER SECONDS      one voice only: 0 or 1
 *     make_audio constant FILE RATE_HZ VALUE SAMPLES    VALUE may be nan or inf
 *     make_audio cut FILE PART START SAMPLES            a part of a recording with one channel
 *     make_audio contains HEARD PLAYED                  exit 0: PLAYED stands in HEARD bit for bit
 *
 * A voice is a sum of harmonics up to 6 kHz under the formants of changing vowels, in syllables: a function
 * of time alone, so that sampling it at another rate is an exact copy. */
#include <math.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double turn = 6.283185307179586476925;
static const double highest_hz = 6000;

struct voice {
    double pitch_hz, formant_scale, syllables_per_second;
};
static const struct voice voices[] = {{105, 0.92, 3.6}, {215, 1.17, 4.4}};

/* First three formants of a, e, i, o, u; Hz, as measured for men (Peterson and Barney 1952, rounded). */
static const double vowels[][3] = {
    {730, 1090, 2440}, {530, 1840, 2480}, {270, 2290, 3010}, {570, 840, 2410}, {300, 870, 2240}};
enum { VOWELS = sizeof vowels / sizeof *vowels };

/* The gain of the vocal tract at a frequency: three resonances, and the fall of the glottal source. */
static double tract(double hz, const double formants[3], double scale) {
    double gain = 0.002;
    for (int i = 0; i < 3; i++) {
        double bandwidth = 60 + 40 * i, offset = (hz - formants[i] * scale) / bandwidth;
        gain += pow(0.55, i) / (1 + offset * offset);
    }
    return gain * 200 / (hz + 200);
}

enum { HARMONICS = 64, BLOCK = 1024 };

/* The gains of a voice's harmonics, in a grid of 2 ms. */
static void harmonic_gains(const struct voice *voice, long grid, double gains[HARMONICS]) {
    double syllable = (double)grid * 0.002 * voice->syllables_per_second, place = syllable - floor(syllable);
    const double *now = vowels[(size_t)floor(syllable) * 3 % VOWELS];
    const double *next = vowels[((size_t)floor(syllable) + 1) * 3 % VOWELS];
    double formants[3], loudness = 0.5 - 0.5 * cos(turn * place);
    for (int i = 0; i < 3; i++) formants[i] = now[i] + (next[i] - now[i]) * place * place * (3 - 2 * place);
    for (int k = 1; k < HARMONICS; k++) {
        bool heard = k * voice->pitch_hz * 1.06 < highest_hz;
        gains[k] = heard ? loudness * tract(k * voice->pitch_hz, formants, voice->formant_scale) : 0;
    }
}

static double speak(const struct voice *voice, double t) {
    static const struct voice *cached_voice;
    static long cached = -1;
    static double from[HARMONICS], to[HARMONICS];
    double place = t / 0.002 - floor(t / 0.002);
    long grid = (long)floor(t / 0.002);
    if (cached != grid || cached_voice != voice) {
        harmonic_gains(voice, grid, from);
        harmonic_gains(voice, grid + 1, to);
        cached = grid;
        cached_voice = voice;
    }
    /* The phase is the integral of pitch (1 + 0.06 sin(2π 0.7 t)); sin kφ = 2 cos φ sin (k-1)φ - sin (k-2)φ.
     */
    double phase = turn * voice->pitch_hz * (t - 0.06 / (turn * 0.7) * cos(turn * 0.7 * t));
    double twice = 2 * cos(phase), before = 0, sine = sin(phase), sum = 0;
    for (int k = 1; k < HARMONICS; k++) {
        sum += (from[k] + (to[k] - from[k]) * place) * sine;
        double next = twice * sine - before;
        before = sine;
        sine = next;
    }
    return 0.3 * sum;
}

/* Four seconds each, half a second of silence between; both voices begin afresh with their turn. */
static double talk(double t) {
    double place = fmod(t, 4.5);
    if (place > 4) return 0;
    return speak(&voices[(size_t)floor(t / 4.5) % 2], place + floor(t / 9) * 4);
}

/* By the end of its name. */
static int format_of(const char *path) {
    const char *ending = strrchr(path, '.');
    if (ending && !strcmp(ending, ".flac")) return SF_FORMAT_FLAC | SF_FORMAT_PCM_24;
    return (ending && !strcmp(ending, ".w64") ? SF_FORMAT_W64 : SF_FORMAT_WAV) | SF_FORMAT_FLOAT;
}

static SNDFILE *create(const char *path, int rate, int channels) {
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format_of(path)};
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    if (!file) {
        fprintf(stderr, "make_audio: %s: %s\n", path, sf_strerror(NULL));
        exit(1);
    }
    return file;
}

static int make(const char *kind, const char *path, int rate, const char *number, double amount) {
    bool talking = !strcmp(kind, "talk"), constant = !strcmp(kind, "constant");
    int channels = talking ? atoi(number) : 1;
    long samples = lround(constant ? amount : amount * rate);
    SNDFILE *file = create(path, rate, channels);
    float *block = malloc((size_t)(BLOCK * channels) * sizeof *block);
    for (long done = 0, count; done < samples; done += count) {
        count = samples - done < BLOCK ? samples - done : BLOCK;
        for (long i = 0; i < count; i++) {
            double t = (double)(done + i) / rate;
            double value = talking ? talk(t) : constant ? atof(number) : speak(&voices[atoi(number) & 1], t);
            for (long c = 0; c < channels; c++) block[i * channels + c] = (float)value;
        }
        if (sf_writef_float(file, block, count) != count) return 1;
    }
    free(block);
    return sf_close(file) ? 1 : 0;
}

static float *read_all(const char *path, size_t *count) {
    SF_INFO info = {0};
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (!file || info.channels != 1) {
        fprintf(stderr, "make_audio: %s cannot be read as one channel\n", path);
        exit(1);
    }
    float *samples = calloc((size_t)info.frames + 1, sizeof *samples);
    *count = (size_t)sf_readf_float(file, samples, info.frames);
    sf_close(file);
    return samples;
}

static int cut(const char *path, const char *part_path, size_t start, size_t wanted) {
    size_t count;
    float *samples = read_all(path, &count);
    if (start > count) start = count;
    if (wanted > count - start) wanted = count - start;
    SNDFILE *part = create(part_path, 16000, 1);
    bool written = sf_writef_float(part, samples + start, (sf_count_t)wanted) == (sf_count_t)wanted;
    free(samples);
    return sf_close(part) || !written;
}

/* The first sample of PLAYED that is not 0 is looked for in HEARD. */
static int contains(const char *heard_path, const char *played_path) {
    size_t heard_count, count, start = 0;
    float *heard = read_all(heard_path, &heard_count), *played = read_all(played_path, &count);
    while (start < count && played[start] == 0) start++;
    bool found = false;
    for (size_t i = 0; !found && i + count - start <= heard_count; i++)
        found = !memcmp(heard + i, played + start, (count - start) * sizeof *heard);
    printf("%zu samples played, %zu heard: %s\n", count - start, heard_count,
           found ? "all bit for bit" : "not found");
    free(heard);
    free(played);
    return found && count > start ? 0 : 1;
}

int main(int count, char **arguments) {
    const char *kind = count > 1 ? arguments[1] : "";
    if (!strcmp(kind, "contains") && count == 4) return contains(arguments[2], arguments[3]);
    if (!strcmp(kind, "cut") && count == 6)
        return cut(arguments[2], arguments[3], strtoul(arguments[4], NULL, 10),
                   strtoul(arguments[5], NULL, 10));
    bool known = !strcmp(kind, "talk") || !strcmp(kind, "voice") || !strcmp(kind, "constant");
    if (count == 6 && known)
        return make(kind, arguments[2], atoi(arguments[3]), arguments[4], atof(arguments[5]));
    fprintf(stderr, "usage: see the beginning of make_audio.c\n");
    return 2;
}
