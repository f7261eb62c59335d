/* SPDX-License-Identifier: MIT */
/* Values that nobody here computed, and how a family of them is checked: the program `conformance DIR...`
 * runs every .safetensors case below the directories through the first family of the table in conformance.c
 * that knows it. A family is one file conformance_NAME.c with one conformance_family, and a line in that
 * table. */
#ifndef RILL_CONFORMANCE_H
#define RILL_CONFORMANCE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct conformance_case conformance_case;

/* A tensor of any type, its values as floats: F16 and integers are converted, BOOL is 0 or 1. */
typedef struct conformance_tensor {
    const char *name;      /* "in.Q" */
    const char *dtype;     /* "F32", "F16", "BOOL", "I64": as in the file */
    size_t rank, shape[8]; /* 1 beyond the rank */
    size_t count;
    float *values; /* the case's */
} conformance_tensor;

typedef struct conformance_family {
    const char *name;
    bool (*knows)(const conformance_case *c); /* by op (ONNX), or by folder, file and tensor names (papers) */
    void (*run)(conformance_case *c);         /* expects; a run that expects nothing has failed */
} conformance_family;

/* "onnx-opset27", "feature_maps": the folder the file lies in; "test_attention_3d": its name without suffix
 */
const char *conformance_folder(const conformance_case *c);
const char *conformance_file(const conformance_case *c);
const char *conformance_path(const conformance_case *c); /* of the file itself */
bool conformance_file_starts(const conformance_case *c, const char *prefix);

/* Metadata: NULL or the fallback when absent. */
const char *conformance_text(const conformance_case *c, const char *key);
double conformance_number(const conformance_case *c, const char *key, double fallback);

/* By exact name; NULL when absent. */
const conformance_tensor *conformance_find(const conformance_case *c, const char *name);
/* The same, and a failure when absent: returns false then; the caller leaves. */
bool conformance_need(conformance_case *c, const char *name, const conformance_tensor **tensor);

/* count zeroed floats (or size zeroed bytes), freed with the case. */
float *conformance_floats(conformance_case *c, size_t count);
void *conformance_memory(conformance_case *c, size_t size);

/* |got − want| ≤ tolerance · max(1, |want|) for all values of the tensor; infinities equal, NaN with NaN. An
 * expected tensor that the file does not hold is a failure. For F16 tensors a tolerance below 2⁻¹⁰, one unit
 * in the last place of fp16, is raised to that. */
void conformance_expect(conformance_case *c, const char *name, const float *got, double tolerance);

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void conformance_fail(conformance_case *c, const char *format, ...);

/* Known, but left out; the reason is printed. */
void conformance_skip(conformance_case *c, const char *reason);

#endif
