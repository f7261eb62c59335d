/* SPDX-License-Identifier: MIT */
/* positions [PNG]: positional encodings, and what becomes of them when a stream does not end.
 *
 *     sinusoidal   table[p] = sin, cos (p ω_i)               added to the embeddings      (1706.03762, 3.5)
 *     rotary       (a, b) → the same turned by p ω_i         on queries and keys          (2104.09864)
 *     learned      table[p] = what was trained               ends where training did
 *     two axes     sines of y beside sines of x              DETR's, for images           (2005.12872)
 *
 * with ω_i = 10000^(−2i/d). Nearly all code takes p ω_i in float32, where an angle is off by p 2⁻²⁴: 0.004
 * after ten minutes at 100 steps a second; and from 2²⁴ steps on, two days, neighbours have the same
 * position. Here p is a 64-bit integer and its angle is reduced exactly. A rotary encoding's product q_m·k_n
 * may depend on the distance m − n only, so there it can be measured. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <rill/position.h>

#include "drawing/heat_map.h"

enum { DIM = 64, SHOWN = 24, SHOWN_DIM = 32 };

static void show(const char *png) {
    static float sines[SHOWN][SHOWN_DIM], image[5 * 5][24], alike[SHOWN][SHOWN], pixels[25][25];
    const rill_sine_2d two_axes = {.height = 5,
                                   .width = 5,
                                   .features = 12,
                                   .normalize = true,
                                   .scale = 6.283185307179586,
                                   .temperature = 10000};
    rill_position_sinusoidal(0, SHOWN, SHOWN_DIM, RILL_POSITION_BASE, &sines[0][0]);
    rill_position_sine_2d(&two_axes, NULL, &image[0][0]);
    for (size_t i = 0; i < SHOWN; i++)
        for (size_t j = 0; j < SHOWN; j++)
            for (size_t d = 0; d < SHOWN_DIM; d++) alike[i][j] += sines[i][d] * sines[j][d];
    for (size_t i = 0; i < 25; i++)
        for (size_t j = 0; j < 25; j++)
            for (size_t d = 0; d < 24; d++) pixels[i][j] += image[i][d] * image[j][d];
    const heat_map maps[] = {{"sinusoidal: a row a position", SHOWN, SHOWN_DIM, &sines[0][0], NULL, NULL},
                             {"products of two positions", SHOWN, SHOWN, &alike[0][0], NULL, NULL}};
    const heat_map square = {
        "products of two pixels of 5 x 5: near in y or in x", 25, 25, &pixels[0][0], NULL, NULL};
    heat_map_print(2, maps);
    heat_map_print(1, &square);
    if (png && !heat_map_write_png(png, 2, maps, 8)) fprintf(stderr, "%s: %s\n", png, strerror(errno));
}

/* What float32 code does: positions, frequencies and their products in float. */
static float float_frequency(size_t pair) {
    return expf((float)(2 * pair) * (-logf(10000.0f) / DIM));
}

static void float_turn(float position, const float *x, float *out) {
    for (size_t i = 0; i < DIM / 2; i++) {
        const float angle = position * float_frequency(i), c = cosf(angle), s = sinf(angle);
        out[2 * i] = x[2 * i] * c - x[2 * i + 1] * s;
        out[2 * i + 1] = x[2 * i] * s + x[2 * i + 1] * c;
    }
}

static double product(const float *a, const float *b) {
    double sum = 0;
    for (size_t d = 0; d < DIM; d++) sum += (double)a[d] * (double)b[d];
    return sum;
}

int main(int argc, char **argv) {
    show(argc > 1 ? argv[1] : NULL);
    const rill_rotary rotary = {.heads = 1, .dim = DIM, .rotated = DIM, .base = RILL_POSITION_BASE};
    const struct {
        uint64_t position;
        const char *after;
    } places[] = {{0, "at once"},          {60000, "ten minutes"},  {8640000, "a day"},
                  {16777216, "2²⁴ steps"}, {3153600000u, "a year"}, {(uint64_t)1 << 50, "2⁵⁰ steps"}};
    float q[DIM], k[DIM], turned_q[DIM], turned_k[DIM], near_q[DIM], near_k[DIM];
    for (size_t d = 0; d < DIM; d++) q[d] = cosf((float)(3 * d)) / 8, k[d] = sinf((float)(5 * d + 1)) / 8;
    rill_rotary_turn(&rotary, 7, 1, q, near_q);
    rill_rotary_turn(&rotary, 0, 1, k, near_k);
    const double wanted = product(near_q, near_k);
    double worst = 0;
    printf("\n  rotary q·k, 7 steps apart: %.6f\n  %-12s %16s %12s %14s\n", wanted, "after", "position",
           "float32 off", "rill off");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const uint64_t p = places[i].position;
        float_turn((float)(p + 7), q, turned_q);
        float_turn((float)p, k, turned_k);
        const double theirs = fabs(product(turned_q, turned_k) - wanted);
        rill_rotary_turn(&rotary, p + 7, 1, q, turned_q);
        rill_rotary_turn(&rotary, p, 1, k, turned_k);
        const double ours = fabs(product(turned_q, turned_k) - wanted);
        printf("  %-12s %16llu %12.1e %14.1e\n", places[i].after, (unsigned long long)p, theirs, ours);
        worst = fmax(worst, ours);
    }
    return worst < 1e-6 ? 0 : 1;
}
