/* SPDX-License-Identifier: MIT */
/* A cache is causal attention, on every split of a sequence, after any history. */
#include "random_attention.h"

#include <string.h>

static void *cache_make(const rill_softmax_shape *shape, size_t capacity) {
    size_t size = rill_key_value_cache_size(shape, capacity);
    void *cache = malloc(size);
    memset(cache, 0xff, size);
    rill_key_value_cache_init(shape, cache, capacity);
    return cache;
}

static rill_sequence part_of(const random_attention *a, size_t start, size_t length) {
    const rill_softmax_shape *s = &a->shape;
    return (rill_sequence){.length = length,
                           .queries = a->queries.data + start * s->query_heads * s->key_dim,
                           .keys = a->keys.data + start * s->heads * s->key_dim,
                           .values = a->values.data + start * s->heads * s->value_dim};
}

/* from `start` on, in parts of 1 … longest steps */
static void push(const random_attention *a, void *cache, size_t start, size_t end, size_t longest,
                 float *output) {
    while (start < end) {
        size_t length = 1 + random_below(longest);
        if (length > end - start) length = end - start;
        rill_sequence part = part_of(a, start, length);
        rill_key_value_cache_step(&a->shape, cache, &part,
                                  output + start * a->shape.query_heads * a->shape.value_dim);
        start += length;
    }
}

static random_attention causal_attention(rill_softmax_shape shape, size_t length) {
    random_attention a = random_attention_make(shape, length, length);
    a.input.causal = true;
    return a;
}

static guarded_floats output_of(const random_attention *a) {
    return guarded_output(a->input.queries_length * a->shape.query_heads * a->shape.value_dim);
}

Test(key_value_cache, is_causal_attention_on_every_split) {
    random_seed(1);
    for (int round = 0; round < 60; round++) {
        size_t length = random_below(120);
        random_attention a =
            causal_attention(round % 3 ? random_softmax_shape() : random_product_shape(), length);
        void *cache = cache_make(&a.shape, length + random_below(3));
        guarded_floats output = output_of(&a);
        push(&a, cache, 0, length, 1 + random_below(40), output.data);
        expect_rows(&a, output.data);
        cr_assert(rill_key_value_cache_length(cache) == length);
        guarded_free(&output);
        free(cache);
        random_attention_free(&a);
    }
}

/* Grow, take back, go on: as if the past had always been what it is now. */
Test(key_value_cache, goes_on_after_growing_and_taking_back) {
    random_seed(2);
    for (int round = 0; round < 40; round++) {
        size_t length = 2 + random_below(100), middle = random_below(length), back = random_below(middle + 1);
        random_attention a = causal_attention(random_softmax_shape(), length);
        void *small = cache_make(&a.shape, middle), *large = cache_make(&a.shape, length);
        guarded_floats output = output_of(&a);
        push(&a, small, 0, middle, 20, output.data);
        rill_key_value_cache_copy(&a.shape, small, large);
        rill_key_value_cache_truncate(large, back);
        push(&a, large, back, length, 20, output.data);
        expect_rows(&a, output.data);
        rill_key_value_cache_reset(&a.shape, large);
        cr_assert(rill_key_value_cache_length(large) == 0 && rill_key_value_cache_capacity(large) == length);
        push(&a, large, 0, length, 20, output.data);
        expect_rows(&a, output.data);
        guarded_free(&output);
        free(small);
        free(large);
        random_attention_free(&a);
    }
}

/* A step with a NaN or an infinity in a head's key or value: NaN now, and as if it had never been, later. */
Test(key_value_cache, leaves_bad_steps_out_head_by_head) {
    random_seed(3);
    for (int round = 0; round < 40; round++) {
        size_t length = 1 + random_below(60);
        random_attention a = causal_attention(random_softmax_shape(), length);
        const rill_softmax_shape *s = &a.shape;
        size_t group = s->query_heads / s->heads;
        a.mask = malloc(s->query_heads * length);
        memset(a.mask, true, s->query_heads * length);
        for (int n = 0; n < 4; n++) {
            size_t head = random_below(s->heads), t = random_below(length);
            guarded_floats *bad = random_below(2) ? &a.keys : &a.values;
            size_t dim = bad == &a.keys ? s->key_dim : s->value_dim;
            bad->data[(t * s->heads + head) * dim + random_below(dim)] = random_below(2) ? NAN : -INFINITY;
            for (size_t i = 0; i < group; i++) a.mask[(head * group + i) * length + t] = false;
        }
        a.input.mask = a.mask;
        a.input.mask_head_stride = length;
        void *cache = cache_make(s, length);
        guarded_floats output = output_of(&a);
        push(&a, cache, 0, length, 9, output.data);
        for (size_t i = 0; i < length * s->query_heads; i++) {
            double *want = calloc(2 * s->value_dim, sizeof *want);
            softmax_define_row(s, &a.input, i % s->query_heads, i / s->query_heads, want,
                               want + s->value_dim);
            bool bad = !a.mask[i % s->query_heads * length + i / s->query_heads];
            for (size_t m = 0; m < s->value_dim; m++) {
                double got = (double)output.data[i * s->value_dim + m];
                cr_assert(bad ? isnan(got) : fabs(got - want[m]) <= want[s->value_dim + m], "round %d",
                          round);
            }
            free(want);
        }
        guarded_free(&output);
        free(cache);
        random_attention_free(&a);
    }
}

Test(key_value_cache, refuses_what_has_no_size) {
    const rill_softmax_shape shape = {.heads = 2, .query_heads = 4, .key_dim = 8, .value_dim = 8, .scale = 1};
    rill_softmax_shape wide = shape, none = shape;
    wide.key_dim = SIZE_MAX / 4;
    none.heads = 0;
    cr_assert(rill_key_value_cache_check(&shape, 0, NULL) == RILL_OK);
    cr_assert(rill_key_value_cache_check(&shape, SIZE_MAX / 100, NULL) == RILL_BAD_ARGUMENT);
    cr_assert(rill_key_value_cache_check(&shape, SIZE_MAX, NULL) == RILL_BAD_ARGUMENT);
    cr_assert(rill_key_value_cache_check(&wide, 1, NULL) == RILL_BAD_ARGUMENT);
    cr_assert(rill_key_value_cache_check(&none, 1, NULL) == RILL_BAD_ARGUMENT);
}
