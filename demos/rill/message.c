/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

static bool held;
static char kept[4 * TEXT_MESSAGE_SIZE]; /* lines, while held; what has no room is lost */

static void say(const char *before, const char *format, va_list arguments) {
    char clean[TEXT_MESSAGE_SIZE];
    text_message(clean, format, arguments);
    /* the name of a file may be empty: a shell's variable that is not set */
    const char *const name = strncmp(clean, ": ", 2) == 0 ? "\"\"" : "";
    const size_t used = strlen(kept);
    if (held)
        snprintf(kept + used, sizeof kept - used, "%s%s%s\n", before, name, clean);
    else
        fprintf(stderr, "%s%s%s\n", before, name, clean);
}

void messages_hold(void) {
    held = true;
}

void messages_tell(void) {
    held = false;
    fputs(kept, stderr);
    kept[0] = 0;
}

void complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say("rill: ", format, arguments);
    va_end(arguments);
}

void remark(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say("", format, arguments);
    va_end(arguments);
}

bool output_flush(void) {
    static bool told;
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return true;
    if (!told) complain("standard output could not be written: %s", errno ? strerror(errno) : "write failed");
    told = true;
    return false;
}
