/* SPDX-License-Identifier: MIT */
/* The causal convolution with a state gives, on every split, the outputs of its definition in double. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>

#include <rill/convolution.h>

#include "guarded_floats.h"

typedef struct convolution_case {
    rill_convolution_shape shape;
    size_t length;
    guarded_floats weight, bias, x;
    bool biased;
} convolution_case;

static convolution_case case_make(void) {
    convolution_case c = {.length = random_below(40), .biased = random_below(2)};
    c.shape = (rill_convolution_shape){1 + random_below(70), 1 + random_below(7), random_below(2)};
    c.weight = guarded_input(c.shape.channels * c.shape.taps, -1, 1);
    c.bias = guarded_input(c.shape.channels, -1, 1);
    c.x = guarded_input(c.length * c.shape.channels, -2, 2);
    return c;
}

static void case_free(convolution_case *c) {
    guarded_free(&c->weight);
    guarded_free(&c->bias);
    guarded_free(&c->x);
}

/* What is not finite counts as 0, and is NaN in its own step. Silu magnifies an error by less than 1.1. */
static void expect_output(const convolution_case *c, size_t t, size_t channel, double got) {
    size_t channels = c->shape.channels, taps = c->shape.taps;
    double sum = c->biased ? (double)c->bias.data[channel] : 0, magnitude = fabs(sum);
    for (size_t j = 0; j < taps && j <= t; j++) {
        float x = c->x.data[(t - j) * channels + channel];
        double term = isfinite(x) ? (double)c->weight.data[channel * taps + taps - 1 - j] * (double)x : 0;
        sum += term;
        magnitude += fabs(term);
    }
    double want = c->shape.silu ? sum / (1 + exp(-sum)) : sum;
    double error = 1.1 * (double)(taps + 2) * (double)FLT_EPSILON / 2 * magnitude +
                   (c->shape.silu ? 4 * (double)FLT_EPSILON * fabs(want) : 0) + 1e-36;
    bool bad = !isfinite(c->x.data[t * channels + channel]);
    cr_assert(bad ? isnan(got) : fabs(got - want) <= error,
              "step %zu, channel %zu of %zu, %zu taps: %.9g, want %.9g ± %.3g", t, channel, channels, taps,
              got, want, error);
}

static void expect_definition(const convolution_case *c, size_t longest) {
    size_t channels = c->shape.channels;
    guarded_floats state = guarded_output(rill_convolution_size(&c->shape) / sizeof(float));
    guarded_floats y = guarded_output(c->length * channels);
    rill_convolution_init(&c->shape, state.data);
    for (size_t t = 0; t < c->length;) {
        size_t left = c->length - t, length = random_below(longest + 1);
        if (length > left) length = left;
        rill_convolution_step(&c->shape, state.data, c->weight.data, c->biased ? c->bias.data : NULL, length,
                              c->x.data + t * channels, y.data + t * channels);
        t += length;
    }
    for (size_t i = 0; i < c->length * channels; i++)
        expect_output(c, i / channels, i % channels, (double)y.data[i]);
    guarded_free(&y);
    guarded_free(&state);
}

Test(convolution, agrees_on_every_split) {
    random_seed(27);
    for (int round = 0; round < 150; round++) {
        convolution_case c = case_make();
        expect_definition(&c, 1);
        expect_definition(&c, 1 + random_below(9));
        expect_definition(&c, 40);
        case_free(&c);
    }
}

Test(convolution, keeps_a_bad_value_in_its_step_and_channel) {
    random_seed(28);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int round = 0; round < 150; round++) {
        convolution_case c = case_make();
        for (size_t n = c.length > 0 ? 1 + random_below(4) : 0; n > 0; n--)
            c.x.data[random_below(c.x.count)] = bad[random_below(3)];
        expect_definition(&c, 1 + random_below(9));
        expect_definition(&c, 40);
        case_free(&c);
    }
}

Test(convolution, its_state_is_checked_and_sized) {
    rill_error why = {""};
    cr_assert_eq(rill_convolution_size(&(rill_convolution_shape){6, 4, false}), 2 * 3 * 6 * sizeof(float));
    cr_assert_eq(rill_convolution_size(&(rill_convolution_shape){6, 1, false}), 0);
    cr_assert_eq(rill_convolution_check(&(rill_convolution_shape){0, 4, false}, &why), RILL_BAD_ARGUMENT);
    cr_assert(strstr(why.message, "0 channels"));
    cr_assert_eq(rill_convolution_check(&(rill_convolution_shape){4, 0, false}, &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_convolution_check(&(rill_convolution_shape){SIZE_MAX / 8, 3, false}, &why),
                 RILL_BAD_ARGUMENT);
    cr_assert(strstr(why.message, "size"));
}
