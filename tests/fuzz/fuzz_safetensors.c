/* SPDX-License-Identifier: MIT */
/* Any bytes are a file or an error; of a file every byte can be read, aligned. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law) {
    if (!law) abort();
}

static void look_at(const rill_safetensors *file, const rill_tensor *tensor) {
    unsigned char sum = 0;
    for (size_t i = 0; i < tensor->size; i++) sum = (unsigned char)(sum + tensor->bytes[i]);
    static volatile unsigned char kept;
    kept = sum;
    (void)kept;
    require((uintptr_t)tensor->bytes % 64 == 0);
    require(rill_safetensors_tensor(file, tensor->name) == tensor);
    require(!rill_tensor_f32(tensor) || tensor->size == tensor->count * sizeof(float));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rill_safetensors file;
    rill_error why = {""};
    if (rill_safetensors_parse("input", data, size, &file, &why) != RILL_OK) {
        require(why.message[0] != '\0');
        return 0;
    }
    size_t total = 0;
    for (size_t i = 0; i < file.tensors_count; i++) {
        look_at(&file, &file.tensors[i]);
        total += file.tensors[i].size;
    }
    require(total <= size);
    for (size_t i = 0; i < file.metadata_count; i++)
        require(rill_safetensors_text(&file, file.metadata[i].key) == file.metadata[i].text);
    rill_safetensors_free(&file);
    return 0;
}
