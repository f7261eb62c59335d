/* SPDX-License-Identifier: MIT */
/* Scores, weights and what they mix, as matrices to look at. */
#include <rill/scores.h>

#include <math.h>

void rill_scores_dot_product(size_t queries_length, size_t keys_length, size_t dim, float scale,
                             const float *queries, const float *keys, float *scores) {
    for (size_t i = 0; i < queries_length; i++)
        for (size_t j = 0; j < keys_length; j++) {
            double sum = 0;
            for (size_t d = 0; d < dim; d++) sum += (double)queries[i * dim + d] * (double)keys[j * dim + d];
            scores[i * keys_length + j] = (float)(sum * (double)scale);
        }
}

void rill_scores_hide_keys(size_t queries_length, size_t keys_length, const bool *seen, float *scores) {
    for (size_t i = 0; i < queries_length; i++)
        for (size_t j = 0; j < keys_length; j++)
            if (!seen[j]) scores[i * keys_length + j] = -INFINITY;
}

void rill_scores_hide_future(size_t queries_length, size_t keys_length, float *scores) {
    for (size_t i = 0; i < queries_length; i++)
        for (size_t j = i + 1; j < keys_length; j++) scores[i * keys_length + j] = -INFINITY;
}

/* One row: the maximum is taken out first, so that no exponential overflows. */
static void softmax_row(size_t count, const float *scores, float *weights) {
    float most = -INFINITY;
    double sum = 0;
    for (size_t j = 0; j < count; j++)
        if (scores[j] > most || isnan(scores[j])) most = scores[j]; /* NaN stays */
    for (size_t j = 0; j < count; j++) sum += most == -INFINITY ? 0 : exp((double)scores[j] - (double)most);
    for (size_t j = 0; j < count; j++)
        weights[j] = most == -INFINITY ? 0 : (float)(exp((double)scores[j] - (double)most) / sum);
}

void rill_scores_softmax(size_t queries_length, size_t keys_length, const float *scores, float *weights) {
    for (size_t i = 0; i < queries_length; i++)
        softmax_row(keys_length, scores + i * keys_length, weights + i * keys_length);
}

void rill_scores_relu(size_t queries_length, size_t keys_length, const float *scores, float *weights) {
    for (size_t i = 0; i < queries_length * keys_length; i++) weights[i] = scores[i] < 0 ? 0 : scores[i];
}

void rill_scores_mix(size_t queries_length, size_t keys_length, size_t value_dim, const float *weights,
                     const float *values, float *output) {
    for (size_t i = 0; i < queries_length; i++)
        for (size_t m = 0; m < value_dim; m++) {
            double sum = 0;
            for (size_t j = 0; j < keys_length; j++)
                if (weights[i * keys_length + j] != 0)
                    sum += (double)weights[i * keys_length + j] * (double)values[j * value_dim + m];
            output[i * value_dim + m] = (float)sum;
        }
}
