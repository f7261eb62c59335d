/* SPDX-License-Identifier: MIT */
/* Self-attention can be a convolution (Cordonnier, Loukas, Jaggi, 1911.03584).
 *
 * A K × K convolution reads K² shifted pixels, each through a matrix of its own. Multi-head attention of K²
 * heads that look by position alone, head h at the pixel shifted by Δ_h, reads the same, and the layer after
 * the heads holds the same matrices (theorem 1). Attention cannot look at one pixel only, softmax being what
 * it is, but exp(−α |δ − Δ_h|²) comes as near as one likes: α is learned, and large α is a convolution.
 *
 * Here: a drawn picture, an edge filter done both ways, what one head sees as α grows, and how far random
 * convolutions are from their heads. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <rill/rill.h>

enum { HEIGHT = 14, WIDTH = 44, PIXELS = HEIGHT * WIDTH, MOST = 25 };

/* What the heads see, [pixels][heads][channels]; table as <rill/relative_position.h> has it. */
static float *look(rill_grid grid, size_t heads, size_t channels, const float *x, const float *table) {
    size_t pixels = grid.height * grid.width;
    const rill_softmax_shape shape = {
        .heads = 1, .query_heads = heads, .key_dim = 1, .value_dim = channels, .scale = 1};
    float *seen = calloc(pixels * heads * channels, sizeof *seen),
          *nothing = calloc(pixels + heads, sizeof *nothing);
    float *bias = calloc(heads * pixels, sizeof *bias);
    if (!seen || !nothing || !bias) abort();
    for (size_t i = 0; i < pixels; i++) { /* a query a time: the bias is then [heads][pixels] */
        rill_relative_bias(&grid, heads, table, i, 1, bias);
        rill_softmax_input input = {.queries_length = 1,
                                    .keys_length = pixels,
                                    .queries = nothing,
                                    .keys = nothing,
                                    .values = x,
                                    .bias = bias,
                                    .bias_head_stride = pixels};
        rill_softmax_attention(&shape, &input, seen + i * heads * channels);
    }
    free(nothing), free(bias);
    return seen;
}

/* y [pixels][outputs] by K² heads; alpha 0: each looks at its pixel alone. */
static void by_attention(rill_grid grid, size_t K, size_t inputs, size_t outputs, const float *weight,
                         const float *x, float alpha, float *y) {
    ptrdiff_t shifts[MOST][2];
    float centres[MOST][2], precisions[MOST][2][2] = {{{0}}};
    size_t heads = K * K, width = heads * inputs;
    float *projection = malloc(outputs * width * sizeof *projection);
    float *table = malloc(heads * rill_relative_shifts(&grid) * sizeof *table);
    if (!projection || !table) abort();
    rill_convolution_heads(K, inputs, outputs, weight, shifts, projection);
    for (size_t i = 0; i < 2 * heads; i++) {
        centres[i / 2][i % 2] = (float)shifts[i / 2][i % 2];
        precisions[i / 2][i % 2][i % 2] = 2 * alpha;
    }
    if (alpha > 0)
        rill_relative_quadratic(&grid, heads, centres[0], precisions[0][0], table);
    else
        rill_relative_pixel(&grid, heads, (const ptrdiff_t(*)[2])shifts, table);
    float *seen = look(grid, heads, inputs, x, table);
    for (size_t i = 0; i < grid.height * grid.width * outputs; i++) {
        y[i] = 0;
        for (size_t d = 0; d < width; d++)
            y[i] += projection[i % outputs * width + d] * seen[i / outputs * width + d];
    }
    free(projection), free(table), free(seen);
}

/* The same by the definition; beyond the border there are zeros, or the border again. */
static void by_convolution(rill_grid grid, size_t K, size_t inputs, size_t outputs, const float *weight,
                           const float *x, bool repeat, float *y) {
    ptrdiff_t height = (ptrdiff_t)grid.height, width = (ptrdiff_t)grid.width;
    for (size_t i = 0; i < grid.height * grid.width * outputs; i++) {
        y[i] = 0;
        for (size_t tap = 0; tap < K * K; tap++) {
            ptrdiff_t r = (ptrdiff_t)(i / outputs) / width + (ptrdiff_t)(tap / K) - (ptrdiff_t)K / 2;
            ptrdiff_t c = (ptrdiff_t)(i / outputs) % width + (ptrdiff_t)(tap % K) - (ptrdiff_t)K / 2;
            if (!repeat && (r < 0 || c < 0 || r >= height || c >= width)) continue;
            r = r < 0 ? 0 : r < height ? r : height - 1;
            c = c < 0 ? 0 : c < width ? c : width - 1;
            for (size_t d = 0; d < inputs; d++)
                y[i] += weight[(i % outputs * inputs + d) * K * K + tap] *
                        x[(size_t)(r * width + c) * inputs + d];
        }
    }
}

static double difference(size_t count, const float *a, const float *b) {
    double worst = 0;
    for (size_t i = 0; i < count; i++) worst = fmax(worst, fabs((double)(a[i] - b[i])));
    return worst;
}

static void draw(const float *picture, float full) {
    for (size_t i = 0; i < PIXELS; i++) {
        float shade = fminf(fabsf(picture[i]) / full, 1);
        putchar(" .:-=+*#%@"[(int)(9.99f * shade)]);
        if (i % WIDTH == WIDTH - 1) putchar('\n');
    }
}

/* Random weights and sizes: the worst difference, zeros or the border outside, for each α. */
static double compare(float alpha) {
    double worst = 0;
    srand(1911);
    for (int round = 0; round < 30; round++) {
        rill_grid grid = {1 + (size_t)rand() % 10, 1 + (size_t)rand() % 10};
        size_t K = 1 + (size_t)rand() % 5, inputs = 1 + (size_t)rand() % 4, outputs = 1 + (size_t)rand() % 4;
        float x[400], weight[MOST * 16], heads[400], direct[400];
        for (size_t i = 0; i < 400; i++) x[i] = (float)rand() / (float)RAND_MAX - 0.5f;
        for (size_t i = 0; i < MOST * 16; i++) weight[i] = (float)rand() / (float)RAND_MAX - 0.5f;
        by_attention(grid, K, inputs, outputs, weight, x, alpha, heads);
        by_convolution(grid, K, inputs, outputs, weight, x, alpha > 0, direct);
        worst = fmax(worst, difference(grid.height * grid.width * outputs, heads, direct));
    }
    return worst;
}

int main(void) {
    const rill_grid grid = {HEIGHT, WIDTH};
    const float edges[9] = {-1, -1, -1, -1, 8,
                            -1, -1, -1, -1}; /* bright where a pixel is not as those around */
    static float picture[PIXELS], heads[PIXELS], direct[PIXELS];
    for (size_t i = 0; i < PIXELS; i++) {
        float y = (float)(i / WIDTH) - 6.5f, x = (float)(i % WIDTH);
        picture[i] = y * y + (x - 11) * (x - 11) / 4 < 25 || (fabsf(y) < 4 && fabsf(x - 32) < 8) ? 1 : 0;
    }
    by_attention(grid, 3, 1, 1, edges, picture, 0, heads);
    by_convolution(grid, 3, 1, 1, edges, picture, false, direct);
    double worst = difference(PIXELS, heads, direct);
    printf("edges, by nine heads of attention (off the convolution by %.1e):\n", worst);
    draw(heads, 5);
    printf("\n30 random convolutions of up to 5 x 5, against their heads\n"
           "looking at one pixel, zeros outside:       %.1e\n",
           compare(0));
    for (float alpha = 0.5f; alpha <= 32; alpha *= 2)
        printf("looking by exp(-α|δ-Δ|²), α = %4.1f:         %.1e\n", (double)alpha, compare(alpha));
    return worst < 1e-5 && compare(0) < 1e-5 && compare(32) < 1e-5 && compare(0.5f) > 1e-2 ? 0 : 1;
}
