/* SPDX-License-Identifier: MIT */
/* Trained weights by their own names: a state_dict, as a .safetensors file holds it.
 *
 * Threads: after opening, a rill_weights is only read; any number of threads may share it. */
#ifndef RILL_WEIGHTS_H
#define RILL_WEIGHTS_H

#include <stddef.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RILL_WEIGHT_MAX_RANK 8

typedef struct rill_weights rill_weights;

typedef struct rill_weight {
    const char *name;
    size_t rank, shape[RILL_WEIGHT_MAX_RANK];
    size_t count;        /* the product of shape; 1 for a scalar */
    const float *values; /* row-major; NULL when the file holds another type than F32 */
} rill_weight;

/* Reads the file whole. RILL_OK and *weights, to be closed; else RILL_NOT_FOUND, RILL_IO_ERROR,
 * RILL_BAD_FORMAT, RILL_UNSUPPORTED, RILL_OUT_OF_MEMORY, and *weights is NULL. Allocates. */
RILL_API rill_status rill_weights_open(const char *path, rill_weights **weights, rill_error *why);

/* The same from the size bytes of such a file, not needed after the call; name appears in errors.
 * Allocates. */
RILL_API rill_status rill_weights_parse(const char *name, const void *bytes, size_t size,
                                        rill_weights **weights, rill_error *why);

/* Everything found in the weights is gone then. NULL does nothing. */
RILL_API void rill_weights_close(rill_weights *weights);

/* How many, and each, in byte order of the names; index below the count. Real-time safe. */
RILL_API size_t rill_weights_count(const rill_weights *weights);
RILL_API rill_weight rill_weights_at(const rill_weights *weights, size_t index);

/* By exact name. When absent, all fields of the answer are 0. Real-time safe. */
RILL_API rill_weight rill_weights_find(const rill_weights *weights, const char *name);

/* The file's metadata by key; NULL when absent. Real-time safe. */
RILL_API const char *rill_weights_text(const rill_weights *weights, const char *key);

#ifdef __cplusplus
}
#endif
#endif
