/* SPDX-License-Identifier: MIT */
/* The score that is no product: a small network on query and key together (1409.0473). */
#include <rill/scores.h>

#include <math.h>

void rill_scores_additive(size_t queries_length, size_t keys_length, size_t dim, const float *queries,
                          const float *keys, const float *v, float *scores) {
    for (size_t i = 0; i < queries_length; i++)
        for (size_t j = 0; j < keys_length; j++) {
            double sum = 0;
            for (size_t d = 0; d < dim; d++)
                sum += (double)v[d] * (double)tanhf(queries[i * dim + d] + keys[j * dim + d]);
            scores[i * keys_length + j] = (float)sum;
        }
}
