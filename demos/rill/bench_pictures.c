/* SPDX-License-Identifier: MIT */
#include "bench_pictures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_form.h"
#include "bench_picture_bars.h"
#include "bench_plot.h"
#include "json_line.h"

static const enum plot_colour form_colours[FORMS] = {PLOT_RED, PLOT_ORANGE, PLOT_PURPLE,
                                                     PLOT_SKY, PLOT_BLUE,   PLOT_GREEN};

/* Lengths rise: of rows that say the same length twice the first counts. */
static void add_point(struct plot_curve *curve, double length, double cost) {
    const size_t count = curve->points.count;
    if (count == CURVE_POINTS || !(length > 0) || !(cost > 0)) return;
    if (count > 0 && length <= curve->points.length[count - 1]) return;
    curve->points.length[count] = length;
    curve->points.cost[count] = cost;
    curve->points.count++;
}

/* The first row of a form: what the curves of one picture share. */
static const json_t *first_form(const json_t *rows) {
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        for (size_t k = 0; k < FORMS; k++)
            if (picture_has(row, "attention", forms[k].name)) return row;
    }
    return NULL;
}

static bool is_of_one_run(const json_t *row, const json_t *other) {
    return json_member(row, "heads") == json_member(other, "heads") &&
           json_member(row, "key_dim") == json_member(other, "key_dim") &&
           strcmp(json_member_text(row, "kernels"), json_member_text(other, "kernels")) == 0;
}

static double height_at(const struct curve *curve, double length) {
    for (size_t i = 1; i < curve->count; i++)
        if (curve->length[i] >= length) {
            const double share =
                log(length / curve->length[i - 1]) / log(curve->length[i] / curve->length[i - 1]);
            return exp((1 - share) * log(curve->cost[i - 1]) + share * log(curve->cost[i]));
        }
    return NAN;
}

/* Where recurrent linear attention begins to cost less than `over` in the run of `first`, and how much less
 * at the greatest length. */
static void add_marks(const json_t *rows, const json_t *first, const char *measure, enum form_kind over,
                      const char *than, struct plot_curves *plot) {
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        const double length = json_member(row, "length"), ratio = json_member(row, "ratio");
        if (!picture_has(row, "attention", "crossing") || !is_of_one_run(row, first) ||
            strcmp(json_member_text(row, "measure"), measure) != 0 ||
            strcmp(json_member_text(row, "of"), forms[FORM_LINEAR_RECURRENT].name) != 0 ||
            strcmp(json_member_text(row, "over"), forms[over].name) != 0)
            continue;
        const size_t used = strlen(plot->subtitle);
        if (ratio > 1 && over == FORM_SOFTMAX_CACHED)
            snprintf(plot->subtitle + used, sizeof plot->subtitle - used, "; at the end, %.0fx less than %s",
                     ratio, than);
        if (!(length > 0) || plot->marks_count > 0) return;
        for (size_t c = 0; c < plot->count && plot->marks_count < PLOT_MARKS; c++) {
            if (strcmp(plot->curves[c].name, forms[FORM_LINEAR_RECURRENT].title) != 0) continue;
            struct plot_mark *mark = &plot->marks[plot->marks_count++];
            mark->x = length;
            mark->y = height_at(&plot->curves[c].points, length);
            snprintf(mark->text, sizeof mark->text, "less than %s from %.0f on", than, length);
            if (isnan(mark->y)) plot->marks_count--;
        }
        return;
    }
}

static bool draw_attention(const json_t *rows, const char *machine, const char *folder, const char *name,
                           bool *drawn, const char *title, const char *member, double unit,
                           enum plot_unit axis, const char *measure) {
    struct plot_curves *plot = calloc(1, sizeof *plot);
    if (!plot) return false;
    plot->title = title;
    plot->x_label = "length of the sequence, tokens";
    plot->unit = axis;
    const json_t *first = first_form(rows);
    if (first)
        snprintf(plot->subtitle, sizeof plot->subtitle, "%.0f heads of %.0f, one core of %s",
                 json_member(first, "heads"), json_member(first, "key_dim"), machine);
    for (size_t k = 0; k < FORMS; k++) {
        struct plot_curve *curve = &plot->curves[plot->count];
        *curve = (struct plot_curve){.name = forms[k].title, .colour = form_colours[k], .broad = k % 2 == 0};
        size_t i;
        json_t *row;
        json_array_foreach(rows, i, row) {
            if (picture_has(row, "attention", forms[k].name) && is_of_one_run(row, first))
                add_point(curve, json_member(row, "length"), unit * json_member(row, member));
        }
        plot->count += curve->points.count > 1;
    }
    add_marks(rows, first, measure, FORM_SOFTMAX_CACHED, "the cache", plot);
    add_marks(rows, first, measure, FORM_SOFTMAX_QUADRATIC, "softmax", plot);
    bool well = true;
    *drawn = plot->count > 0;
    if (*drawn) well = plot_draw_curves(plot, folder, name);
    free(plot);
    return well;
}

static bool draw_total(const json_t *rows, const char *machine, const char *folder, const char *name,
                       bool *drawn) {
    return draw_attention(rows, machine, folder, name, drawn, "Time of a whole sequence", "total_ms", 1e-3,
                          PLOT_SECONDS, "total");
}

static bool draw_next(const json_t *rows, const char *machine, const char *folder, const char *name,
                      bool *drawn) {
    return draw_attention(rows, machine, folder, name, drawn, "Time of one token more", "next_token_us", 1e-6,
                          PLOT_SECONDS, "next_token");
}

static bool draw_memory(const json_t *rows, const char *machine, const char *folder, const char *name,
                        bool *drawn) {
    return draw_attention(rows, machine, folder, name, drawn, "Memory that one token more needs",
                          "memory_bytes", 1, PLOT_BYTES, "memory");
}

const struct picture pictures[] = {
    {"attention-total",
     "Time of a whole sequence against its length: linear attention grows with it, softmax with its square.",
     "attention", draw_total},
    {"attention-next-token",
     "Time of one token more against the tokens before it: constant for linear attention.", "attention",
     draw_next},
    {"attention-memory",
     "Memory that one token more needs, against the tokens before it: constant for linear attention.",
     "attention", draw_memory},
    {"paper", "Seconds to make an image of MNIST and CIFAR-10, value by value, beside the paper's.", "paper",
     picture_paper},
    {"kernels", "Shares of the machine's limits that attention reaches.", "kernels", picture_kernels},
    {"peers", "Time of the same attention in other libraries.", "kernels", picture_peers},
    {"stream", "Quantiles of the time that a push of 10 ms of audio takes.", "stream", picture_stream},
};
const size_t pictures_count = sizeof pictures / sizeof *pictures;
