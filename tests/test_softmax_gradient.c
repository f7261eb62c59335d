/* SPDX-License-Identifier: MIT */
/* The gradient of softmax attention: against the derivative of the definition in double, and that against
 * finite differences.
 *
 * The loss is a random linear function of the outputs. Differences are of fourth order in double: with h =
 * 1e-3 they are off by about 1e-10 of the loss's scale. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rill/gradient.h>

#include "count_allocations.h"
#include "guarded_floats.h"
#include "softmax_definition.h"

#define U ((double)FLT_EPSILON / 2)

typedef struct problem {
    rill_softmax_shape shape;
    rill_softmax_input input;
    size_t queries, keys, values, outputs; /* floats of each */
    float *memory, *output_gradient, *bias;
    bool *mask;
} problem;

static float *random_floats(size_t count, double low, double high) {
    float *x = malloc((count + 1) * sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = (float)(low + (high - low) * random_uniform());
    return x;
}

static problem problem_make(size_t dim_max, size_t length_max) {
    problem p = {.shape = {.similarity = RILL_SIMILARITY_SOFTMAX, .heads = 1 + random_below(3)}};
    rill_softmax_shape *s = &p.shape;
    s->query_heads = s->heads * (1 + random_below(3));
    s->key_dim = 1 + random_below(dim_max);
    s->value_dim = 1 + random_below(dim_max);
    s->scale = random_below(8) ? (float)(1 / sqrt((double)s->key_dim)) : 0;
    s->softcap = random_below(3) ? 0 : (float)(0.2 + random_uniform());
    rill_softmax_input *in = &p.input;
    in->queries_length = random_below(length_max);
    in->keys_length = random_below(length_max);
    in->causal = random_below(2);
    in->offset = random_below(3) ? 0 : (ptrdiff_t)random_below(9) - 4;
    in->windowed = random_below(2);
    in->window_before = random_below(4) ? random_below(6) : RILL_UNBOUNDED;
    in->window_after = random_below(4) ? random_below(4) : RILL_UNBOUNDED;
    p.queries = in->queries_length * s->query_heads * s->key_dim;
    p.keys = in->keys_length * s->heads * s->key_dim;
    p.values = in->keys_length * s->heads * s->value_dim;
    p.outputs = in->queries_length * s->query_heads * s->value_dim;
    p.memory = random_floats(p.queries + p.keys + p.values, -2, 2);
    p.output_gradient = random_floats(p.outputs, -1, 1);
    in->queries = p.memory;
    in->keys = in->queries + p.queries;
    in->values = in->keys + p.keys;
    const size_t rows = in->queries_length * in->keys_length;
    if (random_below(2)) {
        p.mask = malloc(s->query_heads * rows + 1);
        for (size_t i = 0; i < s->query_heads * rows; i++) p.mask[i] = random_below(4) > 0;
        in->mask = p.mask;
        in->mask_head_stride = random_below(2) ? rows : 0;
        in->mask_query_stride = random_below(2) ? in->keys_length : 0;
    }
    if (random_below(2)) {
        p.bias = random_floats(rows, -1, 1);
        for (size_t i = 0; i < rows; i++)
            if (random_below(8) == 0) p.bias[i] = -INFINITY;
        in->bias = p.bias;
        in->bias_query_stride = in->keys_length;
    }
    return p;
}

static void problem_free(problem *p) {
    free(p->memory);
    free(p->output_gradient);
    free(p->bias);
    free(p->mask);
}

/* What a row of weights comes from: x [queries, keys, values] in double. Weights, and 1 − (capped /
 * softcap)². */
static void weigh(const problem *p, const double *x, size_t head, size_t i, double *weights, double *caps,
                  double *spread) {
    const rill_softmax_shape *s = &p->shape;
    const rill_softmax_input *in = &p->input;
    const double *q = x + (i * s->query_heads + head) * s->key_dim;
    double max = -INFINITY, low = INFINITY, sum = 0;
    for (size_t j = 0; j < in->keys_length; j++) {
        const double *k = x + p->queries + (j * s->heads + head / (s->query_heads / s->heads)) * s->key_dim;
        weights[j] = -INFINITY;
        caps[j] = 1;
        if (!softmax_sees(in, head, i, j)) continue;
        double score = 0;
        for (size_t d = 0; d < s->key_dim; d++) score += (double)s->scale * q[d] * k[d];
        if (s->softcap > 0) {
            const double t = tanh(score / (double)s->softcap);
            caps[j] = 1 - t * t;
            score = (double)s->softcap * t;
        }
        if (in->bias) score += (double)in->bias[head * in->bias_head_stride + i * in->bias_query_stride + j];
        weights[j] = score;
        max = fmax(max, score);
        low = fmin(low, score);
    }
    for (size_t j = 0; j < in->keys_length; j++) sum += weights[j] = isinf(max) ? 0 : exp(weights[j] - max);
    for (size_t j = 0; j < in->keys_length; j++) weights[j] /= sum > 0 ? sum : 1;
    if (spread) *spread = isinf(max) ? 0 : max - low;
}

static const double *value_row(const problem *p, const double *x, size_t head, size_t j) {
    const rill_softmax_shape *s = &p->shape;
    return x + p->queries + p->keys + (j * s->heads + head / (s->query_heads / s->heads)) * s->value_dim;
}

static double loss(const problem *p, const double *x) {
    const rill_softmax_shape *s = &p->shape;
    double *weights = calloc(2 * p->input.keys_length + 1, sizeof *weights), sum = 0;
    for (size_t i = 0; i < p->input.queries_length; i++)
        for (size_t head = 0; head < s->query_heads; head++) {
            weigh(p, x, head, i, weights, weights + p->input.keys_length, NULL);
            const float *G = p->output_gradient + (i * s->query_heads + head) * s->value_dim;
            for (size_t j = 0; j < p->input.keys_length; j++)
                for (size_t m = 0; m < s->value_dim; m++)
                    sum += weights[j] > 0 ? (double)G[m] * weights[j] * value_row(p, x, head, j)[m] : 0;
        }
    free(weights);
    return sum;
}

/* The derivative in double, and for each variable how far float may be off. A weight's relative error is that
 * of its score (key_dim products, scale, cap, bias, all of size `size`), of score − max, of the exponential
 * and of a sum over the keys; a_ij is off by that of its weight, of value_dim products and of a mean over the
 * keys, all of size p (|G·v| + Σ p |G·v|); the sums over rows and keys add a rounding for each of theirs. */
static void derivative(const problem *p, const double *x, double *slope, double *tolerance) {
    const rill_softmax_shape *s = &p->shape;
    const size_t keys = p->input.keys_length, variables = p->queries + p->keys + p->values;
    double *weights = calloc(5 * keys + 1, sizeof *weights), *caps = weights + keys, *asked = caps + keys,
           *sizes = asked + keys;
    memset(slope, 0, variables * sizeof *slope);
    memset(tolerance, 0, variables * sizeof *tolerance);
    for (size_t i = 0; i < p->input.queries_length; i++)
        for (size_t head = 0; head < s->query_heads; head++) {
            const size_t q = (i * s->query_heads + head) * s->key_dim;
            const float *G = p->output_gradient + (i * s->query_heads + head) * s->value_dim;
            double spread, mean = 0, mean_size = 0, size = 0;
            weigh(p, x, head, i, weights, caps, &spread);
            for (size_t j = 0; j < keys; j++) {
                const double *v = value_row(p, x, head, j);
                const size_t k =
                    p->queries + (j * s->heads + head / (s->query_heads / s->heads)) * s->key_dim;
                double score = 1;
                asked[j] = sizes[j] = 0;
                if (weights[j] == 0) continue;
                for (size_t m = 0; m < s->value_dim; m++) {
                    asked[j] += (double)G[m] * v[m];
                    sizes[j] += fabs((double)G[m] * v[m]);
                }
                for (size_t d = 0; d < s->key_dim; d++) score += fabs((double)s->scale * x[q + d] * x[k + d]);
                mean += weights[j] * asked[j];
                mean_size += weights[j] * sizes[j];
                size = fmax(size, score);
            }
            const double relative =
                U * (2 * ((double)s->key_dim + 8) * size + 2 * spread + (double)keys + 16);
            const double more = U * (double)(s->value_dim + s->key_dim + keys + p->input.queries_length +
                                             s->query_heads + 16);
            for (size_t j = 0; j < keys; j++) {
                if (weights[j] == 0) continue;
                const size_t k =
                    p->queries + (j * s->heads + head / (s->query_heads / s->heads)) * s->key_dim;
                const size_t v =
                    p->queries + p->keys + (j * s->heads + head / (s->query_heads / s->heads)) * s->value_dim;
                const double a = caps[j] * weights[j] * (asked[j] - mean);
                /* the cap's factor is a difference from 1, off absolutely */
                const double off = (3 * relative + more) * weights[j] * (sizes[j] + mean_size);
                for (size_t m = 0; m < s->value_dim; m++) {
                    slope[v + m] += weights[j] * (double)G[m];
                    tolerance[v + m] += (relative + more) * weights[j] * fabs((double)G[m]);
                }
                for (size_t d = 0; d < s->key_dim; d++) {
                    slope[q + d] += (double)s->scale * a * x[k + d];
                    slope[k + d] += (double)s->scale * a * x[q + d];
                    tolerance[q + d] += fabs((double)s->scale * x[k + d]) * off;
                    tolerance[k + d] += fabs((double)s->scale * x[q + d]) * off;
                }
            }
        }
    free(weights);
}

static float *gradient_of(const problem *p) {
    const size_t variables = p->queries + p->keys + p->values;
    guarded_floats all = guarded_output(variables);
    guarded_floats workspace =
        guarded_output(rill_softmax_gradient_size(&p->shape, p->input.keys_length) / sizeof(float));
    rill_sequence_gradient parts = {
        .queries = all.data, .keys = all.data + p->queries, .values = all.data + p->queries + p->keys};
    const size_t before = allocations;
    rill_softmax_gradient(&p->shape, &p->input, p->output_gradient, &parts, workspace.data);
    cr_assert_eq(allocations, before);
    float *copy = malloc((variables + 1) * sizeof *copy);
    memcpy(copy, all.data, variables * sizeof *copy);
    guarded_free(&workspace);
    guarded_free(&all);
    return copy;
}

static double *doubles_of(const problem *p) {
    const size_t variables = p->queries + p->keys + p->values;
    double *x = malloc((variables + 1) * sizeof *x);
    for (size_t n = 0; n < variables; n++) x[n] = (double)p->memory[n];
    return x;
}

static void expect_derivative(const problem *p, const double *x, const float *got) {
    const size_t variables = p->queries + p->keys + p->values;
    double *slope = malloc((variables + 1) * sizeof *slope),
           *tolerance = malloc((variables + 1) * sizeof *slope);
    derivative(p, x, slope, tolerance);
    for (size_t n = 0; n < variables; n++)
        cr_assert_float_eq(
            (double)got[n], slope[n], tolerance[n] + 1e-30,
            "variable %zu (keys %zu, values %zu): %.9g, want %.9g ± %.2g; %zu queries, %zu keys, "
            "heads %zu/%zu, %zu x %zu, softcap %g",
            n, p->queries, p->queries + p->keys, (double)got[n], slope[n], tolerance[n],
            p->input.queries_length, p->input.keys_length, p->shape.heads, p->shape.query_heads,
            p->shape.key_dim, p->shape.value_dim, (double)p->shape.softcap);
    free(slope);
    free(tolerance);
}

/* The derivative in double is that of the definition: so the next test's is. */
Test(softmax_gradient, derivative_is_that_of_finite_differences) {
    random_seed(81);
    for (int round = 0; round < 60; round++) {
        problem p = problem_make(4, 8);
        const size_t variables = p.queries + p.keys + p.values;
        double *x = doubles_of(&p), *slope = malloc((2 * variables + 1) * sizeof *slope);
        derivative(&p, x, slope, slope + variables);
        for (size_t n = 0; n < variables; n++) {
            const double at = x[n], h = 1e-3, weights[] = {1. / 12, -2. / 3, 0, 2. / 3, -1. / 12};
            double want = 0;
            for (int i = 0; i < 5; i++) {
                x[n] = at + (i - 2) * h;
                if (i != 2) want += weights[i] * loss(&p, x) / h;
            }
            x[n] = at;
            cr_assert_float_eq(slope[n], want, 1e-7, "variable %zu: %.12g, want %.12g", n, slope[n], want);
        }
        free(x), free(slope);
        problem_free(&p);
    }
}

Test(softmax_gradient, is_the_derivative) {
    random_seed(82);
    for (int round = 0; round < 200; round++) {
        problem p = round % 2 ? problem_make(6, 12) : problem_make(40, 90);
        double *x = doubles_of(&p);
        float *got = gradient_of(&p);
        expect_derivative(&p, x, got);
        free(x), free(got);
        problem_free(&p);
    }
}

/* A row that sees something that is not finite counts as one whose output gradient is 0; a row that sees
 * nothing is not asked for its output gradient. */
Test(softmax_gradient, leaves_out_rows_that_are_not_finite) {
    random_seed(83);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int round = 0; round < 200; round++) {
        problem p = problem_make(5, 40), clean;
        const rill_softmax_shape *s = &p.shape;
        const size_t variables = p.queries + p.keys + p.values;
        if (p.queries == 0 || p.keys == 0) {
            problem_free(&p);
            continue;
        }
        double *x = doubles_of(&p);
        for (size_t n = 1 + random_below(2); n--;) p.memory[random_below(variables)] = bad[random_below(3)];
        clean = p;
        clean.output_gradient = malloc((p.outputs + 1) * sizeof(float));
        memcpy(clean.output_gradient, p.output_gradient, p.outputs * sizeof(float));
        for (size_t row = 0; row < p.input.queries_length * s->query_heads; row++) {
            const size_t head = row % s->query_heads, state_head = head / (s->query_heads / s->heads);
            bool spoilt = false, seen = false;
            for (size_t d = 0; d < s->key_dim; d++) spoilt |= !isfinite(p.memory[row * s->key_dim + d]);
            for (size_t j = 0; j < p.input.keys_length; j++) {
                if (!softmax_sees(&p.input, head, row / s->query_heads, j)) continue;
                seen = true;
                for (size_t d = 0; d < s->key_dim; d++)
                    spoilt |= !isfinite(p.input.keys[(j * s->heads + state_head) * s->key_dim + d]);
                for (size_t m = 0; m < s->value_dim; m++)
                    spoilt |= !isfinite(p.input.values[(j * s->heads + state_head) * s->value_dim + m]);
            }
            for (size_t m = 0; m < s->value_dim && (spoilt || !seen); m++) {
                p.output_gradient[row * s->value_dim + m] = NAN;
                clean.output_gradient[row * s->value_dim + m] = 0;
            }
        }
        float *got = gradient_of(&p);
        expect_derivative(&clean, x, got);
        free(x), free(got), free(clean.output_gradient);
        problem_free(&p);
    }
}

/* Weights that underflow, and scores far apart: a gradient of 0 where one weight is all. */
Test(softmax_gradient, survives_scores_far_apart) {
    rill_softmax_shape shape = {RILL_SIMILARITY_SOFTMAX, 1, 1, 1, 1, 1, 0, false, 0};
    const float q = 100, keys[] = {1, -1, 2}, values[] = {1, 2, 3}, asked = 1;
    rill_softmax_input input = {
        .queries_length = 1, .keys_length = 3, .queries = &q, .keys = keys, .values = values};
    float out[7], workspace[256];
    cr_assert_leq(rill_softmax_gradient_size(&shape, 3), sizeof workspace);
    rill_sequence_gradient parts = {.queries = out, .keys = out + 1, .values = out + 4};
    rill_softmax_gradient(&shape, &input, &asked, &parts, workspace);
    const float want[] = {0, 0, 0, 0, 0, 0, 1};
    for (int i = 0; i < 7; i++) cr_assert_float_eq((double)out[i], (double)want[i], 1e-6);
}
