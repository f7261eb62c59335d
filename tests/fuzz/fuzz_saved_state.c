/* SPDX-License-Identifier: MIT */
/* Any bytes are a saved state or an error: as they are, and with the checksum put right. What loads can be
 * stepped on, and is saved as the same bytes. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rill/saved_state.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law) {
    if (!law) abort();
}

/* The last 8 bytes become FNV-1a of those before. */
static void seal(uint8_t *bytes, size_t size) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i + 8 < size; i++) hash = (hash ^ bytes[i]) * 1099511628211u;
    for (size_t i = 0; i < 8; i++) bytes[size - 8 + i] = (uint8_t)(hash >> 8 * i);
}

static void *allocate(size_t size) {
    void *memory = calloc(1, size + !size);
    require(memory != NULL);
    return memory;
}

static void step(const rill_attention_shape *shape, void *state) {
    const size_t decays = shape->decay == RILL_DECAY_NONE       ? 0
                          : shape->decay == RILL_DECAY_STEP_KEY ? shape->heads * shape->key_dim
                                                                : shape->heads;
    float *queries = allocate(shape->query_heads * shape->key_dim * sizeof(float));
    float *keys = allocate(shape->heads * shape->key_dim * sizeof(float));
    float *values = allocate(shape->heads * shape->value_dim * sizeof(float));
    float *log_decay = decays ? allocate(decays * sizeof(float)) : NULL;
    float *output = allocate(shape->query_heads * shape->value_dim * sizeof(float));
    rill_attention_recurrent(shape, state, &(rill_sequence){1, queries, keys, values, log_decay}, output);
    free(queries), free(keys), free(values), free(log_decay), free(output);
}

/* true when it loaded */
static bool try_to_load(const uint8_t *bytes, size_t size) {
    rill_attention_shape shape;
    rill_error why = {""};
    if (rill_saved_state_shape("input", bytes, size, &shape, &why) != RILL_OK) {
        require(why.message[0] != '\0');
        return false;
    }
    if (rill_attention_saved_size(&shape) != size) return true; /* a steady state */
    require(shape.heads * shape.key_dim * shape.value_dim * sizeof(float) <= size);
    void *state = allocate(rill_attention_size(&shape));
    if (rill_attention_load(&shape, "input", bytes, size, state, &why) == RILL_OK) {
        uint8_t *again = allocate(size);
        rill_attention_save(&shape, state, again);
        require(memcmp(again, bytes, size) == 0);
        free(again);
        if (shape.query_heads < size) step(&shape, state); /* their number costs no bytes */
    }
    free(state);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const bool loads = try_to_load(data, size);
    if (size < 8) return 0;
    uint8_t *sealed = allocate(size);
    memcpy(sealed, data, size);
    seal(sealed, size);
    require(!loads || memcmp(sealed, data, size) == 0);
    try_to_load(sealed, size);
    free(sealed);
    return 0;
}
