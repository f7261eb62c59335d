/* SPDX-License-Identifier: MIT */
/* Sums that stay right: a block of steps is summed from zero, then folded into the total with compensation.
 *
 * The memory is four plain states and a number. now is what outputs are read from: the total as the last fold
 * left it, taken on by the steps since. Those steps also go into block. compensation is what the total's
 * float sums have taken too much. Each step folds one of RILL_STEADY_BLOCK_STEPS slices of the floats, so
 * that none takes much longer than another; block_steps is the slice whose turn it is. */
#include <rill/steady_state.h>

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "attention/state_parts.h"
#include "failure.h"
#include "kernels/kernels.h"

enum { tail_size = 64 };

typedef struct steady_parts {
    float *now, *total, *compensation, *block;
    uint32_t *block_steps; /* below RILL_STEADY_BLOCK_STEPS */
} steady_parts;

static steady_parts parts_of(const rill_attention_shape *shape, void *steady) {
    const size_t floats = rill_attention_size(shape) / sizeof(float);
    float *now = steady;
    return (steady_parts){now, now + floats, now + 2 * floats, now + 3 * floats, (void *)(now + 4 * floats)};
}

rill_status rill_steady_check(const rill_attention_shape *shape, rill_error *why) {
    rill_status status = rill_attention_check(shape, why);
    if (status != RILL_OK) return status;
    if (shape->rule != RILL_RULE_LINEAR)
        return rill_fail(why, RILL_BAD_ARGUMENT, "steady state: only the linear rule needs one");
    if (rill_attention_size(shape) > (SIZE_MAX - tail_size) / RILL_STEADY_PARTS)
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "steady state: four such states have no size in this machine");
    return RILL_OK;
}

size_t rill_steady_size(const rill_attention_shape *shape) {
    assert(rill_steady_check(shape, NULL) == RILL_OK);
    return RILL_STEADY_PARTS * rill_attention_size(shape) + tail_size;
}

void rill_steady_init(const rill_attention_shape *shape, void *steady) {
    memset(steady, 0, rill_steady_size(shape));
}

void rill_steady_reset(const rill_attention_shape *shape, void *steady) {
    rill_steady_init(shape, steady);
}

/* The slices from the one on whose turn it is. */
static void fold_slices(const rill_attention_shape *shape, const steady_parts *parts, size_t slices) {
    const size_t floats = rill_attention_size(shape) / sizeof(float), slice = *parts->block_steps;
    const size_t begin = floats * slice / RILL_STEADY_BLOCK_STEPS;
    const size_t end = floats * (slice + slices) / RILL_STEADY_BLOCK_STEPS;
    rill_kernels_get()->fold(end - begin, parts->total + begin, parts->compensation + begin,
                             parts->now + begin, parts->block + begin);
    *parts->block_steps = (uint32_t)((slice + slices) % RILL_STEADY_BLOCK_STEPS);
}

/* The sequence without its first steps. */
static rill_sequence sequence_from(const rill_attention_shape *shape, const rill_sequence *sequence,
                                   size_t steps) {
    rill_sequence rest = *sequence;
    rest.length -= steps;
    rest.queries += steps * shape->query_heads * shape->key_dim;
    rest.keys += steps * shape->heads * shape->key_dim;
    rest.values += steps * shape->heads * shape->value_dim;
    return rest;
}

void rill_steady_attention(const rill_attention_shape *shape, void *steady, const rill_sequence *sequence,
                           float *output) {
    assert(rill_steady_check(shape, NULL) == RILL_OK);
    assert(sequence->first_head == 0 && sequence->head_count == 0);
    const steady_parts parts = parts_of(shape, steady);
    for (size_t done = 0; done < sequence->length;) {
        const size_t room = RILL_STEADY_BLOCK_STEPS - *parts.block_steps;
        rill_sequence part = sequence_from(shape, sequence, done);
        if (part.length > room) part.length = room;
        float *rows = output + done * shape->query_heads * shape->value_dim;
        rill_attention_chunkwise(shape, parts.block, &part, rows); /* what it reads is written over */
        rill_attention_chunkwise(shape, parts.now, &part, rows);
        done += part.length;
        fold_slices(shape, &parts, part.length);
    }
}

const void *rill_steady_plain(const rill_attention_shape *shape, const void *steady) {
    assert(rill_steady_check(shape, NULL) == RILL_OK);
    (void)shape;
    return steady;
}

size_t rill_steady_saved_size(const rill_attention_shape *shape) {
    assert(rill_steady_check(shape, NULL) == RILL_OK);
    return rill_state_parts_saved_size(shape, RILL_STEADY_PARTS);
}

void rill_steady_save(const rill_attention_shape *shape, const void *steady, void *bytes) {
    uint32_t block_steps;
    memcpy(&block_steps, (const char *)steady + RILL_STEADY_PARTS * rill_attention_size(shape),
           sizeof block_steps);
    rill_state_parts_save(shape, RILL_STEADY_PARTS, block_steps, steady, bytes);
}

rill_status rill_steady_load(const rill_attention_shape *shape, const char *name, const void *bytes,
                             size_t size, void *steady, rill_error *why) {
    assert(rill_steady_check(shape, NULL) == RILL_OK);
    uint32_t block_steps;
    rill_status status =
        rill_state_parts_load(shape, RILL_STEADY_PARTS, name, bytes, size, steady, &block_steps, why);
    if (status != RILL_OK) return status;
    memset((char *)steady + RILL_STEADY_PARTS * rill_attention_size(shape), 0, tail_size);
    *parts_of(shape, steady).block_steps = block_steps;
    return RILL_OK;
}
