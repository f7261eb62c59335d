/* SPDX-License-Identifier: MIT */
/* The picture drawn while tracking on a terminal: a row a speaker, who speaks now, the level, the latency. */
#ifndef DISPLAY_H
#define DISPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include <rill/stream/event.h>
#include <rill/stream/listener.h>

struct display;

struct display_figures {
    double busy_seconds; /* of computing */
    uint64_t lost_samples;
    double device_latency; /* seconds; 0 for a file */
    double whole_seconds;  /* length of a file, 0 when not known */
};

/* Takes the terminal; title is shown as it is made safe. keys: prompts answer to keys. NULL after saying why.
 */
struct display *display_open(const char *title, const rill_listener *listener, bool keys);
/* Gives the terminal back; with summary, what was heard stays printed on it. Frees. */
void display_close(struct display *display, bool summary);

void display_event(struct display *display, const rill_event *event);
/* A line among the notices. */
void display_notice(struct display *display, const char *text);
/* Looks at the listener and draws, at most 15 times a second unless at once. False when the terminal is gone.
 */
bool display_update(struct display *display, const struct display_figures *figures, bool at_once);
/* Handles the keys that wait; false to quit. */
bool display_keys(struct display *display, rill_listener *listener);

#endif
