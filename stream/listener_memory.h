/* SPDX-License-Identifier: MIT */
/* What a listener is made of, for those who run it and who save it. */
#ifndef RILL_LISTENER_MEMORY_H
#define RILL_LISTENER_MEMORY_H

#include <rill/stream/listener.h>

#include "chain.h"

enum { RILL_LEVEL_BINS = 10, RILL_LEVEL_BINS_PER_SECOND = 100 };

/* The head of a listener's memory; followed by the tracker's, then the chain's, whose workspace comes last.
 */
typedef struct rill_listener_state {
    uint64_t samples;               /* pushed */
    double bin_energy;              /* of the level meter's bin that is filling */
    double energy[RILL_LEVEL_BINS]; /* of the full ones, a ring */
    uint32_t bin_samples, next_bin; /* in the filling bin; its place */
    float speech;                   /* probability at the last step */
    uint32_t finishing;             /* 0; 1 from finish on; 2 when all has been decided */
} rill_listener_state;

struct rill_listener {
    rill_listener_settings settings;
    rill_tracker_settings tracker_settings;
    rill_chain chain;
    rill_voice_model *voices;
    size_t tracker_offset, chain_offset, memory_size;
    unsigned char *memory; /* aligned to RILL_STATE_ALIGNMENT: all that the listener remembers */
    float *embedding;      /* [embedding_dim] of one step */
};

static inline rill_listener_state *rill_listener_head(const rill_listener *listener) {
    return (rill_listener_state *)(void *)listener->memory;
}

static inline void *rill_listener_tracker(const rill_listener *listener) {
    return listener->memory + listener->tracker_offset;
}

static inline void *rill_listener_chain(const rill_listener *listener) {
    return listener->memory + listener->chain_offset;
}

/* Bytes of memory that are worth saving: all but the workspace at its end. */
static inline size_t rill_listener_state_size(const rill_listener *listener) {
    return listener->chain_offset + rill_chain_saved_size(&listener->chain);
}

/* Writes the right size and checksum into the header of a saved listener of size bytes. */
void rill_saved_listener_seal(void *bytes, size_t size);

#endif
