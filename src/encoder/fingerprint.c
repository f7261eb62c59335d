/* SPDX-License-Identifier: MIT */
/* Tells models apart; 64 bits against accident, not against an adversary. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "checksum.h"
#include "encoder/model.h"

/* With its terminating zero, which no text contains: "ab", "c" and "a", "bc" differ. */
static uint64_t hash_text(uint64_t hash, const char *text) {
    return rill_checksum(hash, text, strlen(text) + 1);
}

static uint64_t hash_number(uint64_t hash, uint64_t number) {
    return rill_checksum(hash, &number, sizeof number);
}

static uint64_t hash_tensor(uint64_t hash, const rill_tensor *tensor) {
    hash = hash_text(hash, tensor->name);
    hash = hash_text(hash, tensor->dtype);
    hash = hash_number(hash, tensor->rank);
    for (size_t i = 0; i < tensor->rank; i++) hash = hash_number(hash, tensor->shape[i]);
    return rill_checksum(hash, tensor->bytes, tensor->size);
}

void rill_model_fingerprint(const rill_safetensors *file, char fingerprint[17]) {
    uint64_t hash = hash_number(RILL_CHECKSUM_START, file->metadata_count);
    for (size_t i = 0; i < file->metadata_count; i++) {
        hash = hash_text(hash, file->metadata[i].key);
        hash = hash_text(hash, file->metadata[i].text);
    }
    for (size_t i = 0; i < file->tensors_count; i++) hash = hash_tensor(hash, &file->tensors[i]);
    snprintf(fingerprint, 17, "%016" PRIx64, hash);
}
