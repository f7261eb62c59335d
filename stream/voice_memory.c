/* SPDX-License-Identifier: MIT */
/* Agglomerative grouping by Bayesian evidence, in place. */
#include "voice_memory.h"

#include <math.h>
#include <string.h>

#define NEVER (-1e30F)

void rill_memory_add(const rill_voice_model *voices, rill_memory *memory, const rill_chunk *chunk,
                     const float *heard, const float *sums) {
    size_t at = (*memory->count)++;
    memory->chunks[at] = *chunk;
    memcpy(memory->heard + at * voices->embedding_dim, heard, voices->embedding_dim * sizeof *heard);
    memcpy(memory->sums + at * voices->dim, sums, voices->dim * sizeof *sums);
}

/* log p(i and j together) − log p(i) − log p(j) */
static float union_gain(const rill_voice_model *voices, const rill_memory *memory, size_t i, size_t j) {
    const float *a = memory->shifted + i * voices->dim, *b = memory->shifted + j * voices->dim;
    return rill_voice_evidence_of_both(voices, memory->weight[i], a, memory->weight[j], b) -
           memory->alone[i] - memory->alone[j];
}

static void shift(const rill_voice_model *voices, rill_memory *memory, const float *room) {
    for (size_t i = 0; i < *memory->count; i++)
        for (size_t d = 0; d < voices->dim; d++)
            memory->shifted[i * voices->dim + d] =
                memory->sums[i * voices->dim + d] - memory->chunks[i].count * room[d];
}

/* What speaks for putting two groups together: evidence, unbroken voices, and earlier decisions. */
static float affinity(const rill_voice_model *voices, const rill_memory *memory, size_t i, size_t j) {
    uint32_t a = memory->owner[i], b = memory->owner[j];
    float earlier = a == RILL_NOBODY || b == RILL_NOBODY ? 0
                    : a == b                             ? voices->same_label
                                                         : -voices->other_label;
    return union_gain(voices, memory, i, j) + memory->bond[i * memory->capacity + j] + earlier;
}

static void set_gain(rill_memory *memory, size_t i, size_t j, float gain) {
    memory->gain[i * memory->capacity + j] = memory->gain[j * memory->capacity + i] = gain;
}

static bool leads(const rill_memory *memory, size_t i) {
    return memory->group[i] == i;
}

static bool are_two_names(const rill_chunk *a, const rill_chunk *b) {
    return a->enrolled && b->enrolled && a->label != b->label;
}

/* Every chunk a group of its own, and the affinity of all pairs. */
static void prepare(const rill_voice_model *voices, rill_memory *memory, const float *room) {
    size_t count = *memory->count;
    shift(voices, memory, room);
    for (size_t i = 0; i < count; i++) {
        const rill_chunk *a = &memory->chunks[i];
        memory->group[i] = (uint32_t)i;
        memory->owner[i] = a->label;
        memory->weight[i] = a->count;
        memory->alone[i] = rill_voice_evidence_of(voices, a->count, memory->shifted + i * voices->dim);
        for (size_t j = 0; j < i; j++) {
            const rill_chunk *b = &memory->chunks[j];
            bool unbroken =
                (a->previous && a->previous == b->number) || (b->previous && b->previous == a->number);
            memory->bond[i * memory->capacity + j] = memory->bond[j * memory->capacity + i] =
                unbroken ? voices->adjacency : 0;
            set_gain(memory, i, j, are_two_names(a, b) ? NEVER : affinity(voices, memory, i, j));
        }
    }
}

/* The group that i would rather be united with than with any other. */
static void find_partner(rill_memory *memory, size_t i) {
    float best = 2 * NEVER;
    for (size_t j = 0; j < *memory->count; j++)
        if (j != i && leads(memory, j) && memory->gain[i * memory->capacity + j] > best) {
            best = memory->gain[i * memory->capacity + j];
            memory->partner[i] = (uint32_t)j;
        }
}

static float partner_gain(const rill_memory *memory, size_t i) {
    return memory->gain[i * memory->capacity + memory->partner[i]];
}

/* Group j becomes part of group i. */
static void unite(const rill_voice_model *voices, rill_memory *memory, size_t i, size_t j) {
    size_t count = *memory->count, capacity = memory->capacity;
    float *sums = memory->shifted + i * voices->dim;
    const float *more = memory->shifted + j * voices->dim;
    for (size_t d = 0; d < voices->dim; d++) sums[d] += more[d];
    if (memory->owner[i] == RILL_NOBODY ||
        (memory->owner[j] != RILL_NOBODY && memory->weight[j] > memory->weight[i]))
        memory->owner[i] = memory->owner[j];
    memory->weight[i] += memory->weight[j];
    memory->alone[i] = rill_voice_evidence_of(voices, memory->weight[i], sums);
    for (size_t c = 0; c < count; c++)
        if (memory->group[c] == j) memory->group[c] = (uint32_t)i;
    for (size_t c = 0; c < count; c++) {
        if (c == i || !leads(memory, c)) continue;
        memory->bond[i * capacity + c] += memory->bond[j * capacity + c];
        memory->bond[c * capacity + i] = memory->bond[i * capacity + c];
        bool apart = memory->gain[i * capacity + c] <= NEVER || memory->gain[j * capacity + c] <= NEVER;
        set_gain(memory, i, c, apart ? NEVER : affinity(voices, memory, i, c));
    }
    find_partner(memory, i);
    for (size_t c = 0; c < count; c++) {
        if (c == i || !leads(memory, c)) continue;
        if (memory->partner[c] == i || memory->partner[c] == j)
            find_partner(memory, c);
        else if (memory->gain[c * capacity + i] > partner_gain(memory, c))
            memory->partner[c] = (uint32_t)i;
    }
}

void rill_memory_group(const rill_voice_model *voices, rill_memory *memory, const float *room, float ease,
                       size_t most_groups) {
    size_t count = *memory->count;
    prepare(voices, memory, room);
    for (size_t i = 0; count > 1 && i < count; i++) {
        memory->partner[i] = i == 0; /* some other, should sums that are no numbers make none the best */
        find_partner(memory, i);
    }
    for (size_t groups = count; groups > 1; groups--) {
        size_t best = count;
        for (size_t i = 0; i < count; i++)
            if (leads(memory, i) && (best == count || partner_gain(memory, i) > partner_gain(memory, best)))
                best = i;
        float gain = partner_gain(memory, best);
        if (gain <= NEVER || (gain + ease < -voices->merge_cost && groups <= most_groups)) break;
        size_t other = memory->partner[best];
        unite(voices, memory, best < other ? best : other, best < other ? other : best);
    }
}

static void remove_chunk(const rill_voice_model *voices, rill_memory *memory, size_t at) {
    size_t last = --*memory->count;
    if (at == last) return;
    memory->chunks[at] = memory->chunks[last];
    memcpy(memory->heard + at * voices->embedding_dim, memory->heard + last * voices->embedding_dim,
           voices->embedding_dim * sizeof *memory->heard);
    memcpy(memory->sums + at * voices->dim, memory->sums + last * voices->dim,
           voices->dim * sizeof *memory->sums);
}

static void fuse_pair(const rill_voice_model *voices, rill_memory *memory, size_t i, size_t j) {
    rill_chunk *kept = &memory->chunks[i];
    const rill_chunk *other = &memory->chunks[j];
    for (size_t d = 0; d < voices->embedding_dim; d++)
        memory->heard[i * voices->embedding_dim + d] += memory->heard[j * voices->embedding_dim + d];
    for (size_t d = 0; d < voices->dim; d++)
        memory->sums[i * voices->dim + d] += memory->sums[j * voices->dim + d];
    kept->count += other->count;
    kept->fused = 1;
    kept->first = kept->first < other->first ? kept->first : other->first;
    kept->end = kept->end > other->end ? kept->end : other->end;
    remove_chunk(voices, memory, j);
}

void rill_memory_fuse(const rill_voice_model *voices, rill_memory *memory, const float *room) {
    size_t count = *memory->count, first = 0, second = 0, oldest = count;
    if (count < memory->capacity) return;
    prepare(voices, memory, room);
    float best = NEVER;
    for (size_t i = 0; i < count; i++) {
        const rill_chunk *a = &memory->chunks[i];
        if (a->enrolled) continue;
        if (a->label == RILL_NOBODY && (oldest == count || a->first < memory->chunks[oldest].first))
            oldest = i;
        for (size_t j = 0; j < i; j++) {
            const rill_chunk *b = &memory->chunks[j];
            if (a->label == RILL_NOBODY || a->label != b->label || a->told != b->told || b->enrolled)
                continue;
            /* Even sizes: what is heard once in a while stays in sight. */
            float gain = memory->gain[i * memory->capacity + j] -
                         0.02F * voices->evidence_scale * (a->count + b->count);
            if (gain > best) best = gain, first = j, second = i;
        }
    }
    if (oldest < count)
        remove_chunk(voices, memory, oldest);
    else if (best > NEVER)
        fuse_pair(voices, memory, first, second);
    else
        for (size_t i = 0; i < count; i++) /* every chunk another label's: the first that may go */
            if (!memory->chunks[i].enrolled) {
                remove_chunk(voices, memory, i);
                break;
            }
}

void rill_memory_unite(const rill_voice_model *voices, rill_memory *memory, uint32_t from, uint32_t label) {
    size_t kept = *memory->count;
    for (size_t i = 0; i < *memory->count; i++) {
        rill_chunk *chunk = &memory->chunks[i];
        if (chunk->told == from) chunk->told = label; /* also of what a grouping has given to others since */
        if (chunk->label != from && chunk->label != label) continue;
        chunk->label = chunk->told = label;
        if (kept == *memory->count) {
            kept = i;
        } else {
            if (chunk->enrolled) memory->chunks[kept].enrolled = 1;
            fuse_pair(voices, memory, kept, i);
            i--; /* the last chunk has moved here */
        }
    }
}
