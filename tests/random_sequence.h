/* SPDX-License-Identifier: MIT */
/* Shapes and sequences at random, and states pushed through them by forms and splits at random. */
#ifndef RILL_TEST_RANDOM_SEQUENCE_H
#define RILL_TEST_RANDOM_SEQUENCE_H

#include <stdlib.h>
#include <string.h>

#include <rill/attention.h>

#include "random_numbers.h"

static inline rill_attention_shape random_linear_or_gated(size_t dim_max) {
    rill_attention_shape shape = {.decay = (rill_decay)random_below(4)};
    shape.rule = shape.decay == RILL_DECAY_NONE ? RILL_RULE_LINEAR : RILL_RULE_GATED;
    shape.heads = 1 + random_below(3);
    shape.query_heads = shape.heads * (1 + random_below(3));
    shape.key_dim = 1 + random_below(dim_max);
    shape.value_dim = 1 + random_below(dim_max);
    shape.normalize = random_below(2);
    if (shape.normalize)
        shape.epsilon = 1e-6f;
    else
        shape.scale = 0.25f;
    return shape;
}

/* Floats of log decay a head and step. */
static inline size_t decay_width_of(const rill_attention_shape *shape) {
    if (shape->decay == RILL_DECAY_NONE) return 0;
    return shape->decay == RILL_DECAY_STEP_KEY ? shape->key_dim : 1;
}

typedef struct random_sequence {
    size_t queries, keys, values, decays, outputs; /* floats of each */
    float *memory;                                 /* all of them, and that many outputs */
    float *output;
    rill_sequence sequence;
} random_sequence;

static inline float *fill_uniform(float *at, size_t count, double low, double high) {
    for (size_t i = 0; i < count; i++) at[i] = (float)(low + (high - low) * random_uniform());
    return at;
}

/* Keys and queries in [0.05, 1), values from value_low to 1, log decays in [−0.5, 0). */
static inline random_sequence random_sequence_make(const rill_attention_shape *s, size_t length,
                                                   double value_low) {
    random_sequence r = {
        .queries = length * s->query_heads * s->key_dim,
        .keys = length * s->heads * s->key_dim,
        .values = length * s->heads * s->value_dim,
        .decays = (s->decay == RILL_DECAY_HEAD ? 1 : length) * s->heads * decay_width_of(s),
        .outputs = length * s->query_heads * s->value_dim,
    };
    r.memory = calloc(r.queries + r.keys + r.values + r.decays + r.outputs + 1, sizeof(float));
    if (!r.memory) abort();
    r.sequence.length = length;
    r.sequence.queries = fill_uniform(r.memory, r.queries, 0.05, 1);
    r.sequence.keys = fill_uniform(r.memory + r.queries, r.keys, 0.05, 1);
    r.sequence.values = fill_uniform(r.memory + r.queries + r.keys, r.values, value_low, 1);
    float *log_decay = r.memory + r.queries + r.keys + r.values;
    if (r.decays) r.sequence.log_decay = fill_uniform(log_decay, r.decays, -0.5, 0);
    r.output = log_decay + r.decays;
    return r;
}

static inline rill_sequence sequence_part(const rill_attention_shape *s, const rill_sequence *whole,
                                          size_t start, size_t length) {
    rill_sequence part = *whole;
    part.length = length;
    part.queries += start * s->query_heads * s->key_dim;
    part.keys += start * s->heads * s->key_dim;
    part.values += start * s->heads * s->value_dim;
    if (part.log_decay && s->decay != RILL_DECAY_HEAD) part.log_decay += start * s->heads * decay_width_of(s);
    return part;
}

typedef void sequence_form(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                           float *output);

/* Pushes it all through in parts of 1 … longest steps, each by one of the two forms. */
static inline void push_randomly(const rill_attention_shape *s, void *state, random_sequence *r,
                                 size_t longest, sequence_form *one, sequence_form *other) {
    for (size_t t = 0, length; t < r->sequence.length; t += length) {
        length = 1 + random_below(longest);
        if (length > r->sequence.length - t) length = r->sequence.length - t;
        rill_sequence part = sequence_part(s, &r->sequence, t, length);
        (random_below(2) ? one : other)(s, state, &part, r->output + t * s->query_heads * s->value_dim);
    }
}

/* The empty history, in memory of exactly its size. */
static inline void *fresh_state(const rill_attention_shape *shape) {
    void *state = malloc(rill_attention_size(shape));
    if (!state) abort();
    memset(state, 0xff, rill_attention_size(shape));
    rill_attention_init(shape, state);
    return state;
}

#endif
