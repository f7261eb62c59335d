/* SPDX-License-Identifier: MIT */
/* The list of `embed --list`: path, start, duration a line, tabs between. */
#ifndef SEGMENT_LIST_H
#define SEGMENT_LIST_H

#include <stddef.h>

#define SEGMENT_MOST_SECONDS 1e8

struct listed_segment {
    const char *path;       /* points into the text */
    double start, duration; /* seconds; NAN: to the end */
    char error[96];         /* what is wrong with the line; "" */
};

/* Every line becomes a segment, also an unusable one; the text is cut up. NULL when out of memory; the caller
 * frees. */
struct listed_segment *segment_list_parse(char *text, size_t size, size_t *count);

/* The order to work in: all segments of a file together, from front to back, files as they first appear.
 * NULL when out of memory; the caller frees. */
size_t *segment_list_order(const struct listed_segment *listed, size_t count);

#endif
