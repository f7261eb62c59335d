/* SPDX-License-Identifier: MIT */
/* Softmax attention exactly by linear attention: where queries and keys come from a finite codebook of n
 * vectors, the kernel exp(q·k) is an n × n matrix G, positive definite, and with G = L Lᵀ the rows of L are a
 * feature map of n dimensions. The recurrent form on them is softmax attention to rounding. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

#include <rill/softmax.h>

#include "guarded_floats.h"

enum { codes = 16, dim = 6, length = 400, value_dim = 5 };

typedef struct codebook {
    float vectors[codes][dim];
    double kernel[codes][codes];
    float features[codes][codes]; /* the rows of L, rounded to float */
} codebook;

static void codebook_draw(codebook *book) {
    for (size_t i = 0; i < codes; i++)
        for (size_t d = 0; d < dim; d++) book->vectors[i][d] = (float)(1.6 * random_uniform() - 0.8);
    for (size_t i = 0; i < codes; i++)
        for (size_t j = 0; j < codes; j++) {
            double dot = 0;
            for (size_t d = 0; d < dim; d++) dot += (double)book->vectors[i][d] * (double)book->vectors[j][d];
            book->kernel[i][j] = exp(dot);
        }
}

/* Cholesky in double */
static void codebook_factor(codebook *book) {
    double L[codes][codes] = {{0}};
    for (size_t j = 0; j < codes; j++)
        for (size_t i = j; i < codes; i++) {
            double rest = book->kernel[i][j];
            for (size_t d = 0; d < j; d++) rest -= L[i][d] * L[j][d];
            cr_assert(i != j || rest > 1e-9, "code %zu is no new one: %g", i, rest);
            L[i][j] = i == j ? sqrt(rest) : rest / L[j][j];
        }
    for (size_t i = 0; i < codes; i++)
        for (size_t j = 0; j < codes; j++) book->features[i][j] = (float)L[i][j];
}

typedef struct history {
    size_t q_codes[length], k_codes[length];
    float q[length * dim], k[length * dim], v[length * value_dim];
    float q_features[length * codes], k_features[length * codes];
} history;

static void history_draw(const codebook *book, history *h) {
    for (size_t t = 0; t < length; t++) {
        h->q_codes[t] = random_below(codes);
        h->k_codes[t] = random_below(codes);
        memcpy(h->q + t * dim, book->vectors[h->q_codes[t]], sizeof book->vectors[0]);
        memcpy(h->k + t * dim, book->vectors[h->k_codes[t]], sizeof book->vectors[0]);
        memcpy(h->q_features + t * codes, book->features[h->q_codes[t]], sizeof book->features[0]);
        memcpy(h->k_features + t * codes, book->features[h->k_codes[t]], sizeof book->features[0]);
    }
    for (size_t i = 0; i < length * value_dim; i++) h->v[i] = (float)(2 * random_uniform() - 1);
}

/* What float may do to both: the features are off by u each, their products and the state as in every
 * recurrent form (6 a step), and Σ |L_i L_j| ≤ √(G_ii G_jj); softmax is off by a score's few u and by a
 * sum's. */
static double tolerance_at(const codebook *book, const history *h, size_t t) {
    double magnitude = 0, weights = 0;
    for (size_t j = 0; j <= t; j++) {
        size_t a = h->q_codes[t], b = h->k_codes[j];
        magnitude += sqrt(book->kernel[a][a] * book->kernel[b][b]);
        weights += book->kernel[a][b];
    }
    double u = (double)FLT_EPSILON / 2;
    return 2 * (double)(6 * (t + 2) + codes + 8) * u * magnitude / weights + (double)(t + 60) * u;
}

Test(finite_codebook, makes_the_recurrent_form_softmax_attention) {
    static codebook book;
    static history h;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        random_seed(seed);
        codebook_draw(&book);
        codebook_factor(&book);
        history_draw(&book, &h);
        float softmax[length * value_dim], linear[length * value_dim];
        rill_softmax_shape yardstick = {
            .heads = 1, .query_heads = 1, .key_dim = dim, .value_dim = value_dim, .scale = 1};
        rill_softmax_input input = {.queries_length = length,
                                    .keys_length = length,
                                    .queries = h.q,
                                    .keys = h.k,
                                    .values = h.v,
                                    .causal = true};
        rill_softmax_attention(&yardstick, &input, softmax);
        rill_attention_shape shape = {
            .heads = 1, .query_heads = 1, .key_dim = codes, .value_dim = value_dim, .normalize = true};
        rill_sequence sequence = {
            .length = length, .queries = h.q_features, .keys = h.k_features, .values = h.v};
        void *state = malloc(rill_attention_size(&shape));
        rill_attention_init(&shape, state);
        rill_attention_recurrent(&shape, state, &sequence, linear);
        free(state);
        double largest = 0;
        for (size_t i = 0; i < length * value_dim; i++) {
            double off = fabs((double)softmax[i] - (double)linear[i]);
            largest = fmax(largest, off);
            cr_assert(off <= tolerance_at(&book, &h, i / value_dim),
                      "seed %d, step %zu: softmax %.9g, linear %.9g", (int)seed, i / value_dim,
                      (double)softmax[i], (double)linear[i]);
        }
        printf("finite codebook, seed %d: recurrent and softmax differ by %.2g at most\n", (int)seed,
               largest);
    }
}
