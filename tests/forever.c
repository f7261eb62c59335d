/* SPDX-License-Identifier: MIT */
/* forever [STEPS [DIM...]]: does an undecayed state stay right? Pushes 10⁸ steps, or so many, through a plain
 * and a steady state at D = M = 8 and 64, or each DIM, and prints how far they are from the sums in double.
 * Exit code 1 when the steady one's S or z is off by more than 1e-6 (relative Frobenius norm) or an output by
 * more than its bound. */
#include <stdio.h>

#include "long_stream.h"

static bool watch(size_t dim, size_t steps) {
    long_stream s = long_stream_make(dim, 8);
    double worst_output = 0, worst_state = 0;
    printf("D = M = %zu, kernels %s, seed 8\n%12s %10s %10s %10s %10s %12s\n", dim, rill_kernels_name(),
           "steps", "plain S", "plain z", "steady S", "steady z", "output/bound");
    for (size_t report = 1000; s.steps < steps;) {
        long_stream_step(&s);
        if (s.steps % 1009 == 0) worst_output = fmax(worst_output, long_stream_output_error(&s));
        if (s.steps < report && s.steps < steps) continue;
        const long_stream_drift drift = long_stream_drifts(&s);
        printf("%12zu %10.2g %10.2g %10.2g %10.2g %12.2g\n", s.steps, drift.plain_S, drift.plain_z,
               drift.steady_S, drift.steady_z, worst_output);
        fflush(stdout);
        worst_state = fmax(worst_state, fmax(drift.steady_S, drift.steady_z));
        if (s.steps >= report) report *= 10;
    }
    long_stream_free(&s);
    return worst_output <= 1 && worst_state <= 1e-6;
}

static size_t number(const char *text) {
    const double value = atof(text);
    return value >= 1 && value < 1e15 ? (size_t)value : 0;
}

int main(int count, char **arguments) {
    const size_t steps = count > 1 ? number(arguments[1]) : 100000000;
    const size_t usual[] = {8, 64};
    const size_t dims = count > 2 ? (size_t)count - 2 : 2;
    bool right = true;
    for (size_t i = 0; i < dims; i++) {
        const size_t dim = count > 2 ? number(arguments[2 + i]) : usual[i];
        if (steps == 0 || dim == 0 || dim > long_stream_dim_max)
            return fprintf(stderr, "usage: %s [STEPS [DIM...]], DIM at most %d\n", arguments[0],
                           long_stream_dim_max),
                   2;
        right = watch(dim, steps) && right;
    }
    return right ? 0 : 1;
}
