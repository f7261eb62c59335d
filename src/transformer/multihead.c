/* SPDX-License-Identifier: MIT */
/* Projections, heads side by side, and the projection back: a whole sequence at once. */
#include <rill/multihead.h>

#include <assert.h>
#include <math.h>
#include <string.h>

#include "failure.h"
#include "kernels/kernels.h"
#include "transformer/multihead_state.h"
#include "transformer/workspace.h"

static const float default_epsilon = 1e-6f;

static size_t extra_keys(const rill_multihead *multihead) {
    return (size_t)(multihead->extra_key != NULL) + (size_t)multihead->zero_key;
}

static rill_status check_dense(const char *name, const rill_dense_weights *dense, rill_error *why) {
    if (!dense->weight || !dense->bias || dense->inputs == 0 || dense->outputs == 0)
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "multihead: the %s projection has no weights, no bias, or a dimension of 0", name);
    return RILL_OK;
}

rill_status rill_multihead_check(const rill_multihead *m, rill_error *why) {
    rill_status status = check_dense("query", &m->query, why);
    if (status == RILL_OK) status = check_dense("key", &m->key, why);
    if (status == RILL_OK) status = check_dense("value", &m->value, why);
    if (status == RILL_OK) status = check_dense("output", &m->output, why);
    if (status != RILL_OK) return status;
    if (m->kind != RILL_MULTIHEAD_SOFTMAX && m->kind != RILL_MULTIHEAD_LINEAR)
        return rill_fail(why, RILL_BAD_ARGUMENT, "multihead: unknown kind %d", (int)m->kind);
    if (m->heads == 0 || m->query.outputs % m->heads || m->value.outputs % m->heads)
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "multihead: %zu heads do not divide queries of %zu and values of %zu", m->heads,
                         m->query.outputs, m->value.outputs);
    if (m->key.outputs != m->query.outputs || m->output.inputs != m->value.outputs)
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "multihead: queries of %zu meet keys of %zu, and values of %zu an output from %zu",
                         m->query.outputs, m->key.outputs, m->value.outputs, m->output.inputs);
    if (!m->extra_key != !m->extra_value || (m->kind == RILL_MULTIHEAD_LINEAR && extra_keys(m) > 0))
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "multihead: an extra key and an extra value go together, and not with linear heads");
    if (!(m->epsilon >= 0 && isfinite(m->epsilon)))
        return rill_fail(why, RILL_BAD_ARGUMENT, "multihead: epsilon %g is not a finite number from 0 on",
                         (double)m->epsilon);
    if (m->kind == RILL_MULTIHEAD_SOFTMAX) return RILL_OK;
    const rill_attention_shape shape = rill_multihead_linear_shape(m);
    return rill_attention_check(&shape, why);
}

rill_attention_shape rill_multihead_linear_shape(const rill_multihead *m) {
    return (rill_attention_shape){.rule = RILL_RULE_LINEAR,
                                  .heads = m->heads,
                                  .query_heads = m->heads,
                                  .key_dim = rill_multihead_key_dim(m),
                                  .value_dim = rill_multihead_value_dim(m),
                                  .normalize = true,
                                  .epsilon = m->epsilon > 0 ? m->epsilon : default_epsilon};
}

rill_softmax_shape rill_multihead_softmax_shape(const rill_multihead *m) {
    return (rill_softmax_shape){.heads = m->heads,
                                .query_heads = m->heads,
                                .key_dim = rill_multihead_key_dim(m),
                                .value_dim = rill_multihead_value_dim(m),
                                .scale = 1 / sqrtf((float)rill_multihead_key_dim(m))};
}

rill_multihead_parts rill_multihead_parts_at(const rill_multihead *m, size_t queries_length,
                                             size_t keys_length, void *workspace) {
    rill_parts parts = {workspace, 0};
    rill_multihead_parts at = {0};
    const size_t extra = extra_keys(m), keys = keys_length + extra;
    at.queries = rill_parts_floats(&parts, queries_length, m->query.outputs);
    at.attended = rill_parts_floats(&parts, queries_length, m->value.outputs);
    at.keys = rill_parts_floats(&parts, keys, m->key.outputs);
    at.values = rill_parts_floats(&parts, keys, m->value.outputs);
    if (m->kind == RILL_MULTIHEAD_LINEAR) {
        const rill_attention_shape shape = rill_multihead_linear_shape(m);
        at.state = rill_parts_take(&parts, rill_attention_size(&shape));
    }
    if (extra > 0) {
        const size_t rows = rill_parts_product(m->heads, queries_length);
        at.mask = rill_parts_take(&parts, rill_parts_product(rows, rill_parts_product(keys, sizeof(bool))));
        at.bias = rill_parts_floats(&parts, rows, keys);
    }
    at.size = parts.size;
    return at;
}

size_t rill_multihead_workspace_size(const rill_multihead *multihead, size_t queries_length,
                                     size_t keys_length) {
    assert(rill_multihead_check(multihead, NULL) == RILL_OK);
    return rill_multihead_parts_at(multihead, queries_length, keys_length, NULL).size;
}

void rill_multihead_project(const rill_dense_weights *dense, size_t count, const float *x, float *y) {
    rill_kernels_get()->dense(count, dense->inputs, dense->outputs, x, dense->weight, dense->bias, y);
}

void rill_multihead_hide(size_t count, size_t dim, const bool *mask, float *rows) {
    for (size_t i = 0; mask && i < count; i++)
        if (!mask[i]) memset(rows + i * dim, 0, dim * sizeof *rows);
}

static bool sees(const rill_sight *sight, size_t head, size_t query, size_t key) {
    if (sight->causal && key > query) return false;
    if (sight->windowed && key < query && query - key > sight->window_before) return false;
    if (sight->windowed && key > query && key - query > sight->window_after) return false;
    return !sight->mask ||
           sight->mask[head * sight->mask_head_stride + query * sight->mask_query_stride + key];
}

/* The sight of the keys as a mask and a bias that have room for the extra ones, which all see. */
static void widen(const rill_multihead *m, const rill_multihead_input *input, rill_multihead_parts at,
                  rill_softmax_input *softmax) {
    const rill_sight *sight = &input->sight;
    const size_t keys = input->keys_length + extra_keys(m);
    bool *mask = at.mask;
    float *bias = at.bias;
    for (size_t h = 0; h < m->heads; h++)
        for (size_t i = 0; i < input->queries_length; i++, mask += keys, bias += keys)
            for (size_t j = 0; j < keys; j++) {
                const bool is_extra = j >= input->keys_length;
                mask[j] = is_extra || sees(sight, h, i, j);
                bias[j] = is_extra || !sight->bias
                              ? 0
                              : sight->bias[h * sight->bias_head_stride + i * sight->bias_query_stride + j];
            }
    softmax->mask = at.mask;
    softmax->bias = at.bias;
    softmax->mask_query_stride = softmax->bias_query_stride = keys;
    softmax->mask_head_stride = softmax->bias_head_stride = input->queries_length * keys;
}

static void attend_softmax(const rill_multihead *m, const rill_multihead_input *input,
                           rill_multihead_parts at) {
    const rill_softmax_shape shape = rill_multihead_softmax_shape(m);
    const rill_sight *sight = &input->sight;
    const size_t extra = extra_keys(m), keys = input->keys_length + extra;
    rill_softmax_input softmax = {.queries_length = input->queries_length,
                                  .keys_length = keys,
                                  .queries = at.queries,
                                  .keys = at.keys,
                                  .values = at.values,
                                  .scores = input->weights,
                                  .scores_kind = RILL_SCORES_NORMALIZED};
    if (extra > 0) {
        float *key = at.keys + input->keys_length * m->key.outputs,
              *value = at.values + input->keys_length * m->value.outputs;
        memset(key, 0, extra * m->key.outputs * sizeof *key);
        memset(value, 0, extra * m->value.outputs * sizeof *value);
        if (m->extra_key) {
            memcpy(key, m->extra_key, m->key.outputs * sizeof *key);
            memcpy(value, m->extra_value, m->value.outputs * sizeof *value);
        }
        widen(m, input, at, &softmax);
    } else {
        softmax.causal = sight->causal;
        softmax.windowed = sight->windowed;
        softmax.window_before = sight->window_before;
        softmax.window_after = sight->window_after;
        softmax.mask = sight->mask;
        softmax.mask_head_stride = sight->mask_head_stride;
        softmax.mask_query_stride = sight->mask_query_stride;
        softmax.bias = sight->bias;
        softmax.bias_head_stride = sight->bias_head_stride;
        softmax.bias_query_stride = sight->bias_query_stride;
    }
    rill_softmax_attention(&shape, &softmax, at.attended);
}

static void attend_linear(const rill_multihead *m, const rill_multihead_input *input,
                          rill_multihead_parts at) {
    const rill_attention_shape shape = rill_multihead_linear_shape(m);
    const rill_sight *sight = &input->sight;
    assert(!sight->windowed && !sight->bias && sight->mask_head_stride == 0 &&
           sight->mask_query_stride == 0 && !input->weights);
    assert(!sight->causal || input->queries_length == input->keys_length);
    rill_feature_map_elu1(input->queries_length * m->query.outputs, at.queries, at.queries);
    rill_feature_map_elu1(input->keys_length * m->key.outputs, at.keys, at.keys);
    rill_multihead_hide(input->keys_length, m->key.outputs, sight->mask, at.keys);
    rill_multihead_hide(input->keys_length, m->value.outputs, sight->mask, at.values);
    const rill_sequence sequence = {
        .length = input->keys_length, .queries = at.queries, .keys = at.keys, .values = at.values};
    rill_attention_init(&shape, at.state);
    if (sight->causal) {
        rill_attention_chunkwise(&shape, at.state, &sequence, at.attended);
    } else {
        rill_attention_write(&shape, at.state, &sequence);
        rill_attention_read(&shape, at.state, input->queries_length, at.queries, at.attended);
    }
}

void rill_multihead_apply(const rill_multihead *m, const rill_multihead_input *input, float *output,
                          void *workspace) {
    assert(rill_multihead_check(m, NULL) == RILL_OK);
    const rill_multihead_parts at =
        rill_multihead_parts_at(m, input->queries_length, input->keys_length, workspace);
    rill_multihead_project(&m->query, input->queries_length, input->queries, at.queries);
    rill_multihead_project(&m->key, input->keys_length, input->keys, at.keys);
    rill_multihead_project(&m->value, input->keys_length, input->values, at.values);
    if (m->kind == RILL_MULTIHEAD_LINEAR)
        attend_linear(m, input, at);
    else
        attend_softmax(m, input, at);
    rill_multihead_project(&m->output, input->queries_length, at.attended, output);
}
