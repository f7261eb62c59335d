/* SPDX-License-Identifier: MIT */
/* Values that the authors' own code computed (fast-transformers), by the forms that keep a state. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/attention.h>

#include "safetensors_case.h"

static const double u = (double)FLT_EPSILON / 2; /* the relative error of one rounding */
static rill_attention_form *const forms[] = {rill_attention_recurrent, rill_attention_chunkwise};

static bool case_open(const char *folder, const char *name, safetensors_case *c) {
    char path[512];
    snprintf(path, sizeof path, RILL_SHARED "/conformance/%s/%s.safetensors", folder, name);
    if (safetensors_case_open(path, c)) return true;
    fprintf(stderr, "SKIPPED: %s is not here\n", path); /* Criterion itself says nothing */
    cr_skip_test();
    return false;
}

static void expect_near(const char *name, const float *got, const float *want, size_t count,
                        double tolerance) {
    for (size_t i = 0; i < count; i++)
        cr_assert(fabs((double)got[i] - (double)want[i]) <= tolerance, "%s [%zu]: %.9g, want %.9g ± %.3g",
                  name, i, (double)got[i], (double)want[i], tolerance);
}

/* The authors' own feature map: expm1 first, so that below −17.3 it is exactly 0. Only where the case is
 * about that do the two differ by more than rounding. */
static void authors_elu1(size_t count, const float *x, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = (x[i] > 0 ? x[i] : expm1f(x[i])) + 1;
}

/* fast-transformers, [N][L][H][E]; rows after a sequence's length hold no key. Tolerance: 2 L roundings of
 * numbers up to the largest value. */
static void expect_authors(const char *name, void (*feature_map)(size_t, const float *, float *)) {
    safetensors_case c;
    if (!case_open("papers/fast_transformers", name, &c)) return;
    size_t key_shape[4], value_shape[4], unused[4];
    const float *queries = safetensors_case_tensor(&c, "in.queries", key_shape);
    const float *keys = safetensors_case_tensor(&c, "in.keys", unused);
    const float *values = safetensors_case_tensor(&c, "in.values", value_shape);
    const float *want = safetensors_case_tensor(&c, "out.values", unused);
    const float *lengths = safetensors_case_tensor(&c, "in.key_lengths", unused);
    cr_assert(queries && keys && values && want, "%s lacks a tensor", name);
    size_t length = key_shape[1], heads = key_shape[2];
    rill_attention_shape shape = {RILL_RULE_LINEAR,
                                  RILL_DECAY_NONE,
                                  heads,
                                  heads,
                                  key_shape[3],
                                  value_shape[3],
                                  true,
                                  (float)safetensors_case_number(&c, "eps", 1e-6),
                                  1};
    size_t key_row = heads * shape.key_dim, value_row = heads * shape.value_dim;
    float *phi_q = calloc(length * key_row, sizeof(float)), *phi_k = calloc(length * key_row, sizeof(float));
    float *output = calloc(length * value_row, sizeof(float)), largest = 0;
    for (size_t i = 0; i < key_shape[0] * length * value_row; i++) largest = fmaxf(largest, fabsf(values[i]));
    for (size_t n = 0; n < key_shape[0]; n++) {
        size_t heard = lengths ? (size_t)lengths[n] : length;
        feature_map(length * key_row, queries + n * length * key_row, phi_q);
        memset(phi_k, 0, length * key_row * sizeof(float));
        feature_map(heard * key_row, keys + n * length * key_row, phi_k);
        for (size_t form = 0; form < sizeof forms / sizeof *forms; form++) {
            void *state = malloc(rill_attention_size(&shape));
            rill_attention_init(&shape, state);
            rill_sequence sequence = {
                .length = length, .queries = phi_q, .keys = phi_k, .values = values + n * length * value_row};
            forms[form](&shape, state, &sequence, output);
            expect_near(name, output, want + n * length * value_row, length * value_row,
                        4 * (double)(length + shape.key_dim + 8) * u * (double)largest);
            free(state);
        }
    }
    free(phi_q);
    free(phi_k);
    free(output);
    safetensors_case_close(&c);
}

Test(golden, causal_linear_attention_of_its_authors) {
    expect_authors("causal_linear_n1_l1_h1_e4_m4", rill_feature_map_elu1);
    expect_authors("causal_linear_n1_l2_h4_e4_m3", rill_feature_map_elu1);
    expect_authors("causal_linear_n1_l64_h4_e8_m8", rill_feature_map_elu1);
    expect_authors("causal_linear_n1_l65_h1_e16_m24", rill_feature_map_elu1);
    expect_authors("causal_linear_n1_l130_h1_e32_m32", rill_feature_map_elu1);
    expect_authors("causal_linear_n2_l7_h1_e5_m3_lens", rill_feature_map_elu1);
    expect_authors("causal_linear_n2_l7_h4_e8_m6", rill_feature_map_elu1);
    expect_authors("causal_linear_n2_l130_h4_e8_m6_lens", rill_feature_map_elu1);
    expect_authors("causal_linear_large_inputs", authors_elu1);
    expect_authors("causal_linear_eps_matters", authors_elu1);
    expect_authors("causal_linear_phi_granularity", authors_elu1);
    expect_authors("causal_linear_underflow_eps_dominates", authors_elu1);
}
