/* SPDX-License-Identifier: MIT */
/* What the program says to people on standard error, and whether its standard output arrives. */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>

#if defined(__GNUC__)
#define MESSAGE_FORMAT __attribute__((format(printf, 1, 2)))
#else
#define MESSAGE_FORMAT
#endif

/* One line on standard error, after "rill: ". Text from outside may stand in it: control characters are made
 * harmless. */
void complain(const char *format, ...) MESSAGE_FORMAT;
/* The same without "rill: ", for what is no error. */
void remark(const char *format, ...) MESSAGE_FORMAT;

/* From hold on, what is said waits until tell: nobody could read it beside a picture that is drawn and taken
 * away again. */
void messages_hold(void);
void messages_tell(void);

/* Flushes standard output. False when it, or anything printed before, could not be written; the first time it
 * says so on standard error. */
bool output_flush(void);

#endif
