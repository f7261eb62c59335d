/* SPDX-License-Identifier: MIT */
/* ONNX Attention, opset 23–27: batch by batch, heads first turned to time-major. Cases that a key-value cache
 * or a sliding window can tell go through them as well.
 *
 * Left out: softmax_precision (nothing asks for it; weights are float, their sums double). */
#include "conformance.h"

#include <math.h>
#include <string.h>

#include <rill/softmax.h>

static const double tolerance = 1e-5;

typedef struct onnx_rows { /* [batches][length][heads][dim] */
    size_t batches, length, heads, dim;
    float *values;
} onnx_rows;

static size_t row_size(const onnx_rows *rows) {
    return rows->heads * rows->dim;
}

static float *batch_of(const onnx_rows *rows, size_t batch) {
    return rows->values + batch * rows->length * row_size(rows);
}

/* [batches][heads][length][dim] to time-major, or the other way round */
static void swap_heads(size_t batches, size_t outer, size_t inner, size_t dim, const float *from, float *to) {
    for (size_t b = 0; b < batches; b++)
        for (size_t o = 0; o < outer; o++)
            for (size_t i = 0; i < inner; i++)
                memcpy(to + ((b * inner + i) * outer + o) * dim, from + ((b * outer + o) * inner + i) * dim,
                       dim * sizeof(float));
}

/* rank 4 is heads first, rank 3 [batches][length][heads · dim] */
static onnx_rows rows_of(conformance_case *c, const conformance_tensor *tensor, const char *heads_key) {
    const size_t *shape = tensor->shape;
    onnx_rows rows = {.batches = shape[0]};
    if (tensor->rank == 4) {
        rows.heads = shape[1], rows.length = shape[2], rows.dim = shape[3];
        rows.values = conformance_floats(c, tensor->count);
        swap_heads(rows.batches, rows.heads, rows.length, rows.dim, tensor->values, rows.values);
    } else {
        rows.heads = (size_t)conformance_number(c, heads_key, 1);
        rows.length = shape[1], rows.dim = shape[2] / rows.heads;
        rows.values = tensor->values;
    }
    return rows;
}

static onnx_rows join(conformance_case *c, const char *past_name, const onnx_rows *now) {
    const conformance_tensor *tensor = conformance_find(c, past_name);
    if (!tensor) return *now;
    onnx_rows past = rows_of(c, tensor, NULL), all = *now;
    all.length += past.length;
    all.values = conformance_floats(c, all.batches * all.length * row_size(&all));
    for (size_t b = 0; b < all.batches; b++) {
        memcpy(batch_of(&all, b), batch_of(&past, b), past.length * row_size(&past) * sizeof(float));
        memcpy(batch_of(&all, b) + past.length * row_size(&past), batch_of(now, b),
               now->length * row_size(now) * sizeof(float));
    }
    return all;
}

/* Everything of one case. The mask is taken apart into [batches][query_heads][queries][keys]. */
typedef struct onnx_attention {
    onnx_rows queries, keys, values;
    size_t past_length;
    rill_softmax_shape shape;
    rill_softmax_input input;   /* what is the same in every batch */
    const float *nonpad_length; /* [batches], or NULL */
    bool *mask;
    float *bias;
    float *output, *scores;
} onnx_attention;

/* A mask broadcasts from the right; keys beyond its end are hidden. */
static void spread_mask(conformance_case *c, onnx_attention *a) {
    const conformance_tensor *from = conformance_find(c, "in.attn_mask");
    if (!from) return;
    size_t to[4] = {a->queries.batches, a->queries.heads, a->queries.length, a->keys.length}, stride[4] = {0};
    size_t size = 1;
    for (size_t i = 0; i < from->rank; i++) {
        size_t dim = from->shape[from->rank - 1 - i];
        stride[3 - i] = dim == 1 && to[3 - i] != 1 ? 0 : size;
        size *= dim;
    }
    size_t held = from->shape[from->rank - 1], count = to[0] * to[1] * to[2] * to[3];
    bool boolean = strcmp(from->dtype, "BOOL") == 0;
    a->mask = boolean ? conformance_memory(c, count * sizeof(bool)) : NULL;
    a->bias = boolean ? NULL : conformance_floats(c, count);
    for (size_t i = 0; i < count; i++) {
        size_t key = i % to[3], query = i / to[3] % to[2], head = i / to[3] / to[2] % to[1],
               batch = i / to[3] / to[2] / to[1];
        bool present = key < held;
        float value =
            present ? from->values[batch * stride[0] + head * stride[1] + query * stride[2] + key] : 0;
        if (boolean)
            a->mask[i] = present && value != 0;
        else
            a->bias[i] = present ? value : -INFINITY;
    }
}

static bool read_case(conformance_case *c, onnx_attention *a) {
    const conformance_tensor *q, *k, *v;
    if (!conformance_need(c, "in.Q", &q) || !conformance_need(c, "in.K", &k) ||
        !conformance_need(c, "in.V", &v))
        return false;
    a->queries = rows_of(c, q, "q_num_heads");
    onnx_rows keys = rows_of(c, k, "kv_num_heads"), values = rows_of(c, v, "kv_num_heads");
    a->keys = join(c, "in.past_key", &keys);
    a->values = join(c, "in.past_value", &values);
    a->past_length = a->keys.length - keys.length;
    a->shape =
        (rill_softmax_shape){.heads = a->keys.heads,
                             .query_heads = a->queries.heads,
                             .key_dim = a->keys.dim,
                             .value_dim = a->values.dim,
                             .scale = (float)conformance_number(c, "scale", 1 / sqrt((double)a->keys.dim)),
                             .softcap = (float)conformance_number(c, "softcap", 0)};
    double before = conformance_number(c, "left_window_size", -1),
           after = conformance_number(c, "right_window_size", -1);
    a->input =
        (rill_softmax_input){.queries_length = a->queries.length,
                             .keys_length = a->keys.length,
                             .offset = (ptrdiff_t)a->past_length,
                             .causal = conformance_number(c, "is_causal", 0) != 0,
                             .windowed = before >= 0 || after >= 0,
                             .window_before = before < 0 ? RILL_UNBOUNDED : (size_t)before,
                             .window_after = after < 0 ? RILL_UNBOUNDED : (size_t)after,
                             .mask_head_stride = a->queries.length * a->keys.length,
                             .mask_query_stride = a->keys.length,
                             .bias_head_stride = a->queries.length * a->keys.length,
                             .bias_query_stride = a->keys.length,
                             .scores_kind = (rill_scores)conformance_number(c, "qk_matmul_output_mode", 0)};
    const conformance_tensor *nonpad = conformance_find(c, "in.nonpad_kv_seqlen");
    a->nonpad_length = nonpad ? nonpad->values : NULL;
    spread_mask(c, a);
    size_t pairs = a->queries.batches * a->queries.heads * a->queries.length * a->keys.length;
    if (conformance_find(c, "out.qk_matmul_output")) a->scores = conformance_floats(c, pairs);
    a->output =
        conformance_floats(c, a->queries.batches * a->queries.length * a->queries.heads * a->values.dim);
    return true;
}

static void attend(const onnx_attention *a, size_t batch) {
    size_t plane = a->queries.heads * a->queries.length * a->keys.length;
    rill_softmax_input input = a->input;
    input.queries = batch_of(&a->queries, batch);
    input.keys = batch_of(&a->keys, batch);
    input.values = batch_of(&a->values, batch);
    if (a->nonpad_length) {
        input.keys_length = (size_t)a->nonpad_length[batch];
        input.offset = (ptrdiff_t)input.keys_length - (ptrdiff_t)input.queries_length;
    }
    input.mask = a->mask ? a->mask + batch * plane : NULL;
    input.bias = a->bias ? a->bias + batch * plane : NULL;
    input.scores = a->scores ? a->scores + batch * plane : NULL;
    rill_softmax_attention(&a->shape, &input,
                           a->output + batch * a->queries.length * a->shape.query_heads * a->shape.value_dim);
}

static void expect_rows(conformance_case *c, const char *name, const onnx_rows *rows) {
    const conformance_tensor *want;
    if (!conformance_need(c, name, &want)) return;
    float *got = rows->values;
    if (want->rank == 4) {
        got = conformance_floats(c, want->count);
        swap_heads(rows->batches, rows->length, rows->heads, rows->dim, rows->values, got);
    }
    conformance_expect(c, name, got, tolerance);
}

static void expect_output(conformance_case *c, const onnx_attention *a) {
    onnx_rows output = {a->queries.batches, a->queries.length, a->queries.heads, a->values.dim, a->output};
    expect_rows(c, "out.Y", &output);
}

static rill_sequence steps_of(const onnx_attention *a, size_t batch, size_t start, size_t length,
                              const float *queries) {
    return (rill_sequence){.length = length,
                           .queries = queries,
                           .keys = batch_of(&a->keys, batch) + start * row_size(&a->keys),
                           .values = batch_of(&a->values, batch) + start * row_size(&a->values)};
}

/* The past, its outputs thrown away, then the queries' own steps. */
static void step_through(conformance_case *c, const onnx_attention *a, size_t batch) {
    size_t length = a->queries.length, past = a->past_length;
    float *output = a->output + batch * length * a->shape.query_heads * a->shape.value_dim;
    float *unused =
        conformance_floats(c, past * a->shape.query_heads * (a->shape.key_dim + a->shape.value_dim));
    rill_sequence before = steps_of(a, batch, 0, past, unused);
    rill_sequence now = steps_of(a, batch, past, length, batch_of(&a->queries, batch));
    float *unused_output = unused + past * a->shape.query_heads * a->shape.key_dim;
    if (a->input.windowed) {
        rill_sliding_window_shape shape = {a->shape, 0, a->input.window_before + 1};
        void *state = conformance_memory(c, rill_sliding_window_size(&shape));
        rill_sliding_window_init(&shape, state);
        rill_sliding_window_step(&shape, state, &before, unused_output);
        rill_sliding_window_step(&shape, state, &now, output);
    } else {
        void *cache = conformance_memory(c, rill_key_value_cache_size(&a->shape, past + length));
        rill_key_value_cache_init(&a->shape, cache, past + length);
        rill_key_value_cache_step(&a->shape, cache, &before, unused_output);
        rill_key_value_cache_step(&a->shape, cache, &now, output);
    }
}

static bool can_step(const onnx_attention *a) {
    return a->input.causal && !a->mask && !a->bias && !a->nonpad_length && !a->scores &&
           a->past_length + a->queries.length <= a->keys.length &&
           (!a->input.windowed || a->input.window_before != RILL_UNBOUNDED);
}

static void run(conformance_case *c) {
    onnx_attention a = {0};
    if (!read_case(c, &a)) return;
    for (size_t batch = 0; batch < a.queries.batches; batch++) attend(&a, batch);
    expect_output(c, &a);
    if (a.scores) conformance_expect(c, "out.qk_matmul_output", a.scores, tolerance);
    if (conformance_find(c, "out.present_key")) {
        expect_rows(c, "out.present_key", &a.keys);
        expect_rows(c, "out.present_value", &a.values);
    }
    if (!can_step(&a)) return;
    for (size_t batch = 0; batch < a.queries.batches; batch++) step_through(c, &a, batch);
    expect_output(c, &a);
}

static bool knows(const conformance_case *c) {
    const char *op = conformance_text(c, "op");
    return op && strcmp(op, "Attention") == 0;
}

const conformance_family conformance_onnx_attention = {"ONNX Attention", knows, run};
