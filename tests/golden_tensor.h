/* SPDX-License-Identifier: MIT */
/* A float32 tensor out of a safetensors file that the repository itself made: no hostile input here, and no
 * reader under test. */
#ifndef RILL_TEST_GOLDEN_TENSOR_H
#define RILL_TEST_GOLDEN_TENSOR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The values of the tensor (the caller frees) and their count; NULL when the file or the tensor is not there.
 * For machines that store the lowest byte first. */
static inline float *golden_tensor(const char *path, const char *name, size_t *count) {
    char header[65536] = "", key[128];
    unsigned char size_bytes[8];
    float *values = NULL;
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    size_t size = 0, begin, end;
    if (fread(size_bytes, 1, 8, file) == 8)
        for (size_t i = 8; i--;) size = size << 8 | size_bytes[i];
    snprintf(key, sizeof key, "\"%s\": {\"dtype\": \"F32\"", name);
    if (size < sizeof header && fread(header, 1, size, file) == size) {
        const char *entry = strstr(header, key);
        const char *offsets = entry ? strstr(entry, "\"data_offsets\": [") : NULL;
        if (offsets && sscanf(offsets, "\"data_offsets\": [%zu, %zu]", &begin, &end) == 2 &&
            fseek(file, (long)(8 + size + begin), SEEK_SET) == 0) {
            *count = (end - begin) / sizeof *values;
            values = malloc(end - begin);
            if (fread(values, sizeof *values, *count, file) != *count) abort();
        }
    }
    fclose(file);
    return values;
}

#endif
