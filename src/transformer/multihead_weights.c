/* SPDX-License-Identifier: MIT */
/* The names that others give to the weights of multi-head attention. */
#include <rill/multihead.h>

#include <string.h>

#include "transformer/weight_finder.h"

/* nn.MultiheadAttention stacks the three projections, or keeps three when keys have a dimension of their own.
 */
static void find_stacked(rill_weight_finder *in, rill_multihead *m) {
    size_t rows = 0, dim = 0;
    const float *weight = rill_weight_find(in, "", "in_proj_weight", &rows, &dim);
    if (weight && rows != 3 * dim)
        rill_weight_fail(in, RILL_BAD_FORMAT, "%sin_proj_weight has %zu rows, not 3 times %zu", in->prefix,
                         rows, dim);
    rill_dense_weights *projections[] = {&m->query, &m->key, &m->value};
    for (size_t i = 0; weight && i < 3; i++)
        *projections[i] =
            (rill_dense_weights){.inputs = dim, .outputs = dim, .weight = weight + i * dim * dim};
}

static void find_separate(rill_weight_finder *in, rill_multihead *m) {
    size_t dim = 0;
    m->query.weight = rill_weight_find(in, "", "q_proj_weight", &m->query.outputs, &m->query.inputs);
    dim = m->key.outputs = m->value.outputs = m->query.outputs;
    m->key.weight = rill_weight_find(in, "", "k_proj_weight", &dim, &m->key.inputs);
    m->value.weight = rill_weight_find(in, "", "v_proj_weight", &dim, &m->value.inputs);
}

static void find_pytorch(rill_weight_finder *in, rill_multihead *m) {
    if (rill_weight_is_there(in, "", "q_proj_weight"))
        find_separate(in, m);
    else
        find_stacked(in, m);
    size_t dim = m->query.outputs;
    const float *bias = rill_weight_find_bias(in, "", "in_proj_bias", 3 * dim);
    m->query.bias = bias;
    m->key.bias = bias ? bias + dim : NULL;
    m->value.bias = bias ? bias + 2 * dim : NULL;
    m->output = rill_weight_find_dense(in, "out_proj", dim, 0);
    if (rill_weight_is_there(in, "", "bias_k") || rill_weight_is_there(in, "", "bias_v")) {
        m->extra_key = rill_weight_find(in, "", "bias_k", &dim, NULL);
        m->extra_value = rill_weight_find(in, "", "bias_v", &dim, NULL);
    }
}

rill_status rill_multihead_read(const rill_weights *weights, const char *prefix, rill_multihead_kind kind,
                                size_t heads, rill_multihead *multihead, rill_error *why) {
    rill_weight_finder in = {weights, prefix, RILL_OK, why};
    *multihead = (rill_multihead){.kind = kind, .heads = heads};
    if (rill_weight_is_there(&in, "query_projection", ".weight")) {
        multihead->query = rill_weight_find_dense(&in, "query_projection", 0, 0);
        multihead->key = rill_weight_find_dense(&in, "key_projection", 0, multihead->query.outputs);
        multihead->value = rill_weight_find_dense(&in, "value_projection", 0, 0);
        multihead->output = rill_weight_find_dense(&in, "out_projection", multihead->value.outputs, 0);
    } else {
        find_pytorch(&in, multihead);
    }
    return in.status == RILL_OK ? rill_multihead_check(multihead, why) : in.status;
}
