/* SPDX-License-Identifier: MIT */
/* What a front end is made from, apart from any model file. */
#ifndef RILL_FRONT_END_PARAMETERS_H
#define RILL_FRONT_END_PARAMETERS_H

#include <rill/stream/front_end.h>

typedef struct rill_front_end_parameters {
    unsigned sample_rate_hz;
    size_t window_samples; /* ≤ fft_size */
    size_t hop_samples;    /* may exceed the window: the samples between are skipped */
    size_t fft_size, mel_bands;
    double mel_hz_min, mel_hz_max;
    double log_floor, feature_mean, feature_scale;
    double high_pass_hz;  /* 0: none */
    const char *window;   /* "hann_periodic" */
    const char *mel_kind; /* "htk" */
} rill_front_end_parameters;

/* rill_front_end_create from its parts; the texts are not needed after the call. */
rill_status rill_front_end_create_from(const rill_front_end_parameters *parameters,
                                       rill_front_end **front_end, rill_error *why);

#endif
