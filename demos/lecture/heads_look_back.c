/* SPDX-License-Identifier: MIT */
/* Multi-head attention, and what positional encodings are for (1706.03762, sections 3.2.2 and 3.5).
 *
 * "We chose this function because we hypothesized it would allow the model to easily learn to attend by
 * relative positions, since for any fixed offset k, PE_{pos+k} can be represented as a linear function of
 * PE_pos": each pair (sin pω, cos pω) is turned by −kω, which is a 2 × 2 matrix that p is no part of. So here
 * is a multi-head attention made by hand, whose head h looks exactly h steps back:
 *
 *     x = [letter one-hot | position encoding]
 *     W_q of head h turns the position by −h steps, sharpened; W_k takes the position; W_v takes the letter
 *
 * Its outputs are the text delayed by 0, 1, 2, 3 letters: what a convolution does, which looks elsewhere once
 * its matrices are others. And since angles are exact at every position (<rill/position.h>), the same heads
 * look as far back 2⁵⁰ steps later, where float32's own positions are 2²⁶ apart. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <rill/multihead.h>
#include <rill/position.h>

#include "drawing/heat_map.h"

enum { LENGTH = 16, LETTERS = 27, POSITION = 32, DIM = LETTERS + POSITION, HEADS = 4 };
static const char text[LENGTH + 1] = "the small stream";

static float query[HEADS * POSITION][DIM], key[HEADS * POSITION][DIM], value[HEADS * LETTERS][DIM],
    output[HEADS * LETTERS][HEADS * LETTERS], zeros[HEADS * POSITION], workspace[20000];

static rill_multihead make_heads(void) {
    const float sharpness = 12;
    for (size_t h = 0; h < HEADS; h++) {
        for (size_t i = 0; i < POSITION; i += 2) {
            const size_t row = h * POSITION + i, column = LETTERS + i;
            const double angle = (double)h * pow(RILL_POSITION_BASE, -(double)i / POSITION);
            /* sin(a − b) = cos b sin a − sin b cos a,  cos(a − b) = sin b sin a + cos b cos a */
            query[row][column] = sharpness * (float)cos(angle);
            query[row][column + 1] = -sharpness * (float)sin(angle);
            query[row + 1][column] = sharpness * (float)sin(angle);
            query[row + 1][column + 1] = sharpness * (float)cos(angle);
            key[row][column] = key[row + 1][column + 1] = 1;
        }
        for (size_t d = 0; d < LETTERS; d++) value[h * LETTERS + d][d] = 1;
    }
    for (size_t d = 0; d < HEADS * LETTERS; d++) output[d][d] = 1;
    return (rill_multihead){.heads = HEADS,
                            .query = {DIM, HEADS * POSITION, &query[0][0], zeros},
                            .key = {DIM, HEADS * POSITION, &key[0][0], zeros},
                            .value = {DIM, HEADS * LETTERS, &value[0][0], zeros},
                            .output = {HEADS * LETTERS, HEADS * LETTERS, &output[0][0], zeros}};
}

static size_t letter(char c) {
    return c == ' ' ? 26 : (size_t)(c - 'a');
}

/* The text from position first on; what each head hears goes to heard. Returns how many letters were right.
 */
static size_t look(const rill_multihead *heads, uint64_t first, float weights[HEADS][LENGTH][LENGTH],
                   char heard[HEADS][LENGTH + 1]) {
    float x[LENGTH][DIM] = {{0}}, position[LENGTH][POSITION], y[LENGTH][HEADS][LETTERS];
    size_t right = 0;
    rill_position_sinusoidal(first, LENGTH, POSITION, RILL_POSITION_BASE, &position[0][0]);
    for (size_t t = 0; t < LENGTH; t++) {
        x[t][letter(text[t])] = 1;
        memcpy(x[t] + LETTERS, position[t], sizeof position[t]);
    }
    const rill_multihead_input input = {.queries_length = LENGTH,
                                        .keys_length = LENGTH,
                                        .queries = &x[0][0],
                                        .keys = &x[0][0],
                                        .values = &x[0][0],
                                        .sight = {.causal = true},
                                        .weights = &weights[0][0][0]};
    rill_multihead_apply(heads, &input, &y[0][0][0], workspace);
    for (size_t h = 0; h < HEADS; h++)
        for (size_t t = 0; t < LENGTH; t++) {
            size_t most = 0;
            for (size_t d = 1; d < LETTERS; d++)
                if (y[t][h][d] > y[t][h][most]) most = d;
            heard[h][t] = most == 26 ? ' ' : (char)('a' + (int)most);
            right += t < h || heard[h][t] == text[t - h]; /* nothing lies h back yet */
        }
    return right;
}

int main(void) {
    const rill_multihead heads = make_heads();
    rill_error why;
    if (rill_multihead_check(&heads, &why) != RILL_OK ||
        rill_multihead_workspace_size(&heads, LENGTH, LENGTH) > sizeof workspace) {
        fprintf(stderr, "heads_look_back: %s\n", why.message);
        return 1;
    }
    static float weights[HEADS][LENGTH][LENGTH];
    char heard[HEADS][LENGTH + 1] = {{0}}, titles[HEADS][40];
    heat_map maps[HEADS];
    size_t right = 0, asked = 0;
    const uint64_t starts[] = {0, (uint64_t)1 << 24, (uint64_t)1 << 50};
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++, asked += HEADS * LENGTH)
        right += look(&heads, starts[s], weights, heard);
    for (size_t h = 0; h < HEADS; h++) {
        snprintf(titles[h], sizeof titles[h], "head %zu: α′, %zu back", h, h);
        maps[h] = (heat_map){titles[h], LENGTH, LENGTH, &weights[h][0][0], text, text};
    }
    heat_map_print(2, maps);
    heat_map_print(2, maps + 2);
    printf("\n  the text      \"%s\"\n", text);
    for (size_t h = 0; h < HEADS; h++) printf("  head %zu hears  \"%s\"\n", h, heard[h]);
    printf("  (from position 2⁵⁰ on; the first letters have nothing behind them)\n"
           "  right letters from positions 0, 2²⁴ and 2⁵⁰ on: %zu of %zu\n",
           right, asked);
    return right == asked ? 0 : 1;
}
