/* SPDX-License-Identifier: MIT */
/* The machine that figures were measured on. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <jansson.h>
#include <stddef.h>

/* Processors that this process may run on. */
size_t machine_processors(void);

/* A row: processor, caches, memory, system, compiler, kernel table, version of rill. What the system does not
 * tell is left out. */
json_t *machine_describe(void);

#endif
