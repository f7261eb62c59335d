/* SPDX-License-Identifier: MIT */
/* What the pictures are drawn on, and with. For files that are built with cairo only. */
#ifndef BENCH_CANVAS_H
#define BENCH_CANVAS_H

#include <cairo.h>

#include "bench_plot.h"

enum { CANVAS_WIDTH = 960, CANVAS_HEIGHT = 540, CANVAS_TOP = 92 };

enum align { ALIGN_LEFT, ALIGN_MIDDLE, ALIGN_RIGHT };

void canvas_use(cairo_t *cr, enum plot_colour colour);
void canvas_grey(cairo_t *cr, double grey);
void canvas_line(cairo_t *cr, double x0, double y0, double x1, double y1, double width);
void canvas_write(cairo_t *cr, double x, double y, enum align align, double size, bool bold,
                  const char *text);
void canvas_titles(cairo_t *cr, const char *title, const char *subtitle);
/* "10 ms", "1 MB", "75 %" */
void canvas_amount(enum plot_unit unit, double amount, char text[PLOT_TEXT]);

/* A logarithmic axis: least ... greatest onto from ... to. */
struct axis {
    double least, greatest, from, to;
};
double axis_place(const struct axis *axis, double value);

void canvas_draw_curves(cairo_t *cr, const void *plot);
void canvas_draw_bars(cairo_t *cr, const void *plot);

#endif
