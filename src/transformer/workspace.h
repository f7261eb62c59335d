/* SPDX-License-Identifier: MIT */
/* A workspace cut into parts, one behind the other, all but the first aligned to a cache line. */
#ifndef RILL_WORKSPACE_H
#define RILL_WORKSPACE_H

#include <stddef.h>
#include <stdint.h>

typedef struct rill_parts {
    unsigned char *memory; /* NULL: only the size is wanted */
    size_t size;           /* of the parts taken; SIZE_MAX when that is no number of bytes */
} rill_parts;

static inline size_t rill_parts_product(size_t a, size_t b) {
    return b != 0 && a > SIZE_MAX / b ? SIZE_MAX : a * b;
}

static inline void *rill_parts_take(rill_parts *parts, size_t bytes) {
    void *part = parts->memory ? parts->memory + parts->size : NULL;
    if (bytes > SIZE_MAX - 63 || parts->size > SIZE_MAX - (bytes + 63) / 64 * 64)
        parts->size = SIZE_MAX;
    else
        parts->size += (bytes + 63) / 64 * 64;
    return part;
}

static inline float *rill_parts_floats(rill_parts *parts, size_t rows, size_t columns) {
    return rill_parts_take(parts, rill_parts_product(rill_parts_product(rows, columns), sizeof(float)));
}

#endif
