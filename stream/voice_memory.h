/* SPDX-License-Identifier: MIT */
/* What was heard, in constant space: chunks of about a second of one voice each, and their grouping into
 * speakers, done afresh now and then. When the memory is full, the two chunks of one label that are most
 * alike become one. */
#ifndef RILL_VOICE_MEMORY_H
#define RILL_VOICE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "voices.h"

#define RILL_NOBODY 0U

typedef struct rill_chunk {
    float count;    /* steps, weighted by speech probability */
    uint32_t label; /* whose it is taken for now, or RILL_NOBODY */
    uint32_t told;  /* the label that events have told for its steps */
    uint32_t number,
        previous;     /* previous: the number of the chunk that the same unbroken voice filled before, or 0 */
    uint32_t settled; /* groupings since the label last changed */
    uint32_t enrolled;   /* 1: a voice from the speaker file, never another's */
    uint32_t fused;      /* 1: of several chunks, so first … end holds others' steps as well */
    uint64_t first, end; /* steps */
} rill_chunk;

/* The parts of a memory that lies in a tracker's bytes. */
typedef struct rill_memory {
    size_t capacity;
    size_t *count;
    rill_chunk *chunks; /* [capacity] */
    float *heard;       /* [capacity][embedding_dim] sums of embeddings */
    float *sums;        /* [capacity][dim] sums of projected embeddings */
    /* what a grouping works in; holds nothing between calls */
    float *shifted;    /* [capacity][dim] */
    float *gain;       /* [capacity][capacity] */
    float *bond;       /* [capacity][capacity] */
    float *alone;      /* [capacity] */
    float *weight;     /* [capacity] */
    uint32_t *partner; /* [capacity] */
    uint32_t *owner;   /* [capacity] */
    uint32_t *group;   /* [capacity] the result: the lowest chunk index of its group */
} rill_memory;

/* Adds a chunk; the memory must not be full. */
void rill_memory_add(const rill_voice_model *voices, rill_memory *memory, const rill_chunk *chunk,
                     const float *heard, const float *sums);

/* Groups all chunks by agglomeration: at first each is a group; the two whose union has the most evidence
 * over the two apart become one, until that is below −merge_cost and at most most_groups are left. room [dim]
 * is subtracted from every step; ease is added to the evidence. Chunks enrolled under two names are kept
 * apart. */
void rill_memory_group(const rill_voice_model *voices, rill_memory *memory, const float *room, float ease,
                       size_t most_groups);

/* Makes room for one chunk when there is none, after a grouping. */
void rill_memory_fuse(const rill_voice_model *voices, rill_memory *memory, const float *room);

/* Says that two labels are one voice: their chunks become one of label, which no grouping takes apart, and
 * what was told under from counts as told under label. */
void rill_memory_unite(const rill_voice_model *voices, rill_memory *memory, uint32_t from, uint32_t label);

#endif
