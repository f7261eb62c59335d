/* SPDX-License-Identifier: MIT */
/* Multi-head attention against its definition in double, whoever sees whom. */
#include "bounded_rows.h"
#include "random_multihead.h"

static random_pool pool;

/* And the largest bound, which would tell a test that cannot fail. */
static void expect_rows(size_t count, const float *got, const bounded *want, double *largest) {
    for (size_t n = 0; n < count; n++) {
        const double off = fabs((double)got[n] - want[n].value);
        cr_assert(off <= BOUNDED_TIMES * want[n].off + 1e-30, "output %zu: %g, want %g ± %g", n,
                  (double)got[n], want[n].value, want[n].off);
        *largest = fmax(*largest, want[n].off);
    }
}

static void expect_definition(uint64_t seed, rill_multihead_kind kind) {
    double largest = 0;
    random_seed(seed);
    for (int round = 0; round < 150; round++) {
        const size_t dim = 1 + random_below(20), memory_dim = 1 + random_below(20),
                     queries = random_below(round % 10 ? 12 : 90),
                     keys = random_below(3) ? queries : random_below(40);
        rill_multihead m = random_multihead(&pool, kind, dim, memory_dim);
        if (kind == RILL_MULTIHEAD_SOFTMAX && round % 4 == 0) {
            m.extra_key = pool_floats(&pool, m.key.outputs, 1);
            m.extra_value = pool_floats(&pool, m.value.outputs, 1);
        }
        m.zero_key = kind == RILL_MULTIHEAD_SOFTMAX && round % 6 == 0;
        const rill_multihead_input input = {.queries_length = queries,
                                            .keys_length = keys,
                                            .queries = pool_floats(&pool, queries * dim, 1),
                                            .keys = pool_floats(&pool, keys * memory_dim, 1),
                                            .values = pool_floats(&pool, keys * memory_dim, 1),
                                            .sight = random_sight(&pool, kind, m.heads, queries, keys)};
        cr_assert(rill_multihead_check(&m, NULL) == RILL_OK);
        guarded_floats output = guarded_output(queries * dim);
        void *workspace = malloc(rill_multihead_workspace_size(&m, queries, keys));
        rill_multihead_apply(&m, &input, output.data, workspace);
        bounded *q = bounded_of(queries * dim, input.queries), *k = bounded_of(keys * memory_dim, input.keys),
                *v = bounded_of(keys * memory_dim, input.values);
        bounded *want = bounded_multihead(&m, &input.sight, queries, q, keys, k, v);
        expect_rows(output.count, output.data, want, &largest);
        free(q);
        free(k);
        free(v);
        free(want);
        free(workspace);
        guarded_free(&output);
        pool_free(&pool);
    }
    cr_assert(largest < 1e-3, "a bound of %g holds nobody to anything", largest);
}

Test(multihead, by_softmax_is_its_definition) {
    expect_definition(170603762, RILL_MULTIHEAD_SOFTMAX);
}

Test(multihead, linear_is_its_definition) {
    expect_definition(200616236, RILL_MULTIHEAD_LINEAR);
}

/* The weights that are shown are those that mix: with identity for every value they come back. */
Test(multihead, shows_the_weights_it_used) {
    random_seed(3);
    for (int round = 0; round < 20; round++) {
        const size_t keys = 1 + random_below(9), queries = 1 + random_below(9), extra = (size_t)(round % 2);
        rill_multihead m = random_multihead(&pool, RILL_MULTIHEAD_SOFTMAX, 5, keys);
        m.zero_key = extra > 0;
        float *identity = pool_floats(&pool, keys * keys, 0),
              *value = pool_floats(&pool, m.heads * keys * keys, 0),
              *zeros = pool_floats(&pool, m.heads * keys, 0),
              *output = pool_floats(&pool, m.heads * keys * m.heads * keys, 0);
        for (size_t j = 0; j < keys; j++) identity[j * keys + j] = 1;
        for (size_t n = 0; n < m.heads * keys; n++)
            value[n * keys + n % keys] = output[n * m.heads * keys + n] = 1;
        m.value = (rill_dense_weights){keys, m.heads * keys, value, zeros};
        m.output = (rill_dense_weights){m.heads * keys, m.heads * keys, output, zeros};
        guarded_floats y = guarded_output(queries * m.heads * keys),
                       weights = guarded_output(m.heads * queries * (keys + extra));
        const rill_multihead_input input = {.queries_length = queries,
                                            .keys_length = keys,
                                            .queries = pool_floats(&pool, queries * 5, 1),
                                            .keys = pool_floats(&pool, keys * keys, 1),
                                            .values = identity,
                                            .sight = {.causal = round % 3 == 0},
                                            .weights = weights.data};
        void *workspace = malloc(rill_multihead_workspace_size(&m, queries, keys));
        rill_multihead_apply(&m, &input, y.data, workspace);
        for (size_t h = 0; h < m.heads; h++)
            for (size_t i = 0; i < queries; i++)
                for (size_t j = 0; j < keys; j++)
                    cr_assert(fabsf(y.data[(i * m.heads + h) * keys + j] -
                                    weights.data[(h * queries + i) * (keys + extra) + j]) < 1e-6f);
        free(workspace);
        guarded_free(&y);
        guarded_free(&weights);
        pool_free(&pool);
    }
}

/* What is hidden may hold NaN, in both kinds. */
Test(multihead, hidden_keys_may_hold_anything) {
    random_seed(4);
    for (int round = 0; round < 20; round++) {
        const rill_multihead_kind kind = round % 2 ? RILL_MULTIHEAD_LINEAR : RILL_MULTIHEAD_SOFTMAX;
        const size_t keys = 2 + random_below(9), queries = 1 + random_below(9);
        const rill_multihead m = random_multihead(&pool, kind, 6, 7);
        bool *mask = pool_mask(&pool, keys);
        float *rows = pool_floats(&pool, keys * 7, 1), *other = pool_floats(&pool, keys * 7, 0);
        for (size_t n = 0; n < keys * 7; n++) other[n] = mask[n / 7] ? rows[n] : NAN;
        guarded_floats y[2] = {guarded_output(queries * 6), guarded_output(queries * 6)};
        void *workspace = malloc(rill_multihead_workspace_size(&m, queries, keys));
        rill_multihead_input input = {.queries_length = queries,
                                      .keys_length = keys,
                                      .queries = pool_floats(&pool, queries * 6, 1),
                                      .sight = {.mask = mask}};
        for (size_t i = 0; i < 2; i++) {
            input.keys = input.values = i ? other : rows;
            rill_multihead_apply(&m, &input, y[i].data, workspace);
        }
        cr_assert_arr_eq(y[0].data, y[1].data, queries * 6 * sizeof(float));
        free(workspace);
        guarded_free(&y[0]);
        guarded_free(&y[1]);
        pool_free(&pool);
    }
}

/* Linear heads leave a key and value that are not finite out: as if hidden, but that, causal, its own row is
 * NaN. */
Test(multihead, linear_heads_leave_bad_keys_out) {
    random_seed(6);
    for (int round = 0; round < 20; round++) {
        const size_t length = 2 + random_below(20), bad = random_below(length);
        const rill_multihead m = random_multihead(&pool, RILL_MULTIHEAD_LINEAR, 6, 6);
        float *rows = pool_floats(&pool, length * 6, 1), *other = pool_floats(&pool, length * 6, 0);
        bool *mask = pool_mask(&pool, length);
        for (size_t j = 0; j < length; j++) mask[j] = j != bad;
        memcpy(other, rows, length * 6 * sizeof *rows);
        other[bad * 6 + random_below(6)] = random_below(2) ? NAN : INFINITY;
        guarded_floats hidden = guarded_output(length * 6), left = guarded_output(length * 6);
        void *workspace = malloc(rill_multihead_workspace_size(&m, length, length));
        rill_multihead_input input = {.queries_length = length,
                                      .keys_length = length,
                                      .queries = pool_floats(&pool, length * 6, 1),
                                      .keys = rows,
                                      .values = rows,
                                      .sight = {.causal = round % 2, .mask = mask}};
        rill_multihead_apply(&m, &input, hidden.data, workspace);
        input.keys = input.values = other;
        input.sight.mask = NULL;
        rill_multihead_apply(&m, &input, left.data, workspace);
        for (size_t n = 0; n < length * 6; n++)
            if (input.sight.causal && n / 6 == bad)
                cr_assert(isnan(left.data[n]));
            else
                cr_assert_float_eq(left.data[n], hidden.data[n], 1e-4f * (1 + fabsf(hidden.data[n])));
        free(workspace);
        guarded_free(&hidden);
        guarded_free(&left);
        pool_free(&pool);
    }
}

Test(multihead, refuses_what_does_not_fit) {
    random_seed(5);
    rill_multihead good = random_multihead(&pool, RILL_MULTIHEAD_SOFTMAX, 6, 7);
    good.epsilon = 0;
    rill_multihead bad[10];
    for (size_t i = 0; i < 10; i++) bad[i] = good;
    bad[0].heads = 0;
    bad[1].heads = good.query.outputs + 1;
    bad[2].query.weight = NULL;
    bad[3].value.bias = NULL;
    bad[4].key.outputs += good.heads;
    bad[5].output.inputs += 1;
    bad[6].extra_key = good.key.bias;
    bad[7].kind = RILL_MULTIHEAD_LINEAR;
    bad[7].zero_key = true;
    bad[8].epsilon = NAN;
    bad[9].output.outputs = 0;
    for (size_t i = 0; i < 10; i++) {
        rill_error why = {{0}};
        cr_assert(rill_multihead_check(&bad[i], &why) == RILL_BAD_ARGUMENT && why.message[0], "%zu", i);
    }
    pool_free(&pool);
}
