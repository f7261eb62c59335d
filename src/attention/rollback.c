/* SPDX-License-Identifier: MIT */
/* The last K positions of a stream: a ring of copies behind its own place and count. */
#include <rill/rollback.h>

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "failure.h"

enum { head_size = 64 };

typedef struct ring_head {
    size_t next; /* where the next position goes, below positions */
    size_t kept; /* positions before it that can be returned to, at most positions */
} ring_head;

static ring_head head_of(const void *rollback) {
    ring_head head;
    memcpy(&head, rollback, sizeof head);
    return head;
}

static size_t place_of(const rill_rollback_shape *shape, size_t position) { /* bytes from the start */
    return head_size + position * shape->state_size;
}

rill_status rill_rollback_check(const rill_rollback_shape *shape, rill_error *why) {
    if (shape->state_size == 0 || shape->positions == 0)
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "rollback: %zu positions of a state of %zu bytes: none may be 0", shape->positions,
                         shape->state_size);
    if (shape->positions > (SIZE_MAX - head_size) / shape->state_size)
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "rollback: %zu positions of %zu bytes have no size in this machine",
                         shape->positions, shape->state_size);
    return RILL_OK;
}

size_t rill_rollback_size(const rill_rollback_shape *shape) {
    assert(rill_rollback_check(shape, NULL) == RILL_OK);
    return place_of(shape, shape->positions);
}

void rill_rollback_init(const rill_rollback_shape *shape, void *rollback) {
    memset(rollback, 0, rill_rollback_size(shape));
}

void rill_rollback_reset(const rill_rollback_shape *shape, void *rollback) {
    rill_rollback_init(shape, rollback);
}

void rill_rollback_keep(const rill_rollback_shape *shape, void *rollback, const void *state) {
    ring_head head = head_of(rollback);
    memcpy((char *)rollback + place_of(shape, head.next), state, shape->state_size);
    head.next = (head.next + 1) % shape->positions;
    if (head.kept < shape->positions) head.kept++;
    memcpy(rollback, &head, sizeof head);
}

size_t rill_rollback_kept(const rill_rollback_shape *shape, const void *rollback) {
    (void)shape;
    return head_of(rollback).kept;
}

void rill_rollback_return(const rill_rollback_shape *shape, void *rollback, size_t back, void *state) {
    ring_head head = head_of(rollback);
    assert(1 <= back && back <= head.kept);
    head.next = head.next >= back ? head.next - back : head.next + shape->positions - back;
    head.kept -= back;
    memcpy(state, (const char *)rollback + place_of(shape, head.next), shape->state_size);
    memcpy(rollback, &head, sizeof head);
}
