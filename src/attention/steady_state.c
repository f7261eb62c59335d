/* SPDX-License-Identifier: MIT */
/* Sums that stay right: the last steps are kept as keys and values, and folded into the total with
 * compensation, a slice of its rows at each step.
 *
 * The memory is two plain states, the kept keys and values, and a number. Slice j of the rows is folded at
 * the steps whose place is j, so that it takes in as many steps as are kept; a kept key is 0 in the rows that
 * have taken it in, and gone from all when its place is wanted again. What a query reads is the total and the
 * kept steps together. */
#include <rill/steady_state.h>

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "attention/sequence_walk.h"
#include "attention/state_parts.h"
#include "failure.h"

enum { tail_size = 64 };

typedef struct steady_parts {
    float *total, *lost;  /* plain states: the sum, and what its additions have taken too much */
    float *keys, *values; /* kept */
    uint32_t *place;      /* of the next step among the kept ones: below their count */
} steady_parts;

static steady_parts parts_of(const rill_attention_shape *shape, void *steady) {
    const size_t floats = rill_attention_size(shape) / sizeof(float);
    float *total = steady, *keys = total + RILL_STEADY_PARTS * floats;
    float *values = keys + shape->heads * rill_steady_kept_floats(shape->key_dim);
    return (steady_parts){total, total + floats, keys, values,
                          (void *)(values + shape->heads * rill_steady_kept_floats(shape->value_dim))};
}

static bool steady_size(const rill_attention_shape *shape, size_t *size) {
    const size_t states = rill_attention_size(shape), most = SIZE_MAX / 4 / sizeof(float);
    const size_t row = most / RILL_STEADY_BLOCK_STEPS / shape->heads; /* floats of a kept key and value */
    if (states > SIZE_MAX / 4 || shape->key_dim > SIZE_MAX / 4 || shape->value_dim > SIZE_MAX / 4 ||
        shape->key_dim + shape->value_dim + 2 * RILL_STEADY_PANEL > row)
        return false;
    *size = RILL_STEADY_PARTS * states + rill_steady_kept(shape) * sizeof(float) + tail_size;
    return true;
}

size_t rill_steady_kept(const rill_attention_shape *shape) {
    return shape->heads *
           (rill_steady_kept_floats(shape->key_dim) + rill_steady_kept_floats(shape->value_dim));
}

rill_status rill_steady_check(const rill_attention_shape *shape, rill_error *why) {
    rill_status status = rill_attention_check(shape, why);
    if (status != RILL_OK) return status;
    if (shape->rule != RILL_RULE_LINEAR)
        return rill_fail(why, RILL_BAD_ARGUMENT, "steady state: only the linear rule needs one");
    size_t size;
    if (!steady_size(shape, &size))
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "steady state: two such states and the kept steps have no size in this machine");
    return RILL_OK;
}

size_t rill_steady_size(const rill_attention_shape *shape) {
    assert(rill_steady_check(shape, NULL) == RILL_OK);
    size_t size = 0;
    steady_size(shape, &size);
    return size;
}

void rill_steady_init(const rill_attention_shape *shape, void *steady) {
    memset(steady, 0, rill_steady_size(shape));
}

void rill_steady_reset(const rill_attention_shape *shape, void *steady) {
    rill_steady_init(shape, steady);
}

static bool finite(size_t count, const float *x) {
    return rill_kernels_get()->within(count, x, -FLT_MAX, FLT_MAX);
}

/* One step of the heads from that one on, all good, or one head alone. */
static void take_heads(const rill_attention_shape *shape, const steady_parts *parts, size_t head,
                       size_t heads, bool good, const float *queries, const float *keys, const float *values,
                       float *output) {
    const size_t key_dim = shape->key_dim, value_dim = shape->value_dim;
    const size_t group = shape->query_heads / shape->heads;
    rill_steady_step step = {.heads = heads,
                             .query_group = group,
                             .key_dim = key_dim,
                             .value_dim = value_dim,
                             .place = *parts->place,
                             .kept_keys = parts->keys + head * rill_steady_kept_floats(key_dim),
                             .kept_values = parts->values + head * rill_steady_kept_floats(value_dim),
                             .queries = queries + head * group * key_dim,
                             .keys = good ? keys + head * key_dim : NULL,
                             .values = values + head * value_dim,
                             .epsilon = shape->epsilon,
                             .scale = shape->scale,
                             .output = output + head * group * value_dim};
    step.S = rill_state_of_head(shape, parts->total, head, &step.z);
    step.S_lost = rill_state_of_head(shape, parts->lost, head, &step.z_lost);
    rill_kernels_get()->steady_step(&step);
    for (size_t m = 0; !good && m < heads * group * value_dim; m++) step.output[m] = NAN;
}

static void take_step(const rill_attention_shape *shape, const steady_parts *parts, const float *queries,
                      const float *keys, const float *values, float *output) {
    const size_t key_dim = shape->key_dim, value_dim = shape->value_dim, heads = shape->heads;
    if (finite(heads * key_dim, keys) && finite(heads * value_dim, values))
        take_heads(shape, parts, 0, heads, true, queries, keys, values, output);
    else
        for (size_t head = 0; head < heads; head++)
            take_heads(shape, parts, head, 1,
                       finite(key_dim, keys + head * key_dim) && finite(value_dim, values + head * value_dim),
                       queries, keys, values, output);
    *parts->place = (*parts->place + 1) % RILL_STEADY_BLOCK_STEPS;
}

void rill_steady_attention(const rill_attention_shape *shape, void *steady, const rill_sequence *sequence,
                           float *output) {
    assert(rill_steady_check(shape, NULL) == RILL_OK);
    assert(sequence->first_head == 0 && sequence->head_count == 0);
    assert(!sequence->bonus);
    const steady_parts parts = parts_of(shape, steady);
    for (size_t t = 0; t < sequence->length; t++)
        take_step(shape, &parts, sequence->queries + t * shape->query_heads * shape->key_dim,
                  sequence->keys + t * shape->heads * shape->key_dim,
                  sequence->values + t * shape->heads * shape->value_dim,
                  output + t * shape->query_heads * shape->value_dim);
}

/* Σ k_d v_m of a head's kept steps, or Σ k_d where values is NULL */
static double kept_sum(const float *keys, const float *values, size_t d, size_t m) {
    double sum = 0;
    for (size_t s = 0; s < RILL_STEADY_BLOCK_STEPS; s++)
        sum += (double)keys[rill_steady_kept_at(s, d)] *
               (values ? (double)values[rill_steady_kept_at(s, m)] : 1);
    return sum;
}

void rill_steady_plain(const rill_attention_shape *shape, const void *steady, void *state) {
    assert(rill_steady_check(shape, NULL) == RILL_OK);
    const steady_parts parts = parts_of(shape, (void *)steady); /* only read */
    const size_t key_dim = shape->key_dim, value_dim = shape->value_dim;
    rill_attention_init(shape, state);
    for (size_t head = 0; head < shape->heads; head++) {
        const float *keys = parts.keys + head * rill_steady_kept_floats(key_dim);
        const float *values = parts.values + head * rill_steady_kept_floats(value_dim);
        float *z, *total_z, *lost_z, *S = rill_state_of_head(shape, state, head, &z);
        const float *total = rill_state_of_head(shape, parts.total, head, &total_z);
        const float *lost = rill_state_of_head(shape, parts.lost, head, &lost_z);
        for (size_t d = 0; d < key_dim; d++) {
            for (size_t m = 0, i = d * value_dim; m < value_dim; m++, i++)
                S[i] = (float)((double)total[i] - (double)lost[i] + kept_sum(keys, values, d, m));
            if (z) z[d] = (float)((double)total_z[d] - (double)lost_z[d] + kept_sum(keys, NULL, d, 0));
        }
    }
}

size_t rill_steady_saved_size(const rill_attention_shape *shape) {
    assert(rill_steady_check(shape, NULL) == RILL_OK);
    const rill_saved_kind kind = rill_saved_kind_of(shape, true);
    return rill_state_parts_saved_size(shape, &kind);
}

void rill_steady_save(const rill_attention_shape *shape, const void *steady, void *bytes) {
    const rill_saved_kind kind = rill_saved_kind_of(shape, true);
    const uint32_t place = *parts_of(shape, (void *)steady).place; /* only read */
    rill_state_parts_save(shape, &kind, place, steady, bytes);
}

/* Version 1 had, of each number, what was read, the total, what its sums took too much, and a block of steps
 * that was not in the total yet. Of number i, their sum. */
static double sum_of_version_1(size_t floats, const void *bytes, size_t i) {
    float total, lost, block;
    rill_state_parts_read(bytes, floats + i, 1, &total);
    rill_state_parts_read(bytes, 2 * floats + i, 1, &lost);
    rill_state_parts_read(bytes, 3 * floats + i, 1, &block);
    return (double)total - (double)lost + (double)block;
}

static rill_status load_version_1(const rill_attention_shape *shape, const char *name, const void *bytes,
                                  void *steady, rill_error *why) {
    const size_t floats = rill_state_floats(shape);
    for (size_t i = 0; i < floats; i++)
        if (!isfinite((float)sum_of_version_1(floats, bytes, i)))
            return rill_state_parts_overflowed(name, why);
    rill_steady_init(shape, steady);
    const steady_parts parts = parts_of(shape, steady);
    for (size_t i = 0; i < floats; i++) {
        const double exact = sum_of_version_1(floats, bytes, i);
        parts.total[i] = (float)exact;
        parts.lost[i] = (float)((double)parts.total[i] - exact);
    }
    return RILL_OK;
}

rill_status rill_steady_load(const rill_attention_shape *shape, const char *name, const void *bytes,
                             size_t size, void *steady, rill_error *why) {
    assert(rill_steady_check(shape, NULL) == RILL_OK);
    rill_saved_kind kind;
    uint32_t steps;
    const rill_status status = rill_state_parts_check(shape, true, name, bytes, size, &kind, &steps, why);
    if (status != RILL_OK) return status;
    if (kind.version == 1) return load_version_1(shape, name, bytes, steady, why);
    rill_steady_init(shape, steady);
    const size_t floats = rill_state_floats(shape);
    const steady_parts parts = parts_of(shape, steady);
    rill_state_parts_read(bytes, 0, floats, parts.total);
    rill_state_parts_read(bytes, floats, floats, parts.lost);
    rill_state_parts_read(bytes, RILL_STEADY_PARTS * floats, kind.more, parts.keys);
    *parts.place = steps;
    return RILL_OK;
}
