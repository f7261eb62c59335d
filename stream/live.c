/* SPDX-License-Identifier: MIT */
/* Live capture: the only file that knows PortAudio. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rill/stream/live.h>

#include "failure.h"
#include "live_callback.h"
#include "mono.h"
#include "standard_error.h"

/* A fixed frame count: left open, PortAudio's ALSA host polls in odd steps. */
#define BLOCKS_PER_SECOND 100
/* Seconds the device may buffer, so how late our thread may be on a busy machine: overruns below PortAudio
 * are silent. Its ALSA host wakes a third as often, so samples come 30 ms at a time. */
#define SUGGESTED_LATENCY    0.1
#define MIXED_CHANNELS       2 /* virtual devices offer dozens */
#define SILENT_SECONDS       2.0
#define MOST_A_LOOK_SECONDS  0.5
#define USUAL_RING_SECONDS   10.0
#define LARGEST_RING_SECONDS 600.0

struct rill_live {
    rill_capture capture;
    PaStream *stream;
    unsigned sample_rate_hz;
    double input_latency;
    char device_name[sizeof(((rill_device *)0)->name)];
    bool running;
    bool hangs; /* no callback came: the host API may wait for the device for ever */
    rill_heartbeat heartbeat;
};

int rill_live_callback(const void *input, void *output, unsigned long frames,
                       const PaStreamCallbackTimeInfo *time, PaStreamCallbackFlags flags, void *user) {
    rill_capture *capture = user;
    const float *interleaved = input;
    float mono[256];
    (void)output;
    (void)time;
    if ((flags & paInputOverflow) || !interleaved) rill_ring_lose(&capture->ring, frames);
    for (size_t done = 0, count; interleaved && done < frames; done += count) {
        count = frames - done < 256 ? frames - done : 256;
        rill_keep_mono(count, capture->channels, capture->channel, interleaved + done * capture->channels,
                       mono);
        rill_ring_write(&capture->ring, count, mono);
    }
    atomic_fetch_add_explicit(&capture->callbacks, 1, memory_order_relaxed);
    return paContinue;
}

bool rill_heartbeat_is_lost(rill_heartbeat *heartbeat, uint64_t callbacks, double now) {
    heartbeat->silent += fmin(now - heartbeat->looked_at, MOST_A_LOOK_SECONDS);
    if (callbacks != heartbeat->callbacks) heartbeat->silent = 0;
    heartbeat->callbacks = callbacks;
    heartbeat->looked_at = now;
    return heartbeat->silent >= SILENT_SECONDS;
}

static rill_status portaudio_failed(const char *what, PaError error, rill_error *why) {
    const PaHostErrorInfo *host = error == paUnanticipatedHostError ? Pa_GetLastHostErrorInfo() : NULL;
    return rill_fail(why, error == paInsufficientMemory ? RILL_OUT_OF_MEMORY : RILL_IO_ERROR, "%s: %s", what,
                     host && host->errorText && *host->errorText ? host->errorText : Pa_GetErrorText(error));
}

static rill_status start_portaudio(rill_error *why) {
    rill_standard_error_put_aside();
    const PaError error = Pa_Initialize();
    rill_standard_error_put_back();
    return error == paNoError ? RILL_OK : portaudio_failed("cannot start PortAudio", error, why);
}

static void stop_portaudio(void) {
    rill_standard_error_put_aside();
    Pa_Terminate();
    rill_standard_error_put_back();
}

/* False when index is no input device. */
static bool describe(int index, rill_device *device) {
    const PaDeviceInfo *info = Pa_GetDeviceInfo(index);
    if (!info || info->maxInputChannels < 1) return false;
    const PaHostApiInfo *host = Pa_GetHostApiInfo(info->hostApi);
    *device = (rill_device){.index = index,
                            .channels = (unsigned)info->maxInputChannels,
                            .default_rate_hz = info->defaultSampleRate,
                            .is_default = index == Pa_GetDefaultInputDevice()};
    snprintf(device->name, sizeof device->name, "%s", info->name);
    snprintf(device->host_api, sizeof device->host_api, "%s", host ? host->name : "");
    return true;
}

rill_status rill_devices_list(size_t capacity, rill_device *devices, size_t *count, rill_error *why) {
    const rill_status status = start_portaudio(why);
    if (status != RILL_OK) return status;
    *count = 0;
    rill_device device;
    for (int index = 0; index < Pa_GetDeviceCount(); index++) {
        if (!describe(index, &device)) continue;
        if (*count < capacity) devices[*count] = device;
        ++*count;
    }
    stop_portaudio();
    return RILL_OK;
}

/* Is part in whole, letters of any case? */
static bool contains(const char *whole, const char *part) {
    const size_t length = strlen(part);
    for (; strlen(whole) >= length; whole++) {
        size_t same = 0;
        while (same < length && tolower((unsigned char)whole[same]) == tolower((unsigned char)part[same]))
            same++;
        if (same == length) return true;
    }
    return false;
}

/* 0: not meant; 1: part of "host api: name"; 2: the whole name; 3: the index */
static int likeness(const rill_device *device, const char *wanted) {
    char full[sizeof device->host_api + sizeof device->name + 2], index[16];
    snprintf(full, sizeof full, "%s: %s", device->host_api, device->name);
    snprintf(index, sizeof index, "%d", device->index);
    if (strcmp(index, wanted) == 0) return 3;
    if (contains(device->name, wanted) && strlen(device->name) == strlen(wanted)) return 2;
    return contains(full, wanted);
}

static rill_status no_such_device(const char *wanted, rill_error *why) {
    char list[sizeof why->message] = "";
    rill_device device;
    for (int index = 0; index < Pa_GetDeviceCount(); index++) {
        if (!describe(index, &device)) continue;
        const size_t length = strlen(list);
        snprintf(list + length, sizeof list - length, "%s%d \"%s: %s\"", length ? ", " : "", index,
                 device.host_api, device.name);
    }
    if (!*list)
        return rill_fail(
            why, RILL_NOT_FOUND,
            "no microphone: PortAudio sees no input device. Plug one in, or start the sound server "
            "(PulseAudio or PipeWire), and see whether arecord -l lists it");
    return rill_fail(why, RILL_NOT_FOUND, "no input device \"%.100s\"; there are: %s", wanted, list);
}

static rill_status find_device(const char *wanted, rill_device *device, rill_error *why) {
    int best = 0;
    rill_device candidate;
    for (int index = 0; index < Pa_GetDeviceCount(); index++) {
        if (!describe(index, &candidate)) continue;
        /* without a wish: the default, or the first where the system names none */
        const int value = wanted ? likeness(&candidate, wanted) : 1 + candidate.is_default;
        if (value > best) {
            best = value;
            *device = candidate;
        }
    }
    return best ? RILL_OK : no_such_device(wanted ? wanted : "", why);
}

static PaError open_stream(rill_live *live, const rill_device *device, unsigned channels, double rate_hz) {
    const PaDeviceInfo *info = Pa_GetDeviceInfo(device->index);
    const PaStreamParameters parameters = {.device = device->index,
                                           .channelCount = (int)channels,
                                           .sampleFormat = paFloat32,
                                           .suggestedLatency =
                                               fmax(SUGGESTED_LATENCY, info->defaultLowInputLatency)};
    live->capture.channels = channels;
    return Pa_OpenStream(&live->stream, &parameters, NULL, rate_hz,
                         (unsigned long)(rate_hz / BLOCKS_PER_SECOND + 0.5), paClipOff | paDitherOff,
                         rill_live_callback, &live->capture);
}

/* The wished rate before the device's own; the channels needed before all it has. */
static rill_status open_best(rill_live *live, const rill_device *device, unsigned wished_hz,
                             rill_error *why) {
    const unsigned channel = live->capture.channel, all = device->channels;
    const unsigned counts[] = {channel                ? channel
                               : all < MIXED_CHANNELS ? all
                                                      : MIXED_CHANNELS,
                               channel ? all : 1};
    const double rates[] = {wished_hz ? wished_hz : device->default_rate_hz, device->default_rate_hz};
    PaError error = paNoError, first = paNoError;
    rill_standard_error_put_aside();
    for (size_t i = 0; i < 4 && !live->stream; i++) {
        error = open_stream(live, device, counts[i % 2], rates[i / 2]);
        if (error != paNoError) live->stream = NULL;
        if (!i) first = error;
    }
    rill_standard_error_put_back();
    if (error == paNoError) return RILL_OK;
    char what[sizeof device->name + 32];
    snprintf(what, sizeof what, "cannot open \"%s\"", device->name);
    return portaudio_failed(what, first, why);
}

static rill_status open_device(rill_live *live, const rill_live_settings *settings, rill_error *why) {
    rill_device device;
    rill_status status = find_device(settings->device, &device, why);
    if (status != RILL_OK) return status;
    if (settings->channel > device.channels)
        return rill_fail(why, RILL_BAD_ARGUMENT, "\"%s\" has %u channels, there is no channel %u",
                         device.name, device.channels, settings->channel);
    live->capture.channel = settings->channel;
    status = open_best(live, &device, settings->sample_rate_hz, why);
    if (status != RILL_OK) return status;
    const PaStreamInfo *info = Pa_GetStreamInfo(live->stream);
    live->sample_rate_hz = (unsigned)lround(info->sampleRate);
    live->input_latency = info->inputLatency;
    memcpy(live->device_name, device.name, sizeof device.name);
    const double seconds = settings->ring_seconds > 0 ? settings->ring_seconds : USUAL_RING_SECONDS;
    return rill_ring_init(&live->capture.ring, (size_t)ceil(seconds * live->sample_rate_hz), why);
}

rill_status rill_live_open(const rill_live_settings *settings, rill_live **live, rill_error *why) {
    if (!(settings->ring_seconds >= 0 && settings->ring_seconds <= LARGEST_RING_SECONDS))
        return rill_fail(why, RILL_BAD_ARGUMENT, "a ring of %g seconds: 0 to %g are possible",
                         settings->ring_seconds, LARGEST_RING_SECONDS);
    rill_status status = start_portaudio(why);
    if (status != RILL_OK) return status;
    rill_live *made = calloc(1, sizeof *made);
    if (!made) {
        stop_portaudio();
        return rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for a live stream");
    }
    status = open_device(made, settings, why);
    if (status == RILL_OK)
        *live = made;
    else
        rill_live_close(made);
    return status;
}

void rill_live_close(rill_live *live) {
    if (!live) return;
    rill_live_stop(live);
    if (live->hangs) return; /* its thread may come back and write */
    rill_standard_error_put_aside();
    if (live->stream) Pa_CloseStream(live->stream);
    Pa_Terminate();
    rill_standard_error_put_back();
    rill_ring_release(&live->capture.ring);
    free(live);
}

static double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

rill_status rill_live_start(rill_live *live, rill_error *why) {
    if (live->running) return RILL_OK;
    rill_standard_error_put_aside();
    const PaError error = Pa_StartStream(live->stream);
    rill_standard_error_put_back();
    if (error != paNoError) return portaudio_failed("cannot start recording", error, why);
    live->running = true;
    live->heartbeat = (rill_heartbeat){atomic_load(&live->capture.callbacks), now_seconds(), 0};
    return RILL_OK;
}

void rill_live_stop(rill_live *live) {
    if (!live->running || live->hangs) return;
    rill_standard_error_put_aside();
    Pa_AbortStream(live->stream);
    rill_standard_error_put_back();
    live->running = false;
}

unsigned rill_live_sample_rate_hz(const rill_live *live) {
    return live->sample_rate_hz;
}

const char *rill_live_device_name(const rill_live *live) {
    return live->device_name;
}

double rill_live_input_latency(const rill_live *live) {
    return live->input_latency;
}

size_t rill_live_read(rill_live *live, size_t capacity, float *samples) {
    return rill_ring_read(&live->capture.ring, capacity, samples);
}

uint64_t rill_live_lost_samples(const rill_live *live) {
    return rill_ring_lost(&live->capture.ring);
}

rill_status rill_live_state(rill_live *live) {
    if (!live->running) return RILL_OK;
    if (Pa_IsStreamActive(live->stream) != 1) return RILL_DEVICE_LOST;
    const uint64_t callbacks = atomic_load_explicit(&live->capture.callbacks, memory_order_relaxed);
    live->hangs = rill_heartbeat_is_lost(&live->heartbeat, callbacks, now_seconds());
    return live->hangs ? RILL_DEVICE_LOST : RILL_OK;
}
