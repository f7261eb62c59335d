/* SPDX-License-Identifier: MIT */
/* A batch through linear attention by every causal form: what adapters of recurrences have in common. */
#ifndef RILL_CONFORMANCE_FORMS_H
#define RILL_CONFORMANCE_FORMS_H

#include <rill/attention.h>

#include "conformance.h"

typedef struct recurrence {
    rill_attention_shape shape;
    size_t batches;
    rill_sequence steps; /* time-major, every array with [batches] in front as rill_attention_batch has it */
    const float *past, *past_z; /* [batches][heads][key_dim][value_dim], [batches][heads][key_dim]; NULL: 0 */
    float *output, *S, *z;      /* results in the same layouts, the case's */
} recurrence;

/* Fills output, S and z by every form and a mix of them, and has each checked. */
void recurrence_run_forms(conformance_case *c, recurrence *r,
                          void (*expect)(conformance_case *c, const recurrence *r, const void *with),
                          const void *with);

/* [batches][outer][inner][dim] with outer and inner changed places; the case's memory. */
float *recurrence_swap(conformance_case *c, const float *from, size_t batches, size_t outer, size_t inner,
                       size_t dim);

#endif
