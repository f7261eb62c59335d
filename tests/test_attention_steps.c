/* SPDX-License-Identifier: MIT */
/* Real time is a law: steps of the cache and the window, softmax attention and every feature map neither
 * allocate nor make a system call. */
#define _DEFAULT_SOURCE /* syscall */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include <rill/feature_map.h>
#include <rill/softmax.h>

#include "count_allocations.h"
#if defined(__linux__)
#include "no_system_calls.h"
#endif

enum { heads = 2, dim = 24, length = 40, row = heads * dim, features = (dim + 1) * (dim + 2) / 2 };

typedef struct workshop {
    rill_softmax_shape shape;
    rill_sliding_window_shape window;
    void *cache, *ring;
    float x[length * row], output[length * row], projections[dim * dim], mapped[length * heads * features];
} workshop;

static workshop *workshop_open(void) {
    workshop *w = malloc(sizeof *w);
    memset(w, 0, sizeof *w);
    w->shape = (rill_softmax_shape){
        .heads = heads, .query_heads = heads, .key_dim = dim, .value_dim = dim, .scale = 0.2f, .softcap = 5};
    w->window = (rill_sliding_window_shape){w->shape, 2, 8};
    w->cache = malloc(rill_key_value_cache_size(&w->shape, length));
    w->ring = malloc(rill_sliding_window_size(&w->window));
    rill_key_value_cache_init(&w->shape, w->cache, length);
    rill_sliding_window_init(&w->window, w->ring);
    for (size_t i = 0; i < length * row; i++) w->x[i] = (float)(i % 17) / 8 - 1;
    rill_softmax_attention(&w->shape, &(rill_softmax_input){0}, w->output); /* the kernels are chosen once */
    rill_feature_map_elu1(1, w->x, w->output);
    return w;
}

static void workshop_close(workshop *w) {
    free(w->cache);
    free(w->ring);
    free(w);
}

static void map(workshop *w) {
    const size_t count = length * heads;
    rill_feature_map_relu(count * dim, w->x, w->mapped);
    rill_feature_map_exponential(count * dim, w->x, w->mapped);
    rill_feature_map_identity(count * dim, w->x, w->mapped);
    rill_random_projections_draw(3, true, dim, dim, w->projections);
    rill_feature_map_favor(count, dim, dim, w->projections, 0.2f, 0, w->x, w->mapped);
    rill_feature_map_random_fourier(count, dim, dim, w->projections, 0.2f, w->x, w->mapped);
    rill_feature_map_taylor(count, dim, 0.2f, w->x, w->mapped);
    rill_feature_map_dpfp(count, dim, 3, w->x, w->mapped);
    rill_feature_map_cosformer(length, heads, dim, 7, 100, w->x, w->mapped);
    rill_feature_map_hedgehog(count, dim, dim, w->projections, NULL, true, w->x, w->mapped);
    rill_feature_map_divide_by_sum(count, dim, w->mapped);
}

/* false when a step left a number that is none */
static bool work(void *with) {
    workshop *w = with;
    for (size_t t = 0; t < length; t++) {
        rill_sequence step = {
            .length = 1, .queries = w->x + t * row, .keys = w->x + t * row, .values = w->x + t * row};
        rill_key_value_cache_step(&w->shape, w->cache, &step, w->output + t * row);
        rill_sliding_window_step(&w->window, w->ring, &step, w->output + t * row);
    }
    map(w);
    for (size_t i = 0; i < length * row; i++)
        if (!(w->output[i] >= -1.0001f && w->output[i] <= 1.2501f)) return false; /* means of such values */
    return true;
}

Test(attention_steps, allocate_nothing) {
    workshop *w = workshop_open();
    size_t before = atomic_load(&allocations);
    cr_assert(work(w));
    cr_assert(atomic_load(&allocations) == before);
    workshop_close(w);
    if (!COUNTS_ALLOCATIONS) cr_skip_test("a sanitizer stands in front of the heap");
}

#if defined(__linux__)
Test(attention_steps, make_no_system_call) {
    workshop *w = workshop_open();
    cr_assert(works_without_system_calls(work, w));
    workshop_close(w);
}
#endif
