/* SPDX-License-Identifier: MIT */
/* The two ways to print events: JSON for programs, plain lines for people. All return false when standard
 * output could not be written. */
#ifndef EVENT_OUTPUT_H
#define EVENT_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include <rill/stream/event.h>

/* file: told as "file" when several are tracked, else NULL. */
bool json_event(const char *file, const rill_event *event);
bool json_end(const char *file, double seconds, uint64_t lost_samples);

/* START is not printed: the turn follows. */
bool line_event(const rill_event *event);
bool line_end(double seconds, uint64_t lost_samples);

/* "S3 was S1 (Anna) from 00:12.30 to 00:14.90" */
enum { CORRECTION_TEXT_SIZE = 768 };
void correction_text(char text[CORRECTION_TEXT_SIZE], const rill_event *event);

#endif
