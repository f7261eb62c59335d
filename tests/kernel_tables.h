/* SPDX-License-Identifier: MIT */
/* Every kernel table that runs here against the reference, and the reference against the formulas in double.
 * u is the unit roundoff of float. A sum of n products in any order is within (n + 1) u Σ|xy| of the exact
 * one, and two such sums within twice that. */
#ifndef RILL_TEST_KERNEL_TABLES_H
#define RILL_TEST_KERNEL_TABLES_H

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "guarded_floats.h"
#include "kernels/kernels.h"

#define U ((double)FLT_EPSILON / 2)

typedef void check_table(const rill_kernels *reference, const rill_kernels *kernels);

/* The same random cases for every table; those this CPU lacks are named. */
static inline void every_table(check_table *check, const char *law) {
    bool runs_here;
    const rill_kernels *reference = rill_kernels_at(0, &runs_here), *kernels;
    for (size_t i = 1; (kernels = rill_kernels_at(i, &runs_here)); i++) {
        if (!runs_here) {
            printf("SKIPPED %s: this CPU cannot run the kernels %s\n", law, kernels->name);
            continue;
        }
        random_seed(20260 + i);
        check(reference, kernels);
    }
}

static inline size_t odd_dim(void) {
    return random_below(2) ? 1 + random_below(160) : 16 * (1 + random_below(10));
}

static inline void near(const rill_kernels *kernels, const char *what, size_t i, double got, double want,
                        double tolerance) {
    cr_assert(fabs(got - want) <= tolerance, "%s %s [%zu]: %.9g, want %.9g ± %.3g (difference %.3g)",
              kernels->name, what, i, got, want, tolerance, fabs(got - want));
}

#endif
