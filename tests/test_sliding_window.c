/* SPDX-License-Identifier: MIT */
/* A window is attention to the last steps, and to the first ones for ever, in constant memory. */
#include "random_attention.h"

#include <string.h>

typedef struct windowed {
    rill_sliding_window_shape shape;
    random_attention attention; /* the mask says what the window should see */
} windowed;

static windowed windowed_make(size_t length) {
    windowed w = {
        .shape = {random_softmax_shape(), random_below(2) ? 0 : random_below(6), 1 + random_below(20)}};
    w.attention = random_attention_make(w.shape.softmax, length, length);
    w.attention.mask = malloc(length * length + 1);
    for (size_t t = 0; t < length; t++)
        for (size_t j = 0; j < length; j++)
            w.attention.mask[t * length + j] = j <= t && (j < w.shape.sinks || t - j < w.shape.window);
    w.attention.input.mask = w.attention.mask;
    w.attention.input.mask_query_stride = length;
    return w;
}

static void push(const windowed *w, void *state, float *output) {
    const rill_softmax_shape *s = &w->shape.softmax;
    size_t end = w->attention.input.queries_length;
    for (size_t start = 0, length; start < end; start += length) {
        length = 1 + random_below(9);
        if (length > end - start) length = end - start;
        rill_sequence part = {.length = length,
                              .queries = w->attention.queries.data + start * s->query_heads * s->key_dim,
                              .keys = w->attention.keys.data + start * s->heads * s->key_dim,
                              .values = w->attention.values.data + start * s->heads * s->value_dim};
        rill_sliding_window_step(&w->shape, state, &part, output + start * s->query_heads * s->value_dim);
    }
}

static void *state_make(const rill_sliding_window_shape *shape) {
    void *state = malloc(rill_sliding_window_size(shape));
    memset(state, 0xff, rill_sliding_window_size(shape));
    rill_sliding_window_init(shape, state);
    return state;
}

Test(sliding_window, sees_the_last_steps_and_the_sinks) {
    random_seed(1);
    for (int round = 0; round < 60; round++) {
        windowed w = windowed_make(random_below(100));
        void *state = state_make(&w.shape);
        guarded_floats output = guarded_output(w.attention.input.queries_length *
                                               w.shape.softmax.query_heads * w.shape.softmax.value_dim);
        push(&w, state, output.data);
        expect_rows(&w.attention, output.data);
        rill_sliding_window_reset(&w.shape, state);
        push(&w, state, output.data);
        expect_rows(&w.attention, output.data);
        guarded_free(&output);
        free(state);
        random_attention_free(&w.attention);
    }
}

/* A bad step is NaN in its own outputs; when the window has passed it by there is no trace of it. */
Test(sliding_window, forgets_a_bad_step) {
    random_seed(2);
    for (int round = 0; round < 40; round++) {
        windowed w = windowed_make(1 + random_below(60));
        const rill_softmax_shape *s = &w.shape.softmax;
        size_t length = w.attention.input.queries_length, bad = random_below(length),
               row = s->query_heads * s->value_dim;
        for (size_t head = 0; head < s->heads; head++)
            w.attention.values.data[(bad * s->heads + head) * s->value_dim] = NAN;
        for (size_t t = 0; t < length; t++) w.attention.mask[t * length + bad] = false;
        void *state = state_make(&w.shape);
        guarded_floats output = guarded_output(length * row);
        push(&w, state, output.data);
        for (size_t t = 0; t < length; t++) {
            if (t != bad) expect_row(&w.attention, t, output.data + t * row);
            for (size_t m = 0; m < row && t == bad; m++) cr_assert(isnan(output.data[t * row + m]));
        }
        guarded_free(&output);
        free(state);
        random_attention_free(&w.attention);
    }
}

Test(sliding_window, its_size_depends_on_the_shape_alone) {
    const rill_sliding_window_shape good = {
        {.heads = 2, .query_heads = 4, .key_dim = 8, .value_dim = 8, .scale = 1}, 4, 16};
    rill_sliding_window_shape bad = good;
    cr_assert(rill_sliding_window_check(&good, NULL) == RILL_OK);
    cr_assert(rill_sliding_window_size(&good) >= 20 * 2 * 16 * sizeof(float));
    bad.window = 0;
    cr_assert(rill_sliding_window_check(&bad, NULL) == RILL_BAD_ARGUMENT);
    bad = good, bad.sinks = SIZE_MAX;
    cr_assert(rill_sliding_window_check(&bad, NULL) == RILL_BAD_ARGUMENT);
    bad = good, bad.window = SIZE_MAX / 64;
    cr_assert(rill_sliding_window_check(&bad, NULL) == RILL_BAD_ARGUMENT);
    bad = good, bad.softmax.heads = 3;
    cr_assert(rill_sliding_window_check(&bad, NULL) == RILL_BAD_ARGUMENT);
}
