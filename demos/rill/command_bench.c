/* SPDX-License-Identifier: MIT */
/* rill bench: finds the benchmark and runs it. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "command.h"
#include "options.h"

static const struct {
    const char *name, *summary;
    int (*run)(int count, char **arguments);
} benches[] = {
    {"stream", "the main job: following a conversation", bench_stream},
    {"kernels", "attention step by step and in bulk, against the machine's limits", bench_kernels},
    {"attention", "softmax and linear attention: time and memory against length", bench_attention},
    {"paper", "images made value by value, beside the figures of 2006.16236", bench_paper},
    {"machine", "what is measured on", bench_machine},
    {"report", "all of these as a page with pictures", bench_report},
};
enum { BENCHES = sizeof benches / sizeof *benches };

static const struct argp_child children[] = {{&options_output, 0, NULL, 0}, {0}};

static error_t parse(int key, char *text, struct argp_state *state) {
    (void)text;
    if (key == ARGP_KEY_INIT)
        options_share(state, children, state->input);
    else if (key == ARGP_KEY_END)
        argp_error(state, "what shall be measured? stream, kernels, attention, paper, machine, report");
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static char *tell_benches(int key, const char *text, void *input) {
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC) return (char *)text;
    char *told = NULL;
    size_t size;
    FILE *to = open_memstream(&told, &size);
    if (!to) return (char *)text;
    for (size_t i = 0; i < BENCHES; i++) fprintf(to, "  %-9s  %s\n", benches[i].name, benches[i].summary);
    fputs("\nrill bench NAME --help tells more.", to);
    return fclose(to) == 0 ? told : (char *)text;
}

int command_bench(int count, char **arguments) {
    for (size_t i = 0; count > 1 && i < BENCHES; i++) {
        if (strcmp(arguments[1], benches[i].name) != 0) continue;
        char full_name[32];
        snprintf(full_name, sizeof full_name, "rill bench %s", benches[i].name);
        arguments[1] = full_name;
        return benches[i].run(count - 1, arguments + 1);
    }
    struct options shared = options_defaults();
    const struct argp argp = {
        NULL,         parse, "NAME [OPTION...]", "Measures what rill costs on this machine.\v", children,
        tell_benches, NULL};
    options_parse(&argp, count, arguments, &shared);
    return EXIT_USAGE;
}
