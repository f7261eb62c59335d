/* SPDX-License-Identifier: MIT */
/* Boxes overlap as their cells do, and are matched at the least cost of all matchings. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <rill/box_matching.h>

#include "random_numbers.h"

enum { GRID = 12 };

/* Corners on a grid: x low, y low, x high, y high. */
typedef struct cells {
    size_t low[2], high[2];
} cells;

static cells random_cells(void) {
    cells c;
    for (size_t axis = 0; axis < 2; axis++) {
        c.low[axis] = random_below(GRID);
        c.high[axis] = c.low[axis] + 1 + random_below(GRID - c.low[axis]);
    }
    return c;
}

static void box_of(const cells *c, float box[4]) {
    for (size_t axis = 0; axis < 2; axis++) {
        box[axis] = (float)(c->low[axis] + c->high[axis]) / 2;
        box[2 + axis] = (float)(c->high[axis] - c->low[axis]);
    }
}

static bool holds(const cells *c, size_t x, size_t y) {
    return x >= c->low[0] && x < c->high[0] && y >= c->low[1] && y < c->high[1];
}

/* Halves and small wholes are exact in float, and so are sums and products here: two quotients round. */
Test(box_matching, overlap_is_counted_in_cells) {
    random_seed(1902);
    for (int round = 0; round < 2000; round++) {
        cells a = random_cells(), b = random_cells(), hull = a;
        float box_a[4], box_b[4];
        double shared = 0, all = 0, around = 0;
        for (size_t axis = 0; axis < 2; axis++) {
            if (b.low[axis] < hull.low[axis]) hull.low[axis] = b.low[axis];
            if (b.high[axis] > hull.high[axis]) hull.high[axis] = b.high[axis];
        }
        for (size_t i = 0; i < GRID * GRID; i++) {
            shared += holds(&a, i % GRID, i / GRID) && holds(&b, i % GRID, i / GRID);
            all += holds(&a, i % GRID, i / GRID) || holds(&b, i % GRID, i / GRID);
            around += holds(&hull, i % GRID, i / GRID);
        }
        box_of(&a, box_a);
        box_of(&b, box_b);
        double got = rill_box_generalized_iou(box_a, box_b);
        cr_assert_float_eq(got, shared / all - (around - all) / around, 1e-15, "round %d", round);
        cr_assert_eq(got, rill_box_generalized_iou(box_b, box_a));
        cr_assert_eq(rill_box_generalized_iou(box_a, box_a), 1);
    }
}

Test(box_matching, boxes_without_area_overlap_in_themselves_only) {
    const float point[4] = {1, 2, 0, 0}, other[4] = {3, 5, 0, 0}, beside[4] = {3, 2, 0, 0};
    const float bad[4] = {1, NAN, 1, 1};
    cr_assert_eq(rill_box_generalized_iou(point, point), 1);
    const float nothing[4] = {0}, negative[4] = {-0.0f, 0, -0.0f, 0};
    cr_assert_eq(rill_box_generalized_iou(nothing, negative), 1);
    cr_assert_eq(rill_box_generalized_iou(point, other), -1);
    cr_assert_eq(rill_box_generalized_iou(point, beside), 0);
    cr_assert(isnan(rill_box_generalized_iou(point, bad)));
    cr_assert(isnan(rill_box_generalized_iou(bad, bad)));
}

/* The least sum of costs over all ways to give the targets from row on a prediction of its own. */
static double least_of_all(size_t predictions, size_t targets, const double *cost, size_t target,
                           unsigned taken, size_t left_over) {
    if (target == targets) return 0;
    double least = INFINITY;
    if (left_over) least = least_of_all(predictions, targets, cost, target + 1, taken, left_over - 1);
    for (size_t i = 0; i < predictions; i++)
        if (!(taken & 1u << i))
            least =
                fmin(least, cost[i * targets + target] + least_of_all(predictions, targets, cost, target + 1,
                                                                      taken | 1u << i, left_over));
    return least;
}

Test(box_matching, is_the_cheapest_of_all_and_costs_what_the_paper_says) {
    random_seed(2005);
    for (int round = 0; round < 500; round++) {
        size_t predictions = random_below(7), targets = random_below(6), classes = 1 + random_below(4);
        float logits[28], boxes[28], drawn[24];
        size_t labels[6], found[6];
        double cost[42], sum = 0;
        for (size_t i = 0; i < 28; i++) {
            logits[i] = (float)(6 * random_uniform() - 3);
            boxes[i] = (float)random_uniform();
            if (i < 24) drawn[i] = (float)random_uniform();
            if (i < 6) labels[i] = random_below(classes);
        }
        rill_box_matching matching = rill_box_matching_defaults();
        rill_predicted_boxes predicted = {predictions, classes, logits, boxes};
        rill_target_boxes wanted = {targets, labels, drawn};
        rill_error why = {""};
        cr_assert_eq(rill_match_boxes(&matching, &predicted, &wanted, cost, found, &why), RILL_OK, "%s",
                     why.message);
        unsigned taken = 0;
        size_t pairs = 0;
        for (size_t j = 0; j < targets; j++) {
            if (found[j] == SIZE_MAX) continue;
            cr_assert(found[j] < predictions && !(taken & 1u << found[j]));
            taken |= 1u << found[j];
            sum += cost[found[j] * targets + j];
            pairs++;
        }
        cr_assert_eq(pairs, targets < predictions ? targets : predictions);
        double least =
            least_of_all(predictions, targets, cost, 0, 0, targets > predictions ? targets - predictions : 0);
        cr_assert_float_eq(sum, least, 1e-11, "round %d: %g, least %g", round, sum, least);
        for (size_t i = 0; i < predictions * targets; i++) {
            const float *a = boxes + i / targets * 4, *b = drawn + i % targets * 4;
            double all = 0, distance = 0;
            for (size_t n = 0; n < classes; n++) all += exp((double)logits[i / targets * classes + n]);
            for (size_t n = 0; n < 4; n++) distance += fabs((double)a[n] - (double)b[n]);
            double p = exp((double)logits[i / targets * classes + labels[i % targets]]) / all;
            cr_assert_float_eq(cost[i], 5 * distance - p - 2 * rill_box_generalized_iou(a, b), 1e-12);
        }
    }
}

Test(box_matching, refuses_what_is_no_box_and_no_class) {
    const rill_box_matching matching = rill_box_matching_defaults();
    const float values[] = {NAN, INFINITY, -1};
    rill_error why;
    double cost[1];
    size_t found[1];
    for (size_t bad = 0; bad < 3; bad++)
        for (size_t place = 0; place < 3; place++) {
            float logits[2] = {0, 1}, box[4] = {0.5f, 0.5f, 1, 1}, drawn[4] = {0.5f, 0.5f, 1, 1};
            size_t label = 1;
            if (place == 0) logits[1] = values[bad];
            if (place == 1) box[3] = values[bad];
            if (place == 2) drawn[2] = values[bad];
            rill_predicted_boxes predicted = {1, 2, logits, box};
            rill_target_boxes targets = {1, &label, drawn};
            bool fine = place == 0 && bad == 2; /* a logit of −1 */
            cr_assert_eq(rill_match_boxes(&matching, &predicted, &targets, cost, found, &why),
                         fine ? RILL_OK : RILL_BAD_ARGUMENT);
            label = 2;
            cr_assert_eq(rill_match_boxes(&matching, &predicted, &targets, cost, found, &why),
                         RILL_BAD_ARGUMENT);
            cr_assert(strstr(why.message, "label 2 of 2"));
        }
}
