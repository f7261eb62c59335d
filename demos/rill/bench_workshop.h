/* SPDX-License-Identifier: MIT */
/* Images in the making: of one data set, in every way that rill bench paper compares. */
#ifndef BENCH_WORKSHOP_H
#define BENCH_WORKSHOP_H

#include "bench_images.h"
#include "bench_race.h"

enum way { RECOMPUTED, CACHED, LINEAR, WAYS };

/* What the paper has: seconds for one image at a time on a CPU, images a second on a GPU, many at once. */
struct data_set {
    const char *name;
    size_t layers, length;
    double cpu_seconds[WAYS], gpu_images[WAYS];
};
extern const char *const way_names[WAYS];

enum { ANEW = 5 }; /* lengths at which a pass over all is timed */

/* An image in the making. */
struct maker {
    const struct image_model *model;
    size_t length;
    enum way way;
    void *stream;      /* cached, linear */
    void *workspace;   /* recomputed */
    float *rows, *out; /* [length][model_dim] */
    uint8_t *image, *expected;
    size_t prefix; /* recomputed: how long the one pass is that is timed */
};

/* One data set: a maker for each way, and for the passes anew of several lengths. */
struct workshop {
    const struct data_set *data;
    size_t length;
    struct image_model models[2]; /* softmax, linear */
    struct maker makers[WAYS], anew[ANEW];
    struct contender contenders[WAYS + ANEW];
    size_t count;
    bool whole;
};

/* data, length and whole are the caller's. False when memory is short; to be closed all the same. */
bool workshop_open(struct workshop *shop);
void workshop_close(struct workshop *shop);

/* Compares steps with whole passes and enters all makers as contenders: cached, linear, then those that
 * compute anew. False, and says so, when the outputs differ. errors: the greatest differences in rows of
 * about unit variance. */
bool workshop_ready(struct workshop *shop, double errors[WAYS]);

/* After the race: an image with all computed anew for each value, as it was made when shop->whole; else the
 * sum of the passes over 1 ... length values by Simpson's rule, which is exact for what grows with the
 * square. */
double workshop_seconds_anew(const struct workshop *shop);

#endif
