/* SPDX-License-Identifier: MIT */
#include "attention/angle.h"

#include <math.h>

double rill_angle_frequency(size_t pair, size_t dim, double base) {
    return pow(base, -2 * (double)pair / (double)dim);
}

/* the directions of two angles → that of their sum */
static rill_direction sum_of(rill_direction a, rill_direction b) {
    return (rill_direction){a.sine * b.cosine + a.cosine * b.sine, a.cosine * b.cosine - a.sine * b.sine};
}

/* The product of two doubles is the sum of two doubles, and libm reduces each double exactly. */
static rill_direction of_product(double a, double b) {
    const double high = a * b, low = fma(a, b, -high);
    const rill_direction coarse = {sin(high), cos(high)}, rest = {sin(low), cos(low)};
    return sum_of(coarse, rest);
}

/* A position of 64 bits is two doubles as well: its low 32 bits and the rest. */
rill_direction rill_angle_at(uint64_t position, double frequency) {
    const uint64_t low = position & UINT32_MAX;
    const rill_direction direction = of_product((double)low, frequency);
    return position == low ? direction : sum_of(direction, of_product((double)(position - low), frequency));
}
