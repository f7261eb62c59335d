/* SPDX-License-Identifier: MIT */
/* What the machine can do at best, for any program: loops that do nothing but one thing, in the widest
 * vectors that this CPU has. Each returns a number that depends on all it did, so that no compiler can leave
 * it out. */
#ifndef BENCH_LIMITS_H
#define BENCH_LIMITS_H

#include <stddef.h>

struct limits {
    const char *name; /* of the instruction set */
    size_t register_floats;
    /* rounds × round_flops floating-point operations: multiply-adds on registers, each counted as
     * two, many enough independent ones to keep every unit busy */
    float (*multiply_add)(size_t rounds);
    size_t round_flops;
    /* x[i] += 1 for count floats, a multiple of 64 */
    void (*read_write)(size_t count, float *x);
    /* Σ x[i], the same count */
    float (*read)(size_t count, const float *x);
    /* out[i] = a[i] b[i] + c[i], the same count: what attention streams through, three rows in and one out */
    void (*stream)(size_t count, const float *a, const float *b, const float *c, float *out);
};

/* The widest set that this CPU has. */
const struct limits *limits_get(void);

#endif
