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

extern const conformance_family conformance_additive, conformance_attention_cnn, conformance_detr,
    conformance_feature_maps, conformance_fla, conformance_gated_slots, conformance_graph,
    conformance_ls_eend, conformance_mamba, conformance_onnx_attention, conformance_onnx_convolution,
    conformance_onnx_linear_attention, conformance_position, conformance_recurrent_linear, conformance_rwkv7,
    conformance_sagan, conformance_softmax, conformance_transformer;

/* Every family that knows a case runs it: the same values may be had by several ways. */
static const conformance_family *const families[] = {
    &conformance_onnx_attention,
    &conformance_onnx_linear_attention,
    &conformance_onnx_convolution,
    &conformance_feature_maps,
    &conformance_fla,
    &conformance_gated_slots,
    &conformance_graph,
    &conformance_attention_cnn,
    &conformance_detr,
    &conformance_sagan,
    &conformance_mamba,
    &conformance_rwkv7,
    &conformance_ls_eend,
    &conformance_recurrent_linear,
    &conformance_softmax,
    &conformance_additive,
    &conformance_position,
    &conformance_transformer,
    NULL,
};

typedef struct tally {
    size_t passed, failed, skipped;
    double worst; /* of those that passed */
} tally;

static tally tallies[sizeof families / sizeof *families]; /* of each family, then of what nobody knows */

enum { unknown = sizeof tallies / sizeof *tallies - 1 };
static tally all;

static const char *const words[] = {"passed", "FAILED", "skipped"};
typedef enum verdict { passed, failed, skipped } verdict;

static verdict judge(const conformance_result *result) {
    return result->failed ? failed : result->skipped ? skipped : passed;
}

static void count(tally *tally_of, verdict verdict_now, double worst) {
    if (verdict_now == passed) tally_of->worst = fmax(tally_of->worst, worst);
    *(verdict_now == passed   ? &tally_of->passed
      : verdict_now == failed ? &tally_of->failed
                              : &tally_of->skipped) += 1;
}

static verdict run_family(conformance_case *c, size_t family) {
    if (families[family])
        families[family]->run(c);
    else
        conformance_skip(c, "no family knows it");
    conformance_result result = conformance_case_take_result(c);
    if (!result.failed && !result.skipped && result.expectations == 0) {
        conformance_fail(c, "nothing was expected of it");
        result = conformance_case_take_result(c);
    }
    verdict now = judge(&result);
    count(tallies + family, now, result.worst);
    if (now != passed)
        printf("%s %s/%s: %s\n", words[now], conformance_folder(c), conformance_file(c), result.message);
    return now;
}

/* A case has failed when a family failed it, and passed when one passed it and none failed it. */
static void run_case(const char *path) {
    char message[256];
    conformance_case *c = conformance_case_open(path, message, sizeof message);
    verdict final = skipped;
    bool known = false;
    if (!c) {
        printf("FAILED %s: %s\n", path, message);
        count(tallies + unknown, failed, 0);
        count(&all, failed, 0);
        return;
    }
    for (size_t i = 0; families[i]; i++) {
        if (!families[i]->knows(c)) continue;
        verdict now = run_family(c, i);
        known = true;
        if (now == failed || (now == passed && final == skipped)) final = now;
    }
    if (!known) run_family(c, unknown);
    count(&all, final, 0);
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
    for (size_t i = 0; i < sizeof tallies / sizeof *tallies; i++) {
        const tally *t = tallies + i;
        printf("%s: %zu passed, %zu failed, %zu skipped; largest difference among the passed %.2g\n",
               families[i] ? families[i]->name : "known to no family", t->passed, t->failed, t->skipped,
               t->worst);
    }
    printf("%zu passed, %zu failed, %zu skipped\n", all.passed, all.failed, all.skipped);
    if (all.failed > 0) return 1;
    return all.passed > 0 ? 0 : 77;
}
