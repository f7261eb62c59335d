/* SPDX-License-Identifier: MIT */
/* ONNX LinearAttention, opset 27: every case by every form, batch by batch. */
#include <math.h>
#include <string.h>

#include "conformance_forms.h"

static const double tolerance = 1e-5;

typedef struct onnx_linear {
    rill_attention_shape shape;
    size_t batches, length;
    const conformance_tensor *query, *key, *value, *past, *decay, *beta; /* the last three NULL when absent */
} onnx_linear;

static rill_update_rule rule_of(const conformance_case *c) {
    static const char *const names[] = {"linear", "gated", "delta", "gated_delta"};
    const char *name = conformance_text(c, "update_rule");
    for (unsigned i = 0; name && i < 4; i++)
        if (strcmp(name, names[i]) == 0) return (rill_update_rule)i;
    return RILL_RULE_GATED_DELTA; /* the operator's default */
}

static bool read_case(conformance_case *c, onnx_linear *a) {
    if (!conformance_need(c, "in.query", &a->query) || !conformance_need(c, "in.key", &a->key) ||
        !conformance_need(c, "in.value", &a->value))
        return false;
    a->past = conformance_find(c, "in.past_state");
    a->decay = conformance_find(c, "in.decay");
    a->beta = conformance_find(c, "in.beta");
    a->batches = a->query->shape[0];
    a->length = a->query->shape[1];
    rill_attention_shape *shape = &a->shape;
    shape->rule = rule_of(c);
    shape->heads = (size_t)conformance_number(c, "kv_num_heads", 1);
    shape->query_heads = (size_t)conformance_number(c, "q_num_heads", 1);
    shape->key_dim = a->key->shape[2] / shape->heads;
    shape->value_dim = a->value->shape[2] / shape->heads;
    double scale = conformance_number(c, "scale", 0); /* 0 is absent */
    shape->scale = (float)(scale != 0 ? scale : 1 / sqrt((double)shape->key_dim));
    if (a->decay)
        shape->decay = a->decay->shape[2] == shape->heads ? RILL_DECAY_STEP_HEAD : RILL_DECAY_STEP_KEY;
    return true;
}

static const float *batch_of(const onnx_linear *a, const conformance_tensor *tensor, size_t batch) {
    return tensor ? tensor->values + batch * tensor->count / a->batches : NULL;
}

static void run(conformance_case *c) {
    onnx_linear a = {0};
    if (!read_case(c, &a)) return;
    size_t state_floats = a.shape.heads * a.shape.key_dim * a.shape.value_dim;
    size_t output_floats = a.length * a.shape.query_heads * a.shape.value_dim;
    float *output = conformance_floats(c, a.batches * output_floats);
    float *present = conformance_floats(c, a.batches * state_floats);
    void *state = conformance_memory(c, rill_attention_size(&a.shape));
    for (int form = 0; form < forms_count; form++) {
        for (size_t b = 0; b < a.batches; b++) {
            rill_sequence sequence = {.length = a.length,
                                      .queries = batch_of(&a, a.query, b),
                                      .keys = batch_of(&a, a.key, b),
                                      .values = batch_of(&a, a.value, b),
                                      .log_decay = batch_of(&a, a.decay, b),
                                      .beta = batch_of(&a, a.beta, b)};
            sequence.beta_is_shared = a.beta && a.beta->shape[2] == 1;
            rill_attention_init(&a.shape, state);
            if (a.past) memcpy(state, batch_of(&a, a.past, b), state_floats * sizeof(float));
            conformance_run_form(form, &a.shape, state, &sequence, output + b * output_floats);
            memcpy(present + b * state_floats, state, state_floats * sizeof(float));
        }
        conformance_expect(c, "out.output", output, tolerance);
        conformance_expect(c, "out.present_state", present, tolerance);
    }
}

static bool knows(const conformance_case *c) {
    const char *op = conformance_text(c, "op");
    return op && strcmp(op, "LinearAttention") == 0;
}

const conformance_family conformance_onnx_linear_attention = {"ONNX LinearAttention", knows, run};
