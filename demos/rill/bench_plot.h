/* SPDX-License-Identifier: MIT */
/* Pictures for a slide: curves on logarithmic axes, and bars. Each is drawn twice, as FOLDER/NAME.svg and
 * .png. Built without cairo, none are. */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "bench_curve.h"

enum { PLOT_CURVES = 8, PLOT_MARKS = 4, PLOT_BARS = 32, PLOT_TEXT = 160 };

enum plot_colour { PLOT_RED, PLOT_ORANGE, PLOT_PURPLE, PLOT_BLUE, PLOT_SKY, PLOT_GREEN, PLOT_GREY };
enum plot_unit { PLOT_SECONDS, PLOT_BYTES, PLOT_SHARE };

struct plot_curve {
    const char *name;
    enum plot_colour colour;
    bool broad;
    struct curve points;
};

/* A place that is pointed out. */
struct plot_mark {
    double x, y;
    char text[PLOT_TEXT];
};

struct plot_curves {
    const char *title, *x_label;
    char subtitle[PLOT_TEXT];
    enum plot_unit unit; /* of y */
    struct plot_curve curves[PLOT_CURVES];
    size_t count;
    struct plot_mark marks[PLOT_MARKS];
    size_t marks_count;
};

struct plot_bar {
    char label[PLOT_TEXT], text[PLOT_TEXT]; /* before the bar, and after it */
    double value;                           /* positive */
    enum plot_colour colour;
    bool gap; /* before it: a new group begins */
};

struct plot_bars {
    const char *title;
    char subtitle[PLOT_TEXT];
    bool logarithmic; /* else from 0 on */
    enum plot_unit unit;
    double end; /* of the axis; 0: beyond the greatest */
    struct plot_bar bars[PLOT_BARS];
    size_t count;
};

/* Three digits, whatever the size: "0.376", "45.1", "1670". */
void plot_number(double number, char text[PLOT_TEXT]);

/* Can pictures be drawn at all? */
bool plot_is_built(void);
/* False, with errno or a reason said, when a file could not be written. */
bool plot_draw_curves(const struct plot_curves *plot, const char *folder, const char *name);
bool plot_draw_bars(const struct plot_bars *plot, const char *folder, const char *name);

/* Gives back what cairo and its fonts keep for the next picture. */
void plot_end(void);

#endif
