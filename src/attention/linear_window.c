/* SPDX-License-Identifier: MIT */
/* The last steps in a ring, their sums by blocks in a tree: a window that is only ever added up. */
#include <rill/linear_window.h>

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "attention/row_products.h"
#include "attention/sequence_walk.h"
#include "failure.h"

enum { size_multiple = 64, rows_at_once = 64 };

/* Memory: next as a size_t in size_multiple bytes; keys [window][heads][key_dim], values [window][heads]
 * [value_dim], rounded up; then the nodes 1 … 2 blocks − 1, a plain state each. Node i is the sum of 2i and
 * 2i + 1; block b of the ring is node blocks + b, so node 1 is the sum of all. A block's node is 0 while the
 * block is being written. */
typedef struct window_parts {
    size_t *next; /* the slot that the next step goes into */
    float *keys, *values, *nodes;
    size_t node_floats, blocks, block_steps;
} window_parts;

/* As many steps as cost a query what a state costs. */
static size_t block_steps_of(const rill_linear_window_shape *shape) {
    double key_dim = (double)shape->attention.key_dim, value_dim = (double)shape->attention.value_dim;
    double steps = floor(key_dim * value_dim / (key_dim + value_dim));
    if (steps < 1) return 1;
    return steps < (double)shape->window ? (size_t)steps : shape->window;
}

static size_t blocks_of(const rill_linear_window_shape *shape) {
    size_t steps = block_steps_of(shape);
    return shape->window / steps + (shape->window % steps > 0);
}

static bool add_product(size_t a, size_t b, size_t *sum) {
    if (b > 0 && a > (SIZE_MAX - *sum) / b) return false;
    *sum += a * b;
    return true;
}

/* false when the bytes do not fit in size_t */
static bool ring_bytes(const rill_linear_window_shape *shape, size_t *bytes) {
    size_t row = 0, heads = shape->attention.heads;
    *bytes = size_multiple - 1;
    if (!add_product(heads, shape->attention.key_dim, &row) ||
        !add_product(heads, shape->attention.value_dim, &row) || row > SIZE_MAX / sizeof(float) ||
        !add_product(shape->window, row * sizeof(float), bytes))
        return false;
    *bytes = *bytes / size_multiple * size_multiple;
    return true;
}

static bool size_of(const rill_linear_window_shape *shape, size_t *size) {
    size_t blocks = blocks_of(shape);
    return ring_bytes(shape, size) && add_product(1, size_multiple, size) && blocks <= SIZE_MAX / 2 &&
           add_product(2 * blocks - 1, rill_attention_size(&shape->attention), size);
}

rill_status rill_linear_window_check(const rill_linear_window_shape *shape, rill_error *why) {
    rill_status status = rill_attention_check(&shape->attention, why);
    size_t size;
    if (status != RILL_OK) return status;
    if (shape->attention.rule != RILL_RULE_LINEAR)
        return rill_fail(why, RILL_BAD_ARGUMENT, "linear window: only the linear rule has one");
    if (shape->window == 0)
        return rill_fail(why, RILL_BAD_ARGUMENT, "linear window: a window of 0 steps sees nothing");
    if (!size_of(shape, &size))
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "linear window: a window of %zu steps has no size in this machine", shape->window);
    return RILL_OK;
}

size_t rill_linear_window_size(const rill_linear_window_shape *shape) {
    assert(rill_linear_window_check(shape, NULL) == RILL_OK);
    size_t size = 0;
    size_of(shape, &size);
    return size;
}

void rill_linear_window_init(const rill_linear_window_shape *shape, void *state) {
    memset(state, 0, rill_linear_window_size(shape));
}

void rill_linear_window_reset(const rill_linear_window_shape *shape, void *state) {
    rill_linear_window_init(shape, state);
}

static window_parts parts_of(const rill_linear_window_shape *shape, void *state) {
    size_t ring = 0;
    ring_bytes(shape, &ring);
    window_parts parts = {.next = state,
                          .keys = (float *)(void *)((char *)state + size_multiple),
                          .node_floats = rill_attention_size(&shape->attention) / sizeof(float),
                          .blocks = blocks_of(shape),
                          .block_steps = block_steps_of(shape)};
    parts.values = parts.keys + shape->window * shape->attention.heads * shape->attention.key_dim;
    parts.nodes = (float *)(void *)((char *)parts.keys + ring); /* node i at + (i − 1) · node_floats */
    return parts;
}

static float *node_at(const window_parts *parts, size_t node) {
    return parts->nodes + (node - 1) * parts->node_floats;
}

/* Sums what lies above a block's node anew. */
static void sum_up(const window_parts *parts, size_t block) {
    for (size_t node = (parts->blocks + block) / 2; node > 0; node /= 2) {
        const float *left = node_at(parts, 2 * node), *right = node_at(parts, 2 * node + 1);
        float *sum = node_at(parts, node);
        for (size_t i = 0; i < parts->node_floats; i++) sum[i] = left[i] + right[i];
    }
}

/* A block has been written to its end: its steps go into its node, and the next block's out of theirs. */
static void end_block(const rill_linear_window_shape *shape, const window_parts *parts, size_t block,
                      size_t begin, size_t end) {
    const rill_attention_shape *s = &shape->attention;
    rill_sequence steps = {.length = end - begin,
                           .keys = parts->keys + begin * s->heads * s->key_dim,
                           .values = parts->values + begin * s->heads * s->value_dim};
    size_t next = (block + 1) % parts->blocks;
    float *node = node_at(parts, parts->blocks + block);
    memset(node, 0, parts->node_floats * sizeof *node);
    rill_attention_write(s, node, &steps);
    memset(node_at(parts, parts->blocks + next), 0, parts->node_floats * sizeof *node);
    sum_up(parts, block);
    sum_up(parts, next);
}

/* A step into slot; true for a head where it is good, zeros where not. */
static bool keep_head(const rill_attention_shape *s, const window_parts *parts, size_t slot, size_t head,
                      const float *key, const float *value) {
    const rill_kernels *kernels = rill_kernels_get();
    float *kept_key = parts->keys + (slot * s->heads + head) * s->key_dim,
          *kept_value = parts->values + (slot * s->heads + head) * s->value_dim;
    if (kernels->within(s->key_dim, key, -FLT_MAX, FLT_MAX) &&
        kernels->within(s->value_dim, value, -FLT_MAX, FLT_MAX)) {
        memcpy(kept_key, key, s->key_dim * sizeof *key);
        memcpy(kept_value, value, s->value_dim * sizeof *value);
        return true;
    }
    memset(kept_key, 0, s->key_dim * sizeof *key);
    memset(kept_value, 0, s->value_dim * sizeof *value);
    return false;
}

/* output [value_dim] of one query over the sum of all ended blocks and the steps begin … end − 1. */
static void read(const rill_attention_shape *s, const window_parts *parts, size_t head, size_t begin,
                 size_t end, const float *query, float *output) {
    const rill_kernels *kernels = rill_kernels_get();
    float *z, *S = rill_state_of_head(s, node_at(parts, 1), head, &z), normalizer = 0, weights[rows_at_once];
    memset(output, 0, s->value_dim * sizeof *output);
    rill_matrix_product product = {.rows = 1,
                                   .inner = s->key_dim,
                                   .columns = s->value_dim,
                                   .a = query,
                                   .a_column_stride = 1,
                                   .b = S,
                                   .b_stride = s->value_dim,
                                   .out = output};
    kernels->product(&product);
    if (z) kernels->dense(1, s->key_dim, 1, query, z, &s->epsilon, &normalizer);
    double divisor = (double)normalizer;
    product.a = weights;
    product.b_stride = s->heads * s->value_dim;
    for (size_t first = begin; first < end; first += product.inner) {
        product.inner = end - first < rows_at_once ? end - first : rows_at_once;
        rill_row_products(product.inner, s->key_dim, s->heads * s->key_dim, 1,
                          parts->keys + (first * s->heads + head) * s->key_dim, query, weights);
        for (size_t j = 0; j < product.inner; j++) divisor += (double)weights[j];
        product.b = parts->values + (first * s->heads + head) * s->value_dim;
        kernels->product(&product);
    }
    float factor = z ? (float)(1 / divisor) : s->scale;
    for (size_t m = 0; m < s->value_dim; m++) output[m] *= factor;
}

void rill_linear_window_step(const rill_linear_window_shape *shape, void *state,
                             const rill_sequence *sequence, float *output) {
    assert(rill_linear_window_check(shape, NULL) == RILL_OK && !sequence->bonus);
    assert(sequence->first_head == 0 && sequence->head_count == 0);
    const rill_attention_shape *s = &shape->attention;
    const window_parts parts = parts_of(shape, state);
    const size_t group = s->query_heads / s->heads;
    for (size_t t = 0; t < sequence->length; t++) {
        size_t slot = *parts.next, block = slot / parts.block_steps, begin = block * parts.block_steps;
        size_t end = shape->window - begin < parts.block_steps ? shape->window : begin + parts.block_steps;
        for (size_t query_head = 0; query_head < s->query_heads; query_head++) {
            size_t head = query_head / group, row = t * s->heads + head,
                   query_row = t * s->query_heads + query_head;
            bool good = keep_head(s, &parts, slot, head, sequence->keys + row * s->key_dim,
                                  sequence->values + row * s->value_dim);
            float *out = output + query_row * s->value_dim;
            read(s, &parts, head, begin, end, sequence->queries + query_row * s->key_dim, out);
            for (size_t m = 0; m < s->value_dim && !good; m++) out[m] = NAN;
        }
        *parts.next = slot + 1 < shape->window ? slot + 1 : 0;
        if (slot + 1 == end) end_block(shape, &parts, block, begin, end);
    }
}
