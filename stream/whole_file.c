/* SPDX-License-Identifier: MIT */
/* A small file of text or bytes, read whole. */
#include "whole_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

static rill_status read_stream(FILE *stream, const char *path, size_t size_limit, char **bytes, size_t *size,
                               rill_error *why) {
    size_t capacity = 0;
    for (*bytes = NULL, *size = 0;;) {
        if (*size == capacity) {
            capacity = capacity ? 2 * capacity : 4096;
            char *more = realloc(*bytes, capacity);
            if (!more) return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: no memory to read it", path);
            *bytes = more;
        }
        size_t count = fread(*bytes + *size, 1, capacity - *size, stream);
        *size += count;
        if (*size > size_limit)
            return rill_fail(why, RILL_UNSUPPORTED, "%s: larger than %zu bytes", path, size_limit);
        if (count == 0) break;
    }
    if (ferror(stream)) return rill_fail(why, RILL_IO_ERROR, "%s: %s", path, strerror(errno));
    return RILL_OK;
}

rill_status rill_whole_file_read(const char *path, size_t size_limit, char **bytes, size_t *size,
                                 rill_error *why) {
    FILE *stream = fopen(path, "rb");
    if (!stream) {
        rill_status status = errno == ENOENT || errno == ENOTDIR ? RILL_NOT_FOUND : RILL_IO_ERROR;
        return rill_fail(why, status, "%s: %s", path, strerror(errno));
    }
    rill_status status = read_stream(stream, path, size_limit, bytes, size, why);
    fclose(stream);
    if (status != RILL_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    return status;
}
