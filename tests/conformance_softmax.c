/* SPDX-License-Identifier: MIT */
/* Softmax attention as the papers' own code computes it, and their linear attention through the same
 * quadratic code.
 *
 * Left out: scores that are no product of query and key (Bahdanau's, conformance_additive.c), whole encoder
 * and decoder layers (conformance_transformer.c). */
#include "conformance.h"

#include <math.h>
#include <string.h>

#include <rill/feature_map.h>
#include <rill/softmax.h>

static const double tolerance = 1e-5;

/* [batches][length][heads][dim], keys and values alike; key_lengths [batches] or NULL */
typedef struct batch {
    size_t batches, queries_length, keys_length;
    const float *queries, *keys, *values, *key_lengths;
    rill_softmax_shape shape;
} batch;

static bool is_true(const conformance_case *c, const char *key) {
    const char *text = conformance_text(c, key);
    return text && strcmp(text, "true") == 0;
}

static const float *values_of(const conformance_case *c, const char *name) {
    const conformance_tensor *tensor = conformance_find(c, name);
    return tensor ? tensor->values : NULL;
}

/* Tensors by their names in this case; the usual scale. */
static bool read_batch(conformance_case *c, const char *q_name, const char *k_name, const char *v_name,
                       batch *b) {
    const conformance_tensor *q, *k, *v;
    if (!conformance_need(c, q_name, &q) || !conformance_need(c, k_name, &k) ||
        !conformance_need(c, v_name, &v))
        return false;
    *b = (batch){.batches = q->shape[0],
                 .queries_length = q->shape[1],
                 .keys_length = k->shape[1],
                 .queries = q->values,
                 .keys = k->values,
                 .values = v->values,
                 .key_lengths = values_of(c, "in.key_lengths")};
    b->shape = (rill_softmax_shape){.heads = k->shape[2],
                                    .query_heads = q->shape[2],
                                    .key_dim = q->shape[3],
                                    .value_dim = v->shape[3],
                                    .scale = 1 / sqrtf((float)q->shape[3])};
    return true;
}

static size_t output_size(const batch *b) { /* floats of one sequence */
    return b->queries_length * b->shape.query_heads * b->shape.value_dim;
}

static rill_softmax_input sequence_of(const batch *b, size_t n) {
    rill_softmax_input input = {.queries_length = b->queries_length, .keys_length = b->keys_length};
    input.queries = b->queries + n * b->queries_length * b->shape.query_heads * b->shape.key_dim;
    input.keys = b->keys + n * b->keys_length * b->shape.heads * b->shape.key_dim;
    input.values = b->values + n * b->keys_length * b->shape.heads * b->shape.value_dim;
    if (b->key_lengths) input.keys_length = (size_t)b->key_lengths[n];
    return input;
}

static float *attend(conformance_case *c, const batch *b, bool causal) {
    float *output = conformance_floats(c, b->batches * output_size(b));
    for (size_t n = 0; n < b->batches; n++) {
        rill_softmax_input input = sequence_of(b, n);
        input.causal = causal;
        rill_softmax_attention(&b->shape, &input, output + n * output_size(b));
    }
    return output;
}

/* Sums of positive terms: the error is relative to the largest value. */
static double scaled_tolerance(const batch *b) {
    float largest = 1;
    for (size_t i = 0; i < b->batches * b->keys_length * b->shape.heads * b->shape.value_dim; i++)
        largest = fmaxf(largest, fabsf(b->values[i]));
    return tolerance / 10 * (double)largest;
}

static void run_full(conformance_case *c) {
    batch b;
    if (!read_batch(c, "in.queries", "in.keys", "in.values", &b)) return;
    b.shape.scale = (float)conformance_number(c, "softmax_temp", (double)b.shape.scale);
    conformance_expect(c, "out.values", attend(c, &b, is_true(c, "causal")), scaled_tolerance(&b));
}

/* The key-value cache, one step at a time. */
static void run_recurrent_full(conformance_case *c) {
    batch b;
    if (!read_batch(c, "in.queries", "in.keys", "in.values", &b)) return;
    float *output = conformance_floats(c, b.batches * output_size(&b));
    void *cache = conformance_memory(c, rill_key_value_cache_size(&b.shape, b.keys_length));
    for (size_t n = 0; n < b.batches; n++) {
        rill_softmax_input input = sequence_of(&b, n);
        rill_key_value_cache_init(&b.shape, cache, b.keys_length);
        for (size_t t = 0; t < b.queries_length; t++) {
            rill_sequence step = {.length = 1,
                                  .queries = input.queries + t * b.shape.query_heads * b.shape.key_dim,
                                  .keys = input.keys + t * b.shape.heads * b.shape.key_dim,
                                  .values = input.values + t * b.shape.heads * b.shape.value_dim};
            rill_key_value_cache_step(&b.shape, cache, &step,
                                      output + n * output_size(&b) + t * output_size(&b) / b.queries_length);
        }
    }
    conformance_expect(c, "out.values", output, tolerance);
}

/* Linear attention, as a quadratic form of elu + 1 with epsilon 1e-6 (eq. 3, 4). */
static void run_linear(conformance_case *c, bool causal) {
    batch b;
    if (!read_batch(c, "in.queries", "in.keys", "in.values", &b)) return;
    size_t queries = b.batches * b.queries_length * b.shape.query_heads * b.shape.key_dim;
    size_t keys = b.batches * b.keys_length * b.shape.heads * b.shape.key_dim;
    float *q = conformance_floats(c, queries), *k = conformance_floats(c, keys);
    rill_feature_map_elu1(queries, b.queries, q);
    rill_feature_map_elu1(keys, b.keys, k);
    b.queries = q;
    b.keys = k;
    b.shape.similarity = RILL_SIMILARITY_PRODUCT;
    b.shape.scale = 1;
    b.shape.normalize = true;
    b.shape.epsilon = 1e-6f;
    /* their φ is elu + 1 in float: exp(x) − 1 + 1, off by 6e-8 where the denominator may be as small as 1e-5
     */
    double slack = conformance_number(c, "max_diff_if_phi_is_exact_exp", 0) * 1.5;
    conformance_expect(c, "out.values", attend(c, &b, causal), fmax(scaled_tolerance(&b), slack));
    if (conformance_find(c, "out.values_noncausal"))
        conformance_expect(c, "out.values_noncausal", attend(c, &b, false),
                           fmax(scaled_tolerance(&b), slack));
}

/* Truncated self-attention. What is past a sequence's end weighs exp(−1e24) there, which is nothing unless
 * there is nothing else: so a bias of −1e24, and rows of zeros around the sequence. */
static void run_local(conformance_case *c) {
    batch b;
    if (!read_batch(c, "in.queries", "in.keys", "in.values", &b)) return;
    size_t context = (size_t)conformance_number(c, "local_context", 0), padded = b.keys_length + 2 * context;
    size_t key_row = b.shape.heads * b.shape.key_dim, value_row = b.shape.heads * b.shape.value_dim;
    float *output = conformance_floats(c, b.batches * output_size(&b));
    for (size_t n = 0; n < b.batches; n++) {
        rill_softmax_input input = sequence_of(&b, n);
        float *keys = conformance_floats(c, padded * key_row),
              *values = conformance_floats(c, padded * value_row);
        float *bias = conformance_floats(c, padded);
        memcpy(keys + context * key_row, input.keys, b.keys_length * key_row * sizeof(float));
        memcpy(values + context * value_row, input.values, b.keys_length * value_row * sizeof(float));
        for (size_t j = 0; j < padded; j++)
            bias[j] = j >= context && j < context + input.keys_length ? 0 : -1e24f;
        input.keys = keys;
        input.values = values;
        input.bias = bias;
        input.keys_length = padded;
        input.offset = (ptrdiff_t)context;
        input.causal = is_true(c, "causal");
        input.windowed = true;
        input.window_before = context / 2;
        input.window_after = (context + 1) / 2 - 1;
        rill_softmax_attention(&b.shape, &input, output + n * output_size(&b));
    }
    conformance_expect(c, "out.values", output, scaled_tolerance(&b));
}

/* Attention along the edges of a graph. */
static void run_edges(conformance_case *c) {
    batch b;
    const conformance_tensor *edges;
    if (!read_batch(c, "in.queries", "in.keys", "in.values", &b) || !conformance_need(c, "in.adj", &edges))
        return;
    bool *mask = conformance_memory(c, edges->count * sizeof(bool));
    for (size_t i = 0; i < edges->count; i++) mask[i] = edges->values[i] > 0;
    rill_softmax_input input = sequence_of(&b, 0);
    input.mask = mask;
    input.mask_query_stride = b.keys_length;
    float *output = conformance_floats(c, output_size(&b));
    rill_softmax_attention(&b.shape, &input, output);
    conformance_expect(c, "out.values", output, tolerance);
}

/* Forgetting attention: the bias is the sum of log gates from after the key to the query. */
static void run_forgetting(conformance_case *c) {
    batch b;
    const conformance_tensor *gates;
    if (!read_batch(c, "in.q", "in.k", "in.v", &b) || !conformance_need(c, "in.g_log", &gates)) return;
    size_t length = b.keys_length, heads = b.shape.query_heads,
           window = (size_t)conformance_number(c, "window", 0);
    float *output = conformance_floats(c, b.batches * output_size(&b)),
          *bias = conformance_floats(c, heads * length * length);
    for (size_t n = 0; n < b.batches; n++) {
        for (size_t h = 0; h < heads; h++)
            for (size_t i = 0; i < length; i++) {
                double sum = 0;
                for (size_t j = i + 1; j-- > 0;) {
                    bias[(h * length + i) * length + j] = (float)sum;
                    sum += (double)gates->values[(n * length + j) * heads + h];
                }
            }
        rill_softmax_input input = sequence_of(&b, n);
        input.causal = true;
        input.windowed = window > 0;
        input.window_before = window - 1;
        input.bias = bias;
        input.bias_head_stride = length * length;
        input.bias_query_stride = length;
        rill_softmax_attention(&b.shape, &input, output + n * output_size(&b));
    }
    conformance_expect(c, "out.o", output, tolerance);
}

/* y [rows][outputs] = x [rows][inputs] weightᵀ + bias */
static float *linear(conformance_case *c, size_t rows, size_t inputs, size_t outputs, const float *x,
                     const float *weight, const float *bias) {
    float *y = conformance_floats(c, rows * outputs);
    for (size_t i = 0; i < rows * outputs; i++) {
        double sum = bias ? (double)bias[i % outputs] : 0;
        for (size_t d = 0; d < inputs; d++)
            sum += (double)weight[i % outputs * inputs + d] * (double)x[i / outputs * inputs + d];
        y[i] = (float)sum;
    }
    return y;
}

/* Luong's: keys are values, no scale; "general" has a matrix between query and key. */
static void run_luong(conformance_case *c) {
    const conformance_tensor *query, *keys, *between = conformance_find(c, "weight.linear_in.weight");
    if (!conformance_need(c, "in.query", &query) || !conformance_need(c, "in.keys", &keys)) return;
    size_t dim = query->shape[2];
    batch b = {.batches = query->shape[0],
               .queries_length = query->shape[1],
               .keys_length = keys->shape[1],
               .queries = query->values,
               .keys = keys->values,
               .values = keys->values};
    b.shape =
        (rill_softmax_shape){.heads = 1, .query_heads = 1, .key_dim = dim, .value_dim = dim, .scale = 1};
    if (between)
        b.queries =
            linear(c, query->shape[0] * query->shape[1], dim, dim, query->values, between->values, NULL);
    const float *lengths = values_of(c, "in.lengths");
    size_t pairs = b.queries_length * b.keys_length;
    float *context = conformance_floats(c, query->count), *weights = conformance_floats(c, b.batches * pairs);
    float *scores = conformance_floats(c, b.batches * pairs);
    for (size_t n = 0; n < b.batches; n++) {
        rill_softmax_input input = sequence_of(&b, n);
        bool *mask = conformance_memory(c, b.keys_length * sizeof(bool));
        for (size_t j = 0; j < b.keys_length; j++) mask[j] = (float)j < lengths[n];
        input.mask = mask;
        input.scores = scores + n * pairs;
        input.scores_kind = RILL_SCORES_PRODUCT;
        rill_softmax_attention(&b.shape, &input, context + n * output_size(&b));
        input.scores = weights + n * pairs;
        input.scores_kind = RILL_SCORES_NORMALIZED;
        rill_softmax_attention(&b.shape, &input, context + n * output_size(&b));
    }
    conformance_expect(c, "out.score", scores, tolerance);
    conformance_expect(c, "out.weights", weights, tolerance);
    conformance_expect(c, "out.context", context, tolerance);
}

static bool starts(const conformance_case *c, const char *folder, const char *prefix) {
    return strcmp(conformance_folder(c), folder) == 0 && conformance_file_starts(c, prefix);
}

static void run(conformance_case *c) {
    if (conformance_file_starts(c, "full_")) run_full(c);
    if (conformance_file_starts(c, "recurrent_full")) run_recurrent_full(c);
    if (conformance_file_starts(c, "linear_")) run_linear(c, false);
    if (conformance_file_starts(c, "causal_linear_")) run_linear(c, true);
    if (conformance_file_starts(c, "local_")) run_local(c);
    if (conformance_file_starts(c, "dot_edges")) run_edges(c);
    if (conformance_file_starts(c, "forgetting")) run_forgetting(c);
    if (conformance_file_starts(c, "dot_n") || conformance_file_starts(c, "general_")) run_luong(c);
}

static bool knows(const conformance_case *c) {
    return starts(c, "fast_transformers", "full_") || starts(c, "fast_transformers", "recurrent_full") ||
           starts(c, "fast_transformers", "linear_") || starts(c, "fast_transformers", "causal_linear_") ||
           starts(c, "fast_transformers", "local_") || starts(c, "graph", "dot_edges") ||
           starts(c, "fla_naive", "forgetting_attn") || starts(c, "additive", "dot_") ||
           starts(c, "additive", "general_");
}

const conformance_family conformance_softmax = {"softmax attention and quadratic forms", knows, run};
