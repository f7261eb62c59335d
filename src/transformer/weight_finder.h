/* SPDX-License-Identifier: MIT */
/* What finds a module's weights: by prefix and name, each with the shape it must have. */
#ifndef RILL_WEIGHT_FINDER_H
#define RILL_WEIGHT_FINDER_H

#include <stdbool.h>

#include <rill/dense.h>
#include <rill/weights.h>

/* The first failure stays: a sequence of finds needs one check at its end. */
typedef struct rill_weight_finder {
    const rill_weights *weights;
    const char *prefix;
    rill_status status;
    rill_error *why;
} rill_weight_finder;

/* Three times as many zeros as the longest first dimension: any bias that is not there, three stacked ones
 * too. The weights own them. */
const float *rill_weights_zeros(const rill_weights *weights);

/* Whether there is a tensor prefix + scope + part. */
bool rill_weight_is_there(const rill_weight_finder *in, const char *scope, const char *part);

/* A matrix [rows][columns], or with columns = 0 a vector of rows values (bias_k is [1][1][rows]): finite
 * float32. *rows or *columns of 0 is filled in. NULL after a failure. */
const float *rill_weight_find(rill_weight_finder *in, const char *scope, const char *part, size_t *rows,
                              size_t *columns);

/* A vector of count values, or zeros when it is not there. */
const float *rill_weight_find_bias(rill_weight_finder *in, const char *scope, const char *part, size_t count);

/* scope + weight and bias; dimensions of 0 are whatever the file holds. */
rill_dense_weights rill_weight_find_dense(rill_weight_finder *in, const char *scope, size_t inputs,
                                          size_t outputs);
rill_norm_weights rill_weight_find_norm(rill_weight_finder *in, const char *scope, size_t dim);

/* A failure of the finder's, but for the first. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void rill_weight_fail(rill_weight_finder *in, rill_status status, const char *format, ...);

#endif
