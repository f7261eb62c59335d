/* SPDX-License-Identifier: MIT */
/* Bars that lie, with a label before and a text behind each. Built with cairo only. */
#include <math.h>
#include <stdio.h>

#include "bench_canvas.h"

void canvas_draw_bars(cairo_t *cr, const void *what) {
    enum { BARS_LEFT = 262, BARS_RIGHT = CANVAS_WIDTH - 170 };
    const struct plot_bars *plot = what;
    double gaps = 0, least = INFINITY, greatest = plot->end;
    for (size_t i = 0; i < plot->count; i++) {
        gaps += plot->bars[i].gap && i > 0;
        least = fmin(least, plot->bars[i].value);
        greatest = fmax(greatest, plot->bars[i].value);
    }
    const double step = fmin((CANVAS_HEIGHT - CANVAS_TOP - 34) / ((double)plot->count + 0.6 * gaps), 84);
    const struct axis axis = {pow(10, floor(log10(least)) - (plot->logarithmic ? 0 : 9)), greatest, BARS_LEFT,
                              BARS_RIGHT};
    double at = CANVAS_TOP;
    canvas_titles(cr, plot->title, plot->subtitle);
    if (plot->end > 0 && !plot->logarithmic)
        for (int i = 0; i <= 4; i++) {
            const double across = BARS_LEFT + (BARS_RIGHT - BARS_LEFT) * i / 4.0;
            char text[PLOT_TEXT];
            canvas_amount(plot->unit, plot->end * i / 4 + (i == 0 ? 1e-12 : 0), text);
            canvas_grey(cr, i == 4 ? 0.5 : 0.88);
            canvas_line(cr, across, CANVAS_TOP - 6, across, CANVAS_HEIGHT - 34, i == 4 ? 1.5 : 1);
            canvas_grey(cr, 0.35);
            canvas_write(cr, across, CANVAS_HEIGHT - 16, ALIGN_MIDDLE, 13, false, i == 0 ? "0" : text);
        }
    for (size_t i = 0; i < plot->count; i++, at += step) {
        const struct plot_bar *bar = &plot->bars[i];
        if (bar->gap && i > 0) at += 0.6 * step;
        const double end = plot->logarithmic ? axis_place(&axis, bar->value)
                                             : BARS_LEFT + (BARS_RIGHT - BARS_LEFT) * bar->value / greatest;
        const double size = fmin(17, step * 0.7);
        canvas_use(cr, bar->colour);
        cairo_rectangle(cr, BARS_LEFT, at + 0.1 * step, fmax(end - BARS_LEFT, 2), 0.8 * step);
        cairo_fill(cr);
        canvas_grey(cr, 0.15);
        canvas_write(cr, BARS_LEFT - 10, at + step / 2 + size * 0.36, ALIGN_RIGHT, fmin(size, 15), false,
                     bar->label);
        canvas_write(cr, end + 8, at + step / 2 + size * 0.36, ALIGN_LEFT, size, true, bar->text);
    }
}
