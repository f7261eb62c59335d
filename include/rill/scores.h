/* SPDX-License-Identifier: MIT */
/* Self-attention with everything in sight, as it is written on a blackboard:
 *
 *     α_ij = score(q_i, k_j)          the scores              rill_scores_dot_product, rill_scores_additive
 *     α′_i = softmax(α_i) or relu(α_i)   the weights             rill_scores_softmax, rill_scores_relu
 *     o_i  = Σ_j α′_ij v_j            the output              rill_scores_mix
 *
 * One head: queries [queries_length][dim], keys [keys_length][dim], values [keys_length][value_dim], matrices
 * [queries_length][keys_length]. The whole matrix is made, which is the point: <rill/softmax.h> gives the
 * same outputs without it.
 *
 * A score of −∞ is a key out of sight: its weight is 0, and its value has no part in the output whatever it
 * holds. A row that sees nothing has weights of 0 and the output 0. NaN or +∞ in a row of scores makes the
 * row's softmax NaN, and no other.
 *
 * Sums are taken in double. Threads: all functions are pure in their arguments. Real time: nothing here
 * allocates, locks or makes a system call. */
#ifndef RILL_SCORES_H
#define RILL_SCORES_H

#include <stdbool.h>
#include <stddef.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* α_ij = scale q_i·k_j: scale 1/√dim (1706.03762, eq. 1), or 1 (Luong et al., 1508.04025) */
RILL_API void rill_scores_dot_product(size_t queries_length, size_t keys_length, size_t dim, float scale,
                                      const float *queries, const float *keys, float *scores);

/* α_ij = v·tanh(q_i + k_j), with queries W_q x + b and keys W_k x already made, v [dim] (Bahdanau et al.,
 * 1409.0473, section A.1.2) */
RILL_API void rill_scores_additive(size_t queries_length, size_t keys_length, size_t dim,
                                   const float *queries, const float *keys, const float *v, float *scores);

/* α_ij = −∞ where seen[j] is false; seen [keys_length] */
RILL_API void rill_scores_hide_keys(size_t queries_length, size_t keys_length, const bool *seen,
                                    float *scores);

/* α_ij = −∞ for j > i: causal */
RILL_API void rill_scores_hide_future(size_t queries_length, size_t keys_length, float *scores);

/* α′_ij = exp(α_ij) / Σ_j exp(α_ij). weights may be scores. */
RILL_API void rill_scores_softmax(size_t queries_length, size_t keys_length, const float *scores,
                                  float *weights);

/* α′_ij = max(α_ij, 0), which sum to whatever they do. weights may be scores. */
RILL_API void rill_scores_relu(size_t queries_length, size_t keys_length, const float *scores,
                               float *weights);

/* o_i = Σ_j α′_ij v_j over the weights that are not 0; output [queries_length][value_dim] overlaps no input.
 */
RILL_API void rill_scores_mix(size_t queries_length, size_t keys_length, size_t value_dim,
                              const float *weights, const float *values, float *output);

#ifdef __cplusplus
}
#endif
#endif
