/* SPDX-License-Identifier: MIT */
/* How a function of rill says why it failed: return rill_fail(why, RILL_IO_ERROR, "%s: %s", path,
 * strerror(errno)). Messages quote what strangers wrote: control characters, which a terminal would obey,
 * become '?'. Of one that is too long, as paths may be, the middle is left out: its end is the reason. */
#ifndef RILL_FAILURE_H
#define RILL_FAILURE_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rill/status.h>

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static inline rill_status
rill_fail(rill_error *why, rill_status status, const char *format, ...) {
    if (why) {
        va_list arguments;
        va_start(arguments, format);
        char whole[8192];
        enum { ROOM = sizeof why->message, HEAD = ROOM / 2, TAIL = ROOM - HEAD - 5 };
        vsnprintf(whole, sizeof whole, format, arguments);
        va_end(arguments);
        const size_t size = strlen(whole) + 1;
        if (size > ROOM) {
            memcpy(whole + HEAD, " ... ", 5);
            memmove(whole + HEAD + 5, whole + size - TAIL, TAIL);
        }
        memcpy(why->message, whole, size < ROOM ? size : ROOM);
        for (char *c = why->message; *c; c++)
            if ((unsigned char)*c < ' ' || *c == 0x7F) *c = '?';
    }
    return status;
}

#endif
