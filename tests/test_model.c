/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <float.h>
#include <jansson.h>

#include <rill/encoder.h>

#include "fail_allocation.h"
#include "model_bytes.h"

#define SEED UINT64_C(20061623601)

static rill_model *open_bytes(file_bytes file) {
    rill_model *model;
    rill_error why = {""};
    cr_assert_eq(rill_model_from_memory("x", file.data, file.size, &model, &why), RILL_OK, "%s", why.message);
    return model;
}

static void expect_refused(file_bytes file, rill_status status, const char *reason) {
    rill_model *model = (rill_model *)file.data;
    rill_error why = {""};
    cr_expect_eq(rill_model_from_memory("x.file", file.data, file.size, &model, &why), status, "%s: %s",
                 reason, why.message);
    cr_expect_null(model);
    cr_expect(strstr(why.message, "x.file: ") == why.message && strstr(why.message, reason), "%s: %s", reason,
              why.message);
    for (const char *c = why.message; *c; c++) cr_expect((unsigned char)*c >= ' ', "%s", why.message);
}

Test(model, the_shipped_one_says_what_it_is) {
    rill_model *model;
    rill_error why = {""};
    cr_assert_eq(rill_model_open(RILL_MODEL, &model, &why), RILL_OK, "%s", why.message);
    const rill_model_info *info = rill_model_get_info(model);
    cr_assert_eq(info->sample_rate_hz, 16000);
    cr_assert(info->window_samples == 400 && info->hop_samples == 160 && info->fft_size == 512);
    cr_assert(info->mel_bands == 80 && info->mel_hz_min == 20 && info->mel_hz_max == 7600);
    cr_assert(info->log_floor == 1e-6 && info->feature_mean == -8 && info->feature_scale == 0.25);
    cr_assert(info->frames_per_step == 4 && info->layers == 5 && info->model_dim == 192 && info->heads == 6);
    cr_assert(info->feed_forward_dim == 448 && info->convolution_kernel == 9 && info->embedding_dim == 128);
    cr_assert(info->normalizer_epsilon == 1e-6 && info->norm_epsilon == 1e-5);
    cr_assert_eq(info->skipped_start_seconds, 0.3);
    cr_assert_eq(info->parameters, 2263200);
    cr_assert(info->has_overlap);
    cr_assert(info->weights_size > 2200000 && info->weights_size < 2500000); /* int8 */
    cr_assert_eq(info->state_size, 5 * (6 * 32 * 33 + 8 * 192) * sizeof(float));
    cr_assert_eq(info->steps_per_second, 25);
    cr_assert_float_eq(info->latency_seconds, 0.055, 1e-12);
    cr_assert_eq(strlen(info->fingerprint), 16);
    rill_model_close(model);
    rill_model_close(NULL);
}

static file_bytes read_file(const char *path, size_t shift) {
    FILE *stream = fopen(path, "rb");
    cr_assert(stream, "%s is missing", path);
    fseek(stream, 0, SEEK_END);
    file_bytes file = {(size_t)ftell(stream), NULL};
    rewind(stream);
    file.data = malloc(file.size + shift);
    cr_assert_eq(fread(file.data + shift, 1, file.size, stream), file.size);
    fclose(stream);
    return file;
}

Test(model, memory_at_any_alignment_and_path_give_one_model) {
    rill_model *from_path, *from_memory;
    file_bytes file = read_file(RILL_MODEL, 1);
    cr_assert_eq(rill_model_open(RILL_MODEL, &from_path, NULL), RILL_OK);
    cr_assert_eq(rill_model_from_memory("x", file.data + 1, file.size, &from_memory, NULL), RILL_OK);
    cr_assert_str_eq(rill_model_get_info(from_path)->fingerprint,
                     rill_model_get_info(from_memory)->fingerprint);
    rill_model_close(from_path);
    rill_model_close(from_memory);
    free(file.data);
}

Test(model, truncation_anywhere_is_refused) {
    file_bytes file = model_bytes(&tiny_sizes, SEED, false);
    for (size_t size = 0; size < file.size; size += size < 64 || file.size - size < 64 ? 1 : 37) {
        unsigned char *part = malloc(size + 1); /* one byte: malloc(0) may be NULL */
        memcpy(part, file.data, size);
        expect_refused((file_bytes){size, part}, RILL_BAD_FORMAT, "x.file");
        free(part);
    }
    free(file.data);
}

Test(model, each_metadata_value_is_checked) {
    static const struct {
        const char *from, *to;
        rill_status status;
        const char *reason;
    } changes[] = {
        {"rill-encoder-1", "rill-encoder-2", RILL_UNSUPPORTED, "format"},
        {"\"format\"", "\"Format\"", RILL_BAD_FORMAT, "format"},
        {"elu+1", "softmax\\n\\u001b[2J", RILL_UNSUPPORTED, "feature_map = \"softmax??[2J\""},
        {"\"16000\"", "\"0\"", RILL_BAD_FORMAT, "sample_rate_hz"},
        {"\"16000\"", "\"1e9\"", RILL_BAD_FORMAT, "sample_rate_hz"},
        {"\"16000\"", "\"15000\"", RILL_BAD_FORMAT, "mel_hz_max 7600"},
        {"\"400\"", "\"400.5\"", RILL_BAD_FORMAT, "window_samples"},
        {"\"400\"", "\"\"", RILL_BAD_FORMAT, "window_samples"},
        {"\"400\"", "\"0x190\"", RILL_BAD_FORMAT, "window_samples"},
        {"\"400\"", "\"513\"", RILL_BAD_FORMAT, "fft_size 512"},
        {"\"160\"", "\"-160\"", RILL_BAD_FORMAT, "hop_samples"},
        {"\"160\"", "\"401\"", RILL_BAD_FORMAT, "hop_samples 401"},
        {"\"mel_bands\":\"2\"", "\"mel_bands\":\"3\"", RILL_BAD_FORMAT,
         "input.projection.weight has the shape [4, 2]"},
        {"\"frames_per_step\":\"1\"", "\"frames_per_step\":\"65\"", RILL_BAD_FORMAT, "frames_per_step"},
        {"\"mel_hz_min\":\"20\"", "\"mel_hz_min\":\"7600\"", RILL_BAD_FORMAT, "mel_hz_min"},
        {"\"mel_hz_min\":\"20\"", "\"mel_hz_min\":\"NaN\"", RILL_BAD_FORMAT, "mel_hz_min"},
        {"\"1e-06\"", "\"0\"", RILL_BAD_FORMAT, "log_floor"},
        {"\"-8.0\"", "\"1e999\"", RILL_BAD_FORMAT, "feature_mean"},
        {"\"-8.0\"", "\"-8 x\"", RILL_BAD_FORMAT, "feature_mean"},
        {"\"0.25\"", "\"0\"", RILL_BAD_FORMAT, "feature_scale"},
        {"\"0.25\"", "\"0,25\"", RILL_BAD_FORMAT, "feature_scale"},
        {"\"layers\":\"1\"", "\"layers\":\"2\"", RILL_BAD_FORMAT,
         "layers.1.attention.norm.weight is missing"},
        {"\"layers\":\"1\"", "\"layers\":\"18446744073709551617\"", RILL_BAD_FORMAT, "layers"},
        {"\"layers\":\"1\"", "\"layers\":\"[1]\"", RILL_BAD_FORMAT, "layers"},
        {"\"model_dim\":\"4\"", "\"model_dim\":\"8\"", RILL_BAD_FORMAT, "input.projection.weight"},
        {"\"heads\":\"2\"", "\"heads\":\"3\"", RILL_BAD_FORMAT, "3 heads"},
        {"\"heads\":\"2\"", "\"heads\":\"4\"", RILL_BAD_FORMAT, "log_decay"},
        {"\"feed_forward_dim\":\"3\"", "\"feed_forward_dim\":\"4\"", RILL_BAD_FORMAT,
         "feed_forward.expand.weight"},
        {"\"convolution_kernel\":\"2\"", "\"convolution_kernel\":\"1\"", RILL_BAD_FORMAT, "depthwise.weight"},
        {"\"embedding_dim\":\"2\"", "\"embedding_dim\":\"1\"", RILL_BAD_FORMAT, "output.embedding.weight"},
        {"\"1e-05\"", "\"1.5\"", RILL_BAD_FORMAT, "norm_epsilon"},
        {"\"format\"", "\"skipped_start_seconds\":\"-1\",\"format\"", RILL_BAD_FORMAT,
         "skipped_start_seconds"},
        {"\"format\"", "\"model_id\":\"\\u001b[2J\",\"format\"", RILL_BAD_FORMAT, "model_id"},
        {"\"format\"",
         "\"model_id\":\"a name of 64 bytes, one more than fits with its terminating zero\",\"format\"",
         RILL_BAD_FORMAT, "model_id"},
        {"\"F32\"", "\"F16\"", RILL_BAD_FORMAT, "values of F16"},
        {"\"F32\"", "\"I32\"", RILL_UNSUPPORTED, "input.projection.weight is I32"},
        {"[4,2]", "[2,4]", RILL_BAD_FORMAT, "[2, 4], the metadata asks for [4, 2]"},
        {"[4,2]", "[8]", RILL_BAD_FORMAT, "[8], the metadata asks for [4, 2]"},
        {"[4,2]", "[4,2,1]", RILL_BAD_FORMAT, "[4, 2, 1], the metadata asks for [4, 2]"},
    };
    file_bytes good = model_bytes(&tiny_sizes, SEED, false);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        file_bytes bad = with_replaced(good, changes[i].from, changes[i].to);
        expect_refused(bad, changes[i].status, changes[i].reason);
        free(bad.data);
    }
    free(good.data);
}

/* Renames the name that starts at `quote` in the header and expects a refusal that tells it. */
static void expect_needed(file_bytes file, const unsigned char *quote) {
    char name[100] = "";
    memcpy(name, quote, strcspn((const char *)quote + 1, "\"") + 2);
    char other[100];
    memcpy(other, name, sizeof other);
    other[1] = '~';
    file_bytes without = with_replaced(file, name, other);
    name[strlen(name) - 1] = '\0';
    expect_refused(without, RILL_BAD_FORMAT, name + 1);
    free(without.data);
}

/* The head of overlap may lack, but not half of it. */
Test(model, every_key_and_tensor_of_the_network_is_needed) {
    model_sizes sizes = tiny_sizes;
    sizes.overlap = true;
    file_bytes file = model_bytes(&sizes, SEED, false);
    const uint64_t length = header_size_of(file);
    size_t names = 0;
    for (size_t i = 8 + strlen("{\"__metadata__\""); i < 8 + length; i++) {
        const unsigned char *c = file.data + i;
        bool begins_name =
            *c == '"' && (c[-1] == ',' || c[-1] == '{') && strchr("abcdefghijklmnopqrstuvwxyz", c[1]);
        if (!begins_name || !strncmp((const char *)c, "\"dtype", 6) ||
            !strncmp((const char *)c, "\"shape", 6) || !strncmp((const char *)c, "\"data_offsets", 13))
            continue;
        expect_needed(file, c);
        names++;
    }
    cr_assert_eq(names, 21 + 37, "%zu", names);
    free(file.data);
}

Test(model, no_weight_may_be_other_than_finite) {
    file_bytes file = model_bytes(&tiny_sizes, SEED, false);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    unsigned char *data = file.data + 8 + header_size_of(file);
    const size_t floats = (file.size - 8 - header_size_of(file)) / sizeof(float);
    for (size_t i = 0; i < floats;
         i += 5) { /* every tensor but the two scalars is met: none other is shorter */
        float kept;
        memcpy(&kept, data + i * sizeof kept, sizeof kept);
        memcpy(data + i * sizeof kept, &bad[i % 3], sizeof kept);
        expect_refused(file, RILL_BAD_FORMAT, i % 3 == 0 ? "nan" : i % 3 == 1 ? "is inf" : "is -inf");
        memcpy(data + i * sizeof kept, &kept, sizeof kept);
    }
    free(file.data);
}

/* The place of the data of the first tensor whose name ends like this. */
static unsigned char *data_of(file_bytes file, const char *name) {
    const char *place = strstr((const char *)file.data + 8, name);
    cr_assert(place, "%s", name);
    return file.data + 8 + header_size_of(file) +
           strtoul(strchr(strstr(place, "data_offsets"), '[') + 1, NULL, 10);
}

Test(model, weights_may_be_of_three_types_and_all_else_is_float32) {
    model_sizes sizes = tiny_sizes;
    sizes.overlap = true;
    size_t parameters = 0;
    for (int weights = WEIGHTS_F32; weights <= WEIGHTS_MIXED; weights++) {
        sizes.weights = (model_weights)weights;
        file_bytes file = model_bytes(&sizes, SEED, weights % 2);
        rill_model *model = open_bytes(file);
        if (!parameters) parameters = rill_model_get_info(model)->parameters;
        cr_expect_eq(rill_model_get_info(model)->parameters, parameters, "whatever they are written in");
        rill_model_close(model);
        free(file.data);
    }
    file_bytes file = model_bytes(&tiny_sizes, SEED, false);
    memset(file.data + 8 + header_size_of(file), 0, file.size - 8 - header_size_of(file)); /* of any type */
    static const struct {
        const char *part, *dtype;
        size_t size;
    } changes[] = {{"input.projection.weight", "F16", 2}, {"input.projection.weight", "U8", 1},
                   {"attention.query.weight", "I16", 2},  {"output.speech.weight", "F64", 8},
                   {"input.projection.bias", "BF16", 2},  {"attention.norm.weight", "BF16", 2},
                   {"attention.log_decay", "BF16", 2},    {"depthwise.weight", "BF16", 2},
                   {"depthwise.weight", "I8", 1}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char from[200], to[200], reason[200];
        /* another type needs another shape, lest the size give it away first */
        const char *shape = strstr(strstr((const char *)file.data + 8, changes[i].part), "[");
        char *rest = strchr(shape + 1, '[') + 1;
        const size_t begin = strtoul(rest, &rest, 10), size = strtoul(rest + 1, NULL, 10) - begin;
        snprintf(from, sizeof from, "%s\":{\"dtype\":\"F32\",\"shape\":%.*s", changes[i].part,
                 (int)strcspn(shape, "]"), shape);
        snprintf(to, sizeof to, "%s\":{\"dtype\":\"%s\",\"shape\":[%zu", changes[i].part, changes[i].dtype,
                 size / changes[i].size);
        snprintf(reason, sizeof reason, "%s is %s; this version runs F32%s there", changes[i].part,
                 changes[i].dtype, i < 4 ? ", BF16 and I8" : "");
        file_bytes bad = with_replaced(file, from, to);
        expect_refused(bad, RILL_UNSUPPORTED, reason);
        free(bad.data);
    }
    free(file.data);
}

Test(model, an_int8_weight_needs_a_scale_above_zero_for_each_row) {
    model_sizes sizes = tiny_sizes;
    sizes.weights = WEIGHTS_I8;
    file_bytes file = model_bytes(&sizes, SEED, false);
    const float bad[] = {0, -0.0f, -0.1f, FLT_MAX, NAN, INFINITY};
    unsigned char *scale = data_of(file, "attention.value.weight_scale") + 2 * sizeof(float);
    float kept;
    memcpy(&kept, scale, sizeof kept);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(scale, &bad[i], sizeof *bad);
        expect_refused(file, RILL_BAD_FORMAT,
                       i < 4 ? "layers.0.attention.value.weight_scale"
                             : "attention.value.weight_scale: value 2 is");
    }
    memcpy(scale, &kept, sizeof kept);
    static const struct {
        const char *from, *to, *reason;
        rill_status status;
    } changes[] = {
        {"attention.key.weight_scale", "attention.key.weight_Scale",
         "the tensor layers.0.attention.key.weight_scale is missing", RILL_BAD_FORMAT},
        {"attention.key.weight_scale\":{\"dtype\":\"F32\",\"shape\":[4]",
         "attention.key.weight_scale\":{\"dtype\":\"F32\",\"shape\":[2,2]", "has the shape [2, 2]",
         RILL_BAD_FORMAT},
        {"attention.key.weight_scale\":{\"dtype\":\"F32\",\"shape\":[4]",
         "attention.key.weight_scale\":{\"dtype\":\"BF16\",\"shape\":[8]", "weight_scale is BF16",
         RILL_UNSUPPORTED},
        {"attention.key.weight\":{\"dtype\":\"I8\",\"shape\":[4,4]",
         "attention.key.weight\":{\"dtype\":\"F32\",\"shape\":[2,2]", "shape [2, 2]", RILL_BAD_FORMAT},
        {"attention.key.weight\":{\"dtype\":\"I8\",\"shape\":[4,4]",
         "attention.key.weight\":{\"dtype\":\"I8\",\"shape\":[2,8]", "shape [2, 8]", RILL_BAD_FORMAT},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        file_bytes changed = with_replaced(file, changes[i].from, changes[i].to);
        expect_refused(changed, changes[i].status, changes[i].reason);
        free(changed.data);
    }
    free(file.data);

    file = model_bytes(&tiny_sizes, SEED, false); /* of float32 */
    file_bytes stray = with_replaced(file, "{\"__metadata__\":{",
                                     "{\"output.speech.weight_scale\":{\"dtype\":\"F32\",\"shape\":[0],"
                                     "\"data_offsets\":[0,0]},\"__metadata__\":{");
    expect_refused(stray, RILL_BAD_FORMAT, "output.speech.weight_scale stands beside a weight that is no I8");
    free(file.data), free(stray.data);
}

Test(model, no_bfloat16_may_be_other_than_finite) {
    model_sizes sizes = tiny_sizes;
    sizes.weights = WEIGHTS_BF16;
    file_bytes file = model_bytes(&sizes, SEED, false);
    static const struct {
        uint16_t bits;
        const char *reason;
    } bad[] = {{0x7fc1, "nan"}, {0x7f81, "nan"}, {0x7f80, "is inf"}, {0xff80, "is -inf"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        unsigned char *value = data_of(file, "expand.weight") + 6;
        unsigned char kept[2] = {value[0], value[1]};
        memcpy(value, &bad[i].bits, 2);
        expect_refused(file, RILL_BAD_FORMAT, bad[i].reason);
        memcpy(value, kept, 2);
    }
    free(file.data);
}

Test(model, a_state_may_not_grow_by_itself) {
    file_bytes file = model_bytes(&tiny_sizes, SEED, false);
    const float growing = 0.01f;
    memcpy(data_of(file, "attention.log_decay") + sizeof growing, &growing, sizeof growing);
    expect_refused(file, RILL_BAD_FORMAT, "layers.0.attention.log_decay: 0.01 for head 1");
    free(file.data);
}

static void fingerprint_of(file_bytes file, char fingerprint[17]) {
    rill_model *model = open_bytes(file);
    memcpy(fingerprint, rill_model_get_info(model)->fingerprint, 17);
    rill_model_close(model);
}

Test(model, the_fingerprint_is_of_the_contents_not_of_the_layout) {
    file_bytes file = model_bytes(&tiny_sizes, SEED, false);
    char own[17], other[17];
    fingerprint_of(file, own);

    file_bytes moved = model_bytes(&tiny_sizes, SEED, true);
    fingerprint_of(moved, other);
    cr_assert_str_eq(other, own, "the places of the tensors");
    file_bytes padded = with_replaced(file, "\"__metadata__\":{", "  \"__metadata__\" :{ ");
    fingerprint_of(padded, other);
    cr_assert_str_eq(other, own, "spaces in the header");
    file_bytes swapped = with_replaced(file, "\"window_samples\":\"400\",\"hop_samples\":\"160\"",
                                       "\"hop_samples\":\"160\",\"window_samples\":\"400\"");
    fingerprint_of(swapped, other);
    cr_assert_str_eq(other, own, "the order of the keys");

    file.data[file.size - 1] ^= 1; /* one bit of one weight */
    fingerprint_of(file, other);
    cr_assert_str_neq(other, own);
    file.data[file.size - 1] ^= 1;
    file_bytes changed = with_replaced(file, "\"-8.0\"", "\"-7.0\"");
    fingerprint_of(changed, other);
    cr_assert_str_neq(other, own, "a metadata value");
    free(file.data), free(moved.data), free(padded.data), free(swapped.data), free(changed.data);
}

Test(model, gives_out_its_texts_numbers_and_tensors) {
    file_bytes file = model_bytes(&tiny_sizes, SEED, false);
    file_bytes more =
        with_replaced(file, "{\"__metadata__\":{",
                      "{\"tracker.none\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
                      "\"tracker.five\":{\"dtype\":\"F32\",\"shape\":[1,1,0,1,1],\"data_offsets\":[0,0]},"
                      "\"tracker.bytes\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
                      "\"__metadata__\":{\"tracker.a\":\"0.5\",\"tracker.b\":\"half\",\"model_id\":\"t\","
                      "\"skipped_start_seconds\":\"0\",");
    rill_model *model = open_bytes(more);
    cr_assert_str_eq(rill_model_get_info(model)->id, "t");
    cr_assert_str_eq(rill_model_get_info(model)->licence, "not stated");
    cr_assert_eq(rill_model_get_info(model)->skipped_start_seconds, 0);
    cr_assert_str_eq(rill_model_text(model, "tracker.b"), "half");
    cr_assert_null(rill_model_text(model, "tracker.c"));
    cr_assert_eq(rill_model_number(model, "tracker.a", 7), 0.5);
    cr_assert_eq(rill_model_number(model, "tracker.b", 7), 7);
    cr_assert_eq(rill_model_number(model, "tracker.c", 7), 7);
    cr_assert_eq(rill_model_number(model, "sample_rate_hz", 7), 16000);
    size_t shape[4];
    const float *weight = rill_model_tensor(model, "input.projection.weight", shape);
    cr_assert(weight && shape[0] == 4 && shape[1] == 2 && shape[2] == 1 && shape[3] == 1);
    cr_assert_arr_eq(weight, more.data + 8 + header_size_of(more), 8 * sizeof(float));
    cr_assert(rill_model_tensor(model, "tracker.none", shape) && shape[0] == 0);
    cr_assert_null(rill_model_tensor(model, "tracker.five", shape));
    cr_assert_null(rill_model_tensor(model, "tracker.bytes", shape));
    cr_assert_null(rill_model_tensor(model, "tracker.absent", shape));
    rill_model_close(model);
    free(file.data), free(more.data);
}

Test(model, what_cannot_be_opened_says_so) {
    rill_model *model;
    rill_error why = {""};
    cr_expect_eq(rill_model_open(RILL_TESTS "/no such model", &model, &why), RILL_NOT_FOUND);
    cr_expect(strstr(why.message, "no such model") && !model);
    cr_expect_eq(rill_model_open(RILL_TESTS, &model, NULL), RILL_IO_ERROR);
    cr_expect_eq(rill_model_from_memory("x", NULL, 0, &model, &why), RILL_BAD_FORMAT);
}

/* Of rill's own allocations: jansson 2.14 itself asserts when it gets no memory inside a string. */
Test(model, every_failing_allocation_is_told_and_leaks_nothing) {
#if FAILS_ALLOCATIONS
    file_bytes file = model_bytes(&tiny_sizes, SEED, false);
    json_set_alloc_funcs(__libc_malloc, __libc_free);
    size_t failing = 0;
    for (bool failed = true; failed;) {
        rill_model *model;
        rill_error why = {""};
        const size_t before = allocations_live;
        allocations_until_failure = ++failing;
        const rill_status status = rill_model_from_memory("x", file.data, file.size, &model, &why);
        failed = allocations_until_failure == 0;
        allocations_until_failure = 0;
        cr_assert_eq(status, failed ? RILL_OUT_OF_MEMORY : RILL_OK, "allocation %zu: %s", failing,
                     why.message);
        cr_assert_eq(strcmp(why.message, "x: out of memory") == 0, failed, "%s", why.message);
        rill_model_close(model);
        const size_t after = allocations_live;
        cr_assert_eq(after, before, "allocation %zu leaks", failing);
    }
    cr_assert_eq(failing, 7, "after tensors, metadata, data, model, layers, packed");
    free(file.data);
#else
    cr_skip_test("SKIPPED: a sanitizer stands where allocations could be made to fail");
#endif
}
