/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include <rill/stream/speakers.h>

#include "random_numbers.h"

static rill_model *model;
static size_t dim;
static char folder[] = "speakers_XXXXXX";

static void open_model(void) {
    rill_error why = {""};
    cr_assert_eq(rill_model_open(RILL_MODEL, &model, &why), RILL_OK, "%s", why.message);
    dim = rill_model_get_info(model)->embedding_dim;
    cr_assert_not_null(mkdtemp(folder));
}

static void remove_tree(const char *path) {
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char child[512];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (unlink(child) != 0) remove_tree(child);
    }
    if (directory) closedir(directory);
    rmdir(path);
}

static void close_model(void) {
    rill_model_close(model);
    remove_tree(folder);
}

TestSuite(speakers, .init = open_model, .fini = close_model);

static const char *in_folder(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static size_t entries_in_folder(void) {
    DIR *directory = opendir(folder);
    size_t count = 0;
    while (readdir(directory)) count++;
    closedir(directory);
    return count - 2;
}

static rill_speakers *new_speakers(void) {
    rill_speakers *speakers;
    cr_assert_eq(rill_speakers_create(model, &speakers, NULL), RILL_OK);
    return speakers;
}

/* Of unit length up to rounding. */
static void random_embedding(float *embedding) {
    double square = 0;
    for (size_t i = 0; i < dim; i++) {
        embedding[i] = (float)(random_uniform() - 0.5);
        square += (double)embedding[i] * (double)embedding[i];
    }
    for (size_t i = 0; i < dim; i++) embedding[i] = (float)((double)embedding[i] / sqrt(square));
}

static void enroll(rill_speakers *speakers, const char *name, const float *embedding, double seconds) {
    rill_error why = {""};
    cr_assert_eq(rill_speakers_enroll(speakers, name, embedding, seconds, &why), RILL_OK, "%s", why.message);
}

static double length_of(const float *x) {
    double square = 0;
    for (size_t i = 0; i < dim; i++) square += (double)x[i] * (double)x[i];
    return sqrt(square);
}

Test(speakers, enrolling_twice_is_the_mean_weighted_by_seconds) {
    random_seed(1);
    float a[512], b[512];
    rill_speakers *speakers = new_speakers();
    random_embedding(a);
    random_embedding(b);
    enroll(speakers, "Anna", a, 3);
    for (size_t i = 0; i < dim; i++) b[i] *= 17; /* only the direction counts */
    enroll(speakers, "Anna", b, 9);
    cr_assert_eq(rill_speakers_count(speakers), 1);
    rill_enrolled anna = rill_speakers_at(speakers, 0);
    cr_assert_eq(anna.seconds, 12);
    double mean[512], square = 0;
    for (size_t i = 0; i < dim; i++) {
        mean[i] = (3 * (double)a[i] + 9 * (double)b[i] / 17) / 12;
        square += mean[i] * mean[i];
    }
    for (size_t i = 0; i < dim; i++)
        cr_assert(fabs(mean[i] / sqrt(square) - (double)anna.embedding[i]) < 1e-6);
    cr_assert(fabs(length_of(anna.embedding) - 1) < 1e-6);
    rill_speakers_destroy(speakers);
}

Test(speakers, keep_their_order_and_names_stay_unique) {
    random_seed(2);
    float a[512];
    rill_error why = {""};
    rill_speakers *speakers = new_speakers();
    const char *name[] = {"Anna", "Bo", "Чехов", "d"};
    for (size_t i = 0; i < 4; i++) random_embedding(a), enroll(speakers, name[i], a, 1);
    cr_assert_eq(rill_speakers_rename(speakers, "Bo", "Anna", &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_speakers_rename(speakers, "Bo", "Bo", &why), RILL_OK, "%s", why.message);
    cr_assert_eq(rill_speakers_rename(speakers, "Bo", "", &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_speakers_rename(speakers, "Nobody", "X", &why), RILL_NOT_FOUND);
    cr_assert_not_null(strstr(why.message, "Nobody"));
    cr_assert_eq(rill_speakers_rename(speakers, "Bo", "Bob", &why), RILL_OK);
    cr_assert_eq(rill_speakers_remove(speakers, "Bo", &why), RILL_NOT_FOUND);
    cr_assert_eq(rill_speakers_remove(speakers, "Anna", &why), RILL_OK);
    cr_assert_eq(rill_speakers_count(speakers), 3);
    const char *left[] = {"Bob", "Чехов", "d"};
    for (size_t i = 0; i < 3; i++) cr_assert_str_eq(rill_speakers_at(speakers, i).name, left[i]);
    rill_speakers_destroy(speakers);
}

Test(speakers, what_is_no_voice_is_refused) {
    random_seed(3);
    float good[512], bad[512];
    rill_error why;
    rill_speakers *speakers = new_speakers();
    random_embedding(good);
    char too_long[RILL_NAME_SIZE + 1];
    memset(too_long, 'x', RILL_NAME_SIZE);
    too_long[RILL_NAME_SIZE] = 0;
    const char *name[] = {"",
                          "a\nb",
                          "\x1b[31m",
                          "\x7f",
                          "\xc2\x85",
                          "\xff",
                          "\xc0\x80",
                          "\xe2\x82",
                          "\xed\xa0\x80",
                          "\xf4\x90\x80\x80",
                          "\xf0\x82\x82\xac",
                          "a\x80",
                          too_long};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        cr_assert_eq(rill_speakers_enroll(speakers, name[i], good, 1, &why), RILL_BAD_ARGUMENT, "name %zu",
                     i);
    double seconds[] = {0, -1, NAN, INFINITY, 1e300};
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(rill_speakers_enroll(speakers, "Anna", good, seconds[i], &why), RILL_BAD_ARGUMENT);
    float value[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        memcpy(bad, good, sizeof bad);
        bad[dim / 2] = value[i];
        cr_assert_eq(rill_speakers_enroll(speakers, "Anna", bad, 1, &why), RILL_BAD_ARGUMENT);
    }
    memset(bad, 0, sizeof bad);
    cr_assert_eq(rill_speakers_enroll(speakers, "Anna", bad, 1, &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_speakers_count(speakers), 0);
    too_long[RILL_NAME_SIZE - 1] = 0;
    enroll(speakers, too_long, good, 1);
    enroll(speakers, "Élodie 😀", good, 1);
    for (size_t i = 0; i < dim; i++) bad[i] = -good[i];
    cr_assert_eq(rill_speakers_enroll(speakers, "Élodie 😀", bad, 1, &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_speakers_at(speakers, 1).seconds, 1, "nothing changed");
    cr_assert_arr_eq(rill_speakers_at(speakers, 1).embedding, good, dim * sizeof *good);
    rill_speakers_destroy(speakers);
}

Test(speakers, come_back_bit_for_bit_from_their_file) {
    random_seed(4);
    float a[512];
    rill_error why = {""};
    rill_speakers *speakers = new_speakers(), *read;
    const char *name[] = {"Anna", "\"quotes\" and \\", "Чехов"};
    for (size_t i = 0; i < 3; i++) random_embedding(a), enroll(speakers, name[i], a, 1.25 + (double)i);
    for (int pass = 0; pass < 2; pass++) { /* new, and over an old one */
        cr_assert_eq(rill_speakers_write(speakers, in_folder("a/b//c/voices.json"), &why), RILL_OK, "%s",
                     why.message);
        cr_assert_eq(rill_speakers_read(model, in_folder("a/b/c/voices.json"), &read, &why), RILL_OK, "%s",
                     why.message);
        cr_assert_eq(rill_speakers_count(read), 3);
        for (size_t i = 0; i < 3; i++) {
            rill_enrolled x = rill_speakers_at(speakers, i), y = rill_speakers_at(read, i);
            cr_assert_str_eq(x.name, y.name);
            cr_assert_eq(x.seconds, y.seconds);
            cr_assert_arr_eq(x.embedding, y.embedding, dim * sizeof *x.embedding);
        }
        rill_speakers_destroy(read);
    }
    rill_speakers_destroy(speakers);
    rill_speakers_destroy(NULL);
    cr_assert_eq(rill_speakers_read(model, in_folder("none.json"), &read, &why), RILL_NOT_FOUND);
    cr_assert_null(read);
}

static mode_t mode_of(const char *path) {
    struct stat there;
    cr_assert_eq(stat(path, &there), 0);
    return there.st_mode & 0777;
}

static void put(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

Test(speakers, file_is_for_the_user_alone) {
    rill_error why = {""};
    rill_speakers *speakers = new_speakers();
    umask(0);
    cr_assert_eq(rill_speakers_write(speakers, in_folder("new/voices.json"), &why), RILL_OK, "%s",
                 why.message);
    cr_assert_eq(mode_of(in_folder("new/voices.json")), 0600);
    cr_assert_eq(mode_of(in_folder("new")), 0700);
    chmod(in_folder("new/voices.json"), 0666);
    cr_assert_eq(rill_speakers_write(speakers, in_folder("new/voices.json"), &why), RILL_OK);
    cr_assert_eq(mode_of(in_folder("new/voices.json")), 0600);
    rill_speakers_destroy(speakers);
}

Test(speakers, what_is_no_regular_file_is_left_alone) {
    rill_error why = {""};
    rill_speakers *speakers = new_speakers();
    char target[512];
    snprintf(target, sizeof target, "%s", in_folder("precious"));
    put(target, "mine");
    cr_assert_eq(symlink("precious", in_folder("link")), 0);
    cr_assert_eq(mkfifo(in_folder("pipe"), 0600), 0);
    cr_assert_eq(mkdir(in_folder("directory"), 0700), 0);
    const char *name[] = {"link", "pipe", "directory", "directory/", "precious/below"};
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(rill_speakers_write(speakers, in_folder(name[i]), &why), RILL_IO_ERROR, "%s", name[i]);
        cr_assert_not_null(strstr(why.message, folder), "%s", why.message);
        cr_assert_eq(rill_speakers_can_write(in_folder(name[i]), &why), RILL_IO_ERROR, "%s", name[i]);
        cr_assert_not_null(strstr(why.message, folder), "%s", why.message);
    }
    cr_assert_eq(rill_speakers_write(speakers, "", &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_speakers_can_write("", &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(entries_in_folder(), 4, "nothing was left behind");
    char text[8] = "";
    FILE *file = fopen(target, "rb");
    cr_assert_eq(fread(text, 1, sizeof text, file), 4);
    fclose(file);
    cr_assert_str_eq(text, "mine");
    cr_assert_eq(rill_speakers_can_write(in_folder("new/voices.json"), &why), RILL_OK, "%s", why.message);
    cr_assert_eq(rmdir(in_folder("new")), 0, "the folder is made, and empty");
    cr_assert_eq(rill_speakers_can_write(target, &why), RILL_OK, "%s", why.message);
    cr_assert_eq(entries_in_folder(), 4, "nothing was left behind");
    rill_speakers_destroy(speakers);
}

Test(speakers, a_full_disk_leaves_the_old_file_whole) {
    random_seed(5);
    rill_error why = {""};
    rill_speakers *speakers = new_speakers(), *read;
    float a[512];
    random_embedding(a);
    enroll(speakers, "Anna", a, 1);
    cr_assert_eq(rill_speakers_write(speakers, in_folder("voices.json"), &why), RILL_OK);
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "B%d", i);
        random_embedding(a);
        enroll(speakers, name, a, 1);
    }
    struct rlimit old, small = {4096, RLIM_INFINITY}; /* a file may not grow further: as on a full disk */
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    rill_status status = rill_speakers_write(speakers, in_folder("voices.json"), &why);
    setrlimit(RLIMIT_FSIZE, &old);
    cr_assert_eq(status, RILL_IO_ERROR);
    cr_assert_eq(entries_in_folder(), 1, "the half-written one is gone");
    cr_assert_eq(rill_speakers_read(model, in_folder("voices.json"), &read, &why), RILL_OK, "%s",
                 why.message);
    cr_assert_eq(rill_speakers_count(read), 1);
    rill_speakers_destroy(read);
    rill_speakers_destroy(speakers);
}

/* A file with one speaker, its pieces replaceable. */
static char *text_of(const char *format, const char *fingerprint, const char *name, const char *seconds,
                     const char *first, const char *more) {
    char *text = malloc(32 * dim + 1024), *end = text;
    end += sprintf(end, "{\"format\":\"%s\",\"model\":\"%s\",\"model_id\":\"some model\",\"speakers\":[",
                   format, fingerprint);
    end += sprintf(end, "{\"name\":%s,\"seconds\":%s,\"embedding\":[%s", name, seconds, first);
    for (size_t i = 1; i < dim; i++) end += sprintf(end, ",0");
    sprintf(end, "]}%s", more);
    return text;
}

static void expect(char *text, rill_status expected, const char *said) {
    rill_speakers *speakers;
    rill_error why = {""};
    rill_status status = rill_speakers_parse(model, "voices.json", text, strlen(text), &speakers, &why);
    cr_assert_eq(status, expected, "%s for %.200s: %s", rill_status_text(status), text, why.message);
    if (expected != RILL_OK) {
        cr_assert_null(speakers);
        cr_assert_not_null(strstr(why.message, "voices.json"), "%s", why.message);
        cr_assert_not_null(strstr(why.message, said), "%s", why.message);
        for (const char *c = why.message; *c; c++) cr_assert((unsigned char)*c >= ' ', "%s", why.message);
    }
    rill_speakers_destroy(speakers);
    free(text);
}

Test(speakers, a_file_that_is_wrong_says_what) {
    const char *own = rill_model_get_info(model)->fingerprint, *good = "rill-speakers-1", *end = "]}";
    expect(text_of(good, own, "\"A\"", "1.5", "1", end), RILL_OK, "");
    expect(text_of(good, own, "\"A\"", "1", "1.0000001", "] } \n"), RILL_OK, "");
    expect(text_of(good, "0123456789abcdef", "\"A\"", "1", "1", end), RILL_WRONG_MODEL, "rill enroll");
    expect(text_of(good, "x", "\"A\"", "1", "1", end), RILL_BAD_FORMAT, "fingerprint");
    expect(text_of("rill-speakers-2", own, "\"A\"", "1", "1", end), RILL_UNSUPPORTED, "rill-speakers-1");
    expect(text_of("voices", own, "\"A\"", "1", "1", end), RILL_BAD_FORMAT, "no speaker file");
    const char *name[] = {"\"\"", "7", "null", "\"\\u0000\"", "\"a\\u001b[2J\"", "\"\xff\"", "\"\\ud800\""};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        expect(text_of(good, own, name[i], "1", "1", end), RILL_BAD_FORMAT, "");
    const char *seconds[] = {"0", "-1", "1e300", "1e999", "\"1\"", "null", "true", "NaN", "1e9999"};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
        expect(text_of(good, own, "\"A\"", seconds[i], "1", end), RILL_BAD_FORMAT, "");
    const char *first[] = {"0",    "0.99",  "1.01", "-2",  "1e30", "1e999",
                           "null", "\"1\"", "[1]",  "1,0", "NaN",  ""};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        expect(text_of(good, own, "\"A\"", "1", first[i], end), RILL_BAD_FORMAT, "");
    const char *more[] = {"]",
                          "",
                          "]}x",
                          ",7]}",
                          ",{}]}",
                          "],\"speakers\":[]}",
                          "],\"other\":1}",
                          ",{\"name\":\"B\",\"seconds\":1,\"embedding\":[]}]}"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        expect(text_of(good, own, "\"A\"", "1", "1", more[i]), RILL_BAD_FORMAT, "");
    char *once = text_of(good, own, "\"A\"", "1", "1", ""), *list = strchr(once, '[') + 1;
    char *twice = malloc(2 * strlen(once) + 8);
    sprintf(twice, "%s,%s]}", once, list);
    free(once);
    expect(twice, RILL_BAD_FORMAT, "two speakers");
    const char *other[] = {"",         "[]",        "{}", "null", "{\"format\":\"rill-speakers-1\"}",
                           "\xff\xfe", "[[[[[[[[[["};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        char *text = malloc(64);
        strcpy(text, other[i]);
        expect(text, RILL_BAD_FORMAT, "");
    }
}

Test(speakers, every_truncation_of_a_file_is_refused) {
    char *text = text_of("rill-speakers-1", rill_model_get_info(model)->fingerprint, "\"A\"", "1", "1", "]}");
    size_t size = strlen(text);
    for (size_t cut = 0; cut < size; cut++) {
        rill_speakers *speakers;
        cr_assert_eq(rill_speakers_parse(model, "cut", text, cut, &speakers, NULL), RILL_BAD_FORMAT, "%zu",
                     cut);
    }
    free(text);
}
