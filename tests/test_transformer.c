/* SPDX-License-Identifier: MIT */
/* Encoders and decoders against their definition in double, whole and step by step. */
#include <stdio.h>

#include "bounded_rows.h"
#include "count_allocations.h"
#include "random_multihead.h"

#include <rill/transformer.h>

static random_pool pool;

/* ---- random transformers ---- */

static rill_norm_weights random_norm(size_t dim) {
    float *weight = pool_floats(&pool, dim, 0.3);
    for (size_t i = 0; i < dim; i++) weight[i] += 1;
    return (rill_norm_weights){weight, pool_floats(&pool, dim, 0.3)};
}

static rill_transformer_layer random_layer(rill_multihead_kind self, rill_multihead_kind cross,
                                           bool has_cross, bool norm_first, size_t dim, size_t memory_dim) {
    const size_t wide = 1 + random_below(30);
    rill_transformer_layer layer = {.self = random_multihead(&pool, self, dim, dim),
                                    .has_cross = has_cross,
                                    .self_norm = random_norm(dim),
                                    .feed_forward_norm = random_norm(dim),
                                    .expand = random_dense(&pool, dim, wide),
                                    .project = random_dense(&pool, wide, dim),
                                    .activation =
                                        random_below(2) ? RILL_ACTIVATION_GELU : RILL_ACTIVATION_RELU,
                                    .norm_first = norm_first,
                                    .norm_epsilon = random_below(2) ? 1e-5f : 1e-2f};
    if (has_cross) {
        layer.cross = random_multihead(&pool, cross, dim, memory_dim);
        layer.cross_norm = random_norm(dim);
    }
    return layer;
}

static rill_transformer random_transformer(size_t count, rill_transformer_layer *layers, size_t *dim,
                                           size_t *memory_dim) {
    const bool has_cross = random_below(2), norm_first = random_below(2);
    const rill_multihead_kind self = (rill_multihead_kind)random_below(2),
                              cross = (rill_multihead_kind)random_below(2);
    rill_transformer transformer = {.layers_count = count, .layers = layers};
    *dim = 6 + random_below(12);
    *memory_dim = 1 + random_below(12);
    for (size_t i = 0; i < transformer.layers_count; i++)
        layers[i] = random_layer(self, cross, has_cross, norm_first, *dim, *memory_dim);
    if (random_below(2)) {
        transformer.norm = random_norm(*dim);
        transformer.norm_epsilon = 1e-5f;
    }
    cr_assert(rill_transformer_check(&transformer, NULL) == RILL_OK);
    return transformer;
}

/* Rows x, and for layers that look at a memory that too, some of it hidden, with or without positions. The
 * caller says what the rows see of each other, and whether they have positions. */
static rill_transformer_input random_input(bool has_cross, size_t length, size_t dim, size_t rows,
                                           size_t memory_dim) {
    rill_transformer_input input = {.length = length, .x = pool_floats(&pool, length * dim, 1)};
    if (has_cross) {
        input.memory_length = rows;
        input.memory = pool_floats(&pool, rows * memory_dim, 1);
        input.memory_sight.mask = pool_mask(&pool, rows);
        if (random_below(2)) input.memory_position = pool_floats(&pool, rows * memory_dim, 1);
    }
    return input;
}

/* A stream that has its memory, to be freed. */
static unsigned char *new_stream(const rill_transformer *transformer, const rill_transformer_input *input,
                                 void *workspace) {
    const size_t rows = input->memory_length;
    cr_assert(rill_transformer_stream_check(transformer, input->length, rows, NULL) == RILL_OK);
    unsigned char *stream = malloc(rill_transformer_size(transformer, input->length, rows));
    rill_transformer_init(transformer, stream, input->length, rows);
    if (transformer->layers->has_cross)
        rill_transformer_remember(transformer, stream, rows, input->memory, input->memory_position,
                                  input->memory_sight.mask, workspace);
    return stream;
}

/* ---- the definition ---- */

/* The rows a sublayer works on. */
static bounded *entered(const rill_transformer_layer *layer, const rill_norm_weights *norm, size_t length,
                        size_t dim, const bounded *hidden) {
    bounded *rows = bounded_plus(length * dim, hidden, NULL);
    if (layer->norm_first) bounded_norm(norm, layer->norm_epsilon, length, dim, rows);
    return rows;
}

static void left(const rill_transformer_layer *layer, const rill_norm_weights *norm, size_t length,
                 size_t dim, const bounded *addend, bounded *hidden) {
    for (size_t n = 0; n < length * dim; n++) hidden[n] = bounded_sum(hidden[n], addend[n]);
    if (!layer->norm_first) bounded_norm(norm, layer->norm_epsilon, length, dim, hidden);
}

static void define_layer(const rill_transformer_layer *layer, const rill_transformer_input *input,
                         bounded *hidden) {
    const size_t dim = layer->self.query.inputs, length = input->length, memory_dim = layer->cross.key.inputs,
                 rows_count = input->memory_length;
    bounded *rows = entered(layer, &layer->self_norm, length, dim, hidden);
    bounded *placed = bounded_plus(length * dim, rows, input->position);
    bounded *addend = bounded_multihead(&layer->self, &input->sight, length, placed, length, placed, rows);
    left(layer, &layer->self_norm, length, dim, addend, hidden);
    free(rows);
    free(placed);
    free(addend);
    if (layer->has_cross) {
        rows = entered(layer, &layer->cross_norm, length, dim, hidden);
        placed = bounded_plus(length * dim, rows, input->position);
        bounded *memory = bounded_of(rows_count * memory_dim, input->memory),
                *keys = bounded_plus(rows_count * memory_dim, memory, input->memory_position);
        addend =
            bounded_multihead(&layer->cross, &input->memory_sight, length, placed, rows_count, keys, memory);
        left(layer, &layer->cross_norm, length, dim, addend, hidden);
        free(rows);
        free(placed);
        free(memory);
        free(keys);
        free(addend);
    }
    rows = entered(layer, &layer->feed_forward_norm, length, dim, hidden);
    bounded *wide = bounded_dense(&layer->expand, length, rows);
    for (size_t n = 0; n < length * layer->expand.outputs; n++)
        wide[n] = layer->activation == RILL_ACTIVATION_GELU ? bounded_gelu(wide[n]) : bounded_relu(wide[n]);
    addend = bounded_dense(&layer->project, length, wide);
    left(layer, &layer->feed_forward_norm, length, dim, addend, hidden);
    free(rows);
    free(wide);
    free(addend);
}

static bounded *define(const rill_transformer *transformer, const rill_transformer_input *input) {
    const size_t dim = transformer->layers->self.query.inputs;
    bounded *hidden = bounded_of(input->length * dim, input->x);
    for (size_t i = 0; i < transformer->layers_count; i++)
        define_layer(transformer->layers + i, input, hidden);
    if (transformer->norm.weight)
        bounded_norm(&transformer->norm, transformer->norm_epsilon, input->length, dim, hidden);
    return hidden;
}

/* Returns the bound's largest value. One layer is held to the definition, several are held to one. */
static double expect_rows(size_t count, const float *got, const bounded *want, const char *way) {
    double largest = 0;
    for (size_t n = 0; n < count; n++) {
        cr_assert(fabs((double)got[n] - want[n].value) <= BOUNDED_TIMES * want[n].off + 1e-30,
                  "%s, output %zu: %g, want %g ± %g", way, n, (double)got[n], want[n].value, want[n].off);
        largest = fmax(largest, want[n].off);
    }
    return largest;
}

/* ---- the laws ---- */

Test(transformer, is_its_definition) {
    double largest = 0;
    random_seed(17060376203);
    for (int round = 0; round < 150; round++) {
        rill_transformer_layer layers[1];
        size_t dim, memory_dim;
        const rill_transformer t = random_transformer(1, layers, &dim, &memory_dim);
        const size_t length = random_below(14), rows = random_below(14);
        rill_transformer_input input = random_input(layers[0].has_cross, length, dim, rows, memory_dim);
        /* layers differ in heads, so a sight may be of no head alone */
        input.sight = (rill_sight){.causal = random_below(2), .mask = pool_mask(&pool, length)};
        if (random_below(2)) input.position = pool_floats(&pool, length * dim, 1);
        guarded_floats output = guarded_output(length * dim);
        void *workspace = malloc(rill_transformer_workspace_size(&t, length, rows));
        rill_transformer_apply(&t, &input, output.data, workspace);
        bounded *want = define(&t, &input);
        largest = fmax(largest, expect_rows(output.count, output.data, want, "whole"));
        if (!t.norm.weight) { /* in place, as a layer alone */
            float *x = pool_floats(&pool, length * dim, 0);
            for (size_t n = 0; n < length * dim; n++) x[n] = input.x[n];
            input.x = x;
            rill_transformer_layer_apply(layers, &input, x, workspace);
            cr_assert_arr_eq(x, output.data, length * dim * sizeof(float));
        }
        free(want);
        free(workspace);
        guarded_free(&output);
        pool_free(&pool);
    }
    cr_assert(largest < 1e-3, "a bound of %g holds nobody to anything", largest);
}

/* To the bit, whole and step by step. */
Test(transformer, is_its_layers_one_after_the_other) {
    random_seed(9);
    for (int round = 0; round < 30; round++) {
        rill_transformer_layer layers[3];
        size_t dim, memory_dim;
        const rill_transformer t = random_transformer(3, layers, &dim, &memory_dim);
        const size_t length = 1 + random_below(20), rows = random_below(9);
        rill_transformer_input input = random_input(layers[0].has_cross, length, dim, rows, memory_dim);
        input.sight.causal = true;
        guarded_floats whole[2] = {guarded_output(length * dim), guarded_output(length * dim)},
                       steps[2] = {guarded_output(length * dim), guarded_output(length * dim)};
        memcpy(whole[1].data, input.x, length * dim * sizeof(float));
        memcpy(steps[1].data, input.x, length * dim * sizeof(float));
        for (size_t i = 0; i <= 3; i++) { /* the three at once, then one by one, the last with the norm */
            rill_transformer part = {.layers_count = 1, .layers = layers + i};
            if (i == 2) part.norm = t.norm, part.norm_epsilon = t.norm_epsilon;
            if (i == 3) part = t;
            guarded_floats *to = i == 3 ? &whole[0] : &whole[1], *step_to = i == 3 ? &steps[0] : &steps[1];
            rill_transformer_input now = input;
            now.x = i == 3 ? input.x : whole[1].data;
            void *workspace = malloc(rill_transformer_workspace_size(&part, length, rows));
            rill_transformer_apply(&part, &now, to->data, workspace);
            void *stream = new_stream(&part, &input, workspace);
            for (size_t step = 0; step < length; step++)
                rill_transformer_step(&part, stream, 1, (i == 3 ? input.x : steps[1].data) + step * dim,
                                      step_to->data + step * dim);
            free(workspace);
            free(stream);
        }
        cr_assert_arr_eq(whole[0].data, whole[1].data, length * dim * sizeof(float));
        cr_assert_arr_eq(steps[0].data, steps[1].data, length * dim * sizeof(float));
        for (size_t i = 0; i < 2; i++) {
            guarded_free(&whole[i]);
            guarded_free(&steps[i]);
        }
        pool_free(&pool);
    }
}

/* Step by step, on any split, forked on the way: the causal whole. */
Test(transformer, steps_are_the_causal_whole_on_every_split) {
    random_seed(2006162360);
    for (int round = 0; round < 100; round++) {
        rill_transformer_layer layers[1];
        size_t dim, memory_dim;
        const rill_transformer t = random_transformer(1, layers, &dim, &memory_dim);
        const size_t length = 1 + random_below(60), rows = random_below(14);
        rill_transformer_input input = random_input(layers[0].has_cross, length, dim, rows, memory_dim);
        input.sight.causal = true;
        bounded *want = define(&t, &input);
        void *workspace = malloc(rill_transformer_workspace_size(&t, 0, rows));
        guarded_floats output = guarded_output(length * dim), again = guarded_output(dim);
        unsigned char *stream = new_stream(&t, &input, workspace);
        const size_t size = rill_transformer_size(&t, length, input.memory_length);
        unsigned char *fork = malloc(size);
        const size_t before = allocations;
        for (size_t done = 0; done < length;) {
            const size_t left_over = length - done, now = 1 + random_below(random_below(2) ? 1 : left_over);
            memcpy(fork, stream, size);
            rill_transformer_step(&t, stream, now, input.x + done * dim, output.data + done * dim);
            rill_transformer_step(&t, fork, 1, input.x + done * dim, again.data);
            if (now == 1) cr_assert_arr_eq(again.data, output.data + done * dim, dim * sizeof(float));
            done += now;
            cr_assert(rill_transformer_taken(stream) == done);
        }
        if (COUNTS_ALLOCATIONS) cr_assert(allocations == before);
        expect_rows(output.count, output.data, want, "steps");
        rill_transformer_reset(&t, stream); /* the memory stays */
        rill_transformer_step(&t, stream, 1, input.x, again.data);
        expect_rows(dim, again.data, want, "after a reset");
        free(stream);
        free(fork);
        free(workspace);
        free(want);
        guarded_free(&output);
        guarded_free(&again);
        pool_free(&pool);
    }
}

/* NaN and infinities in some steps: NaN there, and all others as if those had never been. */
Test(transformer, bad_steps_leave_no_trace) {
    random_seed(7);
    for (int round = 0; round < 40; round++) {
        rill_transformer_layer layers[1];
        size_t dim, memory_dim;
        const rill_transformer t = random_transformer(1, layers, &dim, &memory_dim);
        const size_t length = 1 + random_below(30), size = rill_transformer_size(&t, length, 0);
        float *x = pool_floats(&pool, length * dim, 1);
        unsigned char *stream = malloc(size), *clean = malloc(size);
        guarded_floats output = guarded_output(dim), expected = guarded_output(dim);
        rill_transformer_init(&t, stream, length, 0);
        rill_transformer_init(&t, clean, length, 0);
        for (size_t step = 0; step < length; step++) {
            float *row = x + step * dim;
            const bool bad = random_below(3) == 0;
            if (bad) row[random_below(dim)] = random_below(2) ? NAN : -INFINITY;
            rill_transformer_step(&t, stream, 1, row, output.data);
            if (bad) {
                for (size_t i = 0; i < dim; i++) cr_assert(isnan(output.data[i]), "step %zu", step);
                continue;
            }
            rill_transformer_step(&t, clean, 1, row, expected.data);
            for (size_t i = 0; i < dim; i++) /* the same sums, though not the same blocks of a steady state */
                cr_assert(fabsf(output.data[i] - expected.data[i]) < 1e-3f,
                          "step %zu: %g, without bad ones %g", step, (double)output.data[i],
                          (double)expected.data[i]);
        }
        free(stream);
        free(clean);
        guarded_free(&output);
        guarded_free(&expected);
        pool_free(&pool);
    }
}

Test(transformer, refuses_what_does_not_fit) {
    random_seed(8);
    rill_transformer_layer good =
        random_layer(RILL_MULTIHEAD_SOFTMAX, RILL_MULTIHEAD_SOFTMAX, true, false, 6, 7);
    rill_transformer_layer bad[9];
    for (size_t i = 0; i < 9; i++) bad[i] = good;
    bad[0].self.key.inputs = 7;
    bad[1].cross.value.inputs = 8;
    bad[2].expand.inputs = 5;
    bad[3].project.inputs += 1;
    bad[4].project.weight = NULL;
    bad[5].cross_norm.weight = NULL;
    bad[6].activation = (rill_activation)9;
    bad[7].norm_epsilon = -1;
    bad[8].norm_epsilon = NAN;
    for (size_t i = 0; i < 9; i++) {
        rill_error why = {{0}};
        cr_assert(rill_transformer_layer_check(&bad[i], &why) == RILL_BAD_ARGUMENT && why.message[0], "%zu",
                  i);
    }
    rill_transformer_layer two[2] = {
        good, random_layer(RILL_MULTIHEAD_SOFTMAX, RILL_MULTIHEAD_SOFTMAX, true, false, 8, 7)};
    rill_transformer t = {.layers_count = 2, .layers = two};
    cr_assert(rill_transformer_check(&t, NULL) == RILL_BAD_ARGUMENT); /* 6 meets 8 */
    t.layers_count = 0;
    cr_assert(rill_transformer_check(&t, NULL) == RILL_BAD_ARGUMENT);
    t.layers_count = 1;
    cr_assert(rill_transformer_stream_check(&t, SIZE_MAX / 8, 0, NULL) == RILL_BAD_ARGUMENT);
    cr_assert(rill_transformer_stream_check(&t, 5, SIZE_MAX / 2, NULL) == RILL_BAD_ARGUMENT);
    two[0].self.zero_key = true;
    cr_assert(rill_transformer_stream_check(&t, 5, 5, NULL) == RILL_BAD_ARGUMENT);
    pool_free(&pool);
}
