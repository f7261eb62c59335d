/* SPDX-License-Identifier: MIT */
#include "byte_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "message.h"

enum { FIRST_CAPACITY = 1 << 16, MOST_CAPACITY = 1 << 28 };

static char *read_stream(FILE *file, const char *path, size_t *size) {
    size_t capacity = FIRST_CAPACITY, used = 0;
    char *bytes = malloc(capacity);
    errno = 0;
    while (bytes) {
        used += fread(bytes + used, 1, capacity - 1 - used, file);
        if (used < capacity - 1) break;
        if (capacity >= MOST_CAPACITY) { /* a device without end, for instance */
            complain("%s: larger than %d bytes", path, MOST_CAPACITY);
            free(bytes);
            return NULL;
        }
        capacity *= 2;
        char *moved = realloc(bytes, capacity);
        if (!moved) free(bytes);
        bytes = moved;
    }
    if (!bytes) {
        complain("%s: out of memory", path);
    } else if (ferror(file)) {
        complain("%s: %s", path, strerror(errno));
        free(bytes);
        bytes = NULL;
    } else {
        bytes[used] = 0;
        *size = used;
    }
    return bytes;
}

char *byte_file_read(const char *path, size_t *size) {
    if (!strcmp(path, "-")) return read_stream(stdin, "standard input", size);
    FILE *file = fopen(path, "rb");
    if (!file) {
        complain("%s: %s", path, strerror(errno));
        return NULL;
    }
    char *bytes = read_stream(file, path, size);
    fclose(file);
    return bytes;
}

/* A device or a link must not be replaced by a file. */
static bool may_replace(const char *path) {
    struct stat there;
    if (!*path || !strcmp(path, "-")) {
        complain("\"%s\" is no name of a file to write", path);
        return false;
    }
    if (lstat(path, &there) != 0 || S_ISREG(there.st_mode)) return true;
    complain("%s: %s", path,
             S_ISLNK(there.st_mode) ? "a symbolic link; give the file that it points to" : "no regular file");
    return false;
}

/* A new file beside path, mode 0600; *draft receives its name, the caller's to free. Its descriptor, or -1
 * after saying why. */
static int draft_open(const char *path, char **draft) {
    *draft = NULL;
    if (!may_replace(path)) return -1;
    size_t capacity = strlen(path) + sizeof ".XXXXXX";
    *draft = malloc(capacity);
    if (*draft) snprintf(*draft, capacity, "%s.XXXXXX", path);
    int descriptor = *draft ? mkstemp(*draft) : -1;
    if (descriptor < 0) complain("%s: %s", path, *draft ? strerror(errno) : "out of memory");
    return descriptor;
}

bool byte_file_can_write(const char *path) {
    char *draft;
    int descriptor = draft_open(path, &draft);
    if (descriptor >= 0) {
        close(descriptor);
        unlink(draft);
    }
    free(draft);
    return descriptor >= 0;
}

bool byte_file_write(const char *path, const void *bytes, size_t size) {
    char *draft;
    int descriptor = draft_open(path, &draft);
    if (descriptor < 0) {
        free(draft);
        return false;
    }
    FILE *file = fdopen(descriptor, "wb");
    bool written =
        file && fwrite(bytes, 1, size, file) == size && fflush(file) == 0 && fsync(descriptor) == 0;
    int error = errno;
    if (!file) close(descriptor);
    if (file && fclose(file) != 0 && written) {
        written = false;
        error = errno;
    }
    if (written && rename(draft, path) != 0) {
        written = false;
        error = errno;
    }
    if (!written) {
        complain("%s: %s", path, strerror(error));
        unlink(draft);
    }
    free(draft);
    return written;
}
