/* SPDX-License-Identifier: MIT */
/* self_attention [PNG]: self-attention as on the blackboard, on the letters of a word, with everything in
 * sight.
 *
 *     q = W_q x, k = W_k x, v = W_v x        each position asks, answers, and has something to say
 *     α_ij = q_i·k_j / √d                    dot-product score (1706.03762, eq. 1)
 *     α_ij = w·tanh(q_i + k_j)               additive score (1409.0473, A.1.2): a network with one hidden
 * layer α′_i = softmax(α_i) or relu(α_i)       the weights o_i = Σ_j α′_ij v_j                    what
 * position i has learned from all others
 *
 * The weights are made by hand, so that a position asks "who else is my letter?". By dot product that is
 * W_q = W_k = 4 · identity on one-hot letters. The additive score needs another thought: tanh(6 (q_d + k_d −
 * 1.5)) is about 1 when both have letter d and about −1 otherwise, an AND gate; summed over d, equality.
 * Values are positions, so each output is the mean place of its letter in the word. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <rill/rill.h>

#include "drawing/heat_map.h"

enum { LENGTH = 11, LETTERS = 5 };
static const char word[LENGTH + 1] = "abracadabra", letters[LETTERS + 1] = "abcdr";

/* x [LENGTH][LETTERS], one-hot, as scale · x + shift */
static void embed(float scale, float shift, float x[LENGTH][LETTERS]) {
    for (size_t i = 0; i < LENGTH; i++)
        for (size_t d = 0; d < LETTERS; d++) x[i][d] = (word[i] == letters[d] ? scale : 0) + shift;
}

/* The mean place of the letter at i, by counting. */
static float mean_place(size_t i) {
    float sum = 0, count = 0;
    for (size_t j = 0; j < LENGTH; j++)
        if (word[j] == word[i]) sum += (float)j, count++;
    return sum / count;
}

int main(int argc, char **argv) {
    float q[LENGTH][LETTERS], k[LENGTH][LETTERS], v[LENGTH][1], w[LETTERS], output[LENGTH][1];
    float dot[LENGTH][LENGTH], dot_softmax[LENGTH][LENGTH], dot_relu[LENGTH][LENGTH];
    float additive[LENGTH][LENGTH], additive_softmax[LENGTH][LENGTH], causal[LENGTH][LENGTH];
    for (size_t j = 0; j < LENGTH; j++) v[j][0] = (float)j;
    for (size_t d = 0; d < LETTERS; d++) w[d] = 4;

    embed(4, 0, q);
    embed(4, 0, k);
    rill_scores_dot_product(LENGTH, LENGTH, LETTERS, 1 / sqrtf(LETTERS), &q[0][0], &k[0][0], &dot[0][0]);
    rill_scores_softmax(LENGTH, LENGTH, &dot[0][0], &dot_softmax[0][0]);
    rill_scores_relu(LENGTH, LENGTH, &dot[0][0], &dot_relu[0][0]); /* not a mean: it sums to what it does */
    memcpy(causal, dot, sizeof dot);
    rill_scores_hide_future(LENGTH, LENGTH, &causal[0][0]);
    rill_scores_softmax(LENGTH, LENGTH, &causal[0][0], &causal[0][0]);

    embed(6, -9, q); /* 6 (q − 1.5); the bias on one side is enough */
    embed(6, 0, k);
    rill_scores_additive(LENGTH, LENGTH, LETTERS, &q[0][0], &k[0][0], w, &additive[0][0]);
    rill_scores_softmax(LENGTH, LENGTH, &additive[0][0], &additive_softmax[0][0]);

    const heat_map maps[] = {{"dot-product α", LENGTH, LENGTH, &dot[0][0], word, word},
                             {"α′ = softmax", LENGTH, LENGTH, &dot_softmax[0][0], word, word},
                             {"α′ = relu", LENGTH, LENGTH, &dot_relu[0][0], word, word},
                             {"additive α", LENGTH, LENGTH, &additive[0][0], word, word},
                             {"α′ = softmax", LENGTH, LENGTH, &additive_softmax[0][0], word, word},
                             {"dot, causal α′", LENGTH, LENGTH, &causal[0][0], word, word}};
    heat_map_print(3, maps);
    heat_map_print(3, maps + 3);

    float worst = 0;
    printf("\n  position  letter  mean place of the letter: by dot product, additive, by counting\n");
    for (size_t i = 0; i < LENGTH; i++) {
        float by_dot, by_additive;
        rill_scores_mix(1, LENGTH, 1, dot_softmax[i], &v[0][0], &by_dot);
        rill_scores_mix(1, LENGTH, 1, additive_softmax[i], &v[0][0], &by_additive);
        printf("  %8zu  %6c  %42.2f  %8.2f  %11.2f\n", i, word[i], (double)by_dot, (double)by_additive,
               (double)mean_place(i));
        worst = fmaxf(worst, fmaxf(fabsf(by_dot - mean_place(i)), fabsf(by_additive - mean_place(i))));
    }

    /* <rill/softmax.h> gives the same outputs without ever making the matrix. */
    const rill_softmax_shape shape = {
        .heads = 1, .query_heads = 1, .key_dim = LETTERS, .value_dim = 1, .scale = 1 / sqrtf(LETTERS)};
    embed(4, 0, q);
    const rill_softmax_input input = {.queries_length = LENGTH,
                                      .keys_length = LENGTH,
                                      .queries = &q[0][0],
                                      .keys = &q[0][0],
                                      .values = &v[0][0]};
    float apart = 0, mixed[LENGTH];
    rill_softmax_attention(&shape, &input, &output[0][0]);
    rill_scores_mix(LENGTH, LENGTH, 1, &dot_softmax[0][0], &v[0][0], mixed);
    for (size_t i = 0; i < LENGTH; i++) apart = fmaxf(apart, fabsf(mixed[i] - output[i][0]));
    printf("  without the matrix the outputs are the same to %.1g\n", (double)apart);

    if (argc > 1 && !heat_map_write_png(argv[1], 6, maps, 16)) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    return worst < 0.1f && apart < 1e-5f ? 0 : 1;
}
