/* SPDX-License-Identifier: MIT */
#include "bench_page.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench_pictures.h"
#include "json_line.h"

static const struct {
    const char *bench, *title, *about;
    const char *columns[15];
} chapters[] = {
    {"attention",
     "Time and memory against length",
     "The total is a whole sequence from nothing. The next token comes after so many; where nothing is kept "
     "between "
     "tokens, it costs the whole anew. Linear forms include their feature map.",
     {"what", "heads", "key_dim", "length", "total_ms", "us_per_token", "next_token_us", "memory_bytes",
      "spread", "of", "over", "measure", "exponent", "ratio"}},
    {"paper",
     "Images made value by value",
     "Transformers of the sizes of 2006.16236 with random weights, one image at a time; beside the paper's "
     "seconds on a "
     "CPU and images a second on a GPU.",
     {"data", "what", "length", "layers", "seconds_an_image", "images_a_second", "times_recomputed",
      "estimated", "memory_bytes", "paper_cpu_seconds_an_image", "paper_cpu_times_recomputed",
      "paper_gpu_images_a_second"}},
    {"kernels",
     "Against the limits of the machine",
     "A figure is the median of turns that alternate with the limits' own; a limit is the best of its turns; "
     "spread is "
     "half the quartiles' distance over the median. Rows with a peer are other libraries on the same shapes.",
     {"what", "rule", "kernels", "key_dim", "length", "threads", "ns_per_token_head", "spread", "gflops",
      "limit", "fraction_of_limit", "speed_up", "peer"}},
    {"stream",
     "Following a conversation",
     "Audio pushed in blocks of 10 ms as a microphone gives it, every push timed.",
     {"audio_seconds", "real_time_factor", "streams_a_core", "bytes_a_stream", "push_ms_p50", "push_ms_p99",
      "push_ms_p999", "push_ms_max", "decision_wait_seconds_mean", "turns", "speakers"}}};

static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>rill: "
    "benchmarks</title>\n<style>\n"
    "body { font: 16px/1.5 sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }\n"
    "img { max-width: 100%; border: 1px solid #ddd; margin: .5rem 0 }\n"
    "table { border-collapse: collapse; font-size: 13px; margin: 1rem 0; display: block; overflow-x: auto }\n"
    "th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #eee; white-space: nowrap "
    "}\n"
    "th { background: #f6f6f6 } summary { cursor: pointer }\n</style>\n<h1>rill: benchmarks</h1>\n";

/* Text that rows bring along, which may be from files. */
static void write_text(FILE *page, const char *text) {
    for (; *text; text++)
        if (*text == '<')
            fputs("&lt;", page);
        else if (*text == '>')
            fputs("&gt;", page);
        else if (*text == '&')
            fputs("&amp;", page);
        else if (*text == '"')
            fputs("&quot;", page);
        else
            fputc(*text, page);
}

static void write_value(FILE *page, const json_t *value) {
    if (json_is_string(value))
        write_text(page, json_string_value(value));
    else if (json_is_integer(value))
        fprintf(page, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        fprintf(page, "%.5g", json_real_value(value));
    else if (json_is_boolean(value))
        fputs(json_is_true(value) ? "yes" : "no", page);
}

static bool is_of(const json_t *row, const char *bench) {
    return strcmp(json_member_text(row, "bench"), bench) == 0;
}

static void write_machine(FILE *page, const json_t *rows) {
    size_t i;
    json_t *row, *value;
    const char *key;
    json_array_foreach(rows, i, row) {
        if (!is_of(row, "machine")) continue;
        fputs("<table>\n", page);
        json_object_foreach(row, key, value) {
            if (strcmp(key, "bench") == 0) continue;
            fputs("<tr><th>", page);
            write_text(page, key);
            fputs("<td style=\"text-align: left\">", page);
            write_value(page, value);
            fputc('\n', page);
        }
        fputs("</table>\n", page);
    }
}

static void write_rows(FILE *page, const json_t *rows, size_t chapter) {
    const char *const *columns = chapters[chapter].columns;
    size_t i;
    json_t *row;
    fputs("<details><summary>All figures</summary>\n<table>\n<tr>", page);
    for (size_t c = 0; columns[c]; c++) fprintf(page, "<th>%s", columns[c]);
    fputc('\n', page);
    json_array_foreach(rows, i, row) {
        if (!is_of(row, chapters[chapter].bench)) continue;
        fputs("<tr>", page);
        for (size_t c = 0; columns[c]; c++) {
            fputs("<td>", page);
            write_value(page, json_object_get(row, columns[c]));
        }
        fputc('\n', page);
    }
    fputs("</table>\n</details>\n", page);
}

bool page_write(const char *path, const json_t *rows, const bool *drawn) {
    FILE *page = fopen(path, "w");
    if (!page) return false;
    fputs(head, page);
    write_machine(page, rows);
    for (size_t chapter = 0; chapter < sizeof chapters / sizeof *chapters; chapter++) {
        size_t i, count = 0;
        json_t *row;
        json_array_foreach(rows, i, row) count += is_of(row, chapters[chapter].bench);
        if (count == 0) continue;
        fprintf(page, "<h2>%s</h2>\n<p>%s\n", chapters[chapter].title, chapters[chapter].about);
        for (size_t p = 0; p < pictures_count; p++)
            if (drawn[p] && strcmp(pictures[p].bench, chapters[chapter].bench) == 0)
                fprintf(page, "<p><img src=\"%s.svg\" alt=\"%s\">\n", pictures[p].name,
                        pictures[p].alternative);
        write_rows(page, rows, chapter);
    }
    fputs("</html>\n", page);
    const bool well = ferror(page) == 0;
    const int reason = errno;
    const bool closed = fclose(page) == 0;
    if (!well) errno = reason;
    return well && closed;
}
