/* SPDX-License-Identifier: MIT */
/* The maps that take each number by itself. */
#include "feature_rows.h"

static const float special[] = {0,        -0.0f,    1,         -1,    1e-40f, -1e-40f, FLT_MAX,
                                -FLT_MAX, INFINITY, -INFINITY, 88.7f, -103,   -104,    NAN};
enum { specials = sizeof special / sizeof *special };

typedef struct elementwise {
    void (*map)(size_t count, const float *x, float *out);
    double (*definition)(double x);
    double relative; /* u */
} elementwise;

static double relu(double x) {
    return x <= 0 ? 0 : x;
}
static double identity(double x) {
    return x;
}
static double elu1(double x) {
    return x > 0 ? x + 1 : exp(x);
}

static const elementwise maps[] = {{rill_feature_map_relu, relu, 0},
                                   {rill_feature_map_identity, identity, 0},
                                   {rill_feature_map_exponential, exp, 4},
                                   {rill_feature_map_elu1, elu1, 4}};

static void expect_map(const elementwise *map, size_t count, const float *x, const float *out) {
    for (size_t i = 0; i < count; i++) {
        double want = map->definition((double)x[i]);
        if ((double)(float)want > (double)FLT_MAX) want = INFINITY;
        bool same = isnan(want)   ? isnan(out[i])
                    : isinf(want) ? (double)out[i] == want
                                  : fabs((double)out[i] - want) <=
                                        map->relative * U * want + (map->relative > 0 ? 0x1p-148 : 0);
        cr_assert(same, "map %d of %g is %g", (int)(map - maps), (double)x[i], (double)out[i]);
    }
}

Test(feature_map, elementwise_ones_are_their_definition_in_place_too) {
    random_seed(1);
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        for (int round = 0; round < 20; round++) {
            guarded_floats x = guarded_input(random_below(70), -20, 20), out = guarded_output(x.count);
            for (size_t n = 0; n < x.count / 2; n++)
                x.data[random_below(x.count)] = special[random_below(specials)];
            maps[i].map(x.count, x.data, out.data);
            expect_map(maps + i, x.count, x.data, out.data);
            guarded_floats in_place = guarded_copy(&x);
            maps[i].map(x.count, in_place.data, in_place.data);
            expect_map(maps + i, x.count, x.data, in_place.data);
            guarded_free(&x);
            guarded_free(&out);
            guarded_free(&in_place);
        }
}

Test(feature_map, rows_divided_by_their_sum_have_sum_one) {
    random_seed(2);
    for (int round = 0; round < 20; round++) {
        size_t count = 1 + random_below(9), dim = 1 + random_below(50), zero = random_below(count);
        guarded_floats rows = guarded_input(count * dim, 0.001, 2);
        for (size_t d = 0; d < dim; d++) rows.data[zero * dim + d] = 0;
        guarded_floats divided = guarded_copy(&rows);
        rill_feature_map_divide_by_sum(count, dim, divided.data);
        for (size_t n = 0; n < count; n++) {
            double sum = 0;
            for (size_t d = 0; d < dim; d++) sum += (double)divided.data[n * dim + d];
            cr_assert(fabs(sum - (n != zero)) <= (double)dim * U);
        }
        guarded_free(&rows);
        guarded_free(&divided);
    }
}
