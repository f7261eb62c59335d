/* SPDX-License-Identifier: MIT */
/* The report of the benchmarks: one HTML page that stands alone beside its pictures. */
#ifndef BENCH_PAGE_H
#define BENCH_PAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Writes the page: what the machine is, then for every benchmark its pictures (drawn[i] of pictures[]) and
 * its rows. False when it could not be written; errno tells. */
bool page_write(const char *path, const json_t *rows, const bool *drawn);

#endif
