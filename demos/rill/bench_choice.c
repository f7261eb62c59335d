/* SPDX-License-Identifier: MIT */
#include "bench_choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "message.h"

enum key {
    KEY_CSV = 0x200,
    KEY_WHAT,
    KEY_RULE,
    KEY_KERNELS,
    KEY_DIM,
    KEY_LENGTH,
    KEY_HEADS,
    KEY_DECAY,
    KEY_SECONDS
};

static struct numbers whole_numbers(struct argp_state *state, const char *option, const char *text,
                                    double greatest) {
    struct numbers numbers = {.count = 0};
    char *copy = strdup(text), *rest = NULL;
    for (char *word = copy ? strtok_r(copy, ",", &rest) : NULL; word; word = strtok_r(NULL, ",", &rest)) {
        if (numbers.count == CHOICE_NUMBERS)
            argp_error(state, "%s: at most %d numbers", option, CHOICE_NUMBERS);
        numbers.at[numbers.count++] = options_whole_number(state, option, word, 1, greatest);
    }
    free(copy);
    if (numbers.count == 0) argp_error(state, "%s: no number", option);
    return numbers;
}

static const struct argp_child children[] = {{&options_output, 0, NULL, 0}, {0}};

static error_t parse_output(int key, char *text, struct argp_state *state) {
    struct choice *choice = state->input;
    (void)text;
    if (key == ARGP_KEY_INIT)
        options_share(state, children, &choice->shared);
    else if (key == KEY_CSV)
        choice->csv = true;
    else if (key == ARGP_KEY_END && choice->csv && choice->shared.json)
        argp_error(state, "--json and --csv exclude each other");
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static error_t parse_subject(int key, char *text, struct argp_state *state) {
    struct choice *choice = state->input;
    switch (key) {
    case KEY_WHAT:
        choice->what = text;
        break;
    case KEY_KERNELS:
        choice->kernels = text;
        break;
    case KEY_DIM:
        choice->dims = whole_numbers(state, "--dim", text, 1024);
        break;
    case KEY_LENGTH:
        choice->lengths = whole_numbers(state, "--length", text, 1 << 20);
        break;
    case KEY_HEADS:
        choice->heads = options_whole_number(state, "--heads", text, 1, 256);
        break;
    case KEY_SECONDS:
        choice->seconds = options_number(state, "--seconds", text, 0.01, 3600);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse_rule(int key, char *text, struct argp_state *state) {
    struct choice *choice = state->input;
    if (key == KEY_RULE)
        choice->rule = text;
    else if (key == KEY_DECAY) {
        if (strcmp(text, "head") != 0 && strcmp(text, "key") != 0)
            argp_error(state, "--decay: \"%s\" is neither head nor key", text);
        choice->decay_per_key = strcmp(text, "key") == 0;
    } else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp_option output[] = {{"csv", KEY_CSV, NULL, 0, "Print comma-separated values", 0},
                                            {0}};
static const struct argp_option subject[] = {
    {"what", KEY_WHAT, "NAME,...", 0, "Only these figures (below)", 0},
    {"kernels", KEY_KERNELS, "NAME,...", 0,
     "Only these kernel tables: reference, portable, avx2, avxvnni, avx512, avx512vnni, zen4, zen5, amx, "
     "neon",
     0},
    {"dim", KEY_DIM, "N,...", 0, "Dimension of keys and values", 0},
    {"length", KEY_LENGTH, "N,...", 0, "Steps of a sequence", 0},
    {"heads", KEY_HEADS, "N", 0, "Heads (default: 8)", 0},
    {"seconds", KEY_SECONDS, "SECONDS", 0, "Spend about so much on each figure", 0},
    {0}};
static const struct argp_option rule[] = {
    {"rule", KEY_RULE, "NAME,...", 0, "Only these update rules: linear, gated, delta, gated_delta", 0},
    {"decay", KEY_DECAY, "head|key", 0,
     "A decay for each step and head (the default), or for each key dimension too", 0},
    {0}};

const struct argp choice_output = {output, parse_output, NULL, NULL, children, NULL, NULL};
const struct argp choice_subject = {subject, parse_subject, NULL, NULL, NULL, NULL, NULL};
const struct argp choice_rule = {rule, parse_rule, NULL, NULL, NULL, NULL, NULL};

void choice_share(struct argp_state *state, const struct argp_child *of, struct choice *choice) {
    for (size_t i = 0; of[i].argp; i++) state->child_inputs[i] = choice;
}

bool choice_names(const char *list, const char *name) {
    if (!list) return true;
    const size_t length = strlen(name);
    for (const char *word = list; *word;) {
        size_t width = strcspn(word, ",");
        if (width == length && memcmp(word, name, length) == 0) return true;
        word += width + (word[width] == ',');
    }
    return false;
}

bool choice_known(const char *option, const char *list, size_t count, const char *const known[]) {
    for (const char *word = list; word && (*word || word == list);) { /* no name at all is none of them */
        const int width = (int)strcspn(word, ",");
        size_t i = 0;
        while (i < count &&
               !(strlen(known[i]) == (size_t)width && memcmp(known[i], word, (size_t)width) == 0))
            i++;
        if (i == count) {
            char names[512] = "";
            for (i = 0; i < count; i++)
                snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "",
                         known[i]);
            complain("%s: \"%.*s\" is none of %s", option, width, word, names);
            return false;
        }
        word += width + (word[width] == ',');
    }
    return true;
}

bool choice_kernels_known(const char *list) {
    const char *names[16];
    size_t count = 0;
    bool runs_here;
    const rill_kernels *table;
    for (size_t i = 0;
         (table = rill_kernels_at(i, &runs_here)) != NULL && count < sizeof names / sizeof *names; i++)
        if (runs_here) names[count++] = table->name;
    return choice_known("--kernels (of those that run here)", list, count, names);
}

enum bench_format choice_format(const struct choice *choice) {
    return choice->shared.json ? BENCH_JSON : choice->csv ? BENCH_CSV : BENCH_PEOPLE;
}
