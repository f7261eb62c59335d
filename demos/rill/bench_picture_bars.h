/* SPDX-License-Identifier: MIT */
/* The pictures with bars; see struct picture. */
#ifndef BENCH_PICTURE_BARS_H
#define BENCH_PICTURE_BARS_H

#include <jansson.h>
#include <stdbool.h>

/* Is the row of that benchmark, and (unless what is NULL) of that name? */
bool picture_has(const json_t *row, const char *bench, const char *what);

bool picture_paper(const json_t *rows, const char *machine, const char *folder, const char *name,
                   bool *drawn);
bool picture_kernels(const json_t *rows, const char *machine, const char *folder, const char *name,
                     bool *drawn);
bool picture_peers(const json_t *rows, const char *machine, const char *folder, const char *name,
                   bool *drawn);
bool picture_stream(const json_t *rows, const char *machine, const char *folder, const char *name,
                    bool *drawn);

#endif
