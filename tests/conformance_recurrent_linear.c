/* SPDX-License-Identifier: MIT */
/* The recurrent transformers of fast-transformers, by their states: self attention, and cross attention,
 * which writes once and reads. */
#include <string.h>

#include "conformance_forms.h"

static const double tolerance = 1e-5;

static const float *features_of(conformance_case *c, const conformance_tensor *tensor) {
    float *features = conformance_floats(c, tensor->count);
    rill_feature_map_elu1(tensor->count, tensor->values, features);
    return features;
}

static bool read_case(conformance_case *c, recurrence *r) {
    const conformance_tensor *queries, *keys, *values;
    if (!conformance_need(c, "in.queries", &queries) || !conformance_need(c, "in.keys", &keys) ||
        !conformance_need(c, "in.values", &values))
        return false;
    r->batches = keys->shape[0];
    r->shape = (rill_attention_shape){.rule = RILL_RULE_LINEAR,
                                      .heads = keys->shape[2],
                                      .query_heads = keys->shape[2],
                                      .key_dim = keys->shape[3],
                                      .value_dim = values->shape[3],
                                      .normalize = true,
                                      .epsilon = (float)conformance_number(c, "eps", 1e-6)};
    r->steps = (rill_sequence){.length = keys->shape[1],
                               .queries = features_of(c, queries),
                               .keys = features_of(c, keys),
                               .values = values->values};
    return true;
}

/* The state after 130 steps is in the hundreds: tolerances are relative there. */
static void expect(conformance_case *c, const recurrence *r, const void *unused) {
    (void)unused;
    conformance_expect(c, "out.values", r->output, tolerance);
    conformance_expect(c, "out.S_final", r->S, tolerance);
    conformance_expect(c, "out.Z_final", r->z, tolerance);
}

/* S [key][value] of the file is [value][key]. */
static void run_cross(conformance_case *c, recurrence *r) {
    const conformance_tensor *lengths, *queries, *want;
    if (!conformance_need(c, "in.key_lengths", &lengths) || !conformance_need(c, "in.queries", &queries) ||
        !conformance_need(c, "out.values", &want))
        return;
    const rill_attention_shape *s = &r->shape;
    size_t floats = s->heads * s->key_dim * s->value_dim, count = queries->shape[1];
    float *output = conformance_floats(c, want->count), *S = conformance_floats(c, r->batches * floats),
          *z = conformance_floats(c, r->batches * s->heads * s->key_dim),
          *state = conformance_memory(c, rill_attention_size(s));
    for (size_t b = 0; b < r->batches; b++) {
        rill_sequence heard = {.length = (size_t)lengths->values[b],
                               .keys = r->steps.keys + b * r->steps.length * s->heads * s->key_dim,
                               .values = r->steps.values + b * r->steps.length * s->heads * s->value_dim};
        rill_attention_init(s, state);
        if (rill_attention_write(s, state, &heard) != 0) conformance_fail(c, "steps were left out");
        rill_attention_read(s, state, count, r->steps.queries + b * count * s->heads * s->key_dim,
                            output + b * count * s->heads * s->value_dim);
        memcpy(S + b * floats, state, floats * sizeof *S);
        memcpy(z + b * s->heads * s->key_dim, state + floats, s->heads * s->key_dim * sizeof *z);
    }
    conformance_expect(c, "out.values", output, tolerance);
    conformance_expect(c, "out.S_MxE",
                       recurrence_swap(c, S, r->batches * s->heads, s->key_dim, s->value_dim, 1), tolerance);
    conformance_expect(c, "out.Z", z, tolerance);
}

static void run(conformance_case *c) {
    recurrence r = {0};
    if (!read_case(c, &r)) return;
    if (conformance_file_starts(c, "recurrent_cross_linear_"))
        run_cross(c, &r);
    else
        recurrence_run_forms(c, &r, expect, NULL);
}

static bool knows(const conformance_case *c) {
    return strcmp(conformance_folder(c), "fast_transformers") == 0 &&
           (conformance_file_starts(c, "recurrent_linear_") ||
            conformance_file_starts(c, "recurrent_cross_linear_"));
}

const conformance_family conformance_recurrent_linear = {"recurrent linear transformers", knows, run};
