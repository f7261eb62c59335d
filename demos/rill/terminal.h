/* SPDX-License-Identifier: MIT */
/* The terminal while a picture is drawn on it: its size, its keys, and its old self again afterwards, also
 * after a crash. And the signals that ask the program to end. */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* SIGINT, SIGTERM and SIGHUP, unless nohup has that one ignored, from now on only set what stop_requested
 * returns; a second one ends the program at once. */
void stop_watch(void);
bool stop_requested(void);

/* Whether standard output is a terminal that can be drawn on: no NO_COLOR, no TERM=dumb. */
bool terminal_can_draw(void);

/* Switches to the second screen, without a cursor; keys: standard input tells single keys without echo, when
 * it is a terminal. */
void terminal_enter(bool keys);
void terminal_leave(void);

/* Of standard output, or of standard error where that is no terminal; asks again only after the window has
 * changed. */
void terminal_size(size_t *columns, size_t *rows);

/* The next key, or 0 at once when none waits. Sequences of special keys are swallowed. */
unsigned char terminal_key(void);

/* Writes all to standard output; false when that failed (errno says why). */
bool terminal_write(const char *bytes, size_t count);

#endif
