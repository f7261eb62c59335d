/* SPDX-License-Identifier: MIT */
/* A window on linear attention is the definition over the last steps, and what left it leaves no trace. */
#include <rill/linear_window.h>

#include "random_attention.h"

typedef struct windowed {
    rill_linear_window_shape shape;
    random_attention attention; /* the same, as a windowed product of features */
} windowed;

static windowed windowed_make(size_t length) {
    rill_softmax_shape product = random_product_shape();
    if (product.normalize) product.scale = 1; /* a normalizer's ε is added to unscaled weights */
    windowed w = {.shape = {.attention = {.rule = RILL_RULE_LINEAR,
                                          .heads = product.heads,
                                          .query_heads = product.query_heads,
                                          .key_dim = product.key_dim,
                                          .value_dim = product.value_dim,
                                          .normalize = product.normalize,
                                          .epsilon = product.epsilon,
                                          .scale = product.scale},
                            .window = 1 + random_below(random_below(3) ? 30 : 200)}};
    w.attention = random_attention_make(product, length, length);
    w.attention.input.causal = w.attention.input.windowed = true;
    w.attention.input.window_before = w.shape.window - 1;
    return w;
}

static rill_sequence part_of(const windowed *w, size_t start, size_t length) {
    const rill_attention_shape *s = &w->shape.attention;
    return (rill_sequence){.length = length,
                           .queries = w->attention.queries.data + start * s->query_heads * s->key_dim,
                           .keys = w->attention.keys.data + start * s->heads * s->key_dim,
                           .values = w->attention.values.data + start * s->heads * s->value_dim};
}

static size_t row_of(const windowed *w) {
    return w->shape.attention.query_heads * w->shape.attention.value_dim;
}

static void push(const windowed *w, void *state, size_t from, size_t to, size_t longest, float *output) {
    for (size_t start = from, length; start < to; start += length) {
        length = 1 + random_below(longest);
        if (length > to - start) length = to - start;
        rill_sequence part = part_of(w, start, length);
        rill_linear_window_step(&w->shape, state, &part, output + start * row_of(w));
    }
}

static void *state_make(const rill_linear_window_shape *shape) {
    void *state = malloc(rill_linear_window_size(shape));
    memset(state, 0xff, rill_linear_window_size(shape));
    rill_linear_window_init(shape, state);
    return state;
}

Test(linear_window, is_the_definition_over_the_last_steps) {
    random_seed(2006);
    for (int round = 0; round < 60; round++) {
        size_t length = random_below(400);
        windowed w = windowed_make(length);
        void *state = state_make(&w.shape);
        guarded_floats output = guarded_output(length * row_of(&w)),
                       again = guarded_output(length * row_of(&w));
        push(&w, state, 0, length, 40, output.data);
        expect_rows(&w.attention, output.data);
        rill_linear_window_reset(&w.shape, state);
        push(&w, state, 0, length, 1, again.data);
        cr_assert_arr_eq(output.data, again.data, length * row_of(&w) * sizeof(float),
                         "another split gave other bits");
        guarded_free(&output);
        guarded_free(&again);
        free(state);
        random_attention_free(&w.attention);
    }
}

/* A window wider than the sequence is plain linear attention. */
Test(linear_window, wider_than_the_sequence_is_the_recurrence) {
    random_seed(2);
    for (int round = 0; round < 30; round++) {
        size_t length = 1 + random_below(60);
        windowed w = windowed_make(length);
        w.shape.window = length + random_below(50);
        w.attention.input.window_before = w.shape.window - 1;
        void *state = state_make(&w.shape), *plain = malloc(rill_attention_size(&w.shape.attention));
        guarded_floats output = guarded_output(length * row_of(&w)),
                       full = guarded_output(length * row_of(&w));
        push(&w, state, 0, length, 9, output.data);
        rill_sequence whole = part_of(&w, 0, length);
        rill_attention_init(&w.shape.attention, plain);
        rill_attention_recurrent(&w.shape.attention, plain, &whole, full.data);
        expect_rows(&w.attention, output.data);
        expect_rows(&w.attention, full.data);
        guarded_free(&output);
        guarded_free(&full);
        free(state);
        free(plain);
        random_attention_free(&w.attention);
    }
}

/* After a window of steps the memory is, to the bit, that of a stream that began with them: a thousand times
 * louder history and all its rounding are gone. What subtracts cannot do that. */
Test(linear_window, has_no_history) {
    random_seed(3);
    for (int round = 0; round < 40; round++) {
        windowed w = windowed_make(0);
        size_t window = w.shape.window, before = window * (1 + random_below(5)), length = before + window;
        random_attention_free(&w.attention);
        w.attention = random_attention_make(w.attention.shape, length, length);
        for (size_t i = 0; i < before * w.shape.attention.heads * w.shape.attention.value_dim; i++)
            w.attention.values.data[i] *= 1e6f;
        void *old = state_make(&w.shape), *young = state_make(&w.shape);
        guarded_floats output = guarded_output(length * row_of(&w));
        push(&w, old, 0, length, 50, output.data);
        push(&w, young, before, length, 50, output.data);
        cr_assert_arr_eq(old, young, rill_linear_window_size(&w.shape), "window %zu, history %zu", window,
                         before);
        guarded_free(&output);
        free(old);
        free(young);
        random_attention_free(&w.attention);
    }
}

/* A bad step is NaN in the outputs of its head and is, for all others, as if it had weighed nothing. */
Test(linear_window, leaves_a_bad_step_out) {
    random_seed(4);
    for (int round = 0; round < 40; round++) {
        size_t length = 1 + random_below(100), bad = random_below(length);
        windowed w = windowed_make(length);
        const rill_attention_shape *s = &w.shape.attention;
        size_t head = random_below(s->heads), group = s->query_heads / s->heads, row = row_of(&w);
        float *key = w.attention.keys.data + (bad * s->heads + head) * s->key_dim,
              *value = w.attention.values.data + (bad * s->heads + head) * s->value_dim;
        (random_below(2) ? key : value)[0] = random_below(2) ? NAN : -INFINITY;
        void *state = state_make(&w.shape);
        guarded_floats output = guarded_output(length * row);
        push(&w, state, 0, length, 30, output.data);
        memset(key, 0, s->key_dim * sizeof *key);
        memset(value, 0, s->value_dim * sizeof *value);
        for (size_t i = bad * row; i < (bad + 1) * row; i++) {
            bool spoiled = i % row / s->value_dim / group == head;
            cr_assert(isnan(output.data[i]) == spoiled);
        }
        for (size_t t = 0; t < length; t++)
            if (t != bad) expect_row(&w.attention, t, output.data + t * row);
        guarded_free(&output);
        free(state);
        random_attention_free(&w.attention);
    }
}

Test(linear_window, its_size_depends_on_the_shape_alone) {
    const rill_linear_window_shape good = {{.rule = RILL_RULE_LINEAR,
                                            .heads = 2,
                                            .query_heads = 4,
                                            .key_dim = 64,
                                            .value_dim = 64,
                                            .normalize = true,
                                            .epsilon = 1e-6f},
                                           1024};
    rill_linear_window_shape bad = good;
    rill_error why;
    cr_assert_eq(rill_linear_window_check(&good, &why), RILL_OK);
    size_t ring = (size_t)1024 * 2 * 128 * sizeof(float);
    cr_assert(rill_linear_window_size(&good) > ring && rill_linear_window_size(&good) < ring * 31 / 10);
    bad.window = 0;
    cr_assert_eq(rill_linear_window_check(&bad, &why), RILL_BAD_ARGUMENT);
    bad.window = SIZE_MAX / 256;
    cr_assert_eq(rill_linear_window_check(&bad, &why), RILL_BAD_ARGUMENT);
    bad.window = SIZE_MAX;
    cr_assert_eq(rill_linear_window_check(&bad, &why), RILL_BAD_ARGUMENT);
    bad = good, bad.attention.rule = RILL_RULE_DELTA, bad.attention.normalize = false;
    cr_assert_eq(rill_linear_window_check(&bad, &why), RILL_BAD_ARGUMENT);
    bad = good, bad.attention.heads = 3;
    cr_assert_eq(rill_linear_window_check(&bad, &why), RILL_BAD_ARGUMENT);
}
