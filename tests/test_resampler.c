/* SPDX-License-Identifier: MIT */
/* The resampler against its definition in double, and against what it promises: time, gain, aliases, counts.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/resampler.h>

#include "random_numbers.h"

static const double pi = 3.14159265358979323846;
static const unsigned usual_rates[] = {8000, 11025, 22050, 32000, 44100, 48000, 96000, 192000};
#define USUAL (sizeof usual_rates / sizeof *usual_rates)

static float random_sample(void) {
    return (float)(2 * random_uniform() - 1);
}
static float *random_samples(size_t count) {
    float *samples = malloc((count + 1) * sizeof *samples);
    for (size_t i = 0; i < count; i++) samples[i] = random_sample();
    return samples;
}

static rill_resampler *resampler_of(unsigned from, unsigned to) {
    rill_resampler *resampler = NULL;
    rill_error why = {""};
    cr_assert_eq(rill_resampler_create(from, to, &resampler, &why), RILL_OK, "%s", why.message);
    return resampler;
}

static size_t length_after(size_t count, unsigned from, unsigned to) {
    return (size_t)(((uint64_t)count * to + from - 1) / from);
}

/* Blocks of at most `largest` samples in and out (0: all at once); *count receives the length. */
static float *resample(const rill_resampler *resampler, const float *input, size_t length, size_t largest,
                       size_t capacity, size_t *count) {
    void *state = malloc(rill_resampler_size(resampler));
    float *output = malloc((capacity + 1) * sizeof *output);
    rill_resampler_init(resampler, state);
    size_t made = 0, used = 0;
    while (used < length) {
        const size_t rest = length - used, room = capacity + 1 - made;
        size_t in = largest ? random_below(largest + 1) : rest;
        size_t out = largest ? random_below(largest + 1) : room;
        if (in > rest) in = rest;
        if (out > room) out = room;
        size_t consumed = SIZE_MAX;
        made += rill_resampler_step(resampler, state, in, input + used, &consumed, out, output + made);
        cr_assert_leq(consumed, in);
        used += consumed;
    }
    for (size_t more = 1; more;) {
        const size_t room = capacity + 1 - made;
        size_t out = largest ? 1 + random_below(largest) : room;
        if (out > room) out = room;
        more = rill_resampler_finish(resampler, state, out, output + made);
        made += more;
        if (made > capacity) break; /* one too many: the caller's count says so */
    }
    free(state);
    *count = made;
    return output;
}

/* I0(x) = 1/π ∫ exp(x cos θ) dθ over [0, π]: another formula than the resampler's */
static double bessel_by_integral(double x) {
    double sum = 0;
    for (int i = 0; i < 32; i++) sum += exp(x * cos(pi * (i + 0.5) / 32));
    return sum / 32;
}

/* y(n) by the definition in resampler.c; *bound receives how far float sums of `taps` products, and the
 * interpolation of the filter, may be from it. */
static double definition(const float *x, size_t length, size_t n, unsigned from, unsigned to, double *bound) {
    const double r = to < from ? (double)to / from : 1, half = 64 / r, beta = 0.1102 * (100 - 8.7);
    const double centre = (double)n * from / to, i0 = bessel_by_integral(beta);
    double sum = 0, size = 0, inputs = 0;
    for (long i = (long)ceil(centre - half); i <= (long)floor(centre + half); i++) {
        if (i < 0 || (size_t)i >= length) continue;
        const double t = (double)i - centre, place = t / half;
        if (fabs(place) >= 1) continue;
        const double sinc = fabs(t) < 1e-9 ? 1 : sin(pi * r * t) / (pi * r * t);
        const double term = x[i] * r * sinc * bessel_by_integral(beta * sqrt(1 - place * place)) / i0;
        sum += term;
        size += fabs(term);
        inputs += fabs((double)x[i]) * r;
    }
    /* one rounding of the weight, one of the product, at most taps of the sum; then |h''| ≤ π²/3 r at steps
     * of 1/512, an eighth of it a linear interpolation's error */
    *bound = 0x1p-24 * (2 * half + 20) * size + inputs * pi * pi / 3 / 8 / (512 * 512) + 1e-12;
    return sum;
}

Test(resampler, is_its_definition_on_random_rates) {
    const unsigned odd[][2] = {{44101, 16000}, {16000, 44101}, {48000, 47999}, {7, 5},
                               {1, 3},         {90001, 100},   {16000, 16001}, {1000000, 1000}};
    double largest = 0;
    random_seed(20);
    for (size_t trial = 0; trial < 20; trial++) {
        unsigned from = 1000 + (unsigned)random_below(100000), to = 1000 + (unsigned)random_below(60000);
        if (trial < sizeof odd / sizeof *odd) from = odd[trial][0], to = odd[trial][1];
        if (from == to) to++;
        rill_resampler *resampler = resampler_of(from, to);
        const size_t length = 300 + from / to * 300;
        const size_t expected = length_after(length, from, to);
        float *x = random_samples(length);
        size_t count;
        float *y = resample(resampler, x, length, 0, expected, &count);
        cr_assert_eq(count, expected, "%u to %u Hz: %zu samples, not %zu", from, to, count, expected);
        for (size_t trials = 0; trials < (from > 100 * to ? 2 : 12); trials++) {
            const size_t n = trials < 3 ? trials : trials < 6 ? count - (trials - 2) : random_below(count);
            double bound;
            const double meant = definition(x, length, n, from, to, &bound);
            cr_assert_leq(fabs(y[n] - meant), bound, "%u to %u Hz, sample %zu: %g, not %g ± %g", from, to, n,
                          (double)y[n], meant, bound);
            largest = fmax(largest, fabs(y[n] - meant));
        }
        free(x);
        free(y);
        rill_resampler_destroy(resampler);
    }
    printf("resampler: largest difference from the definition in double %.2g, seed 20\n", largest);
}

Test(resampler, blocks_change_no_bit_and_the_count_is_the_time_s) {
    random_seed(21);
    for (size_t trial = 0; trial < 40; trial++) {
        unsigned from = usual_rates[trial % USUAL], to = 16000;
        if (trial >= 2 * USUAL)
            from = 1 + (unsigned)random_below(60000), to = 1 + from / 2 + (unsigned)random_below(30000);
        if (trial == 39) from = to;
        rill_resampler *resampler = resampler_of(from, to);
        const size_t length = trial % 5 ? random_below(3000) : random_below(4);
        const size_t expected = length_after(length, from, to);
        float *x = random_samples(length);
        size_t whole_count, count;
        float *whole = resample(resampler, x, length, 0, expected, &whole_count);
        cr_assert_eq(whole_count, expected, "%zu at %u to %u Hz", length, from, to);
        for (size_t largest = 1; largest < 2000; largest = largest * 7 + 1) {
            float *split = resample(resampler, x, length, largest, expected, &count);
            cr_assert_eq(count, expected);
            cr_assert_arr_eq(split, whole, count * sizeof *whole, "%u to %u Hz, blocks up to %zu", from, to,
                             largest);
            free(split);
        }
        free(x);
        free(whole);
        rill_resampler_destroy(resampler);
    }
}

/* Amplitude and time shift (in input seconds) of a unit sine after resampling, edges left out. */
static void sine_through(unsigned from, unsigned to, double hz, double *amplitude, double *shift) {
    rill_resampler *resampler = resampler_of(from, to);
    const size_t length = from / 8;
    float *x = malloc(length * sizeof *x);
    for (size_t i = 0; i < length; i++) x[i] = (float)sin(2 * pi * hz * (double)i / from);
    size_t count;
    float *y = resample(resampler, x, length, 0, length_after(length, from, to), &count);
    double in_phase = 0, quadrature = 0, weights = 0, power = 0;
    const size_t edge = count / 5;
    for (size_t n = edge; n < count - edge; n++) {
        const double place = (double)(n - edge) / (double)(count - 2 * edge);
        const double weight = pow(sin(pi * place), 4), angle = 2 * pi * hz * (double)n / to;
        in_phase += weight * y[n] * sin(angle);
        quadrature += weight * y[n] * cos(angle);
        power += weight * y[n] * y[n];
        weights += weight;
    }
    *shift = atan2(quadrature, in_phase) / (2 * pi * hz);
    /* above the Nyquist frequency what is left is an alias at another place: its power counts */
    *amplitude = 2 * hz < to ? 2 * hypot(in_phase, quadrature) / weights : sqrt(2 * power / weights);
    free(x);
    free(y);
    rill_resampler_destroy(resampler);
}

Test(resampler, keeps_time_and_gain_and_takes_out_aliases) {
    const unsigned more[] = {44101, 47999};
    for (size_t i = 0; i < USUAL + 2; i++) {
        const unsigned from = i < USUAL ? usual_rates[i] : more[i - USUAL], to = 16000;
        const double lower = from < to ? from : to;
        double worst_gain = 0, worst_shift = 0, worst_alias = 0;
        for (int k = 0; k <= 24; k++) {
            double amplitude, shift;
            const double hz = 60 + (0.475 * lower - 60) * k / 24;
            sine_through(from, to, hz, &amplitude, &shift);
            worst_gain = fmax(worst_gain, fabs(20 * log10(amplitude)));
            worst_shift = fmax(worst_shift, fabs(shift) * lower);
        }
        for (int k = 0; k <= 40 && from > to; k++) {
            double amplitude, shift;
            sine_through(from, to, 0.525 * to + (0.5 * from - 0.525 * to) * k / 40, &amplitude, &shift);
            worst_alias = fmax(worst_alias, amplitude);
        }
        printf("%6u to %u Hz: gain within %.1e dB up to %.0f Hz, time within %.1e samples", from, to,
               worst_gain, 0.475 * lower, worst_shift);
        if (from > to) printf(", aliases %.1f dB", 20 * log10(worst_alias));
        printf("\n");
        cr_assert_lt(worst_gain, 0.1, "%u Hz: gain off by %g dB", from, worst_gain);
        cr_assert_lt(worst_shift, 0.01, "%u Hz: time off by %g samples", from, worst_shift);
        cr_assert_lt(20 * log10(worst_alias + 1e-12), -90, "%u Hz: aliases", from);
    }
}

/* What 8 → 16 kHz adds above 4.2 kHz: images. */
Test(resampler, leaves_no_images) {
    rill_resampler *resampler = resampler_of(8000, 16000);
    const size_t length = 4000;
    float *x = malloc(length * sizeof *x);
    for (size_t k = 0; k < 10; k++) {
        const double hz = 200 + 3600 * (double)k / 9;
        for (size_t i = 0; i < length; i++) x[i] = (float)sin(2 * pi * hz * (double)i / 8000);
        size_t count;
        float *y = resample(resampler, x, length, 0, 2 * length, &count);
        double image = 0, sum = 0, angle = 2 * pi * (8000 - hz) / 16000, weights = 0;
        for (size_t n = 1000; n < 7000; n++) {
            const double weight = pow(sin(pi * (double)(n - 1000) / 6000), 4);
            image += weight * y[n] * cos(angle * (double)n), sum += weight * y[n] * sin(angle * (double)n);
            weights += weight;
        }
        cr_assert_lt(20 * log10(2 * hypot(image, sum) / weights + 1e-12), -90, "image of %g Hz", hz);
        free(y);
    }
    free(x);
    rill_resampler_destroy(resampler);
}

Test(resampler, state_forks_by_memcpy_and_reset_forgets) {
    rill_resampler *resampler = resampler_of(44100, 16000);
    const size_t size = rill_resampler_size(resampler);
    void *state = malloc(size), *fork = malloc(size);
    float *x = random_samples(4000), a[2000], b[2000];
    size_t consumed;
    rill_resampler_init(resampler, state);
    rill_resampler_step(resampler, state, 1777, x, &consumed, 2000, a);
    memcpy(fork, state, size);
    const size_t made = rill_resampler_step(resampler, state, 2000, x + 1777, &consumed, 2000, a);
    cr_assert_eq(rill_resampler_step(resampler, fork, 2000, x + 1777, &consumed, 2000, b), made);
    cr_assert_arr_eq(a, b, made * sizeof *a);
    rill_resampler_reset(resampler, state);
    rill_resampler_init(resampler, fork);
    cr_assert_arr_eq(state, fork, size);
    free(x);
    free(state);
    free(fork);
    rill_resampler_destroy(resampler);
}

Test(resampler, a_bad_sample_leaves_no_trace) {
    const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    for (size_t i = 0; i < 4; i++) {
        rill_resampler *resampler = resampler_of(i % 2 ? 44101 : 48000, 16000);
        const size_t length = 3000;
        float *x = random_samples(length);
        size_t count, again;
        float *clean = resample(resampler, x, length, 0, length, &count);
        x[1000] = bad[i];
        float *y = resample(resampler, x, length, 0, length, &again);
        const double reach = rill_resampler_lag_seconds(resampler) * 16000 + 1, centre = (double)count / 3;
        size_t touched = 0;
        for (size_t n = 0; n < count; n++) {
            if (memcmp(y + n, clean + n, sizeof *y) == 0) continue;
            touched++;
            cr_assert_lt(fabs((double)n - centre), reach + 6, "sample %zu of %zu", n,
                         count); /* 16 taps of padding */
        }
        cr_assert_gt(touched, 100);
        free(x);
        free(y);
        free(clean);
        rill_resampler_destroy(resampler);
    }
}

Test(resampler, equal_rates_copy_every_bit) {
    rill_resampler *resampler = resampler_of(16000, 16000);
    float x[] = {0.5f, -0.0f, NAN, INFINITY, 1e-40f}, y[5];
    void *state = malloc(rill_resampler_size(resampler));
    size_t consumed;
    rill_resampler_init(resampler, state);
    cr_assert_eq(rill_resampler_step(resampler, state, 5, x, &consumed, 5, y), 5u);
    cr_assert_arr_eq(x, y, sizeof x);
    cr_assert_eq(rill_resampler_finish(resampler, state, 5, y), 0u);
    cr_assert_float_eq(rill_resampler_lag_seconds(resampler), 0, 0);
    free(state);
    rill_resampler_destroy(resampler);
}

Test(resampler, refuses_rates_that_are_none_and_stays_small) {
    const unsigned bad[][2] = {{0, 16000}, {16000, 0}, {1000001, 16000}, {16000, 1000001}, {1000000, 1}};
    rill_resampler *resampler = NULL;
    rill_error why;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why.message[0] = 0;
        cr_assert_eq(rill_resampler_create(bad[i][0], bad[i][1], &resampler, &why), RILL_BAD_ARGUMENT);
        cr_assert_str_neq(why.message, "");
        cr_assert_eq(rill_resampler_create(bad[i][0], bad[i][1], &resampler, NULL), RILL_BAD_ARGUMENT);
    }
    cr_assert_null(resampler);
    resampler = resampler_of(1000000, 1000);
    cr_assert_leq(rill_resampler_size(resampler), 2 * 4 * 128016 + 64u);
    rill_resampler_destroy(resampler);
    rill_resampler_destroy(NULL);
}
