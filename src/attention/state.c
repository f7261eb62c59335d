/* SPDX-License-Identifier: MIT */
/* What has been heard, as numbers: S [heads][key_dim][value_dim], then z [heads][key_dim]. */
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "attention/sequence_walk.h"
#include "failure.h"

enum { size_multiple = 64 }; /* bytes: states side by side share no cache line */

static bool multiply(size_t a, size_t b, size_t *product) {
    if (b != 0 && a > SIZE_MAX / b) return false;
    *product = a * b;
    return true;
}

/* false when the bytes do not fit in size_t; S and, if asked for, z together are key_dim · (value_dim + 1) */
static bool state_size(const rill_attention_shape *shape, size_t *size) {
    size_t columns = shape->value_dim, floats, bytes;
    if (shape->normalize && ++columns == 0) return false;
    if (!multiply(shape->key_dim, columns, &floats) || !multiply(floats, shape->heads, &floats) ||
        !multiply(floats, sizeof(float), &bytes) || bytes > SIZE_MAX - (size_multiple - 1))
        return false;
    *size = (bytes + (size_multiple - 1)) / size_multiple * size_multiple;
    return true;
}

bool rill_rule_is_delta(rill_update_rule rule) {
    return rule == RILL_RULE_DELTA || rule == RILL_RULE_GATED_DELTA;
}

bool rill_rule_erases(rill_update_rule rule) {
    return rill_rule_is_delta(rule) || rule == RILL_RULE_RANK_ONE;
}

size_t rill_decay_width(const rill_attention_shape *shape) {
    if (shape->decay == RILL_DECAY_NONE) return 0;
    return shape->decay == RILL_DECAY_STEP_KEY ? shape->key_dim : 1;
}

static rill_status check_rule(const rill_attention_shape *shape, rill_error *why) {
    static const char *const names[] = {"linear", "gated", "delta", "gated delta", "rank-one"};
    if ((unsigned)shape->rule > RILL_RULE_RANK_ONE)
        return rill_fail(why, RILL_BAD_ARGUMENT, "attention: unknown update rule %d", (int)shape->rule);
    if ((unsigned)shape->decay > RILL_DECAY_STEP_KEY)
        return rill_fail(why, RILL_BAD_ARGUMENT, "attention: unknown decay %d", (int)shape->decay);
    bool gated = shape->rule == RILL_RULE_GATED || shape->rule == RILL_RULE_GATED_DELTA;
    if (shape->rule != RILL_RULE_RANK_ONE && gated == (shape->decay == RILL_DECAY_NONE))
        return rill_fail(why, RILL_BAD_ARGUMENT, "attention: the %s rule %s", names[shape->rule],
                         gated ? "needs a decay" : "has no decay");
    if (shape->normalize && rill_rule_erases(shape->rule))
        return rill_fail(why, RILL_BAD_ARGUMENT, "attention: the %s rule has no normalizer",
                         names[shape->rule]);
    return RILL_OK;
}

rill_status rill_attention_check(const rill_attention_shape *shape, rill_error *why) {
    rill_status status = check_rule(shape, why);
    if (status != RILL_OK) return status;
    if (shape->heads == 0 || shape->key_dim == 0 || shape->value_dim == 0)
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "attention: %zu heads of key dimension %zu, value dimension %zu: none may be 0",
                         shape->heads, shape->key_dim, shape->value_dim);
    if (shape->query_heads == 0 || shape->query_heads % shape->heads != 0)
        return rill_fail(why, RILL_BAD_ARGUMENT, "attention: %zu query heads are no multiple of %zu heads",
                         shape->query_heads, shape->heads);
    if (shape->normalize && !(isfinite(shape->epsilon) && shape->epsilon >= 0))
        return rill_fail(why, RILL_BAD_ARGUMENT, "attention: epsilon %g is not a finite number from 0 on",
                         (double)shape->epsilon);
    if (!shape->normalize && !isfinite(shape->scale))
        return rill_fail(why, RILL_BAD_ARGUMENT, "attention: scale %g is not finite", (double)shape->scale);
    size_t size;
    if (!state_size(shape, &size))
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "attention: the state of %zu heads, %zu x %zu each, has no size in this machine",
                         shape->heads, shape->key_dim, shape->value_dim);
    return RILL_OK;
}

size_t rill_attention_size(const rill_attention_shape *shape) {
    assert(rill_attention_check(shape, NULL) == RILL_OK);
    size_t size = 0;
    state_size(shape, &size);
    return size;
}

void rill_attention_init(const rill_attention_shape *shape, void *state) {
    memset(state, 0, rill_attention_size(shape));
}

void rill_attention_reset(const rill_attention_shape *shape, void *state) {
    rill_attention_init(shape, state);
}

float *rill_state_of_head(const rill_attention_shape *shape, const void *state, size_t head, float **z) {
    float *S = (float *)state; /* what may be written is the caller's knowledge */
    *z = shape->normalize ? S + shape->heads * shape->key_dim * shape->value_dim + head * shape->key_dim
                          : NULL;
    return S + head * shape->key_dim * shape->value_dim;
}
