/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include <rill/assignment.h>

#include "random_numbers.h"

static double sum_of(size_t rows, size_t columns, const double *gain, const size_t *column_of_row) {
    double sum = 0;
    for (size_t i = 0; i < rows; i++)
        if (column_of_row[i] != SIZE_MAX) sum += gain[i * columns + column_of_row[i]];
    return sum;
}

/* min(rows, columns) pairs, no column twice. */
static void assert_assignment(size_t rows, size_t columns, const size_t *column_of_row) {
    size_t pairs = 0;
    for (size_t i = 0; i < rows; i++) {
        if (column_of_row[i] == SIZE_MAX) continue;
        cr_assert_lt(column_of_row[i], columns);
        for (size_t j = 0; j < i; j++) cr_assert_neq(column_of_row[i], column_of_row[j]);
        pairs++;
    }
    cr_assert_eq(pairs, rows < columns ? rows : columns);
}

/* The best of all assignments of rows from row on, unmatched rows allowed only when they are in excess. */
static double best_of_all(size_t rows, size_t columns, const double *gain, size_t row, unsigned taken,
                          size_t spare_rows) {
    if (row == rows) return 0;
    double best = -INFINITY;
    if (spare_rows) best = best_of_all(rows, columns, gain, row + 1, taken, spare_rows - 1);
    for (size_t j = 0; j < columns; j++) {
        if (taken & 1u << j) continue;
        double sum =
            gain[row * columns + j] + best_of_all(rows, columns, gain, row + 1, taken | 1u << j, spare_rows);
        if (sum > best) best = sum;
    }
    return best;
}

Test(assignment, is_the_best_of_all_by_brute_force) {
    unsigned long long seed = 20061623;
    random_seed(seed);
    for (int trial = 0; trial < 3000; trial++) {
        size_t rows = 1 + random_below(6), columns = 1 + random_below(6), column_of_row[6];
        double gain[36], largest = 0;
        int kind = trial % 4;
        for (size_t i = 0; i < rows * columns; i++) {
            gain[i] = kind == 0 ? random_uniform() : kind == 1 ? random_uniform() - 0.5 : 0;
            if (kind == 2) gain[i] = (double)random_below(3); /* many ties */
            if (kind == 3) gain[i] = pow(10, 12 * random_uniform());
            largest = fmax(largest, fabs(gain[i]));
        }
        cr_assert_eq(rill_assign(rows, columns, gain, column_of_row), RILL_OK);
        assert_assignment(rows, columns, column_of_row);
        double best = best_of_all(rows, columns, gain, 0, 0, rows > columns ? rows - columns : 0);
        double sum = sum_of(rows, columns, gain, column_of_row);
        /* Potentials are sums of at most 2n gains, each rounded: n of them decide. */
        double tolerance = 6 * 12 * DBL_EPSILON * largest;
        cr_assert(fabs(sum - best) <= tolerance, "seed %llu trial %d %zux%zu: %.17g, best %.17g", seed, trial,
                  rows, columns, sum, best);
    }
}

Test(assignment, of_nothing_is_nothing_and_of_nonsense_refused) {
    size_t column_of_row[3] = {7, 7, 7};
    cr_assert_eq(rill_assign(3, 0, NULL, column_of_row), RILL_OK);
    for (size_t i = 0; i < 3; i++) cr_assert_eq(column_of_row[i], SIZE_MAX);
    cr_assert_eq(rill_assign(0, 3, NULL, NULL), RILL_OK);
    double bad[] = {NAN, INFINITY, -INFINITY, 1e301};
    for (size_t i = 0; i < 4; i++) {
        double gain[4] = {1, 2, bad[i], 3};
        cr_assert_eq(rill_assign(2, 2, gain, column_of_row), RILL_BAD_ARGUMENT);
    }
    double large[4] = {1e300, -1e300, -1e300, 1e300};
    cr_assert_eq(rill_assign(2, 2, large, column_of_row), RILL_OK);
    cr_assert_eq(column_of_row[0], 0);
    cr_assert_eq(column_of_row[1], 1);
}

Test(assignment, stays_within_its_time_on_many_speakers) {
    enum { N = 300 };
    random_seed(1955);
    double *gain = malloc(N * N * sizeof *gain);
    size_t *hidden = malloc(N * sizeof *hidden), *found = malloc(N * sizeof *found);
    for (size_t i = 0; i < N; i++) hidden[i] = i;
    for (size_t i = N - 1; i > 0; i--) {
        size_t j = random_below(i + 1), keep = hidden[i];
        hidden[i] = hidden[j];
        hidden[j] = keep;
    }
    for (size_t i = 0; i < N * N; i++) gain[i] = random_uniform();
    for (size_t i = 0; i < N; i++) gain[i * N + hidden[i]] += 1; /* every row's best, none in conflict */
    cr_assert_eq(rill_assign(N, N, gain, found), RILL_OK);
    cr_assert_arr_eq(found, hidden, N * sizeof *found);
    free(gain);
    free(hidden);
    free(found);
}
