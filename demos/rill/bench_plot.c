/* SPDX-License-Identifier: MIT */
/* Alone knows cairo. */
#include "bench_plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

#ifndef RILL_CAIRO

bool plot_is_built(void) {
    return false;
}

bool plot_draw_curves(const struct plot_curves *plot, const char *folder, const char *name) {
    (void)plot, (void)folder, (void)name;
    return false;
}

bool plot_draw_bars(const struct plot_bars *plot, const char *folder, const char *name) {
    (void)plot, (void)folder, (void)name;
    return false;
}

#else

#include <cairo-svg.h>
#include <cairo.h>

enum { WIDTH = 960, HEIGHT = 540, LEFT = 92, TOP = 92, BOTTOM = 64, PNG_SCALE = 2 };

/* Okabe and Ito's, told apart by the colour-blind too. */
static const double colours[][3] = {
    [PLOT_RED] = {0.835, 0.369, 0},  [PLOT_ORANGE] = {0.902, 0.624, 0},  [PLOT_PURPLE] = {0.8, 0.475, 0.655},
    [PLOT_BLUE] = {0, 0.447, 0.698}, [PLOT_SKY] = {0.337, 0.706, 0.914}, [PLOT_GREEN] = {0, 0.62, 0.451},
    [PLOT_GREY] = {0.6, 0.6, 0.6}};

enum align { ALIGN_LEFT, ALIGN_MIDDLE, ALIGN_RIGHT };

static void use(cairo_t *cr, enum plot_colour colour) {
    cairo_set_source_rgb(cr, colours[colour][0], colours[colour][1], colours[colour][2]);
}

static double write_text(cairo_t *cr, double x, double y, enum align align, double size, bool bold,
                         const char *text) {
    cairo_text_extents_t extents;
    cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, size);
    cairo_text_extents(cr, text, &extents);
    cairo_move_to(cr, x - extents.x_advance * (double)align / 2, y);
    cairo_show_text(cr, text);
    return extents.x_advance;
}

static void ink(cairo_t *cr, double grey) {
    cairo_set_source_rgb(cr, grey, grey, grey);
}

static void write_titles(cairo_t *cr, const char *title, const char *subtitle) {
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    ink(cr, 0.1);
    write_text(cr, 32, 44, ALIGN_LEFT, 25, true, title);
    ink(cr, 0.4);
    write_text(cr, 32, 68, ALIGN_LEFT, 14, false, subtitle);
}

static void tell_amount(enum plot_unit unit, double amount, char text[PLOT_TEXT]) {
    static const struct {
        double size;
        const char *name;
    } units[][5] = {[PLOT_SECONDS] = {{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}, {1e-9, "ns"}, {0, NULL}},
                    [PLOT_BYTES] = {{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}, {1, "B"}, {0, NULL}},
                    [PLOT_SHARE] = {{0.01, "%"}, {0, NULL}}};
    size_t i = 0;
    while (amount < units[unit][i].size * 0.999 && units[unit][i + 1].name) i++;
    snprintf(text, PLOT_TEXT, "%g %s", amount / units[unit][i].size, units[unit][i].name);
}

static void line(cairo_t *cr, double x0, double y0, double x1, double y1, double width) {
    cairo_set_line_width(cr, width);
    cairo_move_to(cr, x0, y0);
    cairo_line_to(cr, x1, y1);
    cairo_stroke(cr);
}

/* A logarithmic axis: least … greatest onto from … to. */
struct axis {
    double least, greatest, from, to;
};

static double place(const struct axis *axis, double value) {
    return axis->from +
           (axis->to - axis->from) * log(value / axis->least) / log(axis->greatest / axis->least);
}

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
    x->to = WIDTH - 228; /* names stand behind the curves */
    y->from = HEIGHT - BOTTOM;
    y->to = TOP;
}

static void draw_grid(cairo_t *cr, const struct plot_curves *plot, const struct axis *x,
                      const struct axis *y) {
    char text[PLOT_TEXT];
    const double decades = log10(y->greatest / y->least);
    for (double value = y->least; value < y->greatest * 1.01; value *= 10) {
        ink(cr, 0.88);
        line(cr, x->from, place(y, value), x->to, place(y, value), 1);
        ink(cr, 0.35);
        tell_amount(plot->unit, value, text);
        const bool told = decades < 8 || (long)lround(log10(value)) % 2 == 0;
        if (told) write_text(cr, x->from - 10, place(y, value) + 5, ALIGN_RIGHT, 14, false, text);
    }
    for (double value = x->least; value < x->greatest * 1.01; value *= 2) {
        const bool told = lround(log2(value / x->least)) % 2 == 0;
        ink(cr, told ? 0.88 : 0.95);
        line(cr, place(x, value), y->from, place(x, value), y->to, 1);
        ink(cr, 0.35);
        snprintf(text, sizeof text, "%.0f", value);
        if (told) write_text(cr, place(x, value), y->from + 22, ALIGN_MIDDLE, 14, false, text);
    }
    write_text(cr, (x->from + x->to) / 2, HEIGHT - 18, ALIGN_MIDDLE, 14, false, plot->x_label);
}

static void draw_curve(cairo_t *cr, const struct plot_curve *curve, const struct axis *x,
                       const struct axis *y) {
    use(cr, curve->colour);
    cairo_new_path(cr);
    cairo_set_line_width(cr, curve->broad ? 5 : 2.2); /* where two lie on each other, both are seen */
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    for (size_t i = 0; i < curve->points.count; i++)
        cairo_line_to(cr, place(x, curve->points.length[i]), place(y, curve->points.cost[i]));
    cairo_stroke(cr);
    for (size_t i = 0; i < curve->points.count; i++) {
        cairo_arc(cr, place(x, curve->points.length[i]), place(y, curve->points.cost[i]),
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
        const double here = place(y, points->cost[points->count - 1]);
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
        const double end = place(y, curve->points.cost[curve->points.count - 1]);
        use(cr, curve->colour);
        line(cr, x->to + 6, end, x->to + 18, at[i], 1);
        write_text(cr, x->to + 22, at[i] + 5, ALIGN_LEFT, 14, true, curve->name);
    }
}

static void draw_marks(cairo_t *cr, const struct plot_curves *plot, const struct axis *x,
                       const struct axis *y) {
    for (size_t i = 0; i < plot->marks_count; i++) {
        const struct plot_mark *mark = &plot->marks[i];
        const double across = place(x, mark->x), up = place(y, mark->y);
        ink(cr, 0.1);
        cairo_set_line_width(cr, 1.5);
        cairo_arc(cr, across, up, 8, 0, 2 * acos(-1));
        cairo_stroke(cr);
        line(cr, across + 5, up + 7, across + 12, up + 18, 1);
        write_text(cr, across + 12, up + 32, ALIGN_LEFT, 14, false, mark->text);
    }
}

static void draw_curves(cairo_t *cr, const void *what) {
    const struct plot_curves *plot = what;
    struct axis x, y;
    bounds_of(plot, &x, &y);
    write_titles(cr, plot->title, plot->subtitle);
    draw_grid(cr, plot, &x, &y);
    for (size_t i = 0; i < plot->count; i++) draw_curve(cr, &plot->curves[i], &x, &y);
    draw_marks(cr, plot, &x, &y);
    write_names(cr, plot, &x, &y);
}

static void draw_bars(cairo_t *cr, const void *what) {
    enum { BARS_LEFT = 262, BARS_RIGHT = WIDTH - 170 };
    const struct plot_bars *plot = what;
    double gaps = 0, least = INFINITY, greatest = plot->end;
    for (size_t i = 0; i < plot->count; i++) {
        gaps += plot->bars[i].gap && i > 0;
        least = fmin(least, plot->bars[i].value);
        greatest = fmax(greatest, plot->bars[i].value);
    }
    const double step = fmin((HEIGHT - TOP - 34) / ((double)plot->count + 0.6 * gaps), 84);
    const struct axis axis = {pow(10, floor(log10(least)) - (plot->logarithmic ? 0 : 9)), greatest, BARS_LEFT,
                              BARS_RIGHT};
    double at = TOP;
    write_titles(cr, plot->title, plot->subtitle);
    if (plot->end > 0 && !plot->logarithmic)
        for (int i = 0; i <= 4; i++) {
            const double across = BARS_LEFT + (BARS_RIGHT - BARS_LEFT) * i / 4.0;
            char text[PLOT_TEXT];
            tell_amount(plot->unit, plot->end * i / 4 + (i == 0 ? 1e-12 : 0), text);
            ink(cr, i == 4 ? 0.5 : 0.88);
            line(cr, across, TOP - 6, across, HEIGHT - 34, i == 4 ? 1.5 : 1);
            ink(cr, 0.35);
            write_text(cr, across, HEIGHT - 16, ALIGN_MIDDLE, 13, false, i == 0 ? "0" : text);
        }
    for (size_t i = 0; i < plot->count; i++, at += step) {
        const struct plot_bar *bar = &plot->bars[i];
        if (bar->gap && i > 0) at += 0.6 * step;
        const double end = plot->logarithmic ? place(&axis, bar->value)
                                             : BARS_LEFT + (BARS_RIGHT - BARS_LEFT) * bar->value / greatest;
        const double size = fmin(17, step * 0.7);
        use(cr, bar->colour);
        cairo_rectangle(cr, BARS_LEFT, at + 0.1 * step, fmax(end - BARS_LEFT, 2), 0.8 * step);
        cairo_fill(cr);
        ink(cr, 0.15);
        write_text(cr, BARS_LEFT - 10, at + step / 2 + size * 0.36, ALIGN_RIGHT, size, false, bar->label);
        write_text(cr, end + 8, at + step / 2 + size * 0.36, ALIGN_LEFT, size, true, bar->text);
    }
}

static bool draw_on(cairo_surface_t *surface, double scale, void (*draw)(cairo_t *cr, const void *what),
                    const void *what, const char *png) {
    cairo_t *cr = cairo_create(surface);
    cairo_scale(cr, scale, scale);
    draw(cr, what);
    cairo_destroy(cr);
    cairo_status_t status = cairo_surface_status(surface);
    if (status == CAIRO_STATUS_SUCCESS && png) status = cairo_surface_write_to_png(surface, png);
    cairo_surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS) status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    if (status != CAIRO_STATUS_SUCCESS)
        complain("a picture could not be written: %s", cairo_status_to_string(status));
    return status == CAIRO_STATUS_SUCCESS;
}

static bool draw_both(void (*draw)(cairo_t *cr, const void *what), const void *what, const char *folder,
                      const char *name) {
    char svg[4096], png[4096];
    snprintf(svg, sizeof svg, "%s/%s.svg", folder, name);
    snprintf(png, sizeof png, "%s/%s.png", folder, name);
    return draw_on(cairo_svg_surface_create(svg, WIDTH, HEIGHT), 1, draw, what, NULL) &&
           draw_on(cairo_image_surface_create(CAIRO_FORMAT_RGB24, PNG_SCALE * WIDTH, PNG_SCALE * HEIGHT),
                   PNG_SCALE, draw, what, png);
}

bool plot_is_built(void) {
    return true;
}

bool plot_draw_curves(const struct plot_curves *plot, const char *folder, const char *name) {
    return draw_both(draw_curves, plot, folder, name);
}

bool plot_draw_bars(const struct plot_bars *plot, const char *folder, const char *name) {
    return draw_both(draw_bars, plot, folder, name);
}

#endif
