/* SPDX-License-Identifier: MIT */
/* How a function of rill says why it failed: return rill_fail(why, RILL_IO_ERROR, "%s: %s", path,
 * strerror(errno)). Messages quote what strangers wrote: control characters, which a terminal would obey,
 * become '?'. */
#ifndef RILL_FAILURE_H
#define RILL_FAILURE_H

#include <stdarg.h>
#include <stdio.h>

#include <rill/status.h>

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static inline rill_status
rill_fail(rill_error *why, rill_status status, const char *format, ...) {
    if (why) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(why->message, sizeof why->message, format, arguments);
        va_end(arguments);
        for (char *c = why->message; *c; c++)
            if ((unsigned char)*c < ' ' || *c == 0x7F) *c = '?';
    }
    return status;
}

#endif
