/* SPDX-License-Identifier: MIT */
/* Who belongs to whom: the assignment problem, for rows and columns of any numbers. What maps speakers of a
 * hypothesis to those of a reference, and predicted boxes to drawn ones (<rill/box_matching.h>). */
#ifndef RILL_ASSIGNMENT_H
#define RILL_ASSIGNMENT_H

#include <stddef.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RILL_ASSIGN_GAIN_MAX 1e300

/* The assignment of rows to columns that maximises the sum of gain [rows][columns] (Kuhn–Munkres):
 * column_of_row [rows], SIZE_MAX where a row has none; min(rows, columns) pairs are made. Costs are negative
 * gains. RILL_BAD_ARGUMENT for a gain that is not finite or beyond ±RILL_ASSIGN_GAIN_MAX,
 * RILL_OUT_OF_MEMORY. Takes O(min² max) time. Allocates. */
RILL_API rill_status rill_assign(size_t rows, size_t columns, const double *gain, size_t *column_of_row);

#ifdef __cplusplus
}
#endif
#endif
