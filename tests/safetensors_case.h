/* SPDX-License-Identifier: MIT */
/* Golden cases: the float32 tensors and the metadata of a safetensors file that is trusted to be well formed
 * (flat JSON, no escapes in the keys asked for). For machines that store the lowest byte first. */
#ifndef RILL_TEST_SAFETENSORS_CASE_H
#define RILL_TEST_SAFETENSORS_CASE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct safetensors_case {
    char *header;  /* JSON, terminated */
    float *values; /* the data behind it */
    size_t values_count;
} safetensors_case;

/* false when there is no such file; the caller calls safetensors_case_close */
static inline bool safetensors_case_open(const char *path, safetensors_case *c) {
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    uint64_t size = 0;
    if (fread(&size, sizeof size, 1, file) != 1 || size > 1u << 24) abort();
    c->header = calloc(1, size + 1);
    if (!c->header || fread(c->header, 1, size, file) != size) abort();
    long start = ftell(file);
    fseek(file, 0, SEEK_END);
    c->values_count = (size_t)(ftell(file) - start) / sizeof(float);
    fseek(file, start, SEEK_SET);
    c->values = malloc(c->values_count * sizeof(float) + 1);
    if (!c->values || fread(c->values, sizeof(float), c->values_count, file) != c->values_count) abort();
    fclose(file);
    return true;
}

static inline void safetensors_case_close(safetensors_case *c) {
    free(c->header);
    free(c->values);
}

/* what stands after "key": from `from` on, or NULL */
static inline const char *safetensors_case_after(const char *from, const char *key) {
    char quoted[96];
    int length = snprintf(quoted, sizeof quoted, "\"%s\"", key);
    for (const char *at = from; (at = strstr(at, quoted)); at += length) {
        const char *colon = at + length + strspn(at + length, " ");
        if (*colon == ':') return colon + 1 + strspn(colon + 1, " ");
    }
    return NULL;
}

/* The values of a float32 tensor, owned by the case; shape [4] gets its dimensions, 1 for missing ones. NULL
 * when it is not there. */
static inline const float *safetensors_case_tensor(const safetensors_case *c, const char *name,
                                                   size_t shape[4]) {
    const char *entry = safetensors_case_after(c->header, name), *dtype, *at;
    if (!entry || !(dtype = safetensors_case_after(entry, "dtype")) || strncmp(dtype, "\"F32\"", 5) != 0)
        return NULL;
    char *next;
    at = safetensors_case_after(entry, "shape") + 1;
    for (size_t i = 0; i < 4; i++, at = next + (*next == ',')) {
        shape[i] = strtoul(at, &next, 10);
        if (next == at) shape[i] = 1;
    }
    return c->values + strtoul(safetensors_case_after(entry, "data_offsets") + 1, NULL, 10) / sizeof(float);
}

/* a number kept as text in the metadata, or the fallback */
static inline double safetensors_case_number(const safetensors_case *c, const char *key, double fallback) {
    const char *text = safetensors_case_after(c->header, key);
    return text && *text == '"' ? strtod(text + 1, NULL) : fallback;
}

#endif
