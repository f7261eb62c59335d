/* SPDX-License-Identifier: MIT */
/* The short convolution that linear-attention models put before a step: causal, each channel by itself, with
 * a state (ONNX opset 27 CausalConvWithState; Mamba, DeltaNet).
 *
 *     y_t[c] = f(bias[c] + Σ_j weight[c][j] x_{t − (taps − 1) + j}[c]),  f = identity or silu(x) = x
 * sigmoid(x)
 *
 * Inputs before the first step are 0. Time-major: x and y [length][channels]. Any split of a sequence gives
 * the same outputs to rounding.
 *
 * A value that is not finite makes NaN of its own step's output in its channel, and counts as 0 from then on.
 *
 * Threads: all functions are pure in their arguments. Real time: nothing here allocates, locks or makes a
 * system call. */
#ifndef RILL_CONVOLUTION_H
#define RILL_CONVOLUTION_H

#include <stdbool.h>
#include <stddef.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_convolution_shape {
    size_t channels; /* 1 … */
    size_t taps;     /* 1 … */
    bool silu;
} rill_convolution_shape;

/* RILL_OK when the fields are right and the state's size fits in size_t; else RILL_BAD_ARGUMENT and why. */
RILL_API rill_status rill_convolution_check(const rill_convolution_shape *shape, rill_error *why);

/* Bytes of one state: 2 (taps − 1) × channels floats. The first half is the last taps − 1 inputs
 * [taps − 1][channels], oldest first; the other holds nothing between calls. Plain memory without pointers:
 * memcpy moves it, a copy forks it. 0 for one tap: then the state may be NULL. */
RILL_API size_t rill_convolution_size(const rill_convolution_shape *shape);

/* The inputs before the first step, all 0, in the caller's memory, aligned for float. */
RILL_API void rill_convolution_init(const rill_convolution_shape *shape, void *state);
RILL_API void rill_convolution_reset(const rill_convolution_shape *shape, void *state);

/* length steps: x, y [length][channels], weight [channels][taps], the oldest tap first, bias [channels] or
 * NULL. The shape must be one that rill_convolution_check accepts; y may not overlap anything else. */
RILL_API void rill_convolution_step(const rill_convolution_shape *shape, void *state, const float *weight,
                                    const float *bias, size_t length, const float *x, float *y);

#ifdef __cplusplus
}
#endif
#endif
