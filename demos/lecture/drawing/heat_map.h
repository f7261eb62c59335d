/* SPDX-License-Identifier: MIT */
/* A matrix to look at: shades in the terminal, or a PNG. */
#ifndef RILL_HEAT_MAP_H
#define RILL_HEAT_MAP_H

#include <stdbool.h>
#include <stddef.h>

/* values [rows][columns]; from least (light in the terminal, white on paper) to most */
typedef struct heat_map {
    const char *title;
    size_t rows, columns;
    const float *values;
    const char *row_names, *column_names; /* a character for each; NULL: none, in all of them */
} heat_map;

/* count maps of as many rows beside each other. What is not finite is left blank. */
void heat_map_print(size_t count, const heat_map *maps);

/* An 8-bit grey PNG of the maps beside each other, cell pixels a side for each value. false, and errno says
 * why, when it could not be written. */
bool heat_map_write_png(const char *path, size_t count, const heat_map *maps, size_t cell);

#endif
