/* SPDX-License-Identifier: MIT */
/* The machine that figures were measured on. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stddef.h>

/* Processors that this process may run on. */
size_t machine_processors(void);

#endif
