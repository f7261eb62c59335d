/* SPDX-License-Identifier: MIT */
/* Feature maps and activations: how near, and what becomes of NaN and infinity. */
#include "kernel_tables.h"

/* elu1 and exponential within 2 ulp of the exponential in double, a gate within 4: 2 of the exponential, ½
 * each of sum and quotient; in place and apart, over the whole range that does not vanish */
static void activations_agree(const rill_kernels *reference, const rill_kernels *kernels) {
    double ulp = FLT_EPSILON;
    for (int round = 0; round < 200; round++) {
        size_t count = random_below(3000);
        guarded_floats x = guarded_input(count, round % 2 ? -2 : -110, round % 2 ? 2 : 95);
        guarded_floats a = guarded_input(count, -3, 3), y = guarded_copy(&x), want = guarded_output(count);
        kernels->elu1(count, y.data, y.data);
        reference->elu1(count, x.data, want.data);
        for (size_t i = 0; i < count; i++) {
            double exact = x.data[i] > 0 ? (double)x.data[i] + 1 : exp((double)x.data[i]);
            near(kernels, "elu1", i, y.data[i], exact, 2 * ulp * exact + 0x1p-149);
            near(reference, "elu1", i, want.data[i], exact, ulp * exact + 0x1p-149);
        }
        memcpy(y.data, x.data, count * sizeof *x.data);
        kernels->exponential(count, y.data, y.data);
        reference->exponential(count, x.data, want.data);
        for (size_t i = 0; i < count; i++) {
            const double exact = exp((double)x.data[i]), error = 2 * ulp * exact + 0x1p-149;
            if (exact > FLT_MAX * (1 + 3 * ulp))
                cr_assert(y.data[i] == INFINITY && want.data[i] == INFINITY, "%s exp(%.9g) = %g",
                          kernels->name, (double)x.data[i], (double)y.data[i]);
            else if (exact < FLT_MAX * (1 - 3 * ulp)) {
                near(kernels, "exponential", i, y.data[i], exact, error);
                near(reference, "exponential", i, want.data[i], exact, ulp * exact + 0x1p-149);
            }
        }
        kernels->silu(count, x.data, y.data);
        for (size_t i = 0; i < count; i++) {
            double exact = (double)x.data[i] / (1 + exp(-(double)x.data[i]));
            near(kernels, "silu", i, y.data[i], exact, 4 * ulp * fabs(exact) + 1e-36);
        }
        kernels->gate(count, a.data, x.data, y.data);
        for (size_t i = 0; i < count; i++) {
            double exact = (double)a.data[i] / (1 + exp(-(double)x.data[i]));
            near(kernels, "gate", i, y.data[i], exact, 4 * ulp * fabs(exact) + 1e-36);
        }
        guarded_free(&x);
        guarded_free(&a);
        guarded_free(&y);
        guarded_free(&want);
    }
}

Test(kernels_maps, activations_are_within_a_few_units_in_the_last_place) {
    every_table(activations_agree, "elu1, exponential, silu, gate");
}

static void specials_hold(const rill_kernels *reference, const rill_kernels *kernels) {
    (void)reference;
    for (size_t count = 1; count < 40; count++)
        for (size_t at = 0; at < count; at++) {
            float x[40] = {0}, ones[40], y[40];
            for (size_t i = 0; i < count; i++) ones[i] = 1;
            const float inputs[] = {NAN, -NAN, INFINITY, -INFINITY, -FLT_MAX, FLT_MAX, -0.0f, -FLT_MIN};
            const float elu1[] = {NAN, NAN, INFINITY, 0, 0, FLT_MAX, 1, 1};
            const float exponential[] = {NAN, NAN, INFINITY, 0, 0, INFINITY, 1, 1};
            const float sigmoid[] = {NAN, NAN, 1, 0, 0, 1, 0.5f, 0.5f};
            for (size_t k = 0; k < sizeof inputs / sizeof *inputs; k++) {
                x[at] = inputs[k];
                kernels->elu1(count, x, y);
                cr_assert(isnan(elu1[k]) ? isnan(y[at]) : y[at] == elu1[k], "%s elu1(%g) = %g", kernels->name,
                          (double)x[at], (double)y[at]);
                kernels->exponential(count, x, y);
                cr_assert(isnan(exponential[k]) ? isnan(y[at]) : y[at] == exponential[k], "%s exp(%g) = %g",
                          kernels->name, (double)x[at], (double)y[at]);
                for (size_t i = 0; i < count; i++) cr_assert(i == at || y[i] == 1);
                kernels->gate(count, ones, x, y);
                cr_assert(isnan(sigmoid[k]) ? isnan(y[at]) : y[at] == sigmoid[k], "%s sigmoid(%g) = %g",
                          kernels->name, (double)x[at], (double)y[at]);
                cr_assert(kernels->within(count, x, -FLT_MAX, FLT_MAX) == (isfinite(inputs[k]) != 0),
                          "%s within, finite: %g at %zu of %zu", kernels->name, (double)x[at], at, count);
                cr_assert(kernels->within(count, x, -INFINITY, 0) == (inputs[k] <= 0));
                for (size_t i = 0; i < count; i++) cr_assert(i == at || y[i] == 0.5f);
            }
        }
    cr_assert(kernels->within(0, NULL, 0, 0));
}

Test(kernels_maps, nan_and_infinity_stay_where_they_are) {
    every_table(specials_hold, "NaN and infinity");
}
