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

static float evidence(const rill_voice_model *voices, float count, const float *sums) {
    return rill_voice_evidence(voices, voices->evidence_scale, voices->least_log, count, sums);
}

/* log p(i and j together) − log p(i) − log p(j) */
static float union_gain(const rill_voice_model *voices, const rill_memory *memory, size_t i, size_t j) {
    float sums[RILL_VOICE_MAX_DIM];
    const float *a = memory->shifted + i * voices->dim, *b = memory->shifted + j * voices->dim;
    for (size_t d = 0; d < voices->dim; d++) sums[d] = a[d] + b[d];
    return evidence(voices, memory->weight[i] + memory->weight[j], sums) - memory->alone[i] - memory->alone[j];
}

static void shift(const rill_voice_model *voices, rill_memory *memory, const float *room) {
    for (size_t i = 0; i < *memory->count; i++)
        for (size_t d = 0; d < voices->dim; d++)
            memory->shifted[i * voices->dim + d] =
                memory->sums[i * voices->dim + d] - memory->chunks[i].count * room[d];
}

static void set_gain(rill_memory *memory, size_t i, size_t j, float gain) {
    memory->gain[i * memory->capacity + j] = memory->gain[j * memory->capacity + i] = gain;
}

static void prepare(const rill_voice_model *voices, rill_memory *memory, const float *room) {
    size_t count = *memory->count;
    shift(voices, memory, room);
    for (size_t i = 0; i < count; i++) {
        memory->group[i] = (uint32_t)i;
        memory->owner[i] = memory->chunks[i].label;
        memory->weight[i] = memory->chunks[i].count;
        memory->alone[i] = evidence(voices, memory->weight[i], memory->shifted + i * voices->dim);
        for (size_t j = 0; j < count; j++) {
            const rill_chunk *a = &memory->chunks[i], *b = &memory->chunks[j];
            bool neighbours = (a->previous && a->previous == b->number) || (b->previous && b->previous == a->number);
            memory->bond[i * memory->capacity + j] = neighbours ? voices->adjacency : 0;
        }
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++) set_gain(memory, i, j, union_gain(voices, memory, i, j));
}

static bool leads(const rill_memory *memory, size_t i) { return memory->group[i] == i; }

/* What earlier decisions say for putting two groups together. */
static float prejudice(const rill_voice_model *voices, const rill_memory *memory, size_t i, size_t j) {
    uint32_t a = memory->owner[i], b = memory->owner[j];
    if (a == RILL_NOBODY || b == RILL_NOBODY) return 0;
    return a == b ? voices->same_label : -voices->other_label;
}

static float best_pair(const rill_voice_model *voices, const rill_memory *memory, size_t *first, size_t *second) {
    float best = NEVER;
    for (size_t i = 0; i < *memory->count; i++)
        for (size_t j = 0; leads(memory, i) && j < i; j++)
            if (leads(memory, j)) {
                size_t at = i * memory->capacity + j;
                float gain = memory->gain[at] + memory->bond[at] + prejudice(voices, memory, i, j);
                if (gain > best) best = gain, *first = j, *second = i;
            }
    return best;
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
    memory->alone[i] = evidence(voices, memory->weight[i], sums);
    for (size_t c = 0; c < count; c++)
        if (memory->group[c] == j) memory->group[c] = (uint32_t)i;
    for (size_t c = 0; c < count; c++) {
        if (c == i || !leads(memory, c)) continue;
        memory->bond[i * capacity + c] += memory->bond[j * capacity + c];
        memory->bond[c * capacity + i] = memory->bond[i * capacity + c];
        bool apart = memory->gain[i * capacity + c] <= NEVER / 2 || memory->gain[j * capacity + c] <= NEVER / 2;
        set_gain(memory, i, c, apart ? NEVER : union_gain(voices, memory, i, c));
    }
}

void rill_memory_group(const rill_voice_model *voices, rill_memory *memory, const float *room, float ease,
                       size_t most_groups) {
    size_t groups = *memory->count;
    prepare(voices, memory, room);
    for (size_t i = 0; i < groups; i++)
        for (size_t j = 0; j < i; j++)
            if (memory->chunks[i].enrolled && memory->chunks[j].enrolled &&
                memory->chunks[i].label != memory->chunks[j].label)
                set_gain(memory, i, j, NEVER);
    while (groups > 1) {
        size_t i = 0, j = 0;
        float gain = best_pair(voices, memory, &i, &j);
        if (gain <= NEVER / 2 || (gain + ease < -voices->merge_cost && groups <= most_groups)) break;
        unite(voices, memory, i, j);
        groups--;
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
        if (a->label == RILL_NOBODY && (oldest == count || a->first < memory->chunks[oldest].first)) oldest = i;
        for (size_t j = 0; j < i; j++) {
            const rill_chunk *b = &memory->chunks[j];
            if (a->label == RILL_NOBODY || a->label != b->label || a->told != b->told || b->enrolled) continue;
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
