/* SPDX-License-Identifier: MIT */
/* Single producer, single consumer: each side moves its own counter, and publishes it (release) after the
 * samples; the other side reads it (acquire) before them. The counters run on for ever; their difference is
 * right across the wrap of size_t because the capacity divides it. */
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "ring.h"

#define LARGEST ((size_t)1 << 30)

rill_status rill_ring_init(rill_ring *ring, size_t capacity, rill_error *why) {
    if (!capacity || capacity > LARGEST)
        return rill_fail(why, RILL_BAD_ARGUMENT, "a ring of %zu samples: 1 to %zu are possible", capacity,
                         LARGEST);
    size_t power = 1;
    while (power < capacity) power *= 2;
    ring->samples = malloc(power * sizeof *ring->samples);
    if (!ring->samples)
        return rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for a ring of %zu samples", power);
    ring->mask = power - 1;
    atomic_init(&ring->written, 0);
    atomic_init(&ring->taken, 0);
    atomic_init(&ring->lost, 0);
    return RILL_OK;
}

void rill_ring_release(rill_ring *ring) {
    free(ring->samples);
    ring->samples = NULL;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t rill_ring_write(rill_ring *ring, size_t count, const float *samples) {
    const size_t capacity = ring->mask + 1;
    const size_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    const size_t taken = atomic_load_explicit(&ring->taken, memory_order_acquire);
    const size_t fits = smaller(count, capacity - (written - taken));
    const size_t first = smaller(fits, capacity - (written & ring->mask));
    if (fits) {
        memcpy(ring->samples + (written & ring->mask), samples, first * sizeof *samples);
        memcpy(ring->samples, samples + first, (fits - first) * sizeof *samples);
        atomic_store_explicit(&ring->written, written + fits, memory_order_release);
    }
    if (fits < count) rill_ring_lose(ring, count - fits);
    return fits;
}

void rill_ring_lose(rill_ring *ring, size_t count) {
    atomic_fetch_add_explicit(&ring->lost, count, memory_order_relaxed);
}

size_t rill_ring_read(rill_ring *ring, size_t capacity, float *samples) {
    const size_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    const size_t written = atomic_load_explicit(&ring->written, memory_order_acquire);
    const size_t count = smaller(capacity, written - taken);
    const size_t first = smaller(count, ring->mask + 1 - (taken & ring->mask));
    if (count) {
        memcpy(samples, ring->samples + (taken & ring->mask), first * sizeof *samples);
        memcpy(samples + first, ring->samples, (count - first) * sizeof *samples);
        atomic_store_explicit(&ring->taken, taken + count, memory_order_release);
    }
    return count;
}

uint64_t rill_ring_lost(const rill_ring *ring) {
    return atomic_load_explicit(&ring->lost, memory_order_relaxed);
}
