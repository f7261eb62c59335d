/* SPDX-License-Identifier: MIT */
/* The self-attention block of SAGAN (Zhang, Goodfellow, Metaxas, Odena, 1805.08318), which lets a network of
 * convolutions see the whole image at once:
 *
 *     f = W_f x, g = W_g x, h = W_h x              1 × 1 convolutions: a dense layer on every pixel; C/8,
 * C/8, C̄ β_ji = softmax over the pixels i of f_i·g_j  how much pixel j looks at pixel i    (eq. 1; not
 * scaled) y_j = γ W_v Σ_i β_ji h_i + x_j               γ is learned from 0 on               (eq. 2, 3)
 *
 * All of it is one head of attention over pixels. So its linear form is there as well, φ(f)·φ(g) instead of
 * exp f·g, and takes time by the pixel, not by the pair.
 *
 * First what it sees: two discs far apart on a ground with a bar; weights set by hand, so that a pixel looks
 * for its own colour. Then what it costs, image by image. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rill/multihead.h>
#include <rill/rill.h>

enum { CHANNELS = 32, KEYS = CHANNELS / 8, HEIGHT = 12, WIDTH = 48 };

typedef struct block {
    rill_multihead head;
    float gain; /* γ */
} block;

/* y = γ attention(x) + x, x [pixels][CHANNELS]; weights [pixels][pixels] or NULL. */
static void apply(const block *b, size_t pixels, const float *x, float *weights, float *y) {
    void *workspace = malloc(rill_multihead_workspace_size(&b->head, pixels, pixels));
    if (!workspace) abort();
    const rill_multihead_input input = {.queries_length = pixels,
                                        .keys_length = pixels,
                                        .queries = x,
                                        .keys = x,
                                        .values = x,
                                        .weights = weights};
    rill_multihead_apply(&b->head, &input, y, workspace);
    for (size_t i = 0; i < pixels * CHANNELS; i++) y[i] = b->gain * y[i] + x[i];
    free(workspace);
}

static const float none[CHANNELS];

/* f and g find out which of the first channels a pixel has; h and v hand it on. f takes the 1/√KEYS of a
 * head of <rill/multihead.h> away, which SAGAN has not. */
static block by_hand(rill_multihead_kind kind, float *weights) {
    float *f = weights, *g = f + KEYS * CHANNELS, *h = g + KEYS * CHANNELS;
    for (size_t i = 0; i < KEYS * CHANNELS; i++) {
        g[i] = i / CHANNELS == i % CHANNELS ? 3.0f : 0;
        f[i] = g[i] * sqrtf(KEYS);
    }
    for (size_t i = 0; i < CHANNELS * CHANNELS; i++) h[i] = i / CHANNELS == i % CHANNELS;
    return (block){{.kind = kind,
                    .heads = 1,
                    .query = {CHANNELS, KEYS, f, none},
                    .key = {CHANNELS, KEYS, g, none},
                    .value = {CHANNELS, CHANNELS, h, none},
                    .output = {CHANNELS, CHANNELS, h, none}},
                   0.5f};
}

static void draw(const float *picture) {
    float most = 0;
    for (size_t i = 0; i < HEIGHT * WIDTH; i++) most = fmaxf(most, picture[i]);
    for (size_t i = 0; i < HEIGHT * WIDTH; i++) {
        putchar(" .:-=+*#%@"[(int)(9.99f * picture[i] / most)]);
        if (i % WIDTH == WIDTH - 1) putchar('\n');
    }
}

/* How much of what the middle of the left disc sees lies in the right disc. */
static float look(float *weights) {
    static float x[HEIGHT * WIDTH * CHANNELS], y[HEIGHT * WIDTH * CHANNELS], kind[HEIGHT * WIDTH];
    static float seen[HEIGHT * WIDTH * HEIGHT * WIDTH];
    float share = 0;
    for (size_t i = 0; i < HEIGHT * WIDTH; i++) {
        float row = (float)(i / WIDTH) - 5.5f, column = (float)(i % WIDTH);
        bool left = row * row + (column - 9) * (column - 9) / 4 < 12,
             right = row * row + (column - 39) * (column - 39) / 4 < 12, bar = fabsf(column - 24) < 3;
        x[i * CHANNELS + (left || right ? 0 : bar ? 1 : 2)] = 1;
        kind[i] = left || right ? 1 : bar ? 0.5f : 0.05f;
    }
    block b = by_hand(RILL_MULTIHEAD_SOFTMAX, weights);
    apply(&b, HEIGHT * WIDTH, x, seen, y);
    const float *middle = seen + (HEIGHT / 2 * WIDTH + 9) * HEIGHT * WIDTH;
    puts("the picture, and what a pixel in the left disc looks at:");
    draw(kind);
    draw(middle);
    for (size_t i = 0; i < HEIGHT * WIDTH; i++) share += i % WIDTH > 27 && kind[i] == 1 ? middle[i] : 0;
    b.gain = 0; /* as training begins: the block does nothing yet */
    apply(&b, HEIGHT * WIDTH, x, NULL, y);
    for (size_t i = 0; i < HEIGHT * WIDTH * CHANNELS; i++)
        if (y[i] != x[i]) return 0;
    return share;
}

static double seconds(void) {
    return (double)clock() / CLOCKS_PER_SEC; /* of this processor, whatever else runs */
}

/* Milliseconds for an image of side × side. */
static double cost(rill_multihead_kind kind, size_t side, float *weights) {
    size_t count = side * side * CHANNELS;
    float *x = malloc(count * sizeof *x), *y = malloc(count * sizeof *y);
    if (!x || !y) abort();
    for (size_t i = 0; i < count; i++) x[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    block b = by_hand(kind, weights);
    double best = INFINITY;
    for (int round = 0; round < 3; round++) {
        double start = seconds();
        apply(&b, side * side, x, NULL, y);
        best = fmin(best, 1e3 * (seconds() - start));
    }
    free(x), free(y);
    return best;
}

int main(void) {
    float *weights = malloc((2 * KEYS + CHANNELS) * CHANNELS * sizeof *weights);
    if (!weights) return 1;
    float share = look(weights);
    printf("%.0f%% of it in the other disc\n\n%7s %14s %14s\n", 100 * (double)share, "image", "softmax",
           "linear");
    for (size_t side = 8; side <= 256; side *= 2) {
        printf("%3zux%-3zu ", side, side);
        if (side <= 64)
            printf("%11.3f ms", cost(RILL_MULTIHEAD_SOFTMAX, side, weights));
        else
            printf("%14s", "-");
        printf(" %11.3f ms\n", cost(RILL_MULTIHEAD_LINEAR, side, weights));
    }
    free(weights);
    return share > 0.4f ? 0 : 1;
}
