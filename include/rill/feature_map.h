/* SPDX-License-Identifier: MIT */
/* Feature maps φ: what makes queries and keys into features whose product is a similarity,
 *
 *     sim(q, k) = φ(q)·φ(k),
 *
 * so that attention becomes linear attention on φ(q) and φ(k) (2006.16236, section 3.2). For each map: the
 * similarity, the dimension of φ for rows of dimension dim, and the cost of a row in multiply-adds and calls
 * of exp or the like.
 */
/* clang-format off */
/*   map             similarity                              features          cost of a row
 *     elu1            (elu(q)+1)·(elu(k)+1)                   dim               dim exp
 *     relu            relu(q)·relu(k)                         dim               dim
 *     exponential     exp(q)·exp(k)                           dim               dim exp
 *     identity        q·k                                     dim               dim
 *     favor           exp(scale q·k), unbiased                2 projections     projections · (dim + 2 exp)
 *     random_fourier  exp(−scale |q−k|²/2), unbiased          2 projections     projections · (dim + sin, cos)
 *     taylor          1 + a + a²/2, a = scale q·k             (dim+1)(dim+2)/2  as many
 *     dpfp            products of rectified entries           2 dim roll        as many
 *     cosformer       relu(q)·relu(k) cos(π(i−j)/2 horizon)   2 dim             2 dim, and sin, cos once a step
 *     hedgehog        learned: exp(±(Wx+b))                   2 outputs         outputs · (dim + 2 exp) */
/* clang-format on */
/*
 * Rows are contiguous: x [count][dim], features [count][features]; a sequence [length][heads][dim] is length
 * × heads rows. Where nothing else is said, features may not overlap x.
 *
 * A feature depends on its own row only: NaN and infinities stay in the row they come in, and then
 * rill_attention_* keeps them out of the state.
 *
 * Threads: all functions are pure in their arguments. Real time: nothing here allocates, locks or makes a
 * system call. rill_feature_map_elu1 is in <rill/attention.h>. */
#ifndef RILL_FEATURE_MAP_H
#define RILL_FEATURE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/attention.h>

#ifdef __cplusplus
extern "C" {
#endif

/* out = max(x, 0); NaN stays. out may be x. */
RILL_API void rill_feature_map_relu(size_t count, const float *x, float *out);

/* out = exp(x); +∞ from x = 88.73 on. out may be x. */
RILL_API void rill_feature_map_exponential(size_t count, const float *x, float *out);

/* out = x: attention without a feature map. out may be x. */
RILL_API void rill_feature_map_identity(size_t count, const float *x, float *out);

/* Random projections for favor and random_fourier: projections [count][dim], each row N(0, I) by itself, the
 * same for the same seed on every machine up to the rounding of log, sqrt, cos. With orthogonal, rows are
 * orthogonal within blocks of dim successive ones (2009.14794, section 2.4): the estimate varies less.
 * Drawing anew with another seed is redrawing the features: do so only together with an empty state. Cost:
 * count · dim normal numbers, and count · dim² multiply-adds when orthogonal. */
RILL_API void rill_random_projections_draw(uint64_t seed, bool orthogonal, size_t count, size_t dim,
                                           float *projections);

/* FAVOR+: positive random features for softmax attention (2009.14794, lemma 1, the hyperbolic estimator).
 * With x' = √scale x,
 *
 *     φ(x) = exp(−|x'|²/2 − shift) / √(2 projections) · [exp(ω_r·x') for every r, exp(−ω_r·x') for every r],
 *
 * E φ(q)·φ(k) = exp(scale q·k) when the shifts are 0; the error falls as
 * 1/√projections; relative to the kernel it grows as exp(|q'+k'|²/2). shift scales a whole row by
 * exp(−shift): the same one for all keys of a history cancels in the normalizer, and for a query any does;
 * use it where exp would overflow. The features are the exponentials of one sum each. */
RILL_API void rill_feature_map_favor(size_t count, size_t dim, size_t projections_count,
                                     const float *projections, float scale, float shift, const float *x,
                                     float *features);

/* Random Fourier features (Rahimi and Recht 2007; 2103.02143). With x' = √scale x,
 *
 *     φ(x) = 1/√projections · [cos(ω_r·x') for every r, sin(ω_r·x') for every r],
 *
 * E φ(q)·φ(k) = exp(−scale |q−k|²/2), the Gaussian kernel; on rows of one length that is softmax's but for a
 * factor that the normalizer cancels. Features have signs: the normalizer may come near 0. |φ(x)| = 1. */
RILL_API void rill_feature_map_random_fourier(size_t count, size_t dim, size_t projections_count,
                                              const float *projections, float scale, const float *x,
                                              float *features);

/* (dim + 1)(dim + 2) / 2 */
RILL_API size_t rill_feature_map_taylor_dim(size_t dim);

/* The exponential's Taylor polynomial of order 2 (Based, 2402.18668; Keles et al. 2209.04881):
 *
 *     φ(x) = [1, √scale x_i, scale x_i²/√2, scale x_i x_j for i < j, row by row]
 *
 * φ(q)·φ(k) = 1 + a + a²/2 > 0 with a = scale q·k; off exp(a) by at most max(1, exp(a)) |a|³/6. scale is
 * 1/√dim by custom, 0 … */
RILL_API void rill_feature_map_taylor(size_t count, size_t dim, float scale, const float *x, float *features);

/* Deterministic parameter-free projection (2102.11174, section 5.3): z = [relu(x), relu(−x)],
 *
 *     φ(x) = [z_i z_{i−j}] for i = 0 … 2 dim − 1, indices modulo 2 dim, for j = 1 … roll: 2 dim roll
 * features.
 *
 * The authors divide each row by its sum afterwards: rill_feature_map_divide_by_sum. roll is 1 … 2 dim − 1.
 */
RILL_API void rill_feature_map_dpfp(size_t count, size_t dim, size_t roll, const float *x, float *features);

/* cosFormer (2202.08791): with the angle α = π t / (2 horizon) of the row's position t,
 *
 *     φ(x, t) = [relu(x) cos α, relu(x) sin α]
 *
 * φ(q, i)·φ(k, j) = relu(q)·relu(k) cos(π (i−j) / 2 horizon), which is not negative while |i−j| ≤ horizon.
 * Rows are [count][heads][dim], those of row t at position first + t; the angle is reduced exactly, so
 * positions may grow for ever, but history older than horizon must be forgotten by then. horizon is 1 …,
 * below 2⁶². */
RILL_API void rill_feature_map_cosformer(size_t count, size_t heads, size_t dim, uint64_t first,
                                         uint64_t horizon, const float *x, float *features);

/* A learned map (Hedgehog, 2402.04347): y = W x + b with weight [outputs][dim] and bias [outputs] or NULL,
 *
 *     φ(x) = [exp(y), exp(−y)], 2 outputs;     divided by its sum when normalize: the softmax over both
 * halves,
 *
 * computed without overflow. The caller owns the weights; one set for each head is one call for each. */
RILL_API void rill_feature_map_hedgehog(size_t count, size_t dim, size_t outputs, const float *weight,
                                        const float *bias, bool normalize, const float *x, float *features);

/* Each row divided by its sum; a row whose sum is 0 stays. In place. */
RILL_API void rill_feature_map_divide_by_sum(size_t count, size_t features_dim, float *features);

#ifdef __cplusplus
}
#endif
#endif
