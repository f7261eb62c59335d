/* SPDX-License-Identifier: MIT */
/* Safetensors files in memory for tests: small random models, and ways to break them. */
#ifndef RILL_TEST_MODEL_BYTES_H
#define RILL_TEST_MODEL_BYTES_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random_numbers.h"

/* least … most, both included */
static inline size_t random_size(size_t least, size_t most) {
    return least + random_below(most - least + 1);
}

/* uniform in [−1, 1) */
static inline float random_float(void) {
    return (float)(2 * random_uniform() - 1);
}

typedef struct file_bytes {
    size_t size;
    unsigned char *data; /* the caller frees */
} file_bytes;

static inline uint64_t header_size_of(file_bytes file) {
    uint64_t size;
    memcpy(&size, file.data, sizeof size);
    return size;
}

/* length of header, header, data_size bytes of data (zeros for NULL) */
static inline file_bytes safetensors_bytes(const char *header, size_t data_size, const void *data) {
    const uint64_t length = strlen(header);
    file_bytes file = {8 + length + data_size, calloc(8 + length + data_size, 1)};
    memcpy(file.data, &length, 8);
    memcpy(file.data + 8, header, length);
    if (data && data_size) memcpy(file.data + 8 + length, data, data_size);
    return file;
}

/* The file with the first FROM in its header made TO. Aborts when there is none: a test must break something.
 */
static inline file_bytes with_replaced(file_bytes file, const char *from, const char *to) {
    const uint64_t length = header_size_of(file);
    char *header = calloc(length + strlen(to) + 1, 1);
    memcpy(header, file.data + 8, length);
    char *place = strstr(header, from);
    if (!place) {
        fprintf(stderr, "no %s in the header\n", from);
        abort();
    }
    const char *rest = (const char *)file.data + 8 + (place - header) + strlen(from);
    size_t rest_size = length - (size_t)(place - header) - strlen(from);
    memcpy(place, to, strlen(to));
    memcpy(place + strlen(to), rest, rest_size);
    place[strlen(to) + rest_size] = '\0';
    file_bytes changed = safetensors_bytes(header, file.size - 8 - length, file.data + 8 + length);
    free(header);
    return changed;
}

typedef struct model_sizes {
    size_t layers, dim, heads, feed_forward, kernel, embedding, bands, frames;
    bool overlap; /* has the head that tells when two or more speak */
} model_sizes;

typedef struct model_writer {
    bool reversed; /* the tensors' data lie in the opposite order */
    char header[1 << 16];
    size_t header_size, floats, total;
    float *data;
} model_writer;

/* Fan-in scaling keeps a random network well conditioned: norms never divide by nearly nothing. */
static inline void write_tensor(model_writer *to, const char *scope, const char *part, size_t rows,
                                size_t columns, float middle, float scale) {
    const size_t count = rows * (columns ? columns : 1);
    const size_t begin = to->reversed ? to->total - to->floats - count : to->floats;
    char shape[48];
    snprintf(shape, sizeof shape, columns ? "%zu,%zu" : "%zu", rows, columns);
    to->header_size +=
        (size_t)snprintf(to->header + to->header_size, sizeof to->header - to->header_size,
                         ",\"%s%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", scope,
                         part, shape, begin * sizeof(float), (begin + count) * sizeof(float));
    for (size_t i = 0; to->data && i < count; i++) to->data[begin + i] = middle + scale * random_float();
    to->floats += count;
}

static inline void write_dense(model_writer *to, const char *scope, const char *part, size_t inputs,
                               size_t outputs) {
    char name[64];
    snprintf(name, sizeof name, "%s.weight", part);
    write_tensor(to, scope, name, outputs, inputs, 0, sqrtf(3 / (float)inputs));
    snprintf(name, sizeof name, "%s.bias", part);
    write_tensor(to, scope, name, outputs, 0, 0, 0.5f);
}

static inline void write_norm(model_writer *to, const char *scope, const char *part, size_t dim) {
    char name[64];
    snprintf(name, sizeof name, "%s.weight", part);
    write_tensor(to, scope, name, dim, 0, 1, 0.3f);
    snprintf(name, sizeof name, "%s.bias", part);
    write_tensor(to, scope, name, dim, 0, 0, 0.3f);
}

static inline void write_layer(model_writer *to, const model_sizes *sizes, size_t index) {
    const size_t dim = sizes->dim;
    char scope[32];
    snprintf(scope, sizeof scope, "layers.%zu.", index);
    write_norm(to, scope, "attention.norm", dim);
    write_dense(to, scope, "attention.query", dim, dim);
    write_dense(to, scope, "attention.key", dim, dim);
    write_dense(to, scope, "attention.value", dim, dim);
    write_tensor(to, scope, "attention.log_decay", sizes->heads, 0, -0.1f, 0.1f);
    write_dense(to, scope, "attention.output", dim, dim);
    write_norm(to, scope, "convolution.norm", dim);
    write_dense(to, scope, "convolution.expand", dim, 2 * dim);
    write_tensor(to, scope, "convolution.depthwise.weight", dim, sizes->kernel, 0, 0.7f);
    write_tensor(to, scope, "convolution.depthwise.bias", dim, 0, 0, 0.5f);
    write_dense(to, scope, "convolution.project", dim, dim);
    write_norm(to, scope, "feed_forward.norm", dim);
    write_dense(to, scope, "feed_forward.expand", dim, sizes->feed_forward);
    write_dense(to, scope, "feed_forward.project", sizes->feed_forward, dim);
}

static inline void write_model(model_writer *to, const model_sizes *sizes) {
    to->floats = 0;
    to->header_size = (size_t)snprintf(
        to->header, sizeof to->header,
        "{\"__metadata__\":{\"format\":\"rill-encoder-1\",\"sample_rate_hz\":\"16000\",\"window_samples\":"
        "\"400\",\"hop_samples\":\"160\",\"fft_size\":\"512\",\"mel_bands\":\"%zu\",\"mel_hz_min\":\"20\","
        "\"mel_hz_max\":\"7600\",\"log_floor\":\"1e-06\",\"feature_mean\":\"-8.0\",\"feature_scale\":"
        "\"0.25\",\"frames_per_step\":\"%zu\",\"layers\":\"%zu\",\"model_dim\":\"%zu\",\"heads\":\"%zu\","
        "\"feed_forward_dim\":\"%zu\",\"convolution_kernel\":\"%zu\",\"embedding_dim\":\"%zu\","
        "\"feature_map\":\"elu+1\",\"normalizer_epsilon\":\"1e-06\",\"norm_epsilon\":\"1e-05\"}",
        sizes->bands, sizes->frames, sizes->layers, sizes->dim, sizes->heads, sizes->feed_forward,
        sizes->kernel, sizes->embedding);
    write_dense(to, "", "input.projection", sizes->bands * sizes->frames, sizes->dim);
    write_norm(to, "", "input.norm", sizes->dim);
    for (size_t i = 0; i < sizes->layers; i++) write_layer(to, sizes, i);
    write_norm(to, "", "output.norm", sizes->dim);
    write_dense(to, "", "output.embedding", sizes->dim, sizes->embedding);
    write_dense(to, "", "output.speech", sizes->dim, 1);
    if (sizes->overlap) write_dense(to, "", "output.overlap", sizes->dim, 1);
    to->header_size +=
        (size_t)snprintf(to->header + to->header_size, sizeof to->header - to->header_size, "}");
}

/* A whole model file of these sizes, with the same values by name whether reversed or not. */
static inline file_bytes model_bytes(const model_sizes *sizes, uint64_t seed, bool reversed) {
    model_writer *to = calloc(1, sizeof *to);
    write_model(to, sizes); /* to count */
    to->total = to->floats;
    random_seed(seed);
    to->reversed = reversed;
    to->data = calloc(to->total, sizeof(float));
    write_model(to, sizes);
    file_bytes file = safetensors_bytes(to->header, to->total * sizeof(float), to->data);
    free(to->data);
    free(to);
    return file;
}

static const model_sizes tiny_sizes = {1, 4, 2, 3, 2, 2, 2, 1, false};

#endif
