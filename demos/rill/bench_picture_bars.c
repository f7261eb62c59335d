/* SPDX-License-Identifier: MIT */
#include "bench_picture_bars.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_plot.h"
#include "json_line.h"

bool picture_has(const json_t *row, const char *bench, const char *what) {
    return strcmp(json_member_text(row, "bench"), bench) == 0 &&
           (!what || strcmp(json_member_text(row, "what"), what) == 0);
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

static void tell_paper(struct plot_bar *bar, double seconds, double ratio) {
    char number[PLOT_TEXT], times[PLOT_TEXT];
    plot_number(seconds, number);
    plot_number(ratio, times);
    snprintf(bar->text, sizeof bar->text, "%.24s s, %.24sx", number, times);
}

bool picture_paper(const json_t *rows, const char *machine, const char *folder, const char *name,
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
        if (!picture_has(row, "paper", NULL)) continue;
        const char *data = json_member_text(row, "data"), *what = json_member_text(row, "what");
        const bool linear = strcmp(what, "linear") == 0, cached = strstr(what, "cached") != NULL;
        struct plot_bar *bar = add_bar(plot, json_member(row, "seconds_an_image"),
                                       linear   ? PLOT_GREEN
                                       : cached ? PLOT_ORANGE
                                                : PLOT_RED,
                                       strcmp(data, last) != 0);
        last = data;
        if (!bar) continue;
        const char *kind = linear ? "linear" : cached ? "softmax, cache" : "softmax";
        snprintf(bar->label, sizeof bar->label, "%s, %s", strcmp(data, "mnist") == 0 ? "MNIST" : "CIFAR-10",
                 kind);
        tell_paper(bar, json_member(row, "seconds_an_image"), json_member(row, "times_recomputed"));
        const double paper = json_member(row, "paper_cpu_seconds_an_image");
        if ((bar = add_bar(plot, paper, PLOT_GREY, false)))
            tell_paper(bar, paper, json_member(row, "paper_cpu_times_recomputed"));
    }
    return finish_bars(plot, folder, name, drawn);
}

/* Is it of what the pictures of kernels are of: 8 heads of 64 on one thread? A peer's row need not tell its
 * heads. */
static bool is_of_shape(const json_t *row) {
    const double heads = json_member(row, "heads");
    return (isnan(heads) || heads == 8) && json_member(row, "key_dim") == 64 &&
           json_member(row, "threads") == 1;
}

/* One kernel table's share of the limit at 64 dimensions and 1024 steps: the best there is. */
bool picture_kernels(const json_t *rows, const char *machine, const char *folder, const char *name,
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
        if (!picture_has(row, "kernels", NULL) || !is_of_shape(row) || strcmp(what, "feature_map") == 0)
            continue;
        if (!isfinite(json_member(row, "fraction_of_limit")) || strncmp(what, "encoder", 7) == 0) continue;
        if (length != 1 && length != 1024) continue;
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
bool picture_peers(const json_t *rows, const char *machine, const char *folder, const char *name,
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
    } shapes[] = {
        {"linear", 1024, "linear, in bulk: rill"}, {"gated", 1024, "gated, in bulk: rill"},
        {"delta", 1024, "delta, in bulk: rill"},   {"gated_delta", 1024, "gated delta, in bulk: rill"},
        {"linear", 1, "linear, one step: rill"},   {"gated", 1, "gated, one step: rill"}};
    bool has_peer = false;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t i;
        json_t *row;
        struct plot_bar *own = NULL;
        json_array_foreach(rows, i, row) {
            if (!picture_has(row, "kernels", NULL) || !is_of_shape(row)) continue;
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
            const double times =
                json_member(row, "times_rill"); /* measured beside, or else of the rows here */
            if (*peer && own)
                snprintf(bar->text, sizeof bar->text, "%.0f ns, %.1fx", ns,
                         isnan(times) ? 1e-9 * ns / own->value : times);
            else
                snprintf(bar->text, sizeof bar->text, "%.0f ns", ns);
        }
    }
    if (!has_peer) plot->count = 0;
    return finish_bars(plot, folder, name, drawn);
}

bool picture_stream(const json_t *rows, const char *machine, const char *folder, const char *name,
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
        if (!picture_has(row, "stream", NULL)) continue;
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
