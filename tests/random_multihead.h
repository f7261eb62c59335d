/* SPDX-License-Identifier: MIT */
/* Random weights of multi-head attention and of dense layers, and random sights. */
#ifndef RILL_TEST_RANDOM_MULTIHEAD_H
#define RILL_TEST_RANDOM_MULTIHEAD_H

#include <math.h>

#include <rill/multihead.h>

#include "guarded_floats.h"

/* Everything drawn for one round, freed together. */
typedef struct random_pool {
    size_t count;
    guarded_floats floats[256];
    void *masks[8];
    size_t masks_count;
} random_pool;

static inline float *pool_floats(random_pool *pool, size_t count, double size) {
    cr_assert(pool->count < sizeof pool->floats / sizeof *pool->floats);
    pool->floats[pool->count] = guarded_input(count, -size, size);
    return pool->floats[pool->count++].data;
}

static inline void pool_free(random_pool *pool) {
    for (size_t i = 0; i < pool->count; i++) guarded_free(&pool->floats[i]);
    for (size_t i = 0; i < pool->masks_count; i++) free(pool->masks[i]);
    *pool = (random_pool){0};
}

/* Fan-in scaling keeps the numbers near 1. */
static inline rill_dense_weights random_dense(random_pool *pool, size_t inputs, size_t outputs) {
    return (rill_dense_weights){inputs, outputs,
                                pool_floats(pool, inputs * outputs, sqrt(3 / (double)inputs)),
                                pool_floats(pool, outputs, 0.5)};
}

static inline rill_multihead random_multihead(random_pool *pool, rill_multihead_kind kind, size_t dim,
                                              size_t memory_dim) {
    const size_t heads = 1 + random_below(4), keys = heads * (1 + random_below(9)),
                 values = heads * (1 + random_below(9));
    return (rill_multihead){.kind = kind,
                            .heads = heads,
                            .epsilon = random_below(2) ? 0 : 1e-3f,
                            .query = random_dense(pool, dim, keys),
                            .key = random_dense(pool, memory_dim, keys),
                            .value = random_dense(pool, memory_dim, values),
                            .output = random_dense(pool, values, dim)};
}

static inline bool *pool_mask(random_pool *pool, size_t count) {
    bool *mask = malloc(count + 1);
    for (size_t i = 0; i < count; i++) mask[i] = random_below(4) > 0;
    return pool->masks[pool->masks_count++] = mask;
}

/* Any sight that the kind knows. */
static inline rill_sight random_sight(random_pool *pool, rill_multihead_kind kind, size_t heads,
                                      size_t queries, size_t keys) {
    rill_sight sight = {0};
    if (random_below(2)) sight.mask = pool_mask(pool, heads * queries * keys + keys);
    if (kind == RILL_MULTIHEAD_LINEAR) {
        sight.causal = queries == keys && random_below(2);
        return sight;
    }
    sight.causal = random_below(2);
    sight.windowed = random_below(3) == 0;
    sight.window_before = random_below(5);
    sight.window_after = random_below(2) ? RILL_UNBOUNDED : random_below(5);
    if (random_below(2)) sight.mask_query_stride = keys;
    if (random_below(2)) sight.mask_head_stride = queries * keys;
    if (random_below(2)) {
        float *bias = pool_floats(pool, heads * queries * keys + keys, 2);
        for (size_t i = 0; i < heads * queries * keys; i++)
            if (random_below(8) == 0) bias[i] = -INFINITY;
        sight.bias = bias;
        sight.bias_query_stride = random_below(2) ? keys : 0;
        sight.bias_head_stride = random_below(2) ? queries * keys : 0;
    }
    return sight;
}

#endif
