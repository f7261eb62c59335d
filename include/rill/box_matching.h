/* SPDX-License-Identifier: MIT */
/* Which predicted box is which drawn one: DETR's set matching (Carion et al., 2005.12872, section 3.1).
 *
 *     cost(i, j) = − class_weight softmax(logits_i)[label_j] + distance_weight |b_i − b_j|₁
 *                  − overlap_weight GIoU(b_i, b_j)
 *     GIoU(a, b) = |a ∩ b| / |a ∪ b| − (|c| − |a ∪ b|) / |c|,  c the least box around both  (1902.09630)
 *
 * and of all ways to give each target a prediction of its own, the one whose costs sum to the least
 * (<rill/assignment.h>). A box is [4]: the x and y of its centre, its width, its height.
 *
 * Threads: all functions are pure in their arguments. */
#ifndef RILL_BOX_MATCHING_H
#define RILL_BOX_MATCHING_H

#include <stddef.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* −1 … 1; 1 when the boxes are the same, those without area too. NaN when a box holds one. Real-time safe. */
RILL_API double rill_box_generalized_iou(const float a[4], const float b[4]);

typedef struct rill_box_matching {
    double class_weight, distance_weight, overlap_weight; /* 1, 5 and 2 in DETR */
} rill_box_matching;

RILL_API rill_box_matching rill_box_matching_defaults(void); /* DETR's */

/* What a detector says of an image, or what is drawn in it. Pointers are borrowed. */
typedef struct rill_predicted_boxes {
    size_t count, classes; /* classes with the one that means: nothing */
    const float *logits;   /* [count][classes] */
    const float *boxes;    /* [count][4] */
} rill_predicted_boxes;

typedef struct rill_target_boxes {
    size_t count;
    const size_t *labels; /* [count], each below classes */
    const float *boxes;   /* [count][4] */
} rill_target_boxes;

/* prediction_of_target [targets->count]: SIZE_MAX where there are more targets than predictions and it got
 * none. cost [predictions][targets], the caller's, is written. RILL_BAD_ARGUMENT, and why, for a label that
 * is no class, a box of negative size and what is not finite; RILL_OUT_OF_MEMORY. Allocates. */
RILL_API rill_status rill_match_boxes(const rill_box_matching *matching,
                                      const rill_predicted_boxes *predicted, const rill_target_boxes *targets,
                                      double *cost, size_t *prediction_of_target, rill_error *why);

#ifdef __cplusplus
}
#endif
#endif
