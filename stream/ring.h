/* SPDX-License-Identifier: MIT */
/* A ring of samples between one writer and one reader, without locks. */
#ifndef RILL_RING_H
#define RILL_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/status.h>

typedef struct rill_ring {
    float *samples;
    size_t mask;               /* capacity − 1, the capacity being a power of two */
    atomic_size_t written;     /* samples ever put in; moved by the writer alone */
    atomic_size_t taken;       /* samples ever taken out; moved by the reader alone */
    atomic_uint_fast64_t lost; /* samples that found no room; moved by the writer alone */
} rill_ring;

/* Room for at least capacity samples, 1 … 2^30. Allocates; RILL_BAD_ARGUMENT, RILL_OUT_OF_MEMORY. */
rill_status rill_ring_init(rill_ring *ring, size_t capacity, rill_error *why);
/* Frees the samples; a ring of zeros is allowed. */
void rill_ring_release(rill_ring *ring);

/* Puts in what fits of count samples and returns how many did; the rest counts as lost. Real-time safe. */
size_t rill_ring_write(rill_ring *ring, size_t count, const float *samples);
/* Counts samples that never came as lost. Real-time safe, for the writer. */
void rill_ring_lose(rill_ring *ring, size_t count);
/* Takes out up to capacity samples; returns how many. Real-time safe. */
size_t rill_ring_read(rill_ring *ring, size_t capacity, float *samples);
uint64_t rill_ring_lost(const rill_ring *ring);

#endif
