/* SPDX-License-Identifier: MIT */
#include "bench_pictures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_form.h"
#include "bench_plot.h"
#include "json_line.h"

static bool is_row(const json_t *row, const char *bench, const char *what) {
    return strcmp(json_member_text(row, "bench"), bench) == 0 &&
           (!what || strcmp(json_member_text(row, "what"), what) == 0);
}

static const enum plot_colour form_colours[FORMS] = {PLOT_RED, PLOT_ORANGE, PLOT_PURPLE,
                                                     PLOT_SKY, PLOT_BLUE,   PLOT_GREEN};

static void add_point(struct plot_curve *curve, double length, double cost) {
    if (curve->points.count == CURVE_POINTS || !(length > 0) || !(cost > 0)) return;
    curve->points.length[curve->points.count] = length;
    curve->points.cost[curve->points.count++] = cost;
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

/* The crossings of recurrent linear attention with cached softmax and with what computes all. */
static void add_marks(const json_t *rows, const char *measure, struct plot_curves *plot) {
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        const double length = json_member(row, "length");
        if (!is_row(row, "attention", "crossing") || strcmp(json_member_text(row, "measure"), measure) != 0)
            continue;
        if (strcmp(json_member_text(row, "of"), forms[FORM_LINEAR_RECURRENT].name) != 0 || !(length > 0))
            continue;
        if (strcmp(json_member_text(row, "over"), forms[FORM_SOFTMAX_CACHED].name) != 0) continue;
        for (size_t c = 0; c < plot->count && plot->marks_count < PLOT_MARKS; c++) {
            if (strcmp(plot->curves[c].name, forms[FORM_LINEAR_RECURRENT].title) != 0) continue;
            struct plot_mark *mark = &plot->marks[plot->marks_count++];
            mark->x = length;
            mark->y = height_at(&plot->curves[c].points, length);
            snprintf(mark->text, sizeof mark->text, "cheaper than the cache from %.0f on", length);
            if (isnan(mark->y)) plot->marks_count--;
        }
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
    for (size_t k = 0; k < FORMS; k++) {
        struct plot_curve *curve = &plot->curves[plot->count];
        *curve = (struct plot_curve){.name = forms[k].title, .colour = form_colours[k], .broad = k % 2 == 0};
        size_t i;
        json_t *row;
        json_array_foreach(rows, i, row) {
            if (!is_row(row, "attention", forms[k].name)) continue;
            add_point(curve, json_member(row, "length"), unit * json_member(row, member));
            snprintf(plot->subtitle, sizeof plot->subtitle,
                     "%.0f heads of %.0f dimensions, float32, one core of %s", json_member(row, "heads"),
                     json_member(row, "key_dim"), machine);
        }
        plot->count += curve->points.count > 1;
    }
    add_marks(rows, measure, plot);
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

static struct plot_bar *add_bar(struct plot_bars *plot, double value, enum plot_colour colour, bool gap) {
    if (plot->count == PLOT_BARS || !(value > 0)) return NULL;
    struct plot_bar *bar = &plot->bars[plot->count++];
    *bar = (struct plot_bar){.value = value, .colour = colour, .gap = gap};
    return bar;
}

static bool finish_bars(struct plot_bars *plot, const char *folder, const char *name, bool *drawn) {
    bool well = true;
    *drawn = plot->count > 0;
    if (*drawn) well = plot_draw_bars(plot, folder, name);
    free(plot);
    return well;
}

static bool draw_paper(const json_t *rows, const char *machine, const char *folder, const char *name,
                       bool *drawn) {
    struct plot_bars *plot = calloc(1, sizeof *plot);
    if (!plot) return false;
    plot->title = "Making one image, value by value";
    plot->logarithmic = true;
    snprintf(plot->subtitle, sizeof plot->subtitle, "Seconds on one core of %s; grey: CPU of 2006.16236",
             machine);
    size_t i;
    json_t *row;
    const char *last = "";
    json_array_foreach(rows, i, row) {
        if (!is_row(row, "paper", NULL)) continue;
        const char *data = json_member_text(row, "data"), *what = json_member_text(row, "what");
        const bool linear = strcmp(what, "linear") == 0, cached = strstr(what, "cached") != NULL;
        struct plot_bar *bar = add_bar(plot, json_member(row, "seconds_an_image"),
                                       linear   ? PLOT_GREEN
                                       : cached ? PLOT_ORANGE
                                                : PLOT_RED,
                                       strcmp(data, last) != 0);
        last = data;
        if (!bar) continue;
        const char *kind = linear ? "linear" : cached ? "softmax, KV cache" : "softmax";
        snprintf(bar->label, sizeof bar->label, "%s, %s", strcmp(data, "mnist") == 0 ? "MNIST" : "CIFAR-10",
                 kind);
        snprintf(bar->text, sizeof bar->text, "%.3g s, %.3gx", json_member(row, "seconds_an_image"),
                 json_member(row, "times_recomputed"));
        const double paper = json_member(row, "paper_cpu_seconds_an_image");
        if (!(bar = add_bar(plot, paper, PLOT_GREY, false))) continue;
        snprintf(bar->text, sizeof bar->text, "%.4g s, %.3gx", paper,
                 json_member(row, "paper_cpu_times_recomputed"));
    }
    return finish_bars(plot, folder, name, drawn);
}

/* One kernel table's share of the limit at 64 dimensions and 1024 steps: the best there is. */
static bool draw_kernels(const json_t *rows, const char *machine, const char *folder, const char *name,
                         bool *drawn) {
    struct plot_bars *plot = calloc(1, sizeof *plot);
    if (!plot) return false;
    plot->title = "How near to what the machine can do";
    plot->unit = PLOT_SHARE;
    plot->end = 1;
    snprintf(plot->subtitle, sizeof plot->subtitle,
             "8 heads of 64, one core of %s; 100 %% is its multiply-adds, or its reads and writes", machine);
    size_t i;
    json_t *row;
    const char *last = "";
    json_array_foreach(rows, i, row) {
        const char *what = json_member_text(row, "what"), *rule = json_member_text(row, "rule");
        const double length = json_member(row, "length");
        if (!is_row(row, "kernels", NULL) || json_member(row, "threads") != 1 ||
            strcmp(what, "feature_map") == 0)
            continue;
        if (!isfinite(json_member(row, "fraction_of_limit")) || strncmp(what, "encoder", 7) == 0) continue;
        if (json_member(row, "key_dim") != 64 || (length != 1 && length != 1024)) continue;
        char label[PLOT_TEXT];
        snprintf(label, sizeof label, "%s, %s", rule,
                 strstr(what, "prefill")  ? "in bulk"
                 : strstr(what, "folded") ? "folded step"
                                          : "step");
        if (strchr(label, '_')) *strchr(label, '_') = ' ';
        struct plot_bar *bar = NULL;
        for (size_t b = 0; b < plot->count; b++)
            if (strcmp(plot->bars[b].label, label) == 0) bar = &plot->bars[b];
        const double share = json_member(row, "fraction_of_limit");
        if (bar && bar->value >= share) continue;
        if (!bar)
            bar = add_bar(plot, share, strstr(what, "prefill") ? PLOT_BLUE : PLOT_GREEN,
                          strcmp(rule, last) != 0);
        last = rule;
        if (!bar) continue;
        bar->value = share;
        snprintf(bar->label, sizeof bar->label, "%s", label);
        snprintf(bar->text, sizeof bar->text, "%.0f %%, %.0f ns", 100 * share,
                 json_member(row, "ns_per_token_head"));
    }
    return finish_bars(plot, folder, name, drawn);
}

/* rill's own best table and every peer, in bulk at 1024 steps of 64 dimensions: one bar each. */
static bool draw_peers(const json_t *rows, const char *machine, const char *folder, const char *name,
                       bool *drawn) {
    struct plot_bars *plot = calloc(1, sizeof *plot);
    if (!plot) return false;
    plot->title = "The same attention by others";
    plot->logarithmic = true;
    snprintf(plot->subtitle, sizeof plot->subtitle,
             "Time of a token and head, 8 heads of 64, 1024 tokens in bulk and one step, one core of %s",
             machine);
    static const struct {
        const char *rule;
        double length;
        const char *label;
    } shapes[] = {{"linear", 1024, "linear, in bulk"},
                  {"gated_delta", 1024, "gated delta, in bulk"},
                  {"linear", 1, "linear, one step"}};
    bool has_peer = false;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t i;
        json_t *row;
        struct plot_bar *own = NULL;
        json_array_foreach(rows, i, row) {
            if (!is_row(row, "kernels", NULL) || json_member(row, "key_dim") != 64 ||
                json_member(row, "threads") != 1)
                continue;
            if (strcmp(json_member_text(row, "rule"), shapes[s].rule) != 0 ||
                json_member(row, "length") != shapes[s].length)
                continue;
            const char *what = json_member_text(row, "what"), *peer = json_member_text(row, "peer");
            const double ns = json_member(row, "ns_per_token_head");
            if (!*peer && strstr(what, "folded")) continue;
            if (!*peer && own && own->value <= ns * 1e-9) continue;
            struct plot_bar *bar =
                !*peer && own ? own : add_bar(plot, 1e-9 * ns, *peer ? PLOT_GREY : PLOT_BLUE, !*peer);
            if (!bar) continue;
            if (!*peer) own = bar;
            has_peer = has_peer || *peer;
            bar->value = 1e-9 * ns;
            snprintf(bar->label, sizeof bar->label, "%s", *peer ? peer : shapes[s].label);
            if (*peer && own)
                snprintf(bar->text, sizeof bar->text, "%.0f ns, %.1fx", ns, 1e-9 * ns / own->value);
            else
                snprintf(bar->text, sizeof bar->text, "%.0f ns", ns);
        }
    }
    if (!has_peer) plot->count = 0;
    return finish_bars(plot, folder, name, drawn);
}

static bool draw_stream(const json_t *rows, const char *machine, const char *folder, const char *name,
                        bool *drawn) {
    static const char *const quantiles[][2] = {{"push_ms_p50", "half of all pushes"},
                                               {"push_ms_p99", "99 %"},
                                               {"push_ms_p999", "99.9 %"},
                                               {"push_ms_max", "all"}};
    struct plot_bars *plot = calloc(1, sizeof *plot);
    if (!plot) return false;
    plot->title = "Following a conversation: a push of 10 ms takes at most";
    plot->logarithmic = true;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        if (!is_row(row, "stream", NULL)) continue;
        snprintf(plot->subtitle, sizeof plot->subtitle,
                 "%.0f streams on one core of %s; %.0f kB each, for ever", json_member(row, "streams_a_core"),
                 machine, json_member(row, "bytes_a_stream") / 1e3);
        for (size_t q = 0; q < 4; q++) {
            const double ms = json_member(row, quantiles[q][0]);
            struct plot_bar *bar = add_bar(plot, 1e-3 * ms, PLOT_GREEN, false);
            if (!bar) continue;
            snprintf(bar->label, sizeof bar->label, "%s", quantiles[q][1]);
            snprintf(bar->text, sizeof bar->text, "%.3g ms", ms);
        }
    }
    return finish_bars(plot, folder, name, drawn);
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
     draw_paper},
    {"kernels", "Shares of the machine's limits that attention reaches.", "kernels", draw_kernels},
    {"peers", "Time of the same attention in other libraries.", "kernels", draw_peers},
    {"stream", "Quantiles of the time that a push of 10 ms of audio takes.", "stream", draw_stream},
};
const size_t pictures_count = sizeof pictures / sizeof *pictures;
