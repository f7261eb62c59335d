/* SPDX-License-Identifier: MIT */
/* Quadratic attention against its definition in double, whoever sees whom. */
#include "random_attention.h"

#include <string.h>

static guarded_floats attend(const random_attention *a) {
    guarded_floats output =
        guarded_output(a->input.queries_length * a->shape.query_heads * a->shape.value_dim);
    rill_softmax_attention(&a->shape, &a->input, output.data);
    return output;
}

static void expect_definition(uint64_t seed, rill_softmax_shape (*random_shape)(void)) {
    random_seed(seed);
    for (int round = 0; round < 150; round++) {
        random_attention a =
            random_attention_make(random_shape(), random_below(40), random_below(round % 5 ? 80 : 300));
        random_attention_hide(&a);
        guarded_floats output = attend(&a);
        expect_rows(&a, output.data);
        guarded_free(&output);
        random_attention_free(&a);
    }
}

Test(softmax_attention, is_its_definition) {
    expect_definition(1706, random_softmax_shape);
}

/* 2006.16236, eq. 3: the same code, the similarity replaced */
Test(softmax_attention, with_the_product_for_similarity_is_linear_attention_by_definition) {
    expect_definition(16236, random_product_shape);
}

static double product_size(const random_attention *a, size_t head, size_t i, size_t m) {
    double size = 0;
    for (size_t j = 0; j <= i; j++) {
        double delta;
        softmax_score(&a->shape, &a->input, head, i, j, &delta);
        size_t value_head = head / (a->shape.query_heads / a->shape.heads);
        size += delta / (double)(a->shape.key_dim + 2) *
                fabs((double)a->values.data[(j * a->shape.heads + value_head) * a->shape.value_dim + m]);
    }
    return size;
}

/* The masked quadratic form and the recurrent one are one function; each rounds n products and sums. */
Test(softmax_attention, masked_product_equals_the_recurrent_form) {
    random_seed(3);
    for (int round = 0; round < 30; round++) {
        rill_softmax_shape shape = random_product_shape();
        shape.normalize = false;
        shape.scale = 0.5f;
        size_t length = 1 + random_below(60);
        random_attention a = random_attention_make(shape, length, length);
        a.input.causal = true;
        rill_attention_shape linear = {.heads = shape.heads,
                                       .query_heads = shape.query_heads,
                                       .key_dim = shape.key_dim,
                                       .value_dim = shape.value_dim,
                                       .scale = 0.5f};
        rill_sequence sequence = {
            .length = length, .queries = a.queries.data, .keys = a.keys.data, .values = a.values.data};
        void *state = malloc(rill_attention_size(&linear));
        rill_attention_init(&linear, state);
        guarded_floats output = attend(&a), recurrent = guarded_output(output.count);
        rill_attention_recurrent(&linear, state, &sequence, recurrent.data);
        for (size_t i = 0; i < output.count; i++) {
            size_t row = shape.query_heads * shape.value_dim;
            double size = product_size(&a, i % row / shape.value_dim, i / row, i % shape.value_dim);
            double tolerance =
                2 * (double)(length + shape.key_dim + 4) * (double)FLT_EPSILON / 2 * size + 1e-36;
            cr_assert(fabs((double)output.data[i] - (double)recurrent.data[i]) <= tolerance);
        }
        free(state);
        guarded_free(&output);
        guarded_free(&recurrent);
        random_attention_free(&a);
    }
}

/* An output with NaN, +inf or -inf planted in the keys and values that no query sees. */
Test(softmax_attention, what_is_out_of_sight_may_hold_anything) {
    random_seed(4);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int round = 0; round < 60; round++) {
        random_attention a =
            random_attention_make(round % 2 ? random_softmax_shape() : random_product_shape(),
                                  1 + random_below(30), 1 + random_below(150));
        random_attention_hide(&a);
        guarded_floats before = attend(&a);
        size_t keys = a.input.keys_length, group = a.shape.query_heads / a.shape.heads;
        for (size_t head = 0; head < a.shape.heads; head++)
            for (size_t j = 0; j < keys; j++) {
                bool seen = false;
                for (size_t i = 0; i < a.input.queries_length * group; i++)
                    seen |= softmax_sees(&a.input, head * group + i % group, i / group, j);
                if (seen) continue;
                a.keys.data[(j * a.shape.heads + head) * a.shape.key_dim] = bad[random_below(3)];
                a.values.data[(j * a.shape.heads + head) * a.shape.value_dim] = bad[random_below(3)];
            }
        guarded_floats after = attend(&a);
        cr_assert(memcmp(before.data, after.data, before.count * sizeof(float)) == 0, "round %d", round);
        guarded_free(&before);
        guarded_free(&after);
        random_attention_free(&a);
    }
}

Test(softmax_attention, nan_stays_in_the_rows_it_enters) {
    random_seed(5);
    for (int round = 0; round < 40; round++) {
        random_attention a =
            random_attention_make(random_softmax_shape(), 1 + random_below(30), 1 + random_below(100));
        random_attention_hide(&a);
        size_t head = random_below(a.shape.heads), j = random_below(a.input.keys_length);
        size_t query_head = random_below(a.shape.query_heads), query = random_below(a.input.queries_length);
        a.keys.data[(j * a.shape.heads + head) * a.shape.key_dim] = NAN;
        a.queries.data[(query * a.shape.query_heads + query_head) * a.shape.key_dim] = NAN;
        guarded_floats output = attend(&a);
        for (size_t i = 0; i < a.input.queries_length * a.shape.query_heads; i++) {
            size_t h = i % a.shape.query_heads, t = i / a.shape.query_heads;
            bool enters =
                     h / (a.shape.query_heads / a.shape.heads) == head && softmax_sees(&a.input, h, t, j),
                 sees = false;
            for (size_t key = 0; key < a.input.keys_length; key++) sees |= softmax_sees(&a.input, h, t, key);
            enters |= h == query_head && t == query && sees;
            for (size_t m = 0; m < a.shape.value_dim; m++)
                cr_assert(!isnan(output.data[i * a.shape.value_dim + m]) == !enters, "round %d, row %zu",
                          round, i);
        }
        guarded_free(&output);
        random_attention_free(&a);
    }
}

/* One query of dimension 1 and as many keys as there are scores; values 1, 2, 3 … */
static float attend_scores(size_t count, const float *scores) {
    rill_softmax_shape shape = {.heads = 1, .query_heads = 1, .key_dim = 1, .value_dim = 1, .scale = 1};
    const float query = 1, values[] = {1, 2, 3, 4};
    rill_softmax_input input = {
        .queries_length = 1, .keys_length = count, .queries = &query, .keys = scores, .values = values};
    float output = NAN;
    rill_softmax_attention(&shape, &input, &output);
    return output;
}

Test(softmax_attention, extreme_scores_have_defined_outputs) {
    cr_assert(attend_scores(0, (const float[]){0}) == 0, "no keys");
    cr_assert(attend_scores(1, (const float[]){-3e38f}) == 1);
    cr_assert(attend_scores(2, (const float[]){3e38f, -3e38f}) == 1);
    cr_assert(attend_scores(2, (const float[]){3e38f, 3e38f}) == 1.5f);
    cr_assert(attend_scores(3, (const float[]){-INFINITY, 7, -INFINITY}) == 2);
    cr_assert(attend_scores(2, (const float[]){-INFINITY, -INFINITY}) == 0, "nothing weighs anything");
    cr_assert(isnan(attend_scores(3, (const float[]){-INFINITY, NAN, -INFINITY})));
    cr_assert(isnan(attend_scores(2, (const float[]){1, NAN})));
    cr_assert(isnan(attend_scores(2, (const float[]){1, INFINITY})), "inf - inf");
}

Test(softmax_attention, a_product_that_sees_nothing_is_zero_unless_epsilon_is) {
    rill_softmax_shape shape = {.similarity = RILL_SIMILARITY_PRODUCT,
                                .heads = 1,
                                .query_heads = 1,
                                .key_dim = 1,
                                .value_dim = 1,
                                .scale = 1};
    const float query = 1;
    rill_softmax_input input = {.queries_length = 1, .queries = &query};
    for (int i = 0; i < 3; i++) {
        float output = 7;
        shape.normalize = i > 0;
        shape.epsilon = i == 1 ? 1e-6f : 0;
        rill_softmax_attention(&shape, &input, &output);
        cr_assert(i < 2 ? output == 0 : isnan(output));
    }
}

/* In the same block of keys as the other, in an earlier one and in a later one. */
Test(softmax_attention, a_value_of_score_minus_infinity_may_hold_anything) {
    enum { keys = 200 };
    rill_softmax_shape shape = {.heads = 1, .query_heads = 1, .key_dim = 1, .value_dim = 1, .scale = 1};
    const float query = 1;
    float scores[keys], values[keys];
    rill_softmax_input input = {
        .queries_length = 1, .keys_length = keys, .queries = &query, .keys = scores, .values = values};
    for (size_t finite = 0; finite < keys; finite += 49) {
        float output;
        for (size_t j = 0; j < keys; j++) {
            scores[j] = j == finite ? 7 : -INFINITY;
            values[j] = j == finite ? 5 : NAN;
        }
        rill_softmax_attention(&shape, &input, &output);
        cr_assert(output == 5);
    }
}

/* The kinds follow from each other: normalized are the weights of the output, biased their logarithms but for
 * a constant, hidden ones -inf and 0; and asking leaves the output as it was. */
Test(softmax_attention, scores_are_what_the_output_is_made_of) {
    random_seed(6);
    for (int round = 0; round < 40; round++) {
        random_attention a =
            random_attention_make(round % 2 ? random_softmax_shape() : random_product_shape(),
                                  1 + random_below(20), 1 + random_below(100));
        random_attention_hide(&a);
        rill_softmax_shape *s = &a.shape;
        size_t keys = a.input.keys_length, queries = a.input.queries_length;
        guarded_floats plain = attend(&a), scores = guarded_output(s->query_heads * queries * keys),
                       biased = guarded_copy(&scores);
        a.input.scores = biased.data;
        a.input.scores_kind = RILL_SCORES_BIASED;
        guarded_floats output = attend(&a);
        a.input.scores = scores.data;
        a.input.scores_kind = RILL_SCORES_NORMALIZED;
        rill_softmax_attention(s, &a.input, output.data);
        cr_assert(memcmp(plain.data, output.data, plain.count * sizeof(float)) == 0);
        for (size_t row = 0; row < s->query_heads * queries; row++) {
            size_t head = row / queries, i = row % queries;
            double sum = 0, magnitude = 0, delta = 0;
            for (size_t j = 0; j < keys; j++) {
                bool seen = softmax_sees(&a.input, head, i, j);
                double w = (double)scores.data[row * keys + j], off = 0;
                double score = seen            ? softmax_score(s, &a.input, head, i, j, &off)
                               : s->similarity ? 0
                                               : -INFINITY;
                cr_assert(seen ? fabs((double)biased.data[row * keys + j] - score) <=
                                     off * (double)FLT_EPSILON / 2 + 1e-36
                               : (double)biased.data[row * keys + j] == score && w == 0);
                double v =
                    (double)a.values.data[(j * s->heads + head / (s->query_heads / s->heads)) * s->value_dim];
                sum += w * v;
                magnitude += fabs(w * v);
                if (seen) delta = fmax(delta, off + fabs(score));
            }
            double got = (double)output.data[(i * s->query_heads + head) * s->value_dim];
            cr_assert(fabs(got - sum) <=
                          4 * ((double)keys + 20 + delta) * (double)FLT_EPSILON * magnitude + 1e-30,
                      "round %d row %zu: %g, the weights give %g", round, row, got, sum);
        }
        guarded_free(&plain);
        guarded_free(&scores);
        guarded_free(&biased);
        guarded_free(&output);
        random_attention_free(&a);
    }
}

/* Which of 4 keys each of 2 queries sees, a bit a key. */
Test(softmax_attention, positions_may_be_as_far_away_as_their_type_reaches) {
    enum { keys = 4, queries = 2 };
    const size_t far = PTRDIFF_MAX;
    const struct {
        ptrdiff_t offset;
        bool causal, windowed;
        size_t before, after;
        float seen[queries];
    } cases[] = {
        {PTRDIFF_MAX, true, false, 0, 0, {15, 15}},
        {PTRDIFF_MIN, true, false, 0, 0, {0, 0}},
        {PTRDIFF_MAX, true, true, RILL_UNBOUNDED, 0, {15, 15}},
        {PTRDIFF_MAX, false, true, RILL_UNBOUNDED, RILL_UNBOUNDED, {15, 15}},
        {PTRDIFF_MIN, false, true, RILL_UNBOUNDED, RILL_UNBOUNDED, {15, 15}},
        {PTRDIFF_MAX, false, true, far, 0, {15, 14}},
        {PTRDIFF_MAX, false, true, far - 2, 0, {12, 8}},
        {PTRDIFF_MAX, false, true, far / 2, RILL_UNBOUNDED, {0, 0}},
        {PTRDIFF_MIN, false, true, 0, far, {0, 1}},
        {PTRDIFF_MIN, false, true, 0, far + 2, {3, 7}},
        {PTRDIFF_MIN, false, true, 0, RILL_UNBOUNDED - 1, {15, 15}},
        {PTRDIFF_MIN, false, true, RILL_UNBOUNDED - 1, far / 2, {0, 0}},
    };
    const rill_softmax_shape shape = {.similarity = RILL_SIMILARITY_PRODUCT,
                                      .heads = 1,
                                      .query_heads = 1,
                                      .key_dim = 1,
                                      .value_dim = 1,
                                      .scale = 1};
    const float ones[keys] = {1, 1, 1, 1}, values[keys] = {1, 2, 4, 8};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const rill_softmax_input input = {.queries_length = queries,
                                          .keys_length = keys,
                                          .queries = ones,
                                          .keys = ones,
                                          .values = values,
                                          .offset = cases[c].offset,
                                          .causal = cases[c].causal,
                                          .windowed = cases[c].windowed,
                                          .window_before = cases[c].before,
                                          .window_after = cases[c].after};
        float output[queries];
        rill_softmax_attention(&shape, &input, output);
        for (size_t i = 0; i < queries; i++)
            cr_assert(output[i] == cases[c].seen[i], "case %zu, query %zu: %g", c, i, (double)output[i]);
    }
}

Test(softmax_attention, refuses_shapes_that_are_none) {
    const rill_softmax_shape good = {.heads = 2, .query_heads = 4, .key_dim = 8, .value_dim = 8, .scale = 1};
    cr_assert(rill_softmax_check(&good, NULL) == RILL_OK);
    for (int i = 0; i < 11; i++) {
        rill_softmax_shape bad = good;
        if (i == 0) bad.heads = 0;
        if (i == 1) bad.query_heads = 3;
        if (i == 2) bad.query_heads = 0;
        if (i == 3) bad.key_dim = 0;
        if (i == 4) bad.value_dim = 0;
        if (i == 5) bad.scale = NAN;
        if (i == 6) bad.softcap = -1;
        if (i == 7) bad.softcap = NAN;
        if (i == 8) bad.similarity = (rill_similarity)7;
        if (i >= 9) bad.similarity = RILL_SIMILARITY_PRODUCT;
        if (i == 9) bad.softcap = 1;
        if (i == 10) bad.normalize = true, bad.epsilon = -1;
        rill_error why = {""};
        cr_assert(rill_softmax_check(&bad, &why) == RILL_BAD_ARGUMENT && why.message[0], "%d", i);
    }
}
