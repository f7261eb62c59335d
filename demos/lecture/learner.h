/* SPDX-License-Identifier: MIT */
/* A symbol model that is being trained: its parameters, their gradient, Adam, and the memory to work in. */
#ifndef LEARNER_H
#define LEARNER_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/symbol_model.h>

typedef struct learner {
    rill_symbol_model_shape shape;
    size_t count; /* of parameters */
    float *parameters, *gradient;
    void *adam, *workspace;
} learner;

static inline void *learner_memory(size_t size) {
    void *memory = malloc(size + 1);
    if (!memory) fprintf(stderr, "no memory for %zu bytes\n", size), exit(1);
    return memory;
}

/* For sequences of up to longest steps. */
static inline learner learner_open(rill_symbol_model_shape shape, size_t longest, uint64_t seed) {
    learner l = {.shape = shape};
    rill_error why;
    if (rill_symbol_model_check(&shape, &why) != RILL_OK) fprintf(stderr, "%s\n", why.message), exit(2);
    l.count = rill_symbol_model_parameters(&shape);
    l.parameters = learner_memory(l.count * sizeof(float));
    l.gradient = learner_memory(l.count * sizeof(float));
    l.adam = learner_memory(rill_adam_size(l.count));
    l.workspace = learner_memory(rill_symbol_model_gradient_size(&shape, longest));
    rill_symbol_model_draw(&shape, seed, l.parameters);
    rill_adam_init(l.count, l.adam);
    memset(l.gradient, 0, l.count * sizeof(float));
    return l;
}

/* One more sequence of the batch; its loss in nats. */
static inline double learner_take(learner *l, size_t length, const uint32_t *symbols,
                                  const uint32_t *targets) {
    return rill_symbol_model_gradient(&l->shape, l->parameters, length, symbols, targets, l->gradient,
                                      l->workspace);
}

/* The batch is whole: one step of Adam, at a rate that rises for 100 updates and then falls as a cosine. */
static inline void learner_update(learner *l, double rate, size_t update, size_t updates) {
    const double rise = update < 100 ? (double)(update + 1) / 100 : 1;
    const rill_adam adam = rill_adam_defaults(
        (float)(rate * rise * (0.5 + 0.5 * cos(3.14159 * (double)update / (double)updates))));
    rill_adam_step(&adam, l->count, l->adam, l->gradient, l->parameters);
    memset(l->gradient, 0, l->count * sizeof(float));
}

static inline void learner_close(learner *l) {
    free(l->parameters), free(l->gradient), free(l->adam), free(l->workspace);
}

#endif
