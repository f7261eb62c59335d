/* SPDX-License-Identifier: MIT */
#include "bench_plot.h"

#include <math.h>
#include <stdio.h>

#include "message.h"

void plot_number(double number, char text[PLOT_TEXT]) {
    const double size = floor(log10(number) + 1e-9);
    const double unit = pow(10, size - 2);
    snprintf(text, PLOT_TEXT, "%.*f", size < 2 ? (int)fmin(2 - size, 9) : 0, round(number / unit) * unit);
}

#ifdef RILL_CAIRO

#include <cairo-svg.h>
#include <fontconfig/fontconfig.h>

#include "bench_canvas.h"

enum { PNG_SCALE = 2 };

/* Okabe and Ito's, told apart by the colour-blind too. */
static const double colours[][3] = {
    [PLOT_RED] = {0.835, 0.369, 0},  [PLOT_ORANGE] = {0.902, 0.624, 0},  [PLOT_PURPLE] = {0.8, 0.475, 0.655},
    [PLOT_BLUE] = {0, 0.447, 0.698}, [PLOT_SKY] = {0.337, 0.706, 0.914}, [PLOT_GREEN] = {0, 0.62, 0.451},
    [PLOT_GREY] = {0.6, 0.6, 0.6}};

void canvas_use(cairo_t *cr, enum plot_colour colour) {
    cairo_set_source_rgb(cr, colours[colour][0], colours[colour][1], colours[colour][2]);
}

void canvas_write(cairo_t *cr, double x, double y, enum align align, double size, bool bold,
                  const char *text) {
    cairo_text_extents_t extents;
    cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, size);
    cairo_text_extents(cr, text, &extents);
    cairo_move_to(cr, x - extents.x_advance * (double)align / 2, y);
    cairo_show_text(cr, text);
}

void canvas_grey(cairo_t *cr, double grey) {
    cairo_set_source_rgb(cr, grey, grey, grey);
}

void canvas_titles(cairo_t *cr, const char *title, const char *subtitle) {
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    canvas_grey(cr, 0.1);
    canvas_write(cr, 32, 44, ALIGN_LEFT, 25, true, title);
    canvas_grey(cr, 0.4);
    canvas_write(cr, 32, 68, ALIGN_LEFT, 14, false, subtitle);
}

void canvas_amount(enum plot_unit unit, double amount, char text[PLOT_TEXT]) {
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

void canvas_line(cairo_t *cr, double x0, double y0, double x1, double y1, double width) {
    cairo_set_line_width(cr, width);
    cairo_move_to(cr, x0, y0);
    cairo_line_to(cr, x1, y1);
    cairo_stroke(cr);
}

double axis_place(const struct axis *axis, double value) {
    return axis->from +
           (axis->to - axis->from) * log(value / axis->least) / log(axis->greatest / axis->least);
}

static bool draw_on(cairo_surface_t *surface, double scale, void (*draw)(cairo_t *cr, const void *what),
                    const void *what, const char *png, const char *path) {
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
        complain("%s could not be written: %s", path, cairo_status_to_string(status));
    return status == CAIRO_STATUS_SUCCESS;
}

static bool draw_both(void (*draw)(cairo_t *cr, const void *what), const void *what, const char *folder,
                      const char *name) {
    char svg[4096], png[4096];
    snprintf(svg, sizeof svg, "%s/%s.svg", folder, name);
    snprintf(png, sizeof png, "%s/%s.png", folder, name);
    return draw_on(cairo_svg_surface_create(svg, CANVAS_WIDTH, CANVAS_HEIGHT), 1, draw, what, NULL, svg) &&
           draw_on(cairo_image_surface_create(CAIRO_FORMAT_RGB24, PNG_SCALE * CANVAS_WIDTH,
                                              PNG_SCALE * CANVAS_HEIGHT),
                   PNG_SCALE, draw, what, png, png);
}

bool plot_is_built(void) {
    return true;
}

bool plot_draw_curves(const struct plot_curves *plot, const char *folder, const char *name) {
    return draw_both(canvas_draw_curves, plot, folder, name);
}

bool plot_draw_bars(const struct plot_bars *plot, const char *folder, const char *name) {
    return draw_both(canvas_draw_bars, plot, folder, name);
}

void plot_end(void) {
    cairo_debug_reset_static_data();
    FcFini();
}

#else

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

void plot_end(void) {}

#endif
