/* SPDX-License-Identifier: MIT */
/* One case: a safetensors file read, its tensors as floats, and what was found wrong with it. */
#include "conformance_case.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/safetensors.h"

typedef struct memory {
    struct memory *next;
    max_align_t bytes[];
} memory;

struct conformance_case {
    char path[4096], folder[128], file[192];
    rill_safetensors read;
    size_t tensors_count;
    conformance_tensor *tensors;
    memory *taken;
    conformance_result result;
};

void *conformance_memory(conformance_case *c, size_t size) {
    memory *taken = calloc(1, sizeof *taken + size + 1);
    if (!taken) abort();
    taken->next = c->taken;
    c->taken = taken;
    return taken->bytes;
}

float *conformance_floats(conformance_case *c, size_t count) {
    return conformance_memory(c, count * sizeof(float));
}

/* IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits */
static float half_value(uint16_t half) {
    int exponent = half >> 10 & 31, fraction = half & 1023;
    float size = exponent == 31  ? (fraction ? NAN : INFINITY)
                 : exponent == 0 ? ldexpf((float)fraction, -24)
                                 : ldexpf((float)(fraction + 1024), exponent - 25);
    return half & 0x8000 ? -size : size;
}

static bool is_readable(const rill_tensor *tensor) {
    const char *const readable[] = {"F32", "F16", "I64", "BOOL"};
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++)
        if (strcmp(tensor->dtype, readable[i]) == 0) return true;
    return false;
}

static float value_at(const rill_tensor *tensor, size_t i) {
    const void *values = tensor->bytes;
    if (strcmp(tensor->dtype, "F32") == 0) return ((const float *)values)[i];
    if (strcmp(tensor->dtype, "F16") == 0) return half_value(((const uint16_t *)values)[i]);
    if (strcmp(tensor->dtype, "I64") == 0) return (float)((const int64_t *)values)[i];
    return tensor->bytes[i] ? 1.0f : 0.0f;
}

static conformance_tensor convert(conformance_case *c, const rill_tensor *from) {
    conformance_tensor to = {
        .name = from->name, .dtype = from->dtype, .rank = from->rank, .count = from->count};
    for (size_t i = 0; i < sizeof to.shape / sizeof *to.shape; i++)
        to.shape[i] = i < from->rank ? from->shape[i] : 1;
    to.values = conformance_floats(c, to.count);
    for (size_t i = 0; i < to.count; i++) to.values[i] = value_at(from, i);
    return to;
}

static void name_case(conformance_case *c, const char *path) {
    const char *file = strrchr(path, '/'), *folder = file;
    file = file ? file + 1 : path;
    snprintf(c->path, sizeof c->path, "%s", path);
    while (folder && folder > path && folder[-1] != '/') folder--;
    if (folder) snprintf(c->folder, sizeof c->folder, "%.*s", (int)(file - 1 - folder), folder);
    snprintf(c->file, sizeof c->file, "%.*s", (int)strcspn(file, "."), file);
}

conformance_case *conformance_case_open(const char *path, char *message, size_t message_size) {
    conformance_case *c = calloc(1, sizeof *c);
    if (!c) abort();
    rill_error why;
    if (rill_safetensors_open(path, &c->read, &why) != RILL_OK) {
        snprintf(message, message_size, "%s", why.message);
        free(c);
        return NULL;
    }
    name_case(c, path);
    c->tensors_count = c->read.tensors_count;
    c->tensors = conformance_memory(c, c->tensors_count * sizeof *c->tensors);
    for (size_t i = 0; i < c->tensors_count; i++) {
        if (!is_readable(c->read.tensors + i)) {
            snprintf(message, message_size, "tensor %s has type %s", c->read.tensors[i].name,
                     c->read.tensors[i].dtype);
            conformance_case_close(c);
            return NULL;
        }
        c->tensors[i] = convert(c, c->read.tensors + i);
    }
    return c;
}

void conformance_case_close(conformance_case *c) {
    rill_safetensors_free(&c->read);
    while (c->taken) {
        memory *next = c->taken->next;
        free(c->taken);
        c->taken = next;
    }
    free(c);
}

conformance_result conformance_case_take_result(conformance_case *c) {
    conformance_result result = c->result;
    c->result = (conformance_result){0};
    return result;
}

const char *conformance_path(const conformance_case *c) {
    return c->path;
}

const char *conformance_folder(const conformance_case *c) {
    return c->folder;
}

const char *conformance_file(const conformance_case *c) {
    return c->file;
}

bool conformance_file_starts(const conformance_case *c, const char *prefix) {
    return strncmp(c->file, prefix, strlen(prefix)) == 0;
}

const char *conformance_text(const conformance_case *c, const char *key) {
    return rill_safetensors_text(&c->read, key);
}

double conformance_number(const conformance_case *c, const char *key, double fallback) {
    const char *text = conformance_text(c, key);
    return text ? strtod(text, NULL) : fallback;
}

const conformance_tensor *conformance_find(const conformance_case *c, const char *name) {
    for (size_t i = 0; i < c->tensors_count; i++)
        if (strcmp(c->tensors[i].name, name) == 0) return c->tensors + i;
    return NULL;
}

bool conformance_need(conformance_case *c, const char *name, const conformance_tensor **tensor) {
    *tensor = conformance_find(c, name);
    if (!*tensor) conformance_fail(c, "has no tensor %s", name);
    return *tensor;
}

/* |got − want| / max(1, |want|); infinite when only one is NaN, or an infinity is missed */
static double difference(double got, double want) {
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want) ? 0 : INFINITY;
    if (got == want) return 0;
    double off = fabs(got - want);
    return isinf(want) ? INFINITY : off / fmax(1, fabs(want));
}

void conformance_expect(conformance_case *c, const char *name, const float *got, double tolerance) {
    const conformance_tensor *want;
    if (!conformance_need(c, name, &want)) return;
    double worst = 0;
    size_t where = 0;
    for (size_t i = 0; i < want->count; i++) {
        double off = difference((double)got[i], (double)want->values[i]);
        if (off > worst) worst = off, where = i;
    }
    c->result.expectations++;
    c->result.worst = fmax(c->result.worst, worst);
    if (strcmp(want->dtype, "F16") == 0) tolerance = fmax(tolerance, 0x1p-10);
    if (worst > tolerance)
        conformance_fail(c, "%s[%zu of %zu] is %.9g, want %.9g: off by %.3g, tolerated %.3g", name, where,
                         want->count, (double)got[where], (double)want->values[where], worst, tolerance);
}

void conformance_fail(conformance_case *c, const char *format, ...) {
    if (c->result.failed) return;
    c->result.failed = true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->result.message, sizeof c->result.message, format, arguments);
    va_end(arguments);
}

void conformance_skip(conformance_case *c, const char *reason) {
    c->result.skipped = true;
    snprintf(c->result.message, sizeof c->result.message, "%s", reason);
}
