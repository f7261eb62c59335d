/* SPDX-License-Identifier: MIT */
/* Floats in a heap block that ends with them, so that AddressSanitizer sees a read past the end, at any
 * address a float may have; those before them are canaries, and so is one behind an output. */
#ifndef RILL_TEST_GUARDED_FLOATS_H
#define RILL_TEST_GUARDED_FLOATS_H

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "random_numbers.h"

typedef struct guarded_floats {
    float *data;
    size_t count, before, behind;
    float *block;
} guarded_floats;

static const uint32_t guarded_canary = 0x7fc0dead; /* a NaN: read by mistake, it shows in the result */

static inline guarded_floats guarded_make(size_t count, size_t behind) {
    guarded_floats floats = {.count = count, .before = 16 + random_below(16), .behind = behind};
    size_t total = floats.before + count + behind;
    floats.block = malloc(total * sizeof(float));
    if (!floats.block) abort();
    for (size_t i = 0; i < total; i++) memcpy(floats.block + i, &guarded_canary, sizeof guarded_canary);
    floats.data = floats.block + floats.before;
    return floats;
}

static inline guarded_floats guarded_output(size_t count) {
    return guarded_make(count, 32);
}

/* uniform in [low, high) */
static inline guarded_floats guarded_input(size_t count, double low, double high) {
    guarded_floats floats = guarded_make(count, 0);
    for (size_t i = 0; i < count; i++) floats.data[i] = (float)(low + (high - low) * random_uniform());
    return floats;
}

static inline guarded_floats guarded_copy(const guarded_floats *from) {
    guarded_floats floats = guarded_output(from->count);
    for (size_t i = 0; i < from->count; i++) floats.data[i] = from->data[i];
    return floats;
}

/* Frees; fails when something outside was written. */
static inline void guarded_free(guarded_floats *floats) {
    for (size_t i = 0; i < floats->before + floats->behind; i++) {
        size_t at = i < floats->before ? i : i + floats->count;
        cr_assert_arr_eq(floats->block + at, &guarded_canary, sizeof guarded_canary);
    }
    free(floats->block);
}

#endif
