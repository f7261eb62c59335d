/* SPDX-License-Identifier: MIT */
/* Digits as a hand might draw them: strokes between the points of a grid, slanted, shifted, trembling, of
 * some thickness; 16 × 16 pixels of four levels of ink. */
#ifndef DRAWN_DIGIT_H
#define DRAWN_DIGIT_H

#include <math.h>
#include <stdbool.h>

#include "dice.h"

enum { DIGIT_SIDE = 16, DIGIT_PIXELS = DIGIT_SIDE * DIGIT_SIDE, DIGIT_LEVELS = 4 };

typedef unsigned char digit[DIGIT_PIXELS]; /* row by row, 0 paper … 3 ink */

/* Points "xy" of a grid of 5 × 7, joined in order; '|' lifts the pen. */
static const char *const digit_strokes[10] = {"10 30 41 45 36 16 05 01 10",
                                              "12 20 26",
                                              "01 10 30 41 42 05 06 46",
                                              "01 10 30 41 42 33 13|33 44 45 36 16 05",
                                              "30 04 44|33 36",
                                              "40 00 03 33 44 45 36 16 05",
                                              "40 20 02 05 16 36 45 44 33 13 04",
                                              "00 40 16",
                                              "13 02 01 10 30 41 42 33 13 04 05 16 36 45 44 33",
                                              "42 33 13 02 01 10 30 41 44 35 16"};

typedef struct digit_point {
    double x, y;
    bool joined; /* to the point before */
} digit_point;

static inline double digit_distance(double x, double y, digit_point a, digit_point b) {
    const double dx = b.x - a.x, dy = b.y - a.y;
    const double along = ((x - a.x) * dx + (y - a.y) * dy) / (dx * dx + dy * dy + 1e-9);
    const double t = fmin(1, fmax(0, along));
    return hypot(x - a.x - t * dx, y - a.y - t * dy);
}

static inline void digit_draw(digit pixels) {
    const double width = dice_between(1.9, 2.7), height = dice_between(1.7, 2.1),
                 slant = dice_between(-0.25, 0.25);
    const double left = 7.5 + dice_between(-1, 1), top = 7.5 + dice_between(-0.7, 0.7);
    const double thickness = dice_between(0.9, 1.4);
    digit_point points[20];
    int count = 0;
    bool joined = false;
    for (const char *c = digit_strokes[dice_below(10)]; *c; c++) {
        if (*c == '|') joined = false;
        if (*c < '0' || *c > '9') continue;
        const double u = c[0] - '2' + dice_between(-0.15, 0.15), v = c[1] - '3' + dice_between(-0.15, 0.15);
        points[count++] = (digit_point){left + width * (u - slant * v), top + height * v, joined};
        joined = true;
        c++;
    }
    for (int i = 0; i < DIGIT_PIXELS; i++) {
        double near = 1e9;
        for (int p = 1; p < count; p++)
            if (points[p].joined)
                near = fmin(near, digit_distance(i % DIGIT_SIDE, i / DIGIT_SIDE, points[p - 1], points[p]));
        const double ink = fmin(1, fmax(0, (thickness - near) / 0.9 + 0.5));
        pixels[i] = (unsigned char)(ink * (DIGIT_LEVELS - 1) + 0.5);
    }
}

#endif
