/* SPDX-License-Identifier: MIT */
/* A small file of text or bytes, read whole. */
#ifndef RILL_STREAM_WHOLE_FILE_H
#define RILL_STREAM_WHOLE_FILE_H

#include <stddef.h>

#include <rill/status.h>

/* Reads at most size_limit bytes; a longer file is RILL_UNSUPPORTED. *bytes [*size] is the caller's to free.
 * A pipe will do. RILL_NOT_FOUND, RILL_IO_ERROR, RILL_OUT_OF_MEMORY; why names the path. */
rill_status rill_whole_file_read(const char *path, size_t size_limit, char **bytes, size_t *size,
                                 rill_error *why);

#endif
