/* SPDX-License-Identifier: MIT */
/* Random shapes and inputs of softmax attention, in guarded blocks. */
#ifndef RILL_TEST_RANDOM_ATTENTION_H
#define RILL_TEST_RANDOM_ATTENTION_H

#include <criterion/criterion.h>

#include "guarded_floats.h"
#include "softmax_definition.h"

typedef struct random_attention {
    rill_softmax_shape shape;
    rill_softmax_input input;
    guarded_floats queries, keys, values, bias;
    bool *mask;
} random_attention;

static inline rill_softmax_shape random_softmax_shape(void) {
    rill_softmax_shape shape = {.heads = 1 + random_below(3),
                                .key_dim = 1 + random_below(random_below(4) ? 20 : 160)};
    shape.query_heads = shape.heads * (1 + random_below(3));
    shape.value_dim = 1 + random_below(random_below(4) ? 20 : 160);
    shape.scale = (float)(4 * random_uniform() / sqrt((double)shape.key_dim));
    if (random_below(3) == 0) shape.softcap = (float)(0.1 + 3 * random_uniform());
    return shape;
}

/* A product of positive features, now and then normalized. */
static inline rill_softmax_shape random_product_shape(void) {
    rill_softmax_shape shape = random_softmax_shape();
    shape.similarity = RILL_SIMILARITY_PRODUCT;
    shape.softcap = 0;
    shape.normalize = random_below(2);
    shape.epsilon = 1e-6f;
    return shape;
}

static inline random_attention random_attention_make(rill_softmax_shape shape, size_t queries, size_t keys) {
    double low = shape.similarity == RILL_SIMILARITY_PRODUCT && shape.normalize ? 0.001 : -2;
    random_attention a = {.shape = shape, .input = {.queries_length = queries, .keys_length = keys}};
    a.queries = guarded_input(queries * shape.query_heads * shape.key_dim, low, 2);
    a.keys = guarded_input(keys * shape.heads * shape.key_dim, low, 2);
    a.values = guarded_input(keys * shape.heads * shape.value_dim, -3, 3);
    a.input.queries = a.queries.data;
    a.input.keys = a.keys.data;
    a.input.values = a.values.data;
    return a;
}

/* Any of causal, windowed, masked, biased; some rows then see nothing. */
static inline void random_attention_hide(random_attention *a) {
    rill_softmax_input *input = &a->input;
    size_t queries = input->queries_length, keys = input->keys_length;
    input->offset = (ptrdiff_t)random_below(keys + 10) - 5;
    input->causal = random_below(2);
    input->windowed = random_below(2);
    input->window_before = random_below(3) ? random_below(keys + 3) : RILL_UNBOUNDED;
    input->window_after = random_below(3) ? random_below(keys + 3) : RILL_UNBOUNDED;
    bool by_head = random_below(2), by_query = random_below(2);
    size_t rows = (by_head ? a->shape.query_heads : 1) * (by_query ? queries : 1);
    if (random_below(2)) {
        a->mask = malloc(rows * keys + 1);
        for (size_t i = 0; i < rows * keys; i++) a->mask[i] = random_below(3);
        input->mask = a->mask;
        input->mask_head_stride = by_head ? keys * (by_query ? queries : 1) : 0;
        input->mask_query_stride = by_query ? keys : 0;
    }
    if (a->shape.similarity == RILL_SIMILARITY_SOFTMAX && random_below(2)) {
        a->bias = guarded_input(rows * keys, -4, 4);
        for (size_t i = 0; i < rows * keys; i++)
            if (random_below(5) == 0) a->bias.data[i] = -INFINITY;
        input->bias = a->bias.data;
        input->bias_head_stride = by_head ? keys * (by_query ? queries : 1) : 0;
        input->bias_query_stride = by_query ? keys : 0;
    }
}

static inline void random_attention_free(random_attention *a) {
    guarded_free(&a->queries);
    guarded_free(&a->keys);
    guarded_free(&a->values);
    if (a->bias.block) guarded_free(&a->bias);
    free(a->mask);
}

/* Row i of the output against row i of the definition. */
static inline void expect_row(const random_attention *a, size_t i, const float *row) {
    double *want = calloc(2 * a->shape.value_dim, sizeof *want), *tolerance = want + a->shape.value_dim;
    for (size_t head = 0; head < a->shape.query_heads; head++) {
        softmax_define_row(&a->shape, &a->input, head, i, want, tolerance);
        for (size_t m = 0; m < a->shape.value_dim; m++) {
            double got = (double)row[head * a->shape.value_dim + m];
            cr_assert(isnan(want[m]) ? isnan(got) : fabs(got - want[m]) <= tolerance[m],
                      "query %zu of %zu, head %zu, %zu keys of %zu: output %zu is %.9g, want %.9g ± %.3g", i,
                      a->input.queries_length, head, a->input.keys_length, a->shape.key_dim, m, got, want[m],
                      tolerance[m]);
        }
    }
    free(want);
}

static inline void expect_rows(const random_attention *a, const float *output) {
    for (size_t i = 0; i < a->input.queries_length; i++)
        expect_row(a, i, output + i * a->shape.query_heads * a->shape.value_dim);
}

#endif
