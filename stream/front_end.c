/* SPDX-License-Identifier: MIT */
/* Log-mel frames: high pass, window, Fourier transform, triangles, logarithm.
 *
 * The transform is KissFFT's complex one, out of place, with a zero imaginary part: its tables are then only
 * read (kiss_fftr writes into its own), so streams and threads may share them. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <kiss_fft.h>

#include "failure.h"
#include "front_end_parameters.h"

#define LARGEST_FFT 65536u /* also keeps the counters of a state in 32 bits */
#define LARGEST_HOP 1048576u
#define PRIOR       160 /* samples of silence that the high pass begins with */
#define LONGEST     1e9 /* samples that the high pass takes to settle */
#define LOUDEST     8.0 /* of a sample, as the high pass sees it: a wild one is soon forgotten */

typedef struct span {
    size_t first, count; /* the bins of a triangle that are not 0 */
} span;

struct rill_front_end {
    size_t window_samples, hop_samples, fft_size, bins, mel_bands;
    float log_floor, feature_mean, feature_scale;
    double high_pass; /* share of a sample in the constant that is taken off; 0: none is */
    uint32_t settled; /* samples that count for more than that */
    kiss_fft_cfg fourier;
    float *window;      /* [window_samples] */
    float *mel_filters; /* [mel_bands][bins] */
    span *spans;        /* [mel_bands] */
};

/* Followed by samples [window_samples], then the transform's input and output [fft_size] each. */
typedef struct stream_state {
    uint32_t filled;      /* samples of the next frame that are there */
    uint32_t skip;        /* samples to pass over before it, when the hop exceeds the window */
    uint32_t heard;       /* samples that the high pass has heard, until all count alike */
    uint32_t constant[2]; /* a double, at a float's alignment: what the high pass takes off */
    float samples[];
} stream_state;

static const double pi = 3.14159265358979323846;

static bool allocation_free(size_t fft_size) {
    for (size_t prime = 2; prime <= 5; prime++)
        while (fft_size % prime == 0) fft_size /= prime;
    return fft_size == 1;
}

static rill_status check(const rill_front_end_parameters *p, rill_error *why) {
    if (!p->sample_rate_hz || !p->window_samples || !p->hop_samples || !p->mel_bands ||
        p->hop_samples > LARGEST_HOP || p->mel_bands > LARGEST_FFT || !(p->log_floor > 0) ||
        !isfinite(p->log_floor) || !isfinite(p->feature_mean) || !isfinite(p->feature_scale) ||
        !(p->mel_hz_min >= 0) || !(p->mel_hz_min < p->mel_hz_max) ||
        !(p->mel_hz_max <= p->sample_rate_hz / 2.0) || !(p->high_pass_hz >= 0) ||
        !(p->high_pass_hz <= p->sample_rate_hz / 2.0))
        return rill_fail(
            why, RILL_BAD_FORMAT,
            "front end: %zu mel bands from %g to %g Hz at %u Hz, high pass from %g Hz, window %zu, hop %zu, "
            "log floor %g make no sense",
            p->mel_bands, p->mel_hz_min, p->mel_hz_max, p->sample_rate_hz, p->high_pass_hz, p->window_samples,
            p->hop_samples, p->log_floor);
    if (p->fft_size < 2 || p->fft_size < p->window_samples || p->fft_size > LARGEST_FFT)
        return rill_fail(why, RILL_BAD_FORMAT,
                         "front end: fft_size %zu is not between the window's %zu and %u", p->fft_size,
                         p->window_samples, LARGEST_FFT);
    if (!allocation_free(p->fft_size))
        return rill_fail(why, RILL_UNSUPPORTED,
                         "front end: fft_size %zu has a prime factor above 5; pad it to a power of two",
                         p->fft_size);
    if (strcmp(p->window, "hann_periodic") != 0)
        return rill_fail(why, RILL_UNSUPPORTED,
                         "front end: window \"%.40s\" is not known, only hann_periodic", p->window);
    if (strcmp(p->mel_kind, "htk") != 0)
        return rill_fail(why, RILL_UNSUPPORTED, "front end: mel_kind \"%.40s\" is not known, only htk",
                         p->mel_kind);
    return RILL_OK;
}

static double mel_of_hz(double hz) {
    return 2595 * log10(1 + hz / 700);
}

static double hz_of_mel(double mel) {
    return 700 * (pow(10, mel / 2595) - 1);
}

/* w[n] = (1 − cos 2πn/N) / 2 */
static void fill_window(rill_front_end *made) {
    const double turn = 2 * pi / (double)made->window_samples;
    for (size_t n = 0; n < made->window_samples; n++)
        made->window[n] = (float)(0.5 - 0.5 * cos(turn * (double)n));
}

/* Triangles of unit peak, straight in Hz, between points equally spaced in mel (HTK). */
static void fill_mel_filters(rill_front_end *made, const rill_front_end_parameters *p) {
    const double lowest = mel_of_hz(p->mel_hz_min);
    const double step = (mel_of_hz(p->mel_hz_max) - lowest) / (double)(p->mel_bands + 1);
    for (size_t band = 0; band < p->mel_bands; band++) {
        const double left = hz_of_mel(lowest + step * (double)band);
        const double peak = hz_of_mel(lowest + step * (double)(band + 1));
        const double right = hz_of_mel(lowest + step * (double)(band + 2));
        span *bins = &made->spans[band];
        for (size_t bin = 0; bin < made->bins; bin++) {
            const double hz = (double)bin * p->sample_rate_hz / (double)p->fft_size;
            const double height = fmin((hz - left) / (peak - left), (right - hz) / (right - peak));
            if (!(height > 0)) continue;
            made->mel_filters[band * made->bins + bin] = (float)height;
            if (!bins->count) bins->first = bin;
            bins->count = bin + 1 - bins->first;
        }
    }
}

rill_status rill_front_end_create_from(const rill_front_end_parameters *parameters,
                                       rill_front_end **front_end, rill_error *why) {
    const rill_status status = check(parameters, why);
    if (status != RILL_OK) return status;
    const size_t bins = parameters->fft_size / 2 + 1;
    rill_front_end *made = calloc(1, sizeof *made);
    if (made) {
        made->fourier = kiss_fft_alloc((int)parameters->fft_size, 0, NULL, NULL);
        made->window = calloc(parameters->window_samples, sizeof(float));
        made->mel_filters = calloc(parameters->mel_bands * bins, sizeof(float));
        made->spans = calloc(parameters->mel_bands, sizeof(span));
    }
    if (!made || !made->fourier || !made->window || !made->mel_filters || !made->spans) {
        rill_front_end_destroy(made);
        return rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for a front end of %zu bands, fft_size %zu",
                         parameters->mel_bands, parameters->fft_size);
    }
    made->window_samples = parameters->window_samples;
    made->hop_samples = parameters->hop_samples;
    made->fft_size = parameters->fft_size;
    made->bins = bins;
    made->mel_bands = parameters->mel_bands;
    made->log_floor = (float)parameters->log_floor;
    made->feature_mean = (float)parameters->feature_mean;
    made->feature_scale = (float)parameters->feature_scale;
    made->high_pass = -expm1(-2 * pi * parameters->high_pass_hz / parameters->sample_rate_hz);
    if (made->high_pass > 0)
        made->settled = (uint32_t)fmin(fmax(ceil(1 / made->high_pass) - PRIOR, 0), LONGEST);
    fill_window(made);
    fill_mel_filters(made, parameters);
    *front_end = made;
    return RILL_OK;
}

rill_status rill_front_end_create(const rill_model *model, rill_front_end **front_end, rill_error *why) {
    const rill_model_info *info = rill_model_get_info(model);
    const char *window = rill_model_text(model, "window"), *mel_kind = rill_model_text(model, "mel_kind");
    const rill_front_end_parameters parameters = {
        .sample_rate_hz = info->sample_rate_hz,
        .window_samples = info->window_samples,
        .hop_samples = info->hop_samples,
        .fft_size = info->fft_size,
        .mel_bands = info->mel_bands,
        .mel_hz_min = info->mel_hz_min,
        .mel_hz_max = info->mel_hz_max,
        .log_floor = info->log_floor,
        .feature_mean = info->feature_mean,
        .feature_scale = info->feature_scale,
        .high_pass_hz = info->high_pass_hz,
        .window = window ? window : "hann_periodic",
        .mel_kind = mel_kind ? mel_kind : "htk",
    };
    return rill_front_end_create_from(&parameters, front_end, why);
}

void rill_front_end_destroy(rill_front_end *front_end) {
    if (!front_end) return;
    kiss_fft_free(front_end->fourier);
    free(front_end->window);
    free(front_end->mel_filters);
    free(front_end->spans);
    free(front_end);
}

const float *rill_front_end_mel_filters(const rill_front_end *front_end) {
    return front_end->mel_filters;
}

size_t rill_front_end_size(const rill_front_end *front_end) {
    return sizeof(stream_state) + front_end->window_samples * sizeof(float) +
           2 * front_end->fft_size * sizeof(kiss_fft_cpx);
}

void rill_front_end_init(const rill_front_end *front_end, void *state) {
    memset(state, 0, rill_front_end_size(front_end));
}

void rill_front_end_reset(const rill_front_end *front_end, void *state) {
    rill_front_end_init(front_end, state);
}

bool rill_front_end_valid(const rill_front_end *front_end, const void *state) {
    const stream_state *stream = state;
    double constant;
    memcpy(&constant, stream->constant, sizeof constant);
    return stream->filled < front_end->window_samples && stream->skip <= front_end->hop_samples &&
           fabs(constant) <= LOUDEST;
}

size_t rill_front_end_wanted(const rill_front_end *front_end, const void *state) {
    const stream_state *stream = state;
    return stream->skip + (front_end->window_samples - stream->filled);
}

static void transform(const rill_front_end *front_end, const float *samples, kiss_fft_cpx *input,
                      kiss_fft_cpx *spectrum) {
    /* the imaginary parts and the padding are 0 since init: nothing else writes there */
    for (size_t n = 0; n < front_end->window_samples; n++) input[n].r = samples[n] * front_end->window[n];
    kiss_fft(front_end->fourier, input, spectrum);
}

static void log_mel_of(const rill_front_end *front_end, const kiss_fft_cpx *spectrum, float *log_mel) {
    for (size_t band = 0; band < front_end->mel_bands; band++) {
        const span bins = front_end->spans[band];
        const float *heights = front_end->mel_filters + band * front_end->bins + bins.first;
        const kiss_fft_cpx *values = spectrum + bins.first;
        float power = 0;
        for (size_t bin = 0; bin < bins.count; bin++)
            power += heights[bin] * (values[bin].r * values[bin].r + values[bin].i * values[bin].i);
        log_mel[band] =
            (logf(power + front_end->log_floor) - front_end->feature_mean) * front_end->feature_scale;
    }
}

static void make_room(const rill_front_end *front_end, stream_state *stream) {
    const size_t window = front_end->window_samples, hop = front_end->hop_samples;
    if (hop < window) {
        memmove(stream->samples, stream->samples + hop, (window - hop) * sizeof(float));
        stream->filled = (uint32_t)(window - hop);
    } else {
        stream->filled = 0;
        stream->skip = (uint32_t)(hop - window);
    }
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* y = x − m, m += a (x − m): what a microphone's electronics add for ever would be heard as a low voice. a is
 * 1 / (n + PRIOR) of sample n until that is less: m, the mean of what was heard and of a little silence
 * before, then finds a constant soon, and none where speech begins at once. A sample that is not finite says
 * nothing of it. y NULL: the samples are passed over. */
static void take_constant_off(const rill_front_end *front_end, stream_state *stream, size_t count,
                              const float *x, float *y) {
    double constant;
    memcpy(&constant, stream->constant, sizeof constant);
    for (size_t n = 0; n < count; n++) {
        if (isfinite(x[n])) {
            double share = front_end->high_pass;
            if (stream->heard < front_end->settled) share = 1.0 / (stream->heard++ + PRIOR);
            constant += share * (fmax(-LOUDEST, fmin(x[n], LOUDEST)) - constant);
            if (fabs(constant) < 1e-30) constant = 0; /* far below it sums are slow */
        }
        if (y) y[n] = (float)fmax(-FLT_MAX, fmin((double)x[n] - constant, FLT_MAX));
    }
    memcpy(stream->constant, &constant, sizeof constant);
}

bool rill_front_end_step(const rill_front_end *front_end, void *state, size_t count, const float *samples,
                         size_t *consumed, float *log_mel) {
    stream_state *stream = state;
    const size_t window = front_end->window_samples;
    const size_t skipped = smaller(count, stream->skip);
    const size_t taken = smaller(count - skipped, window - stream->filled);
    float *to = stream->samples + stream->filled;
    if (front_end->high_pass > 0) {
        take_constant_off(front_end, stream, skipped, samples, NULL);
        take_constant_off(front_end, stream, taken, samples + skipped, to);
    } else if (taken) {
        memcpy(to, samples + skipped, taken * sizeof *samples);
    }
    stream->skip -= (uint32_t)skipped;
    stream->filled += (uint32_t)taken;
    *consumed = skipped + taken;
    if (stream->filled < window) return false;

    kiss_fft_cpx *input = (kiss_fft_cpx *)(stream->samples + window);
    transform(front_end, stream->samples, input, input + front_end->fft_size);
    log_mel_of(front_end, input + front_end->fft_size, log_mel);
    make_room(front_end, stream);
    return true;
}
