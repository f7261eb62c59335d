/* SPDX-License-Identifier: MIT */
/* A stream without end, for what drifts: keys and queries elu + 1 of N(0, 1), values N(0, 1), one head,
 * pushed step by step through a plain and a steady state, and summed in double beside them. */
#ifndef RILL_TEST_LONG_STREAM_H
#define RILL_TEST_LONG_STREAM_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include <rill/steady_state.h>

#include "random_numbers.h"

enum { long_stream_normals = 1 << 20, long_stream_dim_max = 256 };

typedef struct long_stream {
    rill_attention_shape shape;
    size_t steps, entries;     /* of S and z: key_dim × (value_dim + 1), z behind S */
    float *normals, *features; /* N(0, 1), and elu + 1 of them: a step takes a row at a random place */
    void *plain, *steady;
    float *seen;                /* the steady one as a plain one */
    double *state, *state_size; /* the definition, and that of magnitudes */
    const float *query;         /* of the last step */
    float plain_output[long_stream_dim_max], steady_output[long_stream_dim_max];
} long_stream;

/* N(0, 1) (Box, Muller 1958) */
static inline float long_stream_normal(void) {
    const double radius = sqrt(-2 * log(1 - random_uniform()));
    return (float)(radius * cos(2 * 3.14159265358979323846 * random_uniform()));
}

static inline void *long_stream_allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (!memory) abort();
    return memory;
}

static inline long_stream long_stream_make(size_t dim, uint64_t seed) {
    random_seed(seed);
    long_stream s = {.shape = {.rule = RILL_RULE_LINEAR,
                               .heads = 1,
                               .query_heads = 1,
                               .key_dim = dim,
                               .value_dim = dim,
                               .normalize = true,
                               .epsilon = 1e-6f}};
    s.entries = dim * (dim + 1);
    s.normals = long_stream_allocate(long_stream_normals, sizeof(float));
    s.features = long_stream_allocate(long_stream_normals, sizeof(float));
    for (size_t i = 0; i < long_stream_normals; i++) s.normals[i] = long_stream_normal();
    rill_feature_map_elu1(long_stream_normals, s.normals, s.features);
    s.plain = long_stream_allocate(1, rill_attention_size(&s.shape));
    s.steady = long_stream_allocate(1, rill_steady_size(&s.shape));
    s.seen = long_stream_allocate(1, rill_attention_size(&s.shape));
    rill_attention_init(&s.shape, s.plain);
    rill_steady_init(&s.shape, s.steady);
    s.state = long_stream_allocate(2 * s.entries, sizeof(double));
    s.state_size = s.state + s.entries;
    return s;
}

static inline void long_stream_free(long_stream *s) {
    free(s->normals);
    free(s->features);
    free(s->plain);
    free(s->steady);
    free(s->seen);
    free(s->state);
}

static inline void long_stream_define(long_stream *s, const float *key, const float *value) {
    const size_t dim = s->shape.key_dim;
    for (size_t d = 0; d < dim; d++) {
        for (size_t m = 0; m < dim; m++) {
            const double product = (double)key[d] * (double)value[m];
            s->state[d * dim + m] += product;
            s->state_size[d * dim + m] += fabs(product);
        }
        s->state[dim * dim + d] += (double)key[d];
        s->state_size[dim * dim + d] += (double)key[d];
    }
}

static inline void long_stream_step(long_stream *s) {
    const size_t dim = s->shape.key_dim, places = long_stream_normals - dim;
    s->query = s->features + random_below(places);
    const float *key = s->features + random_below(places), *value = s->normals + random_below(places);
    const rill_sequence step = {.length = 1, .queries = s->query, .keys = key, .values = value};
    rill_attention_recurrent(&s->shape, s->plain, &step, s->plain_output);
    rill_steady_attention(&s->shape, s->steady, &step, s->steady_output);
    long_stream_define(s, key, value);
    s->steps++;
}

/* ‖got − want‖ / ‖want‖ (Frobenius) over count entries from start */
static inline double long_stream_error(const long_stream *s, const float *got, size_t start, size_t count) {
    double difference = 0, norm = 0;
    for (size_t i = start; i < start + count; i++) {
        difference += ((double)got[i] - s->state[i]) * ((double)got[i] - s->state[i]);
        norm += s->state[i] * s->state[i];
    }
    return sqrt(difference / norm);
}

typedef struct long_stream_drift {
    double plain_S, plain_z, steady_S, steady_z;
} long_stream_drift;

static inline long_stream_drift long_stream_drifts(const long_stream *s) {
    const size_t dim = s->shape.key_dim;
    rill_steady_plain(&s->shape, s->steady, s->seen);
    return (long_stream_drift){
        .plain_S = long_stream_error(s, s->plain, 0, dim * dim),
        .plain_z = long_stream_error(s, s->plain, dim * dim, dim),
        .steady_S = long_stream_error(s, s->seen, 0, dim * dim),
        .steady_z = long_stream_error(s, s->seen, dim * dim, dim),
    };
}

/* The last output of the steady state against the definition: the largest error as a part of what it may be.
 * S and z are off by (block + 2) u + n u² / 4 of their magnitudes, the reading adds key_dim + block + 6 units
 * for the rows and the kept steps, and the normalizer as much again. */
static inline double long_stream_output_error(const long_stream *s) {
    const size_t dim = s->shape.key_dim;
    const double u = (double)FLT_EPSILON / 2, n = (double)s->steps;
    const double bound = 2 * ((2 * RILL_STEADY_BLOCK_STEPS + 8 + (double)dim) * u + n * u * u / 4);
    double worst = 0, normalizer = (double)s->shape.epsilon;
    for (size_t d = 0; d < dim; d++) normalizer += (double)s->query[d] * s->state[dim * dim + d];
    for (size_t m = 0; m < dim; m++) {
        double output = 0, size = 0;
        for (size_t d = 0; d < dim; d++) {
            output += (double)s->query[d] * s->state[d * dim + m] / normalizer;
            size += (double)s->query[d] * s->state_size[d * dim + m] / normalizer;
        }
        worst = fmax(worst, fabs((double)s->steady_output[m] - output) / (bound * size));
    }
    return worst;
}

#endif
