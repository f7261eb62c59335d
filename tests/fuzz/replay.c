/* SPDX-License-Identifier: MIT */
/* Feeds every file of a corpus directory to a fuzzer's entry, so that what was found once is tried in every
 * build. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int count, char **arguments) {
    if (count != 2) return fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", arguments[0]), 2;
    DIR *directory = opendir(arguments[1]);
    if (!directory) return perror(arguments[1]), 1;
    size_t replayed = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.') continue;
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", arguments[1], entry->d_name);
        FILE *file = fopen(path, "rb");
        if (!file) return perror(path), 1;
        fseek(file, 0, SEEK_END);
        long size = ftell(file);
        rewind(file);
        uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
        if (!data || fread(data, 1, (size_t)size, file) != (size_t)size) return perror(path), 1;
        fclose(file);
        LLVMFuzzerTestOneInput(data, (size_t)size);
        free(data);
        replayed++;
    }
    closedir(directory);
    printf("%zu inputs replayed\n", replayed);
    return replayed == 0; /* an empty corpus tests nothing */
}
