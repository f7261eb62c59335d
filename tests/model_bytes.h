/* SPDX-License-Identifier: MIT */
/* Safetensors files in memory for tests: small random models, and ways to break them. */
#ifndef RILL_TEST_MODEL_BYTES_H
#define RILL_TEST_MODEL_BYTES_H

#include <math.h>
#include <stdarg.h>
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

enum { NAME_SIZE = 100 };

/* scope, part and ending in one name. Aborts when they do not fit: a test must find what it names. */
static inline void join_name(char name[NAME_SIZE], const char *scope, const char *part, const char *ending) {
    const int length = snprintf(name, NAME_SIZE, "%s%s%s", scope, part, ending);
    if (length < 0 || length >= NAME_SIZE) {
        fprintf(stderr, "%s%s%s is too long a name\n", scope, part, ending);
        abort();
    }
}

typedef enum model_weights { WEIGHTS_F32, WEIGHTS_BF16, WEIGHTS_I8, WEIGHTS_MIXED } model_weights;

typedef struct model_sizes {
    size_t layers, dim, heads, feed_forward, kernel, embedding, bands, frames;
    bool overlap;          /* has the head that tells when two or more speak */
    model_weights weights; /* of the dense layers */
    size_t speech_layers;  /* of the branch for speech */
    size_t shared_said;    /* 1 + the shared_layers that the header says; 0: it does not */
} model_sizes;

enum { HEADER_ROOM = 1 << 16 };

typedef struct model_writer {
    bool reversed; /* the tensors' data lie in the opposite order */
    char header[HEADER_ROOM];
    size_t header_size, size, total; /* size: bytes of data up to here */
    unsigned char *data;             /* NULL: only counted */
    model_weights weights;
    size_t dense_count;
} model_writer;

/* Goes on with the header. Aborts when it is full. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static inline void
write_header(model_writer *to, const char *format, ...) {
    const size_t room = HEADER_ROOM - to->header_size;
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(to->header + to->header_size, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= room) {
        fprintf(stderr, "a model's header is longer than %d bytes\n", HEADER_ROOM);
        abort();
    }
    to->header_size += (size_t)length;
}

/* The place of a tensor's data, NULL when it is only counted. */
static inline unsigned char *write_entry(model_writer *to, const char *name, const char *dtype, size_t rows,
                                         size_t columns, size_t item_size) {
    const size_t size = rows * (columns ? columns : 1) * item_size;
    const size_t begin = to->reversed ? to->total - to->size - size : to->size;
    char shape[48];
    snprintf(shape, sizeof shape, columns ? "%zu,%zu" : "%zu", rows, columns);
    write_header(to, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", name, dtype,
                 shape, begin, begin + size);
    to->size += size;
    return to->data ? to->data + begin : NULL;
}

/* Fan-in scaling keeps a random network well conditioned: norms never divide by nearly nothing. */
static inline void write_tensor(model_writer *to, const char *scope, const char *part, size_t rows,
                                size_t columns, float middle, float scale) {
    char name[NAME_SIZE];
    join_name(name, scope, part, "");
    unsigned char *place = write_entry(to, name, "F32", rows, columns, sizeof(float));
    for (size_t i = 0; place && i < rows * (columns ? columns : 1); i++) {
        const float value = middle + scale * random_float();
        memcpy(place + i * sizeof value, &value, sizeof value);
    }
}

/* The upper half of a float. */
static inline void write_bf16(model_writer *to, const char *name, size_t rows, size_t columns, float scale) {
    unsigned char *place = write_entry(to, name, "BF16", rows, columns, 2);
    for (size_t i = 0; place && i < rows * columns; i++) {
        const float value = scale * random_float();
        memcpy(place + 2 * i, (const unsigned char *)&value + 2, 2);
    }
}

/* A row's scale from half to once what makes 127 the largest weight. */
static inline void write_i8(model_writer *to, const char *name, size_t rows, size_t columns, float scale) {
    unsigned char *place = write_entry(to, name, "I8", rows, columns, 1);
    for (size_t i = 0; place && i < rows * columns; i++) place[i] = (unsigned char)random_below(256);
    char scale_name[NAME_SIZE];
    join_name(scale_name, name, "_scale", "");
    write_tensor(to, "", scale_name, rows, 0, 0.75f * scale / 127, 0.25f * scale / 127);
}

static inline void write_dense(model_writer *to, const char *scope, const char *part, size_t inputs,
                               size_t outputs) {
    const float scale = sqrtf(3 / (float)inputs);
    const model_weights weights =
        to->weights == WEIGHTS_MIXED ? (model_weights)(to->dense_count++ % WEIGHTS_MIXED) : to->weights;
    char name[NAME_SIZE];
    join_name(name, scope, part, ".weight");
    if (weights == WEIGHTS_F32)
        write_tensor(to, "", name, outputs, inputs, 0, scale);
    else if (weights == WEIGHTS_BF16)
        write_bf16(to, name, outputs, inputs, scale);
    else
        write_i8(to, name, outputs, inputs, scale);
    join_name(name, scope, part, ".bias");
    write_tensor(to, "", name, outputs, 0, 0, 0.5f);
}

static inline void write_norm(model_writer *to, const char *scope, const char *part, size_t dim) {
    char name[NAME_SIZE];
    join_name(name, scope, part, ".weight");
    write_tensor(to, "", name, dim, 0, 1, 0.3f);
    join_name(name, scope, part, ".bias");
    write_tensor(to, "", name, dim, 0, 0, 0.3f);
}

static inline void write_layer(model_writer *to, const model_sizes *sizes, const char *stack, size_t index) {
    const size_t dim = sizes->dim;
    char scope[40];
    snprintf(scope, sizeof scope, "%s.%zu.", stack, index);
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
    to->size = to->dense_count = 0;
    to->weights = sizes->weights;
    to->header_size = 0;
    write_header(
        to,
        "{\"__metadata__\":{\"format\":\"rill-encoder-1\",\"sample_rate_hz\":\"16000\",\"window_samples\":"
        "\"400\",\"hop_samples\":\"160\",\"fft_size\":\"512\",\"mel_bands\":\"%zu\",\"mel_hz_min\":\"20\","
        "\"mel_hz_max\":\"7600\",\"log_floor\":\"1e-06\",\"feature_mean\":\"-8.0\",\"feature_scale\":"
        "\"0.25\",\"frames_per_step\":\"%zu\",\"layers\":\"%zu\",\"model_dim\":\"%zu\",\"heads\":\"%zu\","
        "\"feed_forward_dim\":\"%zu\",\"convolution_kernel\":\"%zu\",\"embedding_dim\":\"%zu\","
        "\"feature_map\":\"elu+1\",\"normalizer_epsilon\":\"1e-06\",\"norm_epsilon\":\"1e-05\"",
        sizes->bands, sizes->frames, sizes->layers, sizes->dim, sizes->heads, sizes->feed_forward,
        sizes->kernel, sizes->embedding);
    if (sizes->speech_layers) write_header(to, ",\"speech_layers\":\"%zu\"", sizes->speech_layers);
    if (sizes->shared_said) write_header(to, ",\"shared_layers\":\"%zu\"", sizes->shared_said - 1);
    write_header(to, "}");
    write_dense(to, "", "input.projection", sizes->bands * sizes->frames, sizes->dim);
    write_norm(to, "", "input.norm", sizes->dim);
    for (size_t i = 0; i < sizes->layers; i++) write_layer(to, sizes, "layers", i);
    write_norm(to, "", "output.norm", sizes->dim);
    write_dense(to, "", "output.embedding", sizes->dim, sizes->embedding);
    for (size_t i = 0; i < sizes->speech_layers; i++) write_layer(to, sizes, "speech.layers", i);
    if (sizes->speech_layers) write_norm(to, "", "speech.norm", sizes->dim);
    write_dense(to, "", "output.speech", sizes->dim, 1);
    if (sizes->overlap) write_dense(to, "", "output.overlap", sizes->dim, 1);
    write_header(to, "}");
}

/* A whole model file of these sizes, with the same values by name whether reversed or not. */
static inline file_bytes model_bytes(const model_sizes *sizes, uint64_t seed, bool reversed) {
    model_writer *to = calloc(1, sizeof *to);
    write_model(to, sizes); /* to count */
    to->total = to->size;
    random_seed(seed);
    to->reversed = reversed;
    to->data = calloc(to->total, 1);
    write_model(to, sizes);
    file_bytes file = safetensors_bytes(to->header, to->total, to->data);
    free(to->data);
    free(to);
    return file;
}

static const model_sizes tiny_sizes = {1, 4, 2, 3, 2, 2, 2, 1, false, WEIGHTS_F32, 0, 0};

#endif
