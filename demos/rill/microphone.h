/* SPDX-License-Identifier: MIT */
/* A microphone that is being listened to, read until it is enough: what `listen` and `enroll --listen` share.
 */
#ifndef MICROPHONE_H
#define MICROPHONE_H

#include <stdbool.h>
#include <stddef.h>

#include <rill/status.h>
#include <rill/stream/live.h>

#include "options.h"

/* Opens the device at the model's rate, or the device's own. RILL_OK, or after saying why. */
rill_status microphone_open(const char *device, unsigned channel, unsigned sample_rate_hz, rill_live **live);

/* Takes a block that was captured; false to end. */
typedef bool microphone_block(void *receiver, size_t count, const float *samples);
/* Called some hundred times a second, also when nothing was captured; false to end. */
typedef bool microphone_tick(void *receiver);

/* Reads until seconds are over (0: no end), a signal asks to stop, block or tick returns false, or the device
 * is lost: RILL_DEVICE_LOST, after all that was captured has been handed over. Says why when it fails. */
rill_status microphone_listen(rill_live *live, double seconds, microphone_block *block, microphone_tick *tick,
                              void *receiver, rill_error *why);

/* The exit code for a status of the two above. */
int microphone_exit_code(rill_status status);

#endif
