/* SPDX-License-Identifier: MIT */
/* Real time is a law: steps of the cache and the window, softmax attention and every feature map neither
 * allocate nor make a system call. */
#define _DEFAULT_SOURCE /* syscall */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include <rill/feature_map.h>
#include <rill/softmax.h>

#include "random_sequence.h"
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

static void push_heads(const rill_attention_shape *shape, void *state, const random_sequence *r,
                       bool chunkwise, size_t first_head, size_t head_count) {
    rill_sequence part = r->sequence;
    part.first_head = first_head;
    part.head_count = head_count;
    (chunkwise ? rill_attention_chunkwise : rill_attention_recurrent)(shape, state, &part, r->output);
}

/* A range of heads leaves what the whole leaves there, and the rest as it was. */
Test(forms, heads_may_be_shared_out) {
    random_seed(2009);
    for (int round = 0; round < 60; round++) {
        const rill_attention_shape shape = random_linear_or_gated(70);
        random_sequence r = random_sequence_make(&shape, random_below(150), -1);
        const size_t size = rill_attention_size(&shape), split = random_below(shape.heads);
        const bool chunkwise = random_below(2);
        void *whole = fresh_state(&shape), *shared = fresh_state(&shape);
        float *output = malloc((r.outputs + 1) * sizeof *output);
        push_heads(&shape, whole, &r, chunkwise, 0, 0);
        memcpy(output, r.output, r.outputs * sizeof *output);
        memset(r.output, 0x11, r.outputs * sizeof *output);
        push_heads(&shape, shared, &r, chunkwise, split, 0);
        for (size_t i = 0; i < r.outputs; i++) {
            const size_t query_head = i / shape.value_dim % shape.query_heads;
            if (query_head / (shape.query_heads / shape.heads) < split)
                cr_assert(memcmp(&r.output[i], "\x11\x11\x11\x11", 4) == 0);
        }
        if (split > 0) push_heads(&shape, shared, &r, chunkwise, 0, split);
        cr_assert_arr_eq(r.output, output, r.outputs * sizeof *output);
        cr_assert_arr_eq(shared, whole, size);
        free(output), free(shared), free(whole), free(r.memory);
    }
}

/* So they may in a batch: a range writes the zeros behind a sequence's end for its own heads only. */
Test(forms, heads_of_a_batch_may_be_shared_out) {
    enum { count = 3 };
    random_seed(2010);
    for (int round = 0; round < 40; round++) {
        const rill_attention_shape shape = random_linear_or_gated(20);
        const size_t padded = 1 + random_below(20), first = random_below(shape.heads);
        random_sequence r = random_sequence_make(&shape, count * padded, -1);
        size_t lengths[count];
        for (size_t n = 0; n < count; n++) lengths[n] = random_below(padded + 1);
        rill_sequence part = r.sequence;
        part.length = padded;
        part.first_head = first;
        part.head_count = 1;
        unsigned char *states = calloc(count, rill_attention_size(&shape));
        memset(r.output, 0x11, r.outputs * sizeof *r.output);
        rill_attention_batch(&shape, rill_attention_chunkwise, count, states, &part, lengths, r.output);
        for (size_t i = 0; i < r.outputs; i++) {
            const size_t step = i / shape.value_dim / shape.query_heads;
            const size_t query_head = i / shape.value_dim % shape.query_heads;
            if (query_head / (shape.query_heads / shape.heads) != first)
                cr_assert(memcmp(&r.output[i], "\x11\x11\x11\x11", 4) == 0, "another head's");
            else if (step % padded >= lengths[step / padded])
                cr_assert(r.output[i] == 0);
        }
        free(states), free(r.memory);
    }
}
