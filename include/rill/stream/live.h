/* SPDX-License-Identifier: MIT */
/* A live microphone. The audio callback only copies into a ring; whoever reads may sleep and write.
 *
 * PortAudio starts and stops for a whole process and is not thread-safe: list, open, start, stop and close
 * from one thread at a time. Meanwhile standard error is put aside, because what lies below prints there. */
#ifndef RILL_STREAM_LIVE_H
#define RILL_STREAM_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_device {
    int index; /* PortAudio's, as `--device` takes it */
    char name[128];
    char host_api[64];
    unsigned channels;
    double default_rate_hz;
    bool is_default;
} rill_device;

/* Fills up to capacity input devices; *count receives how many there are. RILL_IO_ERROR when PortAudio does
 * not start. */
RILL_API rill_status rill_devices_list(size_t capacity, rill_device *devices, size_t *count, rill_error *why);

typedef struct rill_live rill_live;

typedef struct rill_live_settings {
    const char *device;      /* index, name, or part of "host api: name", letters of any case; NULL: the
                                default input, or the first where the system names none */
    unsigned sample_rate_hz; /* wished for; the device's own rate is taken when it cannot do it; 0: its own */
    unsigned channel;        /* 1 …; 0: the mean of the first two, or of the only one */
    double ring_seconds;     /* how long a reader may be away before samples are lost; 0: 10; at most 600 */
} rill_live_settings;

/* Opens, does not start. RILL_NOT_FOUND: no such device, or none at all; the message lists what there is.
 * RILL_BAD_ARGUMENT for a channel the device has not, or a ring beyond its limits; RILL_IO_ERROR when the
 * device cannot be opened. */
RILL_API rill_status rill_live_open(const rill_live_settings *settings, rill_live **live, rill_error *why);
/* Frees; NULL is allowed. A device that hangs (rill_live_state saw no callback for 2 s) is left alone, with
 * what it may still write to: closing it could wait for ever. */
RILL_API void rill_live_close(rill_live *live);
/* Samples begin to come into the ring. RILL_IO_ERROR when the device does not start. */
RILL_API rill_status rill_live_start(rill_live *live, rill_error *why);
/* Stops; what is in the ring can still be read. */
RILL_API void rill_live_stop(rill_live *live);

/* What the device was opened at, and its name, owned by live. */
RILL_API unsigned rill_live_sample_rate_hz(const rill_live *live);
RILL_API const char *rill_live_device_name(const rill_live *live);
/* The device's own input latency in seconds, as PortAudio reports it. */
RILL_API double rill_live_input_latency(const rill_live *live);

/* Takes up to capacity samples, mono, without waiting; returns how many. One reader. */
RILL_API size_t rill_live_read(rill_live *live, size_t capacity, float *samples);
/* Samples that found no room in the ring so far, or that the device reported as lost; it says that, not how
 * many, so each report counts as one block of 10 ms. */
RILL_API uint64_t rill_live_lost_samples(const rill_live *live);
/* RILL_OK while the device delivers, before start and after stop; RILL_DEVICE_LOST after it vanished (stopped
 * by itself, or no callback for 2 s; that is seen by calling often: of the time between two calls half a
 * second counts at most, the process itself may have been stopped). What came before can still be read. */
RILL_API rill_status rill_live_state(rill_live *live);

#ifdef __cplusplus
}
#endif
#endif
