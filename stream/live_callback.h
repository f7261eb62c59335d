/* SPDX-License-Identifier: MIT */
/* The audio thread's side of a live microphone; part of live.c, seen by its test. */
#ifndef RILL_LIVE_CALLBACK_H
#define RILL_LIVE_CALLBACK_H

#include <stdbool.h>

#include <portaudio.h>

#include "ring.h"

typedef struct rill_capture {
    rill_ring ring;
    unsigned channels;              /* of the stream: samples come interleaved */
    unsigned channel;               /* the one to keep, 1 …; 0: the mean of all */
    atomic_uint_fast64_t callbacks; /* a heartbeat */
} rill_capture;

/* Copies one block, mono, into the ring. Input that PortAudio says was dropped (paInputOverflow, or no
 * buffer) counts as one lost block: it does not say how much it was. Real-time safe. A PaStreamCallback; user
 * is a rill_capture. */
int rill_live_callback(const void *input, void *output, unsigned long frames,
                       const PaStreamCallbackTimeInfo *time, PaStreamCallbackFlags flags, void *user);

/* Whether the callbacks have fallen silent, as looks at their number tell. */
typedef struct rill_heartbeat {
    uint64_t callbacks; /* at the last look */
    double looked_at;   /* seconds of the monotonic clock */
    double silent;      /* seconds without a callback that were looked at */
} rill_heartbeat;

/* A look: true when no callback has come for 2 s. Of a long while without a look only a part
 * counts: the whole process may have been stopped, and the device is not to blame. */
bool rill_heartbeat_is_lost(rill_heartbeat *heartbeat, uint64_t callbacks, double now);

#endif
