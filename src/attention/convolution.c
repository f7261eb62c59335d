/* SPDX-License-Identifier: MIT */
/* Causal depthwise convolution whose past is a state. */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <rill/convolution.h>

#include "failure.h"
#include "kernels/kernels.h"

rill_status rill_convolution_check(const rill_convolution_shape *shape, rill_error *why) {
    if (shape->channels == 0 || shape->taps == 0)
        return rill_fail(why, RILL_BAD_ARGUMENT, "convolution: %zu channels of %zu taps: neither may be 0",
                         shape->channels, shape->taps);
    if (shape->taps > SIZE_MAX / (2 * sizeof(float)) / shape->channels)
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "convolution: the state of %zu channels of %zu taps has no size in this machine",
                         shape->channels, shape->taps);
    return RILL_OK;
}

size_t rill_convolution_size(const rill_convolution_shape *shape) {
    assert(rill_convolution_check(shape, NULL) == RILL_OK);
    return 2 * (shape->taps - 1) * shape->channels * sizeof(float);
}

void rill_convolution_init(const rill_convolution_shape *shape, void *state) {
    size_t size = rill_convolution_size(shape);
    if (size > 0) memset(state, 0, size);
}

void rill_convolution_reset(const rill_convolution_shape *shape, void *state) {
    rill_convolution_init(shape, state);
}

typedef struct filter {
    const rill_convolution_shape *shape;
    const float *weight, *bias;
} filter;

/* x holds taps − 1 rows before the first of the count steps. */
static void convolve(const filter *f, size_t count, const float *x, float *y) {
    const rill_kernels *kernels = rill_kernels_get();
    kernels->depthwise(count, f->shape->channels, f->shape->taps, x, f->weight, false, f->bias, y);
    if (f->shape->silu) kernels->silu(count * f->shape->channels, y, y);
}

/* count ≤ taps − 1 steps, put behind the past, which then moves on; what is not finite goes in as 0. */
static void step_through_past(const filter *f, float *past, size_t count, const float *x, float *y) {
    size_t channels = f->shape->channels, kept = (f->shape->taps - 1) * channels;
    for (size_t i = 0; i < count * channels; i++) past[kept + i] = isfinite(x[i]) ? x[i] : 0;
    convolve(f, count, past, y);
    memmove(past, past + count * channels, kept * sizeof *past);
}

static void spoil(size_t count, const float *x, float *y) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i])) y[i] = NAN;
}

void rill_convolution_step(const rill_convolution_shape *shape, void *state, const float *weight,
                           const float *bias, size_t length, const float *x, float *y) {
    assert(rill_convolution_check(shape, NULL) == RILL_OK);
    filter f = {shape, weight, bias};
    size_t channels = shape->channels, kept = shape->taps - 1, done = 0;
    bool finite = rill_kernels_get()->within(length * channels, x, -FLT_MAX, FLT_MAX);
    while (kept > 0 && done < length && (done < kept || !finite)) {
        size_t left = length - done, count = left < kept ? left : kept;
        step_through_past(&f, state, count, x + done * channels, y + done * channels);
        done += count;
    }
    if (done < length) { /* the past of what is left lies in x itself */
        convolve(&f, length - done, x + (done - kept) * channels, y + done * channels);
        if (kept > 0) memcpy(state, x + (length - kept) * channels, kept * channels * sizeof *x);
    }
    if (!finite) spoil(length * channels, x, y);
}
