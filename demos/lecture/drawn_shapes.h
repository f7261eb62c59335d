/* SPDX-License-Identifier: MIT */
/* Pictures of one or two shapes, filled squares and crosses, with the boxes around them. */
#ifndef RILL_LECTURE_DRAWN_SHAPES_H
#define RILL_LECTURE_DRAWN_SHAPES_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = 12,
    PATCH = 2,
    GRID = SIDE / PATCH,
    TOKENS = GRID * GRID,
    MOST_SHAPES = 2,
    SQUARE = 0,
    CROSS = 1
};

typedef struct picture {
    float pixels[SIDE][SIDE];             /* 0 or 1 */
    float patches[TOKENS][PATCH * PATCH]; /* the same, patch by patch */
    size_t count, labels[MOST_SHAPES];
    float boxes[MOST_SHAPES][4]; /* centre x, y, width, height, in sides of the picture */
} picture;

static size_t below(size_t bound) {
    return (size_t)rand() % bound;
}

/* Two shapes lie in one half each. */
static picture draw_picture(void) {
    picture p = {.count = 1 + below(MOST_SHAPES)};
    for (size_t i = 0; i < p.count; i++) {
        size_t size = 3 + below(3), width = SIDE / p.count, label = p.labels[i] = below(2);
        size_t left = i * width + below(width - size + 1), top = below(SIDE - size + 1);
        for (size_t y = 0; y < size; y++)
            for (size_t x = 0; x < size; x++)
                if (label == SQUARE || x == y || x + y == size - 1) p.pixels[top + y][left + x] = 1;
        const float box[4] = {(float)left + (float)size / 2, (float)top + (float)size / 2, (float)size,
                              (float)size};
        for (size_t n = 0; n < 4; n++) p.boxes[i][n] = box[n] / SIDE;
    }
    for (size_t y = 0; y < SIDE; y++)
        for (size_t x = 0; x < SIDE; x++)
            p.patches[y / PATCH * GRID + x / PATCH][y % PATCH * PATCH + x % PATCH] = p.pixels[y][x];
    return p;
}

/* The picture twice as wide as high, found boxes around it by their label's letter. */
static void print_picture(const picture *p, size_t count, const size_t *labels, const float (*boxes)[4]) {
    char rows[SIDE][2 * SIDE + 1];
    for (size_t y = 0; y < SIDE; y++) {
        for (size_t x = 0; x < 2 * SIDE; x++) rows[y][x] = p->pixels[y][x / 2] > 0 ? '#' : '.';
        rows[y][2 * SIDE] = 0;
    }
    for (size_t i = 0; i < count; i++) {
        float left = (boxes[i][0] - boxes[i][2] / 2) * SIDE, top = (boxes[i][1] - boxes[i][3] / 2) * SIDE;
        float right = left + boxes[i][2] * SIDE, bottom = top + boxes[i][3] * SIDE;
        for (size_t y = 0; y < SIDE; y++)
            for (size_t x = 0; x < 2 * SIDE; x++) {
                float at_x = ((float)x + 0.5f) / 2, at_y = (float)y + 0.5f;
                if (at_x < left || at_x > right || at_y < top || at_y > bottom) continue;
                if (at_x - left < 0.5f || right - at_x < 0.5f || at_y - top < 1 || bottom - at_y < 1)
                    rows[y][x] = labels[i] == SQUARE ? 's' : 'x';
            }
    }
    for (size_t y = 0; y < SIDE; y++) puts(rows[y]);
}

#endif
