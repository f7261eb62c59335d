/* SPDX-License-Identifier: MIT */
#include "microphone.h"

#include <math.h>
#include <stdint.h>
#include <time.h>

#include "command.h"
#include "message.h"
#include "terminal.h"

enum { BLOCK = 4096, POLL_NANOSECONDS = 10000000 };

rill_status microphone_open(const char *device, unsigned channel, unsigned sample_rate_hz, rill_live **live) {
    rill_live_settings settings = {.device = device, .sample_rate_hz = sample_rate_hz, .channel = channel};
    rill_error why;
    rill_status status = rill_live_open(&settings, live, &why);
    if (status != RILL_OK) complain("%s", why.message);
    return status;
}

/* Hands over what the ring holds, up to *left samples. False to end. */
static bool drain(rill_live *live, uint64_t *left, microphone_block *block, void *receiver) {
    float samples[BLOCK];
    for (;;) {
        size_t wanted = *left < BLOCK ? (size_t)*left : BLOCK;
        size_t count = wanted ? rill_live_read(live, wanted, samples) : 0;
        if (count == 0) return *left > 0;
        *left -= count;
        if (!block(receiver, count, samples)) return false;
    }
}

rill_status microphone_listen(rill_live *live, double seconds, microphone_block *block, microphone_tick *tick,
                              void *receiver, rill_error *why) {
    uint64_t left = seconds > 0 ? (uint64_t)llround(seconds * rill_live_sample_rate_hz(live)) : UINT64_MAX;
    rill_status status = rill_live_start(live, why);
    if (status != RILL_OK) return status;
    const struct timespec pause = {0, POLL_NANOSECONDS};
    bool more = true;
    while (more && !stop_requested() && status == RILL_OK) {
        status = rill_live_state(live); /* asked first: what came before the loss is read below */
        more = drain(live, &left, block, receiver) && tick(receiver);
        if (more && status == RILL_OK) nanosleep(&pause, NULL);
    }
    rill_live_stop(live);
    if (more) drain(live, &left, block, receiver);
    if (status == RILL_DEVICE_LOST)
        snprintf(why->message, sizeof why->message, "the microphone \"%.200s\" vanished",
                 rill_live_device_name(live));
    return status;
}

int microphone_exit_code(rill_status status) {
    return status == RILL_OK             ? EXIT_DONE
           : status == RILL_DEVICE_LOST  ? EXIT_DEVICE_LOST
           : status == RILL_BAD_ARGUMENT ? EXIT_USAGE
                                         : EXIT_NO_DEVICE;
}
