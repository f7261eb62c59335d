/* SPDX-License-Identifier: MIT */
/* ONNX LinearAttention, opset 27: every case by every form, batch by batch. */
#include <math.h>
#include <string.h>

#include "conformance_forms.h"

static const double tolerance = 1e-5;

static rill_update_rule rule_of(const conformance_case *c) {
    static const char *const names[] = {"linear", "gated", "delta", "gated_delta"};
    const char *name = conformance_text(c, "update_rule");
    for (unsigned i = 0; name && i < 4; i++)
        if (strcmp(name, names[i]) == 0) return (rill_update_rule)i;
    return RILL_RULE_GATED_DELTA; /* the operator's default */
}

static bool read_case(conformance_case *c, recurrence *r) {
    const conformance_tensor *query, *key, *value, *past = conformance_find(c, "in.past_state"),
                                                   *decay = conformance_find(c, "in.decay"),
                                                   *beta = conformance_find(c, "in.beta");
    if (!conformance_need(c, "in.query", &query) || !conformance_need(c, "in.key", &key) ||
        !conformance_need(c, "in.value", &value))
        return false;
    size_t heads = (size_t)conformance_number(c, "kv_num_heads", 1);
    r->shape = (rill_attention_shape){.rule = rule_of(c),
                                      .heads = heads,
                                      .query_heads = (size_t)conformance_number(c, "q_num_heads", 1),
                                      .key_dim = key->shape[2] / heads,
                                      .value_dim = value->shape[2] / heads};
    double scale = conformance_number(c, "scale", 0); /* 0 is absent */
    r->shape.scale = (float)(scale != 0 ? scale : 1 / sqrt((double)r->shape.key_dim));
    if (decay) r->shape.decay = decay->shape[2] == heads ? RILL_DECAY_STEP_HEAD : RILL_DECAY_STEP_KEY;
    r->batches = query->shape[0];
    r->steps = (rill_sequence){.length = query->shape[1],
                               .queries = query->values,
                               .keys = key->values,
                               .values = value->values,
                               .log_decay = decay ? decay->values : NULL,
                               .beta = beta ? beta->values : NULL,
                               .beta_is_shared = beta && beta->shape[2] == 1};
    r->past = past ? past->values : NULL;
    return true;
}

static void expect(conformance_case *c, const recurrence *r, const void *unused) {
    (void)unused;
    conformance_expect(c, "out.output", r->output, tolerance);
    conformance_expect(c, "out.present_state", r->S, tolerance);
}

static void run(conformance_case *c) {
    recurrence r = {0};
    if (read_case(c, &r)) recurrence_run_forms(c, &r, expect, NULL);
}

static bool knows(const conformance_case *c) {
    const char *op = conformance_text(c, "op");
    return op && strcmp(op, "LinearAttention") == 0;
}

const conformance_family conformance_onnx_linear_attention = {"ONNX LinearAttention", knows, run};
