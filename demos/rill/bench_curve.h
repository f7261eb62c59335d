/* SPDX-License-Identifier: MIT */
/* Curves of cost over length, on logarithmic axes. */
#ifndef BENCH_CURVE_H
#define BENCH_CURVE_H

#include <stddef.h>

enum { CURVE_POINTS = 32 };

struct curve {
    double length[CURVE_POINTS], cost[CURVE_POINTS]; /* lengths ascending, costs positive */
    size_t count;
};

/* The exponent p of cost ~ lengthᵖ: the slope of least squares through the logarithms of the points from
 * `from` on, or of the last three when fewer lie there; NAN with fewer than two. */
double curve_exponent(const struct curve *curve, double from);

/* The length from which on `low` stays below `high`: where the lines through the logarithms of their points
 * cross for the last time. 0 when low is below at every length, INFINITY when it is not at the last. Both
 * have the same lengths. */
double curve_crossing(const struct curve *low, const struct curve *high);

#endif
