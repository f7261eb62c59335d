/* SPDX-License-Identifier: MIT */
/* Any bytes are a saved state or an error: as they are, and with the checksum put right. What loads can be
 * stepped on, and is saved as the same bytes, unless an earlier version saved it otherwise. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rill/saved_state.h>
#include <rill/steady_state.h>

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

typedef void form(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                  float *output);

/* Not with more query heads than the input has bytes: their number costs none. */
static void step(const rill_attention_shape *shape, void *state, form *push) {
    const size_t decays = shape->decay == RILL_DECAY_NONE       ? 0
                          : shape->decay == RILL_DECAY_STEP_KEY ? shape->heads * shape->key_dim
                                                                : shape->heads;
    float *queries = allocate(shape->query_heads * shape->key_dim * sizeof(float));
    float *keys = allocate(shape->heads * shape->key_dim * sizeof(float));
    float *values = allocate(shape->heads * shape->value_dim * sizeof(float));
    float *log_decay = decays ? allocate(decays * sizeof(float)) : NULL;
    const bool delta = shape->rule == RILL_RULE_DELTA || shape->rule == RILL_RULE_GATED_DELTA;
    float *beta = delta ? allocate(shape->heads * sizeof(float)) : NULL;
    float *transition =
        shape->rule == RILL_RULE_RANK_ONE ? allocate(shape->heads * shape->key_dim * sizeof(float)) : NULL;
    float *output = allocate(shape->query_heads * shape->value_dim * sizeof(float));
    const rill_sequence one = {.length = 1,
                               .queries = queries,
                               .keys = keys,
                               .values = values,
                               .log_decay = log_decay,
                               .beta = beta,
                               .transition_read = transition,
                               .transition_write = transition};
    push(shape, state, &one, output);
    free(queries), free(keys), free(values), free(log_decay), free(beta), free(transition), free(output);
}

static void use_plain(const rill_attention_shape *shape, const uint8_t *bytes, size_t size) {
    uint8_t *again = allocate(size);
    void *state = allocate(rill_attention_size(shape));
    require(rill_attention_load(shape, "input", bytes, size, state, NULL) == RILL_OK);
    rill_attention_save(shape, state, again);
    require(memcmp(again, bytes, size) == 0);
    free(again);
    if (shape->query_heads < size) step(shape, state, rill_attention_recurrent);
    free(state);
}

static void use_steady(const rill_attention_shape *shape, const uint8_t *bytes, size_t size) {
    void *steady = allocate(rill_steady_size(shape)), *plain = allocate(rill_attention_size(shape));
    uint8_t *again = allocate(rill_steady_saved_size(shape));
    require(rill_steady_load(shape, "input", bytes, size, steady, NULL) == RILL_OK);
    rill_steady_save(shape, steady, again);
    const bool today = bytes[8] == 2;
    require(!today || (size == rill_steady_saved_size(shape) && memcmp(again, bytes, size) == 0));
    rill_steady_plain(shape, steady, plain);
    for (size_t i = 0; i < RILL_STEADY_BLOCK_STEPS && shape->query_heads < size; i++)
        step(shape, steady, rill_steady_attention);
    free(again), free(plain), free(steady);
}

/* true when it loaded */
static bool try_to_load(const uint8_t *bytes, size_t size) {
    rill_attention_shape shape;
    rill_error why = {""};
    if (rill_saved_state_shape("input", bytes, size, &shape, &why) != RILL_OK) {
        require(why.message[0] != '\0');
        return false;
    }
    require(shape.heads * shape.key_dim * shape.value_dim * sizeof(float) <= size);
    (bytes[12] == 1 ? use_plain : use_steady)(&shape, bytes, size); /* the count of states */
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
