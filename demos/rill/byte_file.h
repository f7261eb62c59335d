/* SPDX-License-Identifier: MIT */
/* A small file as bytes: saved states, lists. */
#ifndef BYTE_FILE_H
#define BYTE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Reads all of it ("-": standard input), with a terminating 0 that is not counted; the caller frees. NULL
 * after saying why: also for more than 256 MiB. */
char *byte_file_read(const char *path, size_t *size);

/* Replaces the file in one move, mode 0600. False after saying why, for a device or a link too; what was
 * there stays. */
bool byte_file_write(const char *path, const void *bytes, size_t size);

/* Whether a new file can be put there, before hours of work rest on it. False after saying why. */
bool byte_file_can_write(const char *path);

#endif
