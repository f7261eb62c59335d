/* SPDX-License-Identifier: MIT */
/* Curves on logarithmic axes, their names behind their ends. Built with cairo only. */
#include <math.h>
#include <stdio.h>

#include "bench_canvas.h"

enum { LEFT = 92, BOTTOM = 64 };

static void bounds_of(const struct plot_curves *plot, struct axis *x, struct axis *y) {
    *x = *y = (struct axis){.least = INFINITY, .greatest = 0};
    for (size_t c = 0; c < plot->count; c++)
        for (size_t i = 0; i < plot->curves[c].points.count; i++) {
            const double at[2] = {plot->curves[c].points.length[i], plot->curves[c].points.cost[i]};
            x->least = fmin(x->least, at[0]);
            x->greatest = fmax(x->greatest, at[0]);
            y->least = fmin(y->least, at[1]);
            y->greatest = fmax(y->greatest, at[1]);
        }
    x->greatest = fmax(x->greatest, 2 * x->least);
    y->least = pow(10, floor(log10(y->least) + 1e-9));
    y->greatest = fmax(pow(10, ceil(log10(y->greatest) - 1e-9)), 10 * y->least);
    x->from = LEFT;
    x->to = CANVAS_WIDTH - 228; /* names stand behind the curves */
    y->from = CANVAS_HEIGHT - BOTTOM;
    y->to = CANVAS_TOP;
}

static void draw_grid(cairo_t *cr, const struct plot_curves *plot, const struct axis *x,
                      const struct axis *y) {
    char text[PLOT_TEXT];
    const double decades = log10(y->greatest / y->least);
    for (double value = y->least; value < y->greatest * 1.01; value *= 10) {
        canvas_grey(cr, 0.88);
        canvas_line(cr, x->from, axis_place(y, value), x->to, axis_place(y, value), 1);
        canvas_grey(cr, 0.35);
        canvas_amount(plot->unit, value, text);
        const bool told = decades < 8 || (long)lround(log10(value)) % 2 == 0;
        if (told) canvas_write(cr, x->from - 10, axis_place(y, value) + 5, ALIGN_RIGHT, 14, false, text);
    }
    for (double value = x->least; value < x->greatest * 1.01; value *= 2) {
        const bool told = lround(log2(value / x->least)) % 2 == 0;
        canvas_grey(cr, told ? 0.88 : 0.95);
        canvas_line(cr, axis_place(x, value), y->from, axis_place(x, value), y->to, 1);
        canvas_grey(cr, 0.35);
        snprintf(text, sizeof text, "%.0f", value);
        if (told) canvas_write(cr, axis_place(x, value), y->from + 22, ALIGN_MIDDLE, 14, false, text);
    }
    canvas_write(cr, (x->from + x->to) / 2, CANVAS_HEIGHT - 18, ALIGN_MIDDLE, 14, false, plot->x_label);
}

static void draw_curve(cairo_t *cr, const struct plot_curve *curve, const struct axis *x,
                       const struct axis *y) {
    canvas_use(cr, curve->colour);
    cairo_new_path(cr);
    cairo_set_line_width(cr, curve->broad ? 5 : 2.2); /* where two lie on each other, both are seen */
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    for (size_t i = 0; i < curve->points.count; i++)
        cairo_line_to(cr, axis_place(x, curve->points.length[i]), axis_place(y, curve->points.cost[i]));
    cairo_stroke(cr);
    for (size_t i = 0; i < curve->points.count; i++) {
        cairo_arc(cr, axis_place(x, curve->points.length[i]), axis_place(y, curve->points.cost[i]),
                  curve->broad ? 4 : 3, 0, 2 * acos(-1));
        cairo_fill(cr);
    }
}

/* Behind their ends, moved apart where they would touch. */
static void write_names(cairo_t *cr, const struct plot_curves *plot, const struct axis *x,
                        const struct axis *y) {
    enum { APART = 19 };
    size_t order[PLOT_CURVES];
    double at[PLOT_CURVES];
    for (size_t i = 0; i < plot->count; i++) {
        const struct curve *points = &plot->curves[i].points;
        const double here = axis_place(y, points->cost[points->count - 1]);
        size_t j = i;
        for (; j > 0 && at[j - 1] > here; j--) {
            at[j] = at[j - 1];
            order[j] = order[j - 1];
        }
        at[j] = here;
        order[j] = i;
    }
    for (int round = 0; round < 100; round++)
        for (size_t i = 1; i < plot->count; i++)
            if (at[i] - at[i - 1] < APART) {
                const double shift = (APART - (at[i] - at[i - 1])) / 2;
                at[i] += shift;
                at[i - 1] -= shift;
            }
    for (size_t i = 0; i < plot->count; i++) {
        const struct plot_curve *curve = &plot->curves[order[i]];
        const double end = axis_place(y, curve->points.cost[curve->points.count - 1]);
        canvas_use(cr, curve->colour);
        canvas_line(cr, x->to + 6, end, x->to + 18, at[i], 1);
        canvas_write(cr, x->to + 22, at[i] + 5, ALIGN_LEFT, 14, true, curve->name);
    }
}

static void draw_marks(cairo_t *cr, const struct plot_curves *plot, const struct axis *x,
                       const struct axis *y) {
    for (size_t i = 0; i < plot->marks_count; i++) {
        const struct plot_mark *mark = &plot->marks[i];
        const double across = axis_place(x, mark->x), up = axis_place(y, mark->y);
        canvas_grey(cr, 0.1);
        cairo_set_line_width(cr, 1.5);
        cairo_arc(cr, across, up, 8, 0, 2 * acos(-1));
        cairo_stroke(cr);
        const double below = fmin(up + 32, y->from - 7);
        canvas_line(cr, across + 6, up + 6, across + 12, below - 12, 1);
        canvas_write(cr, across + 14, below, ALIGN_LEFT, 14, false, mark->text);
    }
}

void canvas_draw_curves(cairo_t *cr, const void *what) {
    const struct plot_curves *plot = what;
    struct axis x, y;
    bounds_of(plot, &x, &y);
    canvas_titles(cr, plot->title, plot->subtitle);
    draw_grid(cr, plot, &x, &y);
    for (size_t i = 0; i < plot->count; i++) draw_curve(cr, &plot->curves[i], &x, &y);
    draw_marks(cr, plot, &x, &y);
    write_names(cr, plot, &x, &y);
}
