/* SPDX-License-Identifier: MIT */
/* conformance [DIR...]: runs every .safetensors case below the directories. Names what fails and by how much,
 * and what it skips; ends with `N passed, N failed, N skipped`. Exits 0 when nothing failed, 1 when something
 * did, 77 when there was nothing to run. */
#include "conformance_case.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

extern const conformance_family conformance_onnx_attention;

/* The first that knows a case runs it. */
static const conformance_family *const families[] = {
    &conformance_onnx_attention,
    NULL,
};

typedef struct tally {
    size_t passed, failed, skipped;
    double worst; /* of those that passed */
} tally;

static tally tallies[sizeof families / sizeof *families]; /* of each family, then of the cases nobody knows */

static size_t family_of(const conformance_case *c) {
    size_t i = 0;
    while (families[i] && !families[i]->knows(c)) i++;
    return i;
}

static void run_case(const char *path) {
    char message[256];
    conformance_case *c = conformance_case_open(path, message, sizeof message);
    if (!c) {
        printf("FAILED %s: %s\n", path, message);
        tallies[sizeof families / sizeof *families - 1].failed++;
        return;
    }
    size_t family = family_of(c);
    if (families[family])
        families[family]->run(c);
    else
        conformance_skip(c, "no family knows it");
    const conformance_result *result = conformance_case_result(c);
    if (!result->failed && !result->skipped && result->expectations == 0)
        conformance_fail(c, "nothing was expected of it");
    tally *count = tallies + family;
    if (result->failed) {
        count->failed++;
        printf("FAILED %s/%s: %s\n", conformance_folder(c), conformance_file(c), result->message);
    } else if (result->skipped) {
        count->skipped++;
        printf("skipped %s/%s: %s\n", conformance_folder(c), conformance_file(c), result->message);
    } else {
        count->passed++;
        count->worst = fmax(count->worst, result->worst);
    }
    conformance_case_close(c);
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* false when there is no such directory */
static bool run_below(const char *directory) {
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, alphasort);
    if (count < 0) return false;
    for (int i = 0; i < count; i++) {
        char path[4096];
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && stat(path, &status) == 0) {
            if (S_ISDIR(status.st_mode))
                run_below(path);
            else if (ends_with(path, ".safetensors"))
                run_case(path);
        }
        free(entries[i]);
    }
    free(entries);
    return true;
}

int main(int argc, char **argv) {
    const char *otherwise[] = {NULL, RILL_SHARED "/conformance"};
    const char **directories = argc > 1 ? (const char **)argv : otherwise;
    int directories_count = argc > 1 ? argc : 2;
    for (int i = 1; i < directories_count; i++)
        if (!run_below(directories[i]))
            printf("conformance: %s is no directory here: NOTHING WAS CHECKED\n", directories[i]);
    tally all = {0};
    for (size_t i = 0; i < sizeof tallies / sizeof *tallies; i++) {
        const tally *t = tallies + i;
        printf("%s: %zu passed, %zu failed, %zu skipped; largest difference among the passed %.2g\n",
               families[i] ? families[i]->name : "known to no family", t->passed, t->failed, t->skipped,
               t->worst);
        all.passed += t->passed;
        all.failed += t->failed;
        all.skipped += t->skipped;
    }
    printf("%zu passed, %zu failed, %zu skipped\n", all.passed, all.failed, all.skipped);
    if (all.failed > 0) return 1;
    return all.passed > 0 ? 0 : 77;
}
