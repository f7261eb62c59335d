/* SPDX-License-Identifier: MIT */
/* The assignment problem: Kuhn 1955, Munkres 1957, in the form that adds one row at a time along a shortest
 * augmenting path over reduced costs (Jonker & Volgenant 1987): O(rows² columns). */
#include <rill/assignment.h>

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define NONE SIZE_MAX

/* Cost is −gain, seen so that there are no more rows than columns. Column `columns` is a virtual one, where
 * the row to be added stands before it has found its place. */
typedef struct assignment {
    size_t rows, columns;
    const double *gain;
    bool transposed;
    double *row_potential;    /* [rows] */
    double *column_potential; /* [columns + 1] */
    double *shortest;         /* [columns]: reduced length of the best path to this column so far */
    size_t *row_of_column;    /* [columns + 1] */
    size_t *previous;         /* [columns]: the column before, on that path */
    bool *reached;            /* [columns + 1] */
} assignment;

static double cost(const assignment *a, size_t row, size_t column) {
    return -(a->transposed ? a->gain[column * a->rows + row] : a->gain[row * a->columns + column]);
}

/* Lengthens the tree of shortest paths by one column, the nearest, and returns it. */
static size_t reach_next(assignment *a, size_t from) {
    size_t row = a->row_of_column[from], nearest = NONE;
    a->reached[from] = true;
    for (size_t j = 0; j < a->columns; j++) {
        if (a->reached[j]) continue;
        double length = cost(a, row, j) - a->row_potential[row] - a->column_potential[j];
        if (length < a->shortest[j]) a->shortest[j] = length, a->previous[j] = from;
        if (nearest == NONE || a->shortest[j] < a->shortest[nearest]) nearest = j;
    }
    double step = a->shortest[nearest];
    for (size_t j = 0; j <= a->columns; j++) {
        if (a->reached[j]) {
            a->row_potential[a->row_of_column[j]] += step;
            a->column_potential[j] -= step;
        } else if (j < a->columns) {
            a->shortest[j] -= step;
        }
    }
    return nearest;
}

static void add_row(assignment *a, size_t row) {
    for (size_t j = 0; j < a->columns; j++) a->shortest[j] = INFINITY, a->reached[j] = false;
    a->reached[a->columns] = false;
    a->row_of_column[a->columns] = row;
    size_t column = a->columns;
    do column = reach_next(a, column);
    while (a->row_of_column[column] != NONE);
    for (; column != a->columns; column = a->previous[column])
        a->row_of_column[column] = a->row_of_column[a->previous[column]];
}

static void solve(assignment *a) {
    for (size_t j = 0; j <= a->columns; j++) a->row_of_column[j] = NONE;
    for (size_t i = 0; i < a->rows; i++) add_row(a, i);
}

rill_status rill_assign(size_t rows, size_t columns, const double *gain, size_t *column_of_row) {
    for (size_t i = 0; i < rows; i++) column_of_row[i] = NONE;
    if (!rows || !columns) return RILL_OK;
    if (columns > SIZE_MAX / sizeof *gain / rows) return RILL_BAD_ARGUMENT;
    for (size_t i = 0; i < rows * columns; i++)
        if (!(fabs(gain[i]) <= RILL_ASSIGN_GAIN_MAX)) return RILL_BAD_ARGUMENT;
    bool transposed = rows > columns;
    assignment a = {.rows = transposed ? columns : rows, .columns = transposed ? rows : columns};
    a.gain = gain;
    a.transposed = transposed;
    a.row_potential = calloc(a.rows, sizeof(double));
    a.column_potential = calloc(a.columns + 1, sizeof(double));
    a.shortest = calloc(a.columns, sizeof(double));
    a.row_of_column = calloc(a.columns + 1, sizeof(size_t));
    a.previous = calloc(a.columns, sizeof(size_t));
    a.reached = calloc(a.columns + 1, sizeof(bool));
    bool room =
        a.row_potential && a.column_potential && a.shortest && a.row_of_column && a.previous && a.reached;
    if (room) {
        solve(&a);
        for (size_t j = 0; j < a.columns; j++) {
            if (a.row_of_column[j] == NONE) continue;
            if (transposed)
                column_of_row[j] = a.row_of_column[j];
            else
                column_of_row[a.row_of_column[j]] = j;
        }
    }
    free(a.row_potential);
    free(a.column_potential);
    free(a.shortest);
    free(a.row_of_column);
    free(a.previous);
    free(a.reached);
    return room ? RILL_OK : RILL_OUT_OF_MEMORY;
}
