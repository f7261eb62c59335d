/* SPDX-License-Identifier: MIT */
/* DETR's matching cost, and the cheapest matching by it. */
#include <rill/box_matching.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include <rill/assignment.h>

#include "failure.h"

/* Lengths along one axis: of a, of b, of what they share, and of the least that holds both. */
typedef struct extents {
    double a, b, shared, around;
} extents;

static extents extents_of(const float *a, const float *b, size_t axis) {
    double a_low = (double)a[axis] - 0.5 * (double)a[2 + axis],
           a_high = (double)a[axis] + 0.5 * (double)a[2 + axis];
    double b_low = (double)b[axis] - 0.5 * (double)b[2 + axis],
           b_high = (double)b[axis] + 0.5 * (double)b[2 + axis];
    double low = a_low > b_low ? a_low : b_low, high = a_high < b_high ? a_high : b_high;
    double first = a_low < b_low ? a_low : b_low, last = a_high > b_high ? a_high : b_high;
    return (extents){a_high - a_low, b_high - b_low, high > low ? high - low : 0, last - first};
}

double rill_box_generalized_iou(const float a[4], const float b[4]) {
    extents x = extents_of(a, b, 0), y = extents_of(a, b, 1);
    double shared = x.shared * y.shared, all = x.a * y.a + x.b * y.b - shared, around = x.around * y.around;
    for (size_t i = 0; i < 4; i++)
        if (isnan(a[i]) || isnan(b[i])) return NAN;
    if (all > 0) return shared / all - (around - all) / around;
    if (a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3]) return 1; /* −0 is 0 */
    return around > 0 ? -1 : 0; /* nothing of nothing: all between them is neither */
}

rill_box_matching rill_box_matching_defaults(void) {
    return (rill_box_matching){.class_weight = 1, .distance_weight = 5, .overlap_weight = 2};
}

/* The probability of a class: exp(x) / Σ exp, after the largest is taken away. */
static double probability(size_t classes, const float *logits, size_t label) {
    double largest = (double)logits[0], sum = 0;
    for (size_t i = 1; i < classes; i++) /* no fmax: gcc 12 for ARM fails on it */
        if (largest < (double)logits[i]) largest = (double)logits[i];
    for (size_t i = 0; i < classes; i++) sum += exp((double)logits[i] - largest);
    return exp((double)logits[label] - largest) / sum;
}

static rill_status check_boxes(const char *whose, size_t count, const float *boxes, rill_error *why) {
    for (size_t i = 0; i < 4 * count; i++)
        if (!isfinite(boxes[i]) || (i % 4 >= 2 && boxes[i] < 0))
            return rill_fail(why, RILL_BAD_ARGUMENT, "boxes: number %zu of %s box %zu is %g", i % 4, whose,
                             i / 4, (double)boxes[i]);
    return RILL_OK;
}

static rill_status check(const rill_predicted_boxes *predicted, const rill_target_boxes *targets,
                         rill_error *why) {
    for (size_t j = 0; j < targets->count; j++)
        if (targets->labels[j] >= predicted->classes)
            return rill_fail(why, RILL_BAD_ARGUMENT, "boxes: target %zu has the label %zu of %zu classes", j,
                             targets->labels[j], predicted->classes);
    for (size_t i = 0; i < predicted->count * predicted->classes; i++)
        if (!isfinite(predicted->logits[i]))
            return rill_fail(why, RILL_BAD_ARGUMENT, "boxes: a logit of prediction %zu is %g",
                             i / predicted->classes, (double)predicted->logits[i]);
    rill_status status = check_boxes("predicted", predicted->count, predicted->boxes, why);
    return status == RILL_OK ? check_boxes("target", targets->count, targets->boxes, why) : status;
}

rill_status rill_match_boxes(const rill_box_matching *matching, const rill_predicted_boxes *predicted,
                             const rill_target_boxes *targets, double *cost, size_t *prediction_of_target,
                             rill_error *why) {
    rill_status status = check(predicted, targets, why);
    if (status != RILL_OK) return status;
    size_t rows = targets->count, columns = predicted->count;
    double *gain = calloc(rows * columns + 1, sizeof *gain);
    if (!gain)
        return rill_fail(why, RILL_OUT_OF_MEMORY, "boxes: no memory for %zu x %zu costs", rows, columns);
    for (size_t j = 0; j < rows; j++)
        for (size_t i = 0; i < columns; i++) {
            const float *a = predicted->boxes + 4 * i, *b = targets->boxes + 4 * j;
            double distance = 0;
            for (size_t n = 0; n < 4; n++) distance += fabs((double)a[n] - (double)b[n]);
            const float *logits = predicted->logits + i * predicted->classes;
            gain[j * columns + i] =
                matching->class_weight * probability(predicted->classes, logits, targets->labels[j]) -
                matching->distance_weight * distance +
                matching->overlap_weight * rill_box_generalized_iou(a, b);
            cost[i * rows + j] = -gain[j * columns + i];
        }
    status = rill_assign(rows, columns, gain, prediction_of_target);
    free(gain);
    if (status == RILL_BAD_ARGUMENT) return rill_fail(why, status, "boxes: a cost is not finite");
    if (status != RILL_OK) return rill_fail(why, status, "boxes: no memory to match them");
    return RILL_OK;
}
