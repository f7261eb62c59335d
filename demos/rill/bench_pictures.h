/* SPDX-License-Identifier: MIT */
/* The pictures that the rows of the benchmarks give. */
#ifndef BENCH_PICTURES_H
#define BENCH_PICTURES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct picture {
    const char *name, *alternative; /* of the files; what a picture shows, in a sentence */
    const char *bench;              /* whose rows it is of */
    bool (*draw)(const json_t *rows, const char *machine, const char *folder, const char *name, bool *drawn);
};

extern const struct picture pictures[];
extern const size_t pictures_count;

#endif
