/* SPDX-License-Identifier: MIT */
/* A live microphone. The audio callback only copies into a ring; whoever reads may sleep and write. */
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

/* Fills up to capacity input devices; *count receives how many there are. Starts and stops PortAudio, whose
 * messages on standard error are kept away. */
RILL_API rill_status rill_devices_list(size_t capacity, rill_device *devices, size_t *count, rill_error *why);

typedef struct rill_live rill_live;

typedef struct rill_live_settings {
    const char *device;      /* index, or part of a name, case-insensitive; NULL: the default input */
    unsigned sample_rate_hz; /* wished for; the device's own rate is taken when it cannot do it */
    unsigned channel;        /* 1 …; 0: the mean of all channels opened */
    double ring_seconds;     /* how long a reader may be away before samples are lost; 0: 10 */
} rill_live_settings;

/* Opens, does not start. RILL_NOT_FOUND: no such device, or none at all; the message lists what there is. */
RILL_API rill_status rill_live_open(const rill_live_settings *settings, rill_live **live, rill_error *why);
RILL_API void rill_live_close(rill_live *live);
RILL_API rill_status rill_live_start(rill_live *live, rill_error *why);
/* Stops; what is in the ring can still be read. */
RILL_API void rill_live_stop(rill_live *live);

RILL_API unsigned rill_live_sample_rate_hz(const rill_live *live);
RILL_API const char *rill_live_device_name(const rill_live *live);
/* The device's own input latency in seconds, as PortAudio reports it. */
RILL_API double rill_live_input_latency(const rill_live *live);

/* Takes up to capacity samples, mono, without waiting; returns how many. One reader. */
RILL_API size_t rill_live_read(rill_live *live, size_t capacity, float *samples);
/* Samples that found no room in the ring so far, or that the device reported as lost. */
RILL_API uint64_t rill_live_lost_samples(const rill_live *live);
/* RILL_OK while the device delivers; RILL_DEVICE_LOST after it vanished (stopped by itself, or no callback
 * for 2 s). */
RILL_API rill_status rill_live_state(const rill_live *live);

#ifdef __cplusplus
}
#endif
#endif
