/* SPDX-License-Identifier: MIT */
/* Reads safetensors, trusting nothing: 8 bytes of little-endian header length, a JSON header
 * {name: {dtype, shape, data_offsets}, "__metadata__": {key: text}}, then raw little-endian data.
 * Source: the format's own description, https://github.com/huggingface/safetensors#format */
#ifndef RILL_SAFETENSORS_H
#define RILL_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include <rill/status.h>

#define RILL_SAFETENSORS_MAX_HEADER ((size_t)1 << 20) /* bytes of JSON; a tensor takes about 120 */
#define RILL_SAFETENSORS_MAX_FILE   ((size_t)1 << 31) /* bytes */
#define RILL_TENSOR_MAX_RANK        8

typedef struct rill_tensor {
    const char *name;
    const char *dtype; /* as in the file, e.g. "F32"; static text */
    size_t rank, shape[RILL_TENSOR_MAX_RANK];
    size_t count;               /* the product of shape; 1 for a scalar */
    size_t size;                /* bytes */
    const unsigned char *bytes; /* aligned to 64 */
} rill_tensor;

typedef struct rill_metadata {
    const char *key, *text;
} rill_metadata;

/* All of a file, in byte order of the names. Everything is owned by the struct; the file is not needed. */
typedef struct rill_safetensors {
    size_t tensors_count;
    rill_tensor *tensors;
    size_t metadata_count;
    rill_metadata *metadata;
    void *header; /* the JSON that holds the strings */
    unsigned char *data;
} rill_safetensors;

/* RILL_OK and *file filled, or RILL_NOT_FOUND, RILL_IO_ERROR, RILL_BAD_FORMAT, RILL_UNSUPPORTED (unknown
 * dtype, rank or key, a file beyond the limits), RILL_OUT_OF_MEMORY with nothing to free. */
rill_status rill_safetensors_open(const char *path, rill_safetensors *file, rill_error *why);

/* The same from size bytes in memory, any alignment, not needed after the call; name appears in errors. */
rill_status rill_safetensors_parse(const char *name, const void *bytes, size_t size, rill_safetensors *file,
                                   rill_error *why);

void rill_safetensors_free(rill_safetensors *file);

/* By exact name; NULL when absent. */
const rill_tensor *rill_safetensors_tensor(const rill_safetensors *file, const char *name);
const char *rill_safetensors_text(const rill_safetensors *file, const char *key);

/* The tensor's count values, or NULL when it is not float32. */
const float *rill_tensor_f32(const rill_tensor *tensor);

/* The same of bfloat16: the upper half of a float. */
const uint16_t *rill_tensor_bf16(const rill_tensor *tensor);

#endif
