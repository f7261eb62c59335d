/* SPDX-License-Identifier: MIT */
/* Layers and losses against finite differences of their definitions in double, and Adam against its formula.
 *
 * A case is a function of an array x of doubles; its loss is a random linear function of the outputs.
 * Differences are of fourth order: off by about 1e-10 of the loss's scale. Float adds u for each product and
 * sum. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rill/feature_map.h>
#include <rill/learning.h>

#include "random_numbers.h"

#define U ((double)FLT_EPSILON / 2)

static float *random_floats(size_t count, double low, double high) {
    float *x = malloc((count + 1) * sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = (float)(low + (high - low) * random_uniform());
    return x;
}

static float *zeros(size_t count) {
    return calloc(count + 1, sizeof(float));
}

typedef struct definition {
    size_t count, inputs, outputs;
    const float *asked; /* ∂L/∂y */
    double (*loss)(const struct definition *of, const double *x);
    const uint32_t *symbols;
} definition;

/* got [variables] must be the slope of the definition's loss at x, each within tolerance. */
static void expect_slope(const definition *of, size_t variables, const float *x, const float *got,
                         double tolerance) {
    double *at = malloc((variables + 1) * sizeof *at);
    for (size_t n = 0; n < variables; n++) at[n] = (double)x[n];
    for (size_t n = 0; n < variables; n++) {
        const double middle = at[n], h = 1e-3, weights[] = {1. / 12, -2. / 3, 0, 2. / 3, -1. / 12};
        double want = 0;
        for (int i = 0; i < 5; i++) {
            at[n] = middle + (i - 2) * h;
            if (i != 2) want += weights[i] * of->loss(of, at) / h;
        }
        at[n] = middle;
        cr_assert_float_eq((double)got[n], want, tolerance,
                           "variable %zu of %zu: %.9g, want %.9g; %zu x %zu x %zu", n, variables,
                           (double)got[n], want, of->count, of->inputs, of->outputs);
    }
    free(at);
}

/* x: [count][inputs], weight [outputs][inputs], bias [outputs] */
static double dense_loss(const definition *d, const double *x) {
    const double *weight = x + d->count * d->inputs, *bias = weight + d->inputs * d->outputs;
    double loss = 0;
    for (size_t n = 0; n < d->count; n++)
        for (size_t o = 0; o < d->outputs; o++) {
            double y = bias[o];
            for (size_t i = 0; i < d->inputs; i++) y += weight[o * d->inputs + i] * x[n * d->inputs + i];
            loss += (double)d->asked[n * d->outputs + o] * y;
        }
    return loss;
}

Test(learning, dense_is_differentiated) {
    random_seed(91);
    for (int round = 0; round < 40; round++) {
        definition d = {random_below(9), 1 + random_below(40), 1 + random_below(9), NULL, dense_loss, NULL};
        const size_t rows = d.count * d.inputs, weights = d.inputs * d.outputs;
        const size_t variables = rows + weights + d.outputs;
        float *x = random_floats(variables, -1, 1), *asked = random_floats(d.count * d.outputs, -1, 1);
        float *got = zeros(variables);
        d.asked = asked;
        rill_dense_gradient(d.count, d.inputs, d.outputs, x, x + rows, asked, got, got + rows,
                            got + rows + weights);
        /* sums of as many products, each at most 1 */
        const double longest = fmax((double)d.count, (double)d.outputs) + 1;
        expect_slope(&d, variables, x, got, 2 * longest * longest * U + 1e-9);

        float *without = zeros(variables); /* of x not wanted: the others' are the same */
        rill_dense_gradient(d.count, d.inputs, d.outputs, x, x + rows, asked, NULL, without + rows,
                            without + rows + weights);
        cr_assert_arr_eq(without + rows, got + rows, (weights + d.outputs) * sizeof *got);
        free(x), free(asked), free(got), free(without);
    }
}

/* x: [count][inputs], weight [inputs], bias [inputs] */
static double layer_norm_loss(const definition *d, const double *x) {
    const double *weight = x + d->count * d->inputs, *bias = weight + d->inputs;
    double loss = 0;
    for (size_t n = 0; n < d->count; n++, x += d->inputs) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < d->inputs; i++) mean += x[i] / (double)d->inputs;
        for (size_t i = 0; i < d->inputs; i++) variance += (x[i] - mean) * (x[i] - mean) / (double)d->inputs;
        for (size_t i = 0; i < d->inputs; i++)
            loss += (double)d->asked[n * d->inputs + i] *
                    ((x[i] - mean) / sqrt(variance + (double)1e-2f) * weight[i] + bias[i]);
    }
    return loss;
}

Test(learning, layer_norm_is_differentiated) {
    random_seed(92);
    for (int round = 0; round < 40; round++) {
        definition d = {random_below(9), 1 + random_below(30), 0, NULL, layer_norm_loss, NULL};
        const size_t rows = d.count * d.inputs, variables = rows + 2 * d.inputs;
        float *x = random_floats(variables, -1, 1), *asked = random_floats(rows, -1, 1),
              *got = zeros(variables);
        d.asked = asked;
        rill_layer_norm_gradient(d.count, d.inputs, x, x + rows, 1e-2f, asked, got, got + rows,
                                 got + rows + d.inputs);
        /* within a row in double; the factor 1/deviation is at most 10; sums over rows in float. h must be
         * small against √epsilon: differences are off by h⁴ / 30 times a fifth derivative of up to 10⁵. */
        expect_slope(&d, variables, x, got, 40 * (double)(d.count + 4) * U + 1e-7);
        free(x), free(asked), free(got);
    }
}

/* x [inputs] */
static double silu_loss(const definition *d, const double *x) {
    double loss = 0;
    for (size_t i = 0; i < d->inputs; i++) loss += (double)d->asked[i] * x[i] / (1 + exp(-x[i]));
    return loss;
}

static double elu1_loss(const definition *d, const double *x) {
    double loss = 0;
    for (size_t i = 0; i < d->inputs; i++) loss += (double)d->asked[i] * (x[i] > 0 ? x[i] + 1 : exp(x[i]));
    return loss;
}

Test(learning, activations_are_differentiated) {
    random_seed(93);
    for (int round = 0; round < 20; round++) {
        definition d = {1, 1 + random_below(60), 1, NULL, silu_loss, NULL};
        float *x = random_floats(d.inputs, -6, 6), *y = zeros(d.inputs),
              *asked = random_floats(d.inputs, -1, 1);
        float *got = zeros(d.inputs);
        d.asked = asked;
        memcpy(got, asked, d.inputs * sizeof *got);
        rill_silu(d.inputs, x, y);
        rill_silu_gradient(d.inputs, x, y, got);
        expect_slope(&d, d.inputs, x, got, 64 * U); /* 1 + x − y of numbers up to 7 */

        for (size_t i = 0; i < d.inputs; i++)
            if (fabs((double)x[i]) < 3e-3) x[i] = 1; /* its derivative bends at 0 */
        memcpy(got, asked, d.inputs * sizeof *got);
        rill_feature_map_elu1(d.inputs, x, y);
        rill_elu1_gradient(d.inputs, y, got);
        d.loss = elu1_loss;
        expect_slope(&d, d.inputs, x, got, 8 * U);
        free(x), free(y), free(asked), free(got);
    }
}

/* sigmoid(x) (1 + x (1 − sigmoid(x))), also where x is so large that 1 + x is x. */
Test(learning, silu_is_differentiated_however_large) {
    for (float size = 1; size < 1e38f; size *= 1.9f)
        for (int sign = -1; sign <= 1; sign += 2) {
            float x = (float)sign * size, y, got = 1;
            rill_silu(1, &x, &y);
            rill_silu_gradient(1, &x, &y, &got);
            const double sigmoid = 1 / (1 + exp(-(double)x));
            cr_assert_float_eq(got, sigmoid * (1 + (double)x * (1 - sigmoid)), 1e-6, "at %g: %g", (double)x,
                               (double)got);
        }
}

/* x: table [inputs][outputs] */
static double embed_loss(const definition *d, const double *x) {
    double loss = 0;
    for (size_t n = 0; n < d->count; n++)
        for (size_t s = 0; s < 3; s++)
            for (size_t i = 0; i < d->outputs; i++)
                loss += (double)d->asked[n * d->outputs + i] * x[d->symbols[n * 3 + s] * d->outputs + i];
    return loss;
}

Test(learning, embedding_is_differentiated) {
    random_seed(94);
    for (int round = 0; round < 20; round++) {
        definition d = {random_below(12), 1 + random_below(5), 1 + random_below(9), NULL, embed_loss, NULL};
        uint32_t symbols[36];
        for (size_t i = 0; i < 36; i++) symbols[i] = (uint32_t)random_below(d.inputs);
        float *table = random_floats(d.inputs * d.outputs, -1, 1),
              *asked = random_floats(d.count * d.outputs, -1, 1);
        float *got = zeros(d.inputs * d.outputs), *x = zeros(d.count * d.outputs);
        d.asked = asked;
        d.symbols = symbols;
        rill_embed(d.count, 3, d.outputs, symbols, table, x);
        for (size_t n = 0; n < d.count; n++)
            for (size_t i = 0; i < d.outputs; i++) {
                double want = 0;
                for (size_t s = 0; s < 3; s++) want += (double)table[symbols[n * 3 + s] * d.outputs + i];
                cr_assert_float_eq((double)x[n * d.outputs + i], want, 6 * U);
            }
        rill_embed_gradient(d.count, 3, d.outputs, symbols, asked, got);
        expect_slope(&d, d.inputs * d.outputs, table, got, 2 * 36 * 36 * U + 1e-9);
        free(table), free(asked), free(got), free(x);
    }
}

/* x: logits [count][inputs] */
static double cross_entropy_loss(const definition *d, const double *x) {
    double loss = 0;
    for (size_t n = 0; n < d->count; n++, x += d->inputs) {
        double sum = 0;
        for (size_t c = 0; c < d->inputs; c++) sum += exp(x[c]);
        if (d->symbols[n] != RILL_NO_TARGET) loss -= log(exp(x[d->symbols[n]]) / sum);
    }
    return loss;
}

Test(learning, cross_entropy_is_differentiated) {
    random_seed(95);
    for (int round = 0; round < 40; round++) {
        definition d = {random_below(9), 1 + random_below(9), 0, NULL, cross_entropy_loss, NULL};
        uint32_t targets[9];
        for (size_t n = 0; n < 9; n++)
            targets[n] = random_below(3) ? (uint32_t)random_below(d.inputs) : RILL_NO_TARGET;
        d.symbols = targets;
        float *x = random_floats(d.count * d.inputs, -5, 5), *got = zeros(d.count * d.inputs);
        double at[81];
        for (size_t i = 0; i < d.count * d.inputs; i++) at[i] = (double)x[i];
        const double loss = rill_cross_entropy(d.count, d.inputs, x, targets, got);
        cr_assert_float_eq(loss, cross_entropy_loss(&d, at), 1e-12 * (1 + loss));
        expect_slope(&d, d.count * d.inputs, x, got, 2 * U + 1e-9);
        cr_assert_eq(loss, rill_cross_entropy(d.count, d.inputs, x, targets, NULL));
        const double again = rill_cross_entropy(d.count, d.inputs, x, targets, x); /* in place */
        cr_assert_eq(loss, again);
        cr_assert_arr_eq(x, got, d.count * d.inputs * sizeof *x);
        free(x), free(got);
    }
}

/* Logits far apart, and infinitely far: certain is 0, impossible +∞, no NaN. */
Test(learning, cross_entropy_is_right_at_its_ends) {
    const float logits[] = {1000, -1000, 0}, closed[] = {0, -INFINITY};
    const uint32_t likely = 0, unlikely = 1;
    float gradient[3];
    cr_assert_eq(rill_cross_entropy(1, 3, logits, &likely, gradient), 0);
    cr_assert(gradient[0] == 0 && gradient[1] == 0 && gradient[2] == 0);
    cr_assert_float_eq(rill_cross_entropy(1, 3, logits, &unlikely, gradient), 2000, 1e-9);
    cr_assert(rill_cross_entropy(1, 2, closed, &unlikely, gradient) == INFINITY);
    cr_assert(gradient[0] == 1 && gradient[1] == -1);
}

/* The paper's algorithm 1 in double, over random gradients; float's m, v and parameters each lose u a step.
 */
Test(learning, adam_is_its_formula) {
    random_seed(96);
    for (int round = 0; round < 20; round++) {
        const size_t count = random_below(40), steps = 1 + random_below(30);
        rill_adam adam = rill_adam_defaults((float)(0.1 * random_uniform()));
        adam.mean_decay = (float)(0.9 * random_uniform());
        cr_assert_eq(rill_adam_check(&adam, NULL), RILL_OK);
        const double b1 = (double)adam.mean_decay, b2 = (double)adam.square_decay;
        double m[40] = {0}, v[40] = {0}, want[40];
        float *x = random_floats(count, -1, 1);
        void *state = malloc(rill_adam_size(count));
        rill_adam_init(count, state);
        for (size_t i = 0; i < count; i++) want[i] = (double)x[i];
        for (size_t t = 1; t <= steps; t++) {
            float *g = random_floats(count, -2, 2);
            for (size_t i = 0; i < count; i++) {
                m[i] = b1 * m[i] + (1 - b1) * (double)g[i];
                v[i] = b2 * v[i] + (1 - b2) * (double)g[i] * (double)g[i];
                want[i] -= (double)adam.rate * (m[i] / (1 - pow(b1, (double)t))) /
                           (sqrt(v[i] / (1 - pow(b2, (double)t))) + (double)adam.epsilon);
            }
            cr_assert(rill_adam_step(&adam, count, state, g, x));
            free(g);
        }
        /* v is off by u / (1 − square_decay) at worst, of what was 1 − square_decay: 1 − 0.999f as float has
         * it */
        for (size_t i = 0; i < count; i++)
            cr_assert_float_eq((double)x[i], want[i],
                               (double)steps * (8 * U + 1e-3 * (double)adam.rate * 1e-1),
                               "%.9g, want %.9g after %zu steps", (double)x[i], want[i], steps);
        rill_adam_reset(count, state);
        free(x), free(state);
    }
}

Test(learning, adam_leaves_out_what_is_not_finite) {
    const rill_adam adam = rill_adam_defaults(0.1f);
    const float bad[] = {NAN, INFINITY, -INFINITY, 1e19f}, good[] = {1, 2};
    float x[] = {1, 2}, other[] = {1, 2};
    void *state = malloc(rill_adam_size(2)), *kept = malloc(rill_adam_size(2));
    rill_adam_init(2, state);
    rill_adam_init(2, kept);
    for (int i = 0; i < 4; i++) {
        const float gradient[] = {1, bad[i]};
        cr_assert_not(rill_adam_step(&adam, 2, state, gradient, x));
        cr_assert(rill_adam_step(&adam, 2, state, good, x));
        cr_assert(rill_adam_step(&adam, 2, kept, good, other));
        cr_assert_arr_eq(state, kept, rill_adam_size(2));
        cr_assert_arr_eq(x, other, sizeof x);
    }
    free(state), free(kept);
}

Test(learning, adam_refuses_settings_that_make_no_sense) {
    const rill_adam right = rill_adam_defaults(0.1f);
    rill_error why;
    for (int i = 0; i < 8; i++) {
        rill_adam adam = right;
        const float bad[] = {NAN, -1, INFINITY, 1, -0.5f, NAN, 0, NAN};
        *(i < 3   ? &adam.rate
          : i < 5 ? &adam.mean_decay
          : i < 6 ? &adam.square_decay
                  : &adam.epsilon) = bad[i];
        cr_assert_eq(rill_adam_check(&adam, &why), RILL_BAD_ARGUMENT, "setting %d", i);
    }
}
