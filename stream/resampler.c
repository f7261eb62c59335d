/* SPDX-License-Identifier: MIT */
/* Rational sample rate conversion by a polyphase windowed sinc.
 *
 * y[n] = Σ_i x[i] h(i − n·M/L), with input_rate : output_rate = M : L in lowest terms and
 *
 *     h(t) = r · sinc(r t) · kaiser(t / T),   r = min(1, L/M),   |t| ≤ T = 64/r        (t in input samples)
 *
 * so the transition is centred on the lower rate's Nyquist frequency and, by Kaiser's formula for 100 dB,
 * Δf · 2T = (100 − 7.95) / 14.36, 10 % of it wide: flat up to 0.95, gone from 1.05. What folds back lands
 * above 0.95 too: for 48 → 16 kHz, nothing below 7.6 kHz is touched, and half the filter is 4 ms.
 * (A. Oppenheim, R. Schafer, Discrete-Time Signal Processing, 7.5.3 and 4.6.)
 *
 * n·M/L is kept as an integer position and a phase of L, so time never drifts. The table has one row a phase;
 * where that would be more than EXACT_TABLE floats (44101 → 16000 Hz has 16000 phases) it has as many rows as
 * sample h 512 times a period of the lower rate, and a row is interpolated between two: an error of at most
 * (π/512)²/8, −106 dB. */
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/resampler.h>

#include "failure.h"

#define HALF_WIDTH      64.0 /* periods of the lower rate */
#define ATTENUATION_DB  100.0
#define LARGEST_RATE_HZ 1000000u
#define LARGEST_RATIO   1000u      /* input over output rate: the filter has 128 times as many taps */
#define EXACT_TABLE     (1u << 17) /* floats */
#define ROWS_A_PERIOD   512u
#define LANES           16u /* sums kept side by side in a dot product; rows are padded to a multiple */

struct rill_resampler {
    unsigned input_rate_hz;
    uint64_t up, down;        /* L and M */
    uint64_t whole, fraction; /* M/L: an output sample is whole + fraction/L input samples after the last */
    size_t half;              /* an output at position p needs the inputs p − half + 1 … p + half */
    size_t taps;              /* 2 · half, padded with zeros to a multiple of LANES */
    uint64_t rows;            /* of the table, over one input sample; one more closes the last interval */
    float weights[];          /* [rows + 1][taps], oldest tap first */
};

/* Followed by the history: 2 · taps floats, each sample stored twice, so that the last taps of them always
 * lie in one piece. */
typedef struct stream_state {
    uint64_t inputs;   /* samples given by the caller */
    uint64_t received; /* the same with the silence that finish adds */
    uint64_t position; /* of the next output sample, in input samples: position + phase / L */
    uint64_t phase;
    uint64_t oldest; /* where the oldest of the last taps samples lies, and the next will be stored */
    float history[];
} stream_state;

static uint64_t greatest_common_divisor(uint64_t a, uint64_t b) {
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Modified Bessel function of the first kind, order 0, by its power series. */
static double bessel_i0(double x) {
    double sum = 1, term = 1;
    for (int k = 1; term > sum * 1e-17; k++) {
        term *= x * x / (4.0 * k * k);
        sum += term;
    }
    return sum;
}

/* h(t): t in input samples, lower = r */
static double windowed_sinc(double t, double lower) {
    static const double pi = 3.14159265358979323846;
    const double beta = 0.1102 * (ATTENUATION_DB - 8.7);
    const double place = t * lower / HALF_WIDTH;
    if (fabs(place) >= 1) return 0;
    const double x = pi * t * lower;
    const double sinc = fabs(x) < 1e-9 ? 1 : sin(x) / x;
    return lower * sinc * bessel_i0(beta * sqrt(1 - place * place)) / bessel_i0(beta);
}

static void fill_weights(rill_resampler *resampler, double lower) {
    for (size_t row = 0; row <= resampler->rows; row++)
        for (size_t tap = 0; tap < resampler->taps; tap++) {
            /* the padding precedes the oldest tap, so that the newest sample is always the last */
            const double newest = (double)tap - (double)(resampler->taps - resampler->half);
            const double t = newest + 1 - (double)row / (double)resampler->rows;
            resampler->weights[row * resampler->taps + tap] = (float)windowed_sinc(t, lower);
        }
}

rill_status rill_resampler_create(unsigned input_rate_hz, unsigned output_rate_hz, rill_resampler **resampler,
                                  rill_error *why) {
    if (!input_rate_hz || !output_rate_hz || input_rate_hz > LARGEST_RATE_HZ ||
        output_rate_hz > LARGEST_RATE_HZ || input_rate_hz / output_rate_hz > LARGEST_RATIO)
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "cannot resample from %u to %u Hz: rates are 1 to %u Hz, reduced at most %u-fold",
                         input_rate_hz, output_rate_hz, LARGEST_RATE_HZ, LARGEST_RATIO);
    const uint64_t divisor = greatest_common_divisor(input_rate_hz, output_rate_hz);
    const uint64_t up = output_rate_hz / divisor, down = input_rate_hz / divisor;
    const double lower = up < down ? (double)up / (double)down : 1;
    const size_t half = (size_t)ceil(HALF_WIDTH / lower);
    const size_t taps = (2 * half + LANES - 1) / LANES * LANES;
    const uint64_t rows = up * taps <= EXACT_TABLE ? up : (uint64_t)ceil(ROWS_A_PERIOD * lower);
    const size_t floats = up == down ? 0 : (size_t)(rows + 1) * taps;

    rill_resampler *made = malloc(sizeof *made + floats * sizeof(float));
    if (!made) return rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for a resampler of %zu taps", floats);
    made->input_rate_hz = input_rate_hz;
    made->up = up;
    made->down = down;
    made->whole = down / up;
    made->fraction = down % up;
    made->half = half;
    made->taps = taps;
    made->rows = rows;
    if (floats) fill_weights(made, lower);
    *resampler = made;
    return RILL_OK;
}

void rill_resampler_destroy(rill_resampler *resampler) {
    free(resampler);
}

static bool copies(const rill_resampler *resampler) {
    return resampler->up == resampler->down;
}

double rill_resampler_lag_seconds(const rill_resampler *resampler) {
    return copies(resampler) ? 0 : (double)resampler->half / resampler->input_rate_hz;
}

size_t rill_resampler_size(const rill_resampler *resampler) {
    return sizeof(stream_state) + (copies(resampler) ? 0 : 2 * resampler->taps * sizeof(float));
}

void rill_resampler_init(const rill_resampler *resampler, void *state) {
    memset(state, 0, rill_resampler_size(resampler));
}

void rill_resampler_reset(const rill_resampler *resampler, void *state) {
    rill_resampler_init(resampler, state);
}

bool rill_resampler_valid(const rill_resampler *resampler, const void *state) {
    const stream_state *stream = state;
    if (copies(resampler)) return true;
    if (stream->received != stream->inputs || stream->position > UINT64_MAX / 2) return false;
    const uint64_t needed = stream->position + resampler->half + 1;
    return stream->oldest < resampler->taps && stream->phase < resampler->up && stream->received <= needed &&
           needed - stream->received <= resampler->half + resampler->whole + 2;
}

/* Σ a[i] b[i], in an order that depends on nothing but count, a multiple of LANES */
static float dot(size_t count, const float *restrict a, const float *restrict b) {
    float sums[LANES] = {0};
    for (size_t i = 0; i < count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++) sums[lane] += a[i + lane] * b[i + lane];
    for (size_t step = LANES / 2; step; step /= 2)
        for (size_t lane = 0; lane < step; lane++) sums[lane] += sums[lane + step];
    return sums[0];
}

static float sample_at(const rill_resampler *resampler, const stream_state *stream) {
    const size_t taps = resampler->taps;
    const float *window = stream->history + stream->oldest;
    const uint64_t place = stream->phase * resampler->rows;
    const float *row = resampler->weights + place / resampler->up * taps;
    const uint64_t between = place % resampler->up;
    const float first = dot(taps, row, window);
    if (!between) return first;
    const float weight = (float)between / (float)resampler->up;
    return first + weight * (dot(taps, row + taps, window) - first);
}

static void take(const rill_resampler *resampler, stream_state *stream, float sample) {
    float *place = stream->history + stream->oldest;
    place[0] = place[resampler->taps] = sample;
    stream->received++;
    if (++stream->oldest == resampler->taps) stream->oldest = 0;
}

static void advance(const rill_resampler *resampler, stream_state *stream) {
    stream->position += resampler->whole;
    stream->phase += resampler->fraction;
    if (stream->phase >= resampler->up) {
        stream->phase -= resampler->up;
        stream->position++;
    }
}

/* How many samples must still come before the next output can be made. */
static uint64_t missing(const rill_resampler *resampler, const stream_state *stream) {
    const uint64_t needed = stream->position + resampler->half + 1;
    return needed -
           stream->received; /* never negative: nothing is taken that the next output does not need */
}

size_t rill_resampler_step(const rill_resampler *resampler, void *state, size_t input_count,
                           const float *input, size_t *consumed, size_t output_capacity, float *output) {
    stream_state *stream = state;
    if (copies(resampler)) {
        *consumed = input_count < output_capacity ? input_count : output_capacity;
        if (*consumed) memcpy(output, input, *consumed * sizeof *output);
        return *consumed;
    }
    assert(stream->inputs == stream->received); /* no step after finish */
    size_t used = 0, made = 0;
    for (;;) {
        for (uint64_t wanted = missing(resampler, stream); wanted && used < input_count; wanted--)
            take(resampler, stream, input[used++]);
        if (missing(resampler, stream) || made == output_capacity) break;
        output[made++] = sample_at(resampler, stream);
        advance(resampler, stream);
    }
    stream->inputs += used;
    *consumed = used;
    return made;
}

size_t rill_resampler_finish(const rill_resampler *resampler, void *state, size_t output_capacity,
                             float *output) {
    stream_state *stream = state;
    size_t made = 0;
    if (copies(resampler)) return 0;
    while (made < output_capacity && stream->position < stream->inputs) {
        while (missing(resampler, stream)) take(resampler, stream, 0);
        output[made++] = sample_at(resampler, stream);
        advance(resampler, stream);
    }
    return made;
}
