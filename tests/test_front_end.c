/* SPDX-License-Identifier: MIT */
/* The front end against its definition in double, and against the shipped model's golden values. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "count_allocations.h"
#include "front_end_parameters.h"
#include "random_numbers.h"
#include "safetensors_case.h"

#define GOLDEN RILL_TESTS "/../models/speaker-v1.golden.safetensors"

static const double pi = 3.14159265358979323846;

/* As models/speaker-v1.safetensors has them. */
static const rill_front_end_parameters shipped = {
    16000, 400, 160, 512, 80, 20, 7600, 1e-6, -8.0, 0.25, 5, "hann_periodic", "htk"};

static rill_front_end *front_end_of(const rill_front_end_parameters *parameters) {
    rill_front_end *front_end = NULL;
    rill_error why = {""};
    cr_assert_eq(rill_front_end_create_from(parameters, &front_end, &why), RILL_OK, "%s", why.message);
    return front_end;
}

static float *noise(size_t count) {
    float *samples = malloc((count + 1) * sizeof *samples);
    for (size_t i = 0; i < count; i++) samples[i] = (float)(2 * random_uniform() - 1) * 0.3f;
    return samples;
}

/* All frames of a signal, in blocks of at most `largest` samples (0: all at once). */
static float *frames_of(const rill_front_end *front_end, size_t mel_bands, const float *samples, size_t count,
                        size_t largest, size_t capacity, size_t *frames) {
    void *state = malloc(rill_front_end_size(front_end));
    float *log_mel = calloc((capacity + 1) * mel_bands, sizeof *log_mel);
    rill_front_end_init(front_end, state);
    *frames = 0;
    for (size_t used = 0; used < count;) {
        size_t block = largest ? random_below(largest + 1) : count - used, consumed = 0;
        if (block > count - used) block = count - used;
        const bool complete = rill_front_end_step(front_end, state, block, samples + used, &consumed,
                                                  log_mel + *frames * mel_bands);
        cr_assert(consumed <= block && (complete || consumed == block));
        used += consumed;
        *frames += complete;
        cr_assert_leq(*frames, capacity);
    }
    free(state);
    return log_mel;
}

/* y = x − m, m = m + a (x − m), a = 1 / (n + 160) until that is less than the filter's, in double */
static float *high_passed(const rill_front_end_parameters *p, const float *x, size_t count) {
    const double a = 1 - exp(-2 * pi * p->high_pass_hz / p->sample_rate_hz);
    float *y = malloc((count + 1) * sizeof *y);
    double m = 0;
    for (size_t n = 0; n < count; n++) {
        if (p->high_pass_hz > 0) m += fmax(a, 1 / (double)(n + 160)) * (x[n] - m);
        y[n] = (float)(x[n] - m);
    }
    return y;
}

static size_t frames_in(size_t count, const rill_front_end_parameters *p) {
    return count < p->window_samples ? 0 : (count - p->window_samples) / p->hop_samples + 1;
}

typedef struct definition {
    double power[512], error[512]; /* [bin]: |X|² and how far single precision may be from it */
} definition;

/* X[k] = Σ w[n] x[n] e^(−2πikn/N). A fast transform of length N in precision u is within 8 u log2 N of it,
 * relative to the norm of the whole (Higham, Accuracy and Stability, theorem 24.2; radix 2 has 6.7). */
static void transform_by_definition(const rill_front_end_parameters *p, const float *x, definition *out) {
    const double n_fft = (double)p->fft_size, u = 0x1p-24;
    double norm = 0, windowed[1024];
    for (size_t n = 0; n < p->window_samples; n++) {
        windowed[n] = x[n] * (0.5 - 0.5 * cos(2 * pi * (double)n / (double)p->window_samples));
        norm += windowed[n] * windowed[n];
    }
    const double reach = sqrt(n_fft * norm) * u * (2 + 8 * log2(n_fft));
    for (size_t k = 0; k <= p->fft_size / 2; k++) {
        double real = 0, imaginary = 0;
        for (size_t n = 0; n < p->window_samples; n++) {
            const double angle = 2 * pi * (double)(k * n % p->fft_size) / n_fft;
            real += windowed[n] * cos(angle);
            imaginary -= windowed[n] * sin(angle);
        }
        out->power[k] = real * real + imaginary * imaginary;
        out->error[k] = 2 * sqrt(out->power[k]) * reach + reach * reach + 3 * u * out->power[k];
    }
}

static double mel_of_hz(double hz) {
    return 1127.01048033416 * log1p(hz / 700); /* 2595 log10(1 + f/700) */
}

/* One value and its tolerance. */
static double value_by_definition(const rill_front_end_parameters *p, const definition *spectrum, size_t band,
                                  double *tolerance) {
    const double low = mel_of_hz(p->mel_hz_min), u = 0x1p-24;
    const double step = (mel_of_hz(p->mel_hz_max) - low) / (double)(p->mel_bands + 1);
    double corner[3], power = 0, error = 0;
    for (size_t i = 0; i < 3; i++)
        corner[i] = 700 * expm1((low + step * (double)(band + i)) / 1127.01048033416);
    size_t bins = 0;
    for (size_t k = 0; k <= p->fft_size / 2; k++) {
        const double hz = (double)(k * p->sample_rate_hz) / (double)p->fft_size;
        double height = hz < corner[1] ? (hz - corner[0]) / (corner[1] - corner[0])
                                       : (corner[2] - hz) / (corner[2] - corner[1]);
        if (height <= 0) continue;
        bins++;
        power += height * spectrum->power[k];
        error += (height + u) * spectrum->error[k] + 2 * u * spectrum->power[k] * fmax(height, 1e-6);
    }
    error += (double)bins * u * power;
    const double value = log(power + p->log_floor);
    /* |ln(a + e) − ln a| ≤ −ln(1 − e/a); then the roundings of the sum, the logarithm and the scaling */
    const double share = error / (power + p->log_floor);
    *tolerance = fabs(p->feature_scale) *
                 (-log1p(-fmin(share, 0.5)) + 4 * u + 3 * u * (fabs(value) + fabs(p->feature_mean)));
    return (value - p->feature_mean) * p->feature_scale;
}

static double check_against_definition(const rill_front_end_parameters *p, const float *samples,
                                       const float *log_mel, size_t frame) {
    definition spectrum;
    double largest = 0;
    transform_by_definition(p, samples + frame * p->hop_samples, &spectrum);
    for (size_t band = 0; band < p->mel_bands; band++) {
        double tolerance;
        const double meant = value_by_definition(p, &spectrum, band, &tolerance);
        const double off = fabs(log_mel[frame * p->mel_bands + band] - meant);
        cr_assert_leq(off, tolerance, "frame %zu band %zu: %g off, %g allowed (fft %zu, window %zu)", frame,
                      band, off, tolerance, p->fft_size, p->window_samples);
        largest = fmax(largest, off);
    }
    return largest;
}

Test(front_end, gives_the_golden_frames) {
    size_t count[4], golden_shape[4], filter_shape[4], frames;
    safetensors_case golden_file;
    cr_assert(safetensors_case_open(GOLDEN, &golden_file), "%s is not there", GOLDEN);
    const float *samples = safetensors_case_tensor(&golden_file, "in.samples", count);
    const float *golden = safetensors_case_tensor(&golden_file, "out.log_mel", golden_shape);
    const float *filters = safetensors_case_tensor(&golden_file, "out.mel_filters", filter_shape);
    cr_assert(samples && golden && filters && count[0] == 96000);
    cr_assert(golden_shape[0] == 598 && golden_shape[1] == 80 && filter_shape[0] == 80 &&
              filter_shape[1] == 257);
    rill_front_end *front_end = front_end_of(&shipped);
    float *log_mel = frames_of(front_end, 80, samples, count[0], 1000, 598, &frames);
    float *heard = high_passed(&shipped, samples, count[0]);
    cr_assert_eq(frames, 598u);

    double filters_off = 0, golden_off = 0, definition_off = 0;
    for (size_t i = 0; i < 80 * 257; i++)
        filters_off = fmax(filters_off, fabs((double)rill_front_end_mel_filters(front_end)[i] - filters[i]));
    for (size_t frame = 0; frame < frames; frame++) {
        definition spectrum;
        if (frame % 23 == 0)
            definition_off = fmax(definition_off, check_against_definition(&shipped, heard, log_mel, frame));
        transform_by_definition(&shipped, heard + frame * 160, &spectrum);
        for (size_t band = 0; band < 80; band++) {
            double tolerance;
            value_by_definition(&shipped, &spectrum, band, &tolerance);
            /* out.log_mel is the logarithm before it is scaled, itself made in single precision */
            const double meant = (golden[frame * 80 + band] + 8.0) * 0.25;
            const double off = fabs(log_mel[frame * 80 + band] - meant);
            cr_assert_leq(off, 2 * tolerance, "frame %zu band %zu: %g off", frame, band, off);
            golden_off = fmax(golden_off, off);
        }
    }
    printf("front end: largest difference from the golden frames %.2g, from the definition in double %.2g, "
           "of the mel filters %.2g\n",
           golden_off, definition_off, filters_off);
    cr_assert_leq(filters_off, 0x1p-24, "one rounding");
    safetensors_case_close(&golden_file);
    free(heard);
    free(log_mel);
    rill_front_end_destroy(front_end);
}

Test(front_end, takes_its_parameters_from_the_model_file) {
    rill_model *model;
    rill_front_end *by_model, *by_hand = front_end_of(&shipped);
    rill_error why = {""};
    if (rill_model_open(RILL_MODEL, &model, &why) == RILL_NOT_FOUND)
        cr_skip_test("the front end of the shipped model was NOT tested: %s", why.message);
    cr_assert_eq(rill_front_end_create(model, &by_model, &why), RILL_OK, "%s", why.message);
    random_seed(8);
    size_t frames;
    float *samples = noise(3000);
    float *a = frames_of(by_model, 80, samples, 3000, 0, 17, &frames);
    float *b = frames_of(by_hand, 80, samples, 3000, 0, 17, &frames);
    cr_assert_arr_eq(a, b, 17 * 80 * sizeof *a);
    free(samples);
    free(a);
    free(b);
    rill_front_end_destroy(by_model);
    rill_front_end_destroy(by_hand);
    rill_model_close(model);
}

static rill_front_end_parameters random_parameters(void) {
    static const size_t sizes[] = {64, 90, 125, 256, 300, 486, 512, 640, 1000, 6, 2};
    rill_front_end_parameters p = shipped;
    p.fft_size = sizes[random_below(sizeof sizes / sizeof *sizes)];
    p.window_samples = 1 + random_below(p.fft_size);
    p.hop_samples = 1 + random_below(p.window_samples * 2);
    p.mel_bands = 1 + random_below(100);
    p.sample_rate_hz = 4000 + (unsigned)random_below(40000);
    p.mel_hz_min = random_uniform() * 200;
    p.mel_hz_max = p.sample_rate_hz * (0.25 + 0.25 * random_uniform());
    p.log_floor = pow(10, -1 - 6 * random_uniform());
    p.feature_mean = 10 * random_uniform() - 5;
    p.feature_scale = random_uniform() - 0.5;
    p.high_pass_hz = random_below(2) ? 100 * random_uniform() : 0;
    return p;
}

Test(front_end, is_its_definition_in_blocks_of_any_size) {
    random_seed(4);
    double largest_off = 0;
    for (size_t trial = 0; trial < 60; trial++) {
        const rill_front_end_parameters p = random_parameters();
        const size_t count = trial % 7 ? random_below(4000) : p.window_samples - trial % 2;
        const size_t expected = frames_in(count, &p);
        rill_front_end *front_end = front_end_of(&p);
        float *samples = noise(count);
        size_t frames;
        float *whole = frames_of(front_end, p.mel_bands, samples, count, 0, expected, &frames);
        cr_assert_eq(frames, expected, "%zu samples, window %zu, hop %zu", count, p.window_samples,
                     p.hop_samples);
        for (size_t largest = 1; largest < 3000; largest = largest * 6 + 1) {
            float *split = frames_of(front_end, p.mel_bands, samples, count, largest, expected, &frames);
            cr_assert_eq(frames, expected);
            cr_assert_arr_eq(split, whole, frames * p.mel_bands * sizeof *whole);
            free(split);
        }
        float *heard = high_passed(&p, samples, count);
        for (size_t k = 0; k < 2 && frames; k++)
            largest_off = fmax(largest_off, check_against_definition(&p, heard, whole, random_below(frames)));
        free(heard);
        free(samples);
        free(whole);
        rill_front_end_destroy(front_end);
    }
    printf("front end, random parameters: largest difference from the definition %.2g, seed 4\n",
           largest_off);
}

/* Of a sample that is not finite the high pass knows nothing; without it (which would hear the sample's
 * absence) the other frames are the same bit for bit. */
Test(front_end, a_bad_sample_spoils_its_frames_only) {
    const float bad[] = {NAN, INFINITY, -INFINITY};
    rill_front_end_parameters plain = shipped;
    plain.high_pass_hz = 0;
    rill_front_end *front_end = front_end_of(&plain);
    float *samples = noise(8000);
    size_t frames;
    float *clean = frames_of(front_end, 80, samples, 8000, 0, 48, &frames);
    for (size_t trial = 0; trial < 12; trial++) {
        const size_t place = trial < 3 ? trial * 160 : random_below(8000);
        const float kept = samples[place];
        samples[place] = bad[trial % 3];
        float *log_mel = frames_of(front_end, 80, samples, 8000, 77, 48, &frames);
        for (size_t frame = 0; frame < frames; frame++) {
            const bool covers = frame * 160 <= place && place < frame * 160 + 400;
            if (!covers)
                cr_assert_arr_eq(log_mel + frame * 80, clean + frame * 80, 80 * sizeof *clean, "frame %zu",
                                 frame);
            for (size_t band = 0; covers && band < 80; band++)
                cr_assert_not(isfinite(log_mel[frame * 80 + band]), "frame %zu, sample %zu", frame, place);
        }
        samples[place] = kept;
        free(log_mel);
    }
    free(samples);
    free(clean);
    rill_front_end_destroy(front_end);
}

/* Half a second from its beginning on a third of e^(−2π·5·0.47) of a constant is left, 1.2e-7. */
Test(front_end, a_constant_is_not_heard) {
    rill_front_end *front_end = front_end_of(&shipped);
    random_seed(11);
    float *samples = noise(16000), *moved = malloc(16000 * sizeof *moved);
    for (size_t trial = 0; trial < 8; trial++) {
        const float constant = (float)(2 * random_uniform() - 1);
        size_t frames;
        for (size_t n = 0; n < 16000; n++) {
            samples[n] = ldexpf(rintf(ldexpf(samples[n], 12)), -12); /* the sum is exact */
            moved[n] = samples[n] + ldexpf(rintf(ldexpf(constant, 12)), -12);
        }
        float *clean = frames_of(front_end, 80, samples, 16000, 100, 98, &frames);
        float *heard = frames_of(front_end, 80, moved, 16000, 77, 98, &frames);
        for (size_t i = 50 * 80; i < frames * 80; i++)
            cr_assert_float_eq(heard[i], clean[i], 1e-4, "constant %g, frame %zu, band %zu: %g, not %g",
                               (double)constant, i / 80, i % 80, (double)heard[i], (double)clean[i]);
        free(clean);
        free(heard);
    }
    free(samples);
    free(moved);
    rill_front_end_destroy(front_end);
}

/* What is not finite, or far beyond full scale, is out of the high pass half a second later: 5 Hz forget
 * e^(−2π·5·0.5) = 1.5e-7 of what it left, at most 8 · 2π · 5 / 16000. */
Test(front_end, a_wild_sample_is_soon_forgotten) {
    const float wild[] = {NAN, INFINITY, -INFINITY, 3e38F, -3e38F, 1e6F};
    rill_front_end *front_end = front_end_of(&shipped);
    random_seed(12);
    float *samples = noise(16000);
    size_t frames;
    float *clean = frames_of(front_end, 80, samples, 16000, 0, 98, &frames);
    for (size_t trial = 0; trial < 12; trial++) {
        const size_t place = trial < 6 ? 0 : random_below(7000);
        const float kept = samples[place];
        samples[place] = wild[trial % 6];
        float *log_mel = frames_of(front_end, 80, samples, 16000, 77, 98, &frames);
        for (size_t i = (place / 160 + 51) * 80; i < frames * 80; i++)
            cr_assert_float_eq(log_mel[i], clean[i], 1e-4, "%g at %zu, frame %zu: %g, not %g",
                               (double)wild[trial % 6], place, i / 80, (double)log_mel[i], (double)clean[i]);
        samples[place] = kept;
        free(log_mel);
    }
    free(samples);
    free(clean);
    rill_front_end_destroy(front_end);
}

Test(front_end, state_forks_by_memcpy_and_reset_forgets) {
    rill_front_end *front_end = front_end_of(&shipped);
    const size_t size = rill_front_end_size(front_end);
    void *state = malloc(size), *fork = malloc(size), *fresh = malloc(size);
    float *samples = noise(1000), a[80], b[80];
    size_t consumed;
    rill_front_end_init(front_end, fresh);
    rill_front_end_init(front_end, state);
    rill_front_end_step(front_end, state, 333, samples, &consumed, a);
    memcpy(fork, state, size);
    cr_assert(rill_front_end_step(front_end, state, 500, samples + 333, &consumed, a));
    cr_assert_eq(consumed, 67u);
    cr_assert(rill_front_end_step(front_end, fork, 500, samples + 333, &consumed, b));
    cr_assert_arr_eq(a, b, sizeof a);
    rill_front_end_reset(front_end, state);
    cr_assert_arr_eq(state, fresh, size);
    free(samples);
    free(state);
    free(fork);
    free(fresh);
    rill_front_end_destroy(front_end);
}

static void expect_refusal(rill_front_end_parameters p, rill_status status, const char *word) {
    rill_front_end *front_end = NULL;
    rill_error why = {""};
    cr_assert_eq(rill_front_end_create_from(&p, &front_end, &why), status, "%s", word);
    cr_assert_not_null(strstr(why.message, word), "\"%s\" does not say \"%s\"", why.message, word);
    cr_assert_null(front_end);
}

Test(front_end, refuses_what_it_cannot_do_well) {
    rill_front_end_parameters p;
    const size_t factors[] = {560, 882, 511, 7, 65521};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        p = shipped, p.fft_size = factors[i], p.window_samples = 7;
        expect_refusal(p, RILL_UNSUPPORTED, "prime factor");
    }
    p = shipped, p.window = "hamming", expect_refusal(p, RILL_UNSUPPORTED, "hamming");
    p = shipped, p.mel_kind = "slaney", expect_refusal(p, RILL_UNSUPPORTED, "slaney");
    p = shipped, p.window_samples = 513, expect_refusal(p, RILL_BAD_FORMAT, "fft_size");
    p = shipped, p.fft_size = (size_t)1 << 40, expect_refusal(p, RILL_BAD_FORMAT, "fft_size");
    p = shipped, p.window_samples = 1, p.fft_size = 1, expect_refusal(p, RILL_BAD_FORMAT, "fft_size");
    p = shipped, p.window_samples = 0, expect_refusal(p, RILL_BAD_FORMAT, "window 0");
    p = shipped, p.hop_samples = 0, expect_refusal(p, RILL_BAD_FORMAT, "hop 0");
    p = shipped, p.hop_samples = SIZE_MAX, expect_refusal(p, RILL_BAD_FORMAT, "hop");
    p = shipped, p.mel_bands = 0, expect_refusal(p, RILL_BAD_FORMAT, "0 mel bands");
    p = shipped, p.mel_bands = SIZE_MAX / 4, expect_refusal(p, RILL_BAD_FORMAT, "mel bands");
    p = shipped, p.mel_hz_max = 8001, expect_refusal(p, RILL_BAD_FORMAT, "8001");
    p = shipped, p.mel_hz_max = NAN, expect_refusal(p, RILL_BAD_FORMAT, "nan");
    p = shipped, p.mel_hz_min = 7600, expect_refusal(p, RILL_BAD_FORMAT, "7600");
    p = shipped, p.log_floor = 0, expect_refusal(p, RILL_BAD_FORMAT, "floor 0");
    p = shipped, p.feature_scale = INFINITY, expect_refusal(p, RILL_BAD_FORMAT, "sense");
    p = shipped, p.high_pass_hz = 8001, expect_refusal(p, RILL_BAD_FORMAT, "8001");
    p = shipped, p.high_pass_hz = NAN, expect_refusal(p, RILL_BAD_FORMAT, "nan");
    p = shipped, p.sample_rate_hz = 0, expect_refusal(p, RILL_BAD_FORMAT, "0 Hz");
}

Test(front_end, no_accepted_size_allocates_on_the_way) {
    if (!COUNTS_ALLOCATIONS) cr_skip_test("allocations are counted in builds without a sanitizer");
    float samples[2000] = {0}, log_mel[80];
    size_t accepted = 0;
    for (size_t fft_size = 2; fft_size <= 2000; fft_size++) {
        rill_front_end_parameters p = shipped;
        p.fft_size = p.window_samples = p.hop_samples = fft_size;
        rill_front_end *front_end;
        if (rill_front_end_create_from(&p, &front_end, NULL) != RILL_OK) continue;
        void *state = malloc(rill_front_end_size(front_end));
        rill_front_end_init(front_end, state);
        size_t consumed;
        const size_t before = atomic_load(&allocations);
        const bool complete = rill_front_end_step(front_end, state, fft_size, samples, &consumed, log_mel);
        cr_assert_eq(atomic_load(&allocations), before, "FFT size %zu", fft_size);
        cr_assert(complete);
        accepted++;
        free(state);
        rill_front_end_destroy(front_end);
    }
    cr_assert_gt(accepted, 100);
    cr_assert_gt(atomic_load(&allocations), accepted, "the counter counts");
}
