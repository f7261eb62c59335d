/* SPDX-License-Identifier: MIT */
/* Angles that stay right for ever: position · frequency, exactly, then sine and cosine. */
#ifndef RILL_ANGLE_H
#define RILL_ANGLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct rill_direction {
    double sine, cosine;
} rill_direction;

/* base^(−2 pair/dim) */
double rill_angle_frequency(size_t pair, size_t dim, double base);

/* The direction of the angle position · frequency, each number to a few units of double's rounding, whatever
 * the position. */
rill_direction rill_angle_at(uint64_t position, double frequency);

#endif
