/* SPDX-License-Identifier: MIT */
/* rill bench report: runs the benchmarks, or reads rows that they and their peers' script have printed, and
 * makes a page with pictures of them. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "bench_page.h"
#include "bench_pictures.h"
#include "bench_plot.h"
#include "command.h"
#include "json_line.h"
#include "message.h"
#include "options.h"

struct arguments {
    struct options shared;
    bool quick;
};

enum { KEY_QUICK = 0x400 };
static const struct argp_option own[] = {
    {"quick", KEY_QUICK, NULL, 0, "Fewer and shorter measurements: half a minute", 0}, {0}};
static const struct argp_child children[] = {{&options_output, 0, NULL, 0}, {0}};

static error_t parse(int key, char *text, struct argp_state *state) {
    struct arguments *arguments = state->input;
    (void)text;
    if (key == ARGP_KEY_INIT)
        options_share(state, children, &arguments->shared);
    else if (key == KEY_QUICK)
        arguments->quick = true;
    else if (key == ARGP_KEY_END && arguments->shared.count == 0)
        argp_error(state, "a FOLDER is needed to write the report to");
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int count, char **arguments);
    const char *quick[6];
} sections[] = {{"machine", bench_machine, {NULL}},
                {"attention", bench_attention, {"--length=16,64,256,1024", "--seconds=0.05", NULL}},
                {"paper", bench_paper, {"--data=mnist", "--steps=32", NULL}},
                {"kernels", bench_kernels, {"--dim=64", "--length=1024", "--seconds=0.05", NULL}},
                {"stream", bench_stream, {"--seconds=5", NULL}}};
enum { SECTIONS = sizeof sections / sizeof *sections };

/* Rows, one object a line. A line that is none is refused. */
static bool read_rows(const char *path, json_t *rows) {
    FILE *file = fopen(path, "r");
    if (!file) {
        complain("%s: %s", path, strerror(errno));
        return false;
    }
    json_error_t error;
    bool well = true;
    for (size_t number = 1;; number++) {
        int next;
        while ((next = fgetc(file)) == '\n' || next == '\r') continue;
        if (next == EOF) break;
        ungetc(next, file);
        json_t *row = json_loadf(file, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &error);
        if (!json_is_object(row)) {
            complain("%s: row %zu is no JSON object: %s", path, number, row ? "another value" : error.text);
            json_decref(row);
            well = false;
            break;
        }
        json_array_append_new(rows, row);
    }
    fclose(file);
    return well;
}

/* A benchmark in a process of its own, its rows to a file. */
static int run_section(size_t section, bool quick, bool quiet, const char *path) {
    const pid_t child = fork();
    if (child == 0) {
        char name[32], json[] = "--json", hush[] = "--quiet", *given[10] = {name, json, hush};
        int count = quiet ? 3 : 2;
        snprintf(name, sizeof name, "rill bench %s", sections[section].name);
        if (!freopen(path, "w", stdout)) {
            complain("%s: %s", path, strerror(errno));
            exit(EXIT_OUTPUT);
        }
        for (size_t i = 0; quick && sections[section].quick[i]; i++)
            given[count++] = strdup(sections[section].quick[i]);
        exit(sections[section].run(count, given));
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        complain("%s: %s", sections[section].name, strerror(errno));
        return EXIT_INPUT;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_INPUT;
}

static int run_all(const char *folder, bool quick, bool quiet, json_t *rows) {
    int code = EXIT_DONE;
    for (size_t i = 0; i < SECTIONS && code == EXIT_DONE; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s.jsonl", folder, sections[i].name);
        if (!quiet) remark("rill bench %s …", sections[i].name);
        code = run_section(i, quick, quiet, path);
        if (code == EXIT_DONE && !read_rows(path, rows)) code = EXIT_INPUT;
    }
    return code;
}

/* "AMD EPYC (…)" without what stands in brackets, and with the kernel table. */
static void name_machine(const json_t *rows, size_t size, char *name) {
    size_t i;
    json_t *row;
    snprintf(name, size, "this machine");
    json_array_foreach(rows, i, row) {
        const char *processor = json_member_text(row, "processor");
        if (*processor)
            snprintf(name, size, "%.*s (%s)", (int)strcspn(processor, "("), processor,
                     json_member_text(row, "kernels"));
    }
    char *blanks = strstr(name, "  (");
    if (blanks) memmove(blanks, blanks + 1, strlen(blanks));
}

static int write_report(const char *folder, const json_t *rows, bool quiet) {
    bool drawn[16] = {false};
    char machine[128], path[4096];
    name_machine(rows, sizeof machine, machine);
    if (!plot_is_built()) remark("built without cairo: there are no pictures, only tables");
    bool well = true;
    for (size_t i = 0; i < pictures_count && plot_is_built() && well; i++)
        well = pictures[i].draw(rows, machine, folder, pictures[i].name, &drawn[i]);
    plot_end();
    if (!well) return EXIT_OUTPUT;
    snprintf(path, sizeof path, "%s/index.html", folder);
    if (!page_write(path, rows, drawn)) {
        complain("%s: %s", path, strerror(errno));
        return EXIT_OUTPUT;
    }
    if (!quiet) remark("%s", path);
    return EXIT_DONE;
}

int bench_report(int count, char **given) {
    static const char doc[] = "Runs all benchmarks, which takes some minutes, and writes a page with "
                              "pictures and all figures: index.html, "
                              "*.svg, *.png and *.jsonl in the FOLDER, which is made when it is not there. "
                              "With --json the rows shown are printed, too."
                              "\vWith FILEs nothing is run: their rows, as --json prints them, are shown "
                              "instead. scripts/bench-peers prints "
                              "such rows of other libraries.";
    struct arguments arguments = {.shared = options_defaults()};
    const struct argp argp = {own, parse, "FOLDER [FILE...]", doc, children, NULL, NULL};
    options_parse(&argp, count, given, &arguments);
    const char *folder = arguments.shared.words[0];
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        complain("%s: %s", folder, strerror(errno));
        return EXIT_OUTPUT;
    }
    json_t *rows = json_array();
    int code = EXIT_DONE;
    if (arguments.shared.count == 1) code = run_all(folder, arguments.quick, arguments.shared.quiet, rows);
    for (size_t i = 1; i < arguments.shared.count && code == EXIT_DONE; i++)
        if (!read_rows(arguments.shared.words[i], rows)) code = EXIT_INPUT;
    if (code == EXIT_DONE) code = write_report(folder, rows, arguments.shared.quiet);
    for (size_t i = 0; i < json_array_size(rows) && arguments.shared.json && code == EXIT_DONE; i++)
        if (!json_line(json_incref(json_array_get(rows, i)))) code = EXIT_OUTPUT;
    json_decref(rows);
    return code;
}
