/* SPDX-License-Identifier: MIT */
#include "encoder/safetensors.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "failure.h"

#define ALIGNMENT ((size_t)64)
#define PREFIX    ((size_t)8) /* bytes of header length */

#if defined(__BYTE_ORDER__)
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensor data is copied as it lies in the file");
#endif

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
              {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
              {"U32", 4},  {"F32", 4}, {"I64", 8}, {"U64", 8},     {"F64", 8}};

/* What a parse needs at every depth. */
typedef struct source {
    const char *name; /* of the file, for errors */
    const unsigned char *data;
    size_t data_size;
    rill_error *why;
} source;

static size_t round_up(size_t size) {
    return (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

static rill_status read_dtype(const source *from, const json_t *entry, rill_tensor *tensor,
                              size_t *item_size) {
    const char *text = json_string_value(json_object_get(entry, "dtype"));
    if (!text)
        return rill_fail(from->why, RILL_BAD_FORMAT, "%s: tensor %.100s has no dtype", from->name,
                         tensor->name);
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (!strcmp(text, dtypes[i].name)) {
            tensor->dtype = dtypes[i].name;
            *item_size = dtypes[i].size;
            return RILL_OK;
        }
    return rill_fail(from->why, RILL_UNSUPPORTED, "%s: tensor %.100s has the unknown dtype %.20s", from->name,
                     tensor->name, text);
}

static rill_status read_shape(const source *from, const json_t *entry, rill_tensor *tensor) {
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return rill_fail(from->why, RILL_BAD_FORMAT, "%s: tensor %.100s has no shape", from->name,
                         tensor->name);
    tensor->rank = json_array_size(shape);
    if (tensor->rank > RILL_TENSOR_MAX_RANK)
        return rill_fail(from->why, RILL_UNSUPPORTED,
                         "%s: tensor %.100s has %zu dimensions, at most %d are read", from->name,
                         tensor->name, tensor->rank, RILL_TENSOR_MAX_RANK);
    tensor->count = 1;
    for (size_t i = 0; i < tensor->rank; i++) {
        const json_t *item = json_array_get(shape, i);
        json_int_t dim = json_integer_value(item);
        if (!json_is_integer(item) || dim < 0)
            return rill_fail(from->why, RILL_BAD_FORMAT, "%s: tensor %.100s: dimension %zu is no size",
                             from->name, tensor->name, i);
        if (dim && tensor->count > from->data_size / (size_t)dim)
            return rill_fail(from->why, RILL_BAD_FORMAT,
                             "%s: tensor %.100s: the shape holds more values than the file has bytes",
                             from->name, tensor->name);
        tensor->shape[i] = (size_t)dim;
        tensor->count *= (size_t)dim;
    }
    return RILL_OK;
}

static rill_status read_offsets(const source *from, const json_t *entry, rill_tensor *tensor,
                                size_t item_size) {
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return rill_fail(from->why, RILL_BAD_FORMAT, "%s: tensor %.100s: data_offsets are not two integers",
                         from->name, tensor->name);
    json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || (uintmax_t)end > from->data_size)
        return rill_fail(
            from->why, RILL_BAD_FORMAT,
            "%s: tensor %.100s: data_offsets [%lld, %lld] lie outside the %zu bytes of data (truncated?)",
            from->name, tensor->name, (long long)begin, (long long)end, from->data_size);
    tensor->bytes = from->data + begin;
    tensor->size = (size_t)(end - begin);
    /* count is at most data_size, itself at most RILL_SAFETENSORS_MAX_FILE: no overflow even in 32 + 3 bits
     */
    if ((uintmax_t)tensor->count * item_size != tensor->size)
        return rill_fail(from->why, RILL_BAD_FORMAT, "%s: tensor %.100s: %zu values of %s are not %zu bytes",
                         from->name, tensor->name, tensor->count, tensor->dtype, tensor->size);
    return RILL_OK;
}

static rill_status read_tensor(const source *from, const json_t *entry, rill_tensor *tensor) {
    size_t item_size = 0;
    if (!json_is_object(entry))
        return rill_fail(from->why, RILL_BAD_FORMAT, "%s: tensor %.100s is no JSON object", from->name,
                         tensor->name);
    rill_status status = read_dtype(from, entry, tensor, &item_size);
    if (status == RILL_OK) status = read_shape(from, entry, tensor);
    if (status == RILL_OK) status = read_offsets(from, entry, tensor, item_size);
    if (status == RILL_OK && json_object_size(entry) != 3)
        status = rill_fail(from->why, RILL_UNSUPPORTED,
                           "%s: tensor %.100s has other keys than dtype, shape, data_offsets", from->name,
                           tensor->name);
    return status;
}

static rill_status read_metadata(const source *from, json_t *entries, rill_safetensors *file) {
    if (!json_is_object(entries))
        return rill_fail(from->why, RILL_BAD_FORMAT, "%s: __metadata__ is no JSON object", from->name);
    file->metadata = calloc(json_object_size(entries) + 1, sizeof *file->metadata);
    if (!file->metadata) return rill_fail(from->why, RILL_OUT_OF_MEMORY, "%s: out of memory", from->name);
    const char *key;
    json_t *value;
    json_object_foreach(entries, key, value) {
        if (!json_is_string(value))
            return rill_fail(from->why, RILL_BAD_FORMAT, "%s: metadata %.100s is no string", from->name, key);
        file->metadata[file->metadata_count++] = (rill_metadata){key, json_string_value(value)};
    }
    return RILL_OK;
}

static rill_status read_entries(const source *from, rill_safetensors *file) {
    json_t *header = file->header;
    file->tensors = calloc(json_object_size(header) + 1, sizeof *file->tensors);
    if (!file->tensors) return rill_fail(from->why, RILL_OUT_OF_MEMORY, "%s: out of memory", from->name);
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry) {
        rill_status status;
        if (!strcmp(name, "__metadata__")) {
            status = read_metadata(from, entry, file);
        } else {
            rill_tensor *tensor = &file->tensors[file->tensors_count++];
            tensor->name = name;
            status = read_tensor(from, entry, tensor);
        }
        if (status != RILL_OK) return status;
    }
    return RILL_OK;
}

static int by_place(const void *left, const void *right) {
    const rill_tensor *a = left, *b = right;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;
    return (a->size > b->size) - (a->size < b->size);
}

static int tensor_by_name(const void *left, const void *right) {
    return strcmp(((const rill_tensor *)left)->name, ((const rill_tensor *)right)->name);
}

static int metadata_by_key(const void *left, const void *right) {
    return strcmp(((const rill_metadata *)left)->key, ((const rill_metadata *)right)->key);
}

/* The tensors, in order of place, must tile the data: no byte belongs to two or to none. */
static rill_status check_tiling(const source *from, const rill_safetensors *file) {
    const unsigned char *end = from->data;
    for (size_t i = 0; i < file->tensors_count; i++) {
        const rill_tensor *tensor = &file->tensors[i];
        if (tensor->bytes != end)
            return rill_fail(from->why, RILL_BAD_FORMAT, "%s: tensor %.100s %s", from->name, tensor->name,
                             tensor->bytes < end ? "overlaps another one"
                                                 : "follows bytes that belong to no tensor");
        end += tensor->size;
    }
    if (end != from->data + from->data_size)
        return rill_fail(from->why, RILL_BAD_FORMAT, "%s: %zu bytes at the end belong to no tensor",
                         from->name, (size_t)(from->data + from->data_size - end));
    return RILL_OK;
}

/* Moves the tensors into memory of their own, each aligned: in a file they lie at any address. */
static rill_status copy_data(const source *from, rill_safetensors *file) {
    size_t total = ALIGNMENT;
    for (size_t i = 0; i < file->tensors_count; i++) total += round_up(file->tensors[i].size);
    file->data = aligned_alloc(ALIGNMENT, total);
    if (!file->data) return rill_fail(from->why, RILL_OUT_OF_MEMORY, "%s: out of memory", from->name);
    unsigned char *place = file->data;
    for (size_t i = 0; i < file->tensors_count; i++) {
        rill_tensor *tensor = &file->tensors[i];
        if (tensor->size) memcpy(place, tensor->bytes, tensor->size);
        tensor->bytes = place;
        place += round_up(tensor->size);
    }
    return RILL_OK;
}

static rill_status read_header(const source *from, const unsigned char *header, size_t size,
                               rill_safetensors *file) {
    json_error_t error;
    json_t *json = json_loadb((const char *)header, size, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        return rill_fail(from->why, RILL_BAD_FORMAT, "%s: the header is no JSON: %s (byte %d)", from->name,
                         error.text, error.position);
    file->header = json;
    if (!json_is_object(json))
        return rill_fail(from->why, RILL_BAD_FORMAT, "%s: the header is no JSON object", from->name);
    return read_entries(from, file);
}

static rill_status parse(const char *name, const unsigned char *bytes, size_t size, rill_safetensors *file,
                         rill_error *why) {
    if (size > RILL_SAFETENSORS_MAX_FILE)
        return rill_fail(why, RILL_UNSUPPORTED, "%s: larger than 2 GiB", name);
    if (size < PREFIX)
        return rill_fail(why, RILL_BAD_FORMAT, "%s: %zu bytes are no safetensors file", name, size);
    uint64_t header_size = 0;
    for (size_t i = 0; i < PREFIX; i++) header_size |= (uint64_t)bytes[i] << 8 * i;
    if (header_size > size - PREFIX)
        return rill_fail(why, RILL_BAD_FORMAT,
                         "%s: a header of %llu bytes in a file of %zu: truncated, or no safetensors", name,
                         (unsigned long long)header_size, size);
    if (header_size > RILL_SAFETENSORS_MAX_HEADER)
        return rill_fail(why, RILL_UNSUPPORTED, "%s: a header of %llu bytes, at most %zu are read", name,
                         (unsigned long long)header_size, RILL_SAFETENSORS_MAX_HEADER);
    const unsigned char *header = bytes + PREFIX;
    const source from = {name, header + header_size, size - PREFIX - (size_t)header_size, why};
    rill_status status = read_header(&from, header, (size_t)header_size, file);
    if (status != RILL_OK) return status;
    qsort(file->tensors, file->tensors_count, sizeof *file->tensors, by_place);
    status = check_tiling(&from, file);
    if (status == RILL_OK) status = copy_data(&from, file);
    if (status != RILL_OK) return status;
    qsort(file->tensors, file->tensors_count, sizeof *file->tensors, tensor_by_name);
    if (file->metadata) qsort(file->metadata, file->metadata_count, sizeof *file->metadata, metadata_by_key);
    return RILL_OK;
}

rill_status rill_safetensors_parse(const char *name, const void *bytes, size_t size, rill_safetensors *file,
                                   rill_error *why) {
    *file = (rill_safetensors){0};
    rill_status status = parse(name, bytes, size, file, why);
    if (status != RILL_OK) rill_safetensors_free(file);
    return status;
}

/* The size of an open file that holds a first byte; reading it first is what tells a directory. */
static rill_status measure(FILE *stream, const char *path, size_t *size, rill_error *why) {
    if (getc(stream) == EOF) {
        if (ferror(stream)) return rill_fail(why, RILL_IO_ERROR, "%s: %s", path, strerror(errno));
        return rill_fail(why, RILL_BAD_FORMAT, "%s: the file is empty", path);
    }
    long end = fseek(stream, 0, SEEK_END) == 0 ? ftell(stream) : -1;
    if (end < 0 || fseek(stream, 0, SEEK_SET) != 0)
        return rill_fail(why, RILL_IO_ERROR, "%s: %s", path, strerror(errno));
    if ((uintmax_t)end > RILL_SAFETENSORS_MAX_FILE)
        return rill_fail(why, RILL_UNSUPPORTED, "%s: larger than 2 GiB", path);
    *size = (size_t)end;
    return RILL_OK;
}

static rill_status read_stream(FILE *stream, const char *path, rill_safetensors *file, rill_error *why) {
    size_t size = 0;
    rill_status status = measure(stream, path, &size, why);
    if (status != RILL_OK) return status;
    unsigned char *bytes = malloc(size ? size : 1);
    if (!bytes) return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: out of memory (%zu bytes)", path, size);
    if (fread(bytes, 1, size, stream) == size)
        status = rill_safetensors_parse(path, bytes, size, file, why);
    else
        status = rill_fail(why, RILL_IO_ERROR, "%s: reading stopped before %zu bytes: %s", path, size,
                           ferror(stream) ? strerror(errno) : "the file has shrunk");
    free(bytes);
    return status;
}

rill_status rill_safetensors_open(const char *path, rill_safetensors *file, rill_error *why) {
    *file = (rill_safetensors){0};
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return rill_fail(why, errno == ENOENT || errno == ENOTDIR ? RILL_NOT_FOUND : RILL_IO_ERROR, "%s: %s",
                         path, strerror(errno));
    rill_status status = read_stream(stream, path, file, why);
    fclose(stream);
    return status;
}

void rill_safetensors_free(rill_safetensors *file) {
    json_decref(file->header);
    free(file->tensors);
    free(file->metadata);
    free(file->data);
    *file = (rill_safetensors){0};
}

const rill_tensor *rill_safetensors_tensor(const rill_safetensors *file, const char *name) {
    const rill_tensor key = {.name = name};
    return bsearch(&key, file->tensors, file->tensors_count, sizeof key, tensor_by_name);
}

const char *rill_safetensors_text(const rill_safetensors *file, const char *key) {
    const rill_metadata wanted = {.key = key};
    const rill_metadata *found = file->metadata ? bsearch(&wanted, file->metadata, file->metadata_count,
                                                          sizeof wanted, metadata_by_key)
                                                : NULL;
    return found ? found->text : NULL;
}

const float *rill_tensor_f32(const rill_tensor *tensor) {
    return strcmp(tensor->dtype, "F32") ? NULL : (const float *)(const void *)tensor->bytes;
}

const uint16_t *rill_tensor_bf16(const rill_tensor *tensor) {
    return strcmp(tensor->dtype, "BF16") ? NULL : (const uint16_t *)(const void *)tensor->bytes;
}
