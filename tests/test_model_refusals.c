/* SPDX-License-Identifier: MIT */
/* Model files that are cut short, lack something or say what cannot be are refused, and why is told. */
#include <float.h>

#include "model_opened.h"

#define SEED UINT64_C(20061623601)

Test(model_refusals, truncation_anywhere_is_refused) {
    file_bytes file = model_bytes(&tiny_sizes, SEED, false);
    for (size_t size = 0; size < file.size; size += size < 64 || file.size - size < 64 ? 1 : 37) {
        unsigned char *part = malloc(size + 1); /* one byte: malloc(0) may be NULL */
        memcpy(part, file.data, size);
        expect_refused((file_bytes){size, part}, RILL_BAD_FORMAT, "x.file");
        free(part);
    }
    free(file.data);
}

Test(model_refusals, each_metadata_value_is_checked) {
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
        {"\"format\"", "\"speech_layers\":\"65\",\"format\"", RILL_BAD_FORMAT, "speech_layers"},
        {"\"format\"", "\"speech_layers\":\"0.5\",\"format\"", RILL_BAD_FORMAT, "speech_layers"},
        {"\"format\"", "\"speech_layers\":\"1\",\"format\"", RILL_BAD_FORMAT,
         "speech.layers.0.attention.norm.weight is missing"},
        {"\"format\"", "\"speech_layers\":\"1\",\"shared_layers\":\"2\",\"format\"", RILL_BAD_FORMAT,
         "shared_layers"},
        {"\"format\"", "\"speech_layers\":\"1\",\"shared_layers\":\"0.5\",\"format\"", RILL_BAD_FORMAT,
         "shared_layers"},
        {"\"model_dim\":\"4\"", "\"model_dim\":\"8\"", RILL_BAD_FORMAT, "input.projection.weight"},
        {"\"heads\":\"2\"", "\"heads\":\"3\"", RILL_BAD_FORMAT, "3 heads"},
        {"\"heads\":\"2\"", "\"heads\":\"4\"", RILL_BAD_FORMAT, "log_decay"},
        {"\"feed_forward_dim\":\"3\"", "\"feed_forward_dim\":\"4\"", RILL_BAD_FORMAT,
         "feed_forward.expand.weight"},
        {"\"convolution_kernel\":\"2\"", "\"convolution_kernel\":\"1\"", RILL_BAD_FORMAT, "depthwise.weight"},
        {"\"embedding_dim\":\"2\"", "\"embedding_dim\":\"1\"", RILL_BAD_FORMAT, "output.embedding.weight"},
        {"\"1e-05\"", "\"1.5\"", RILL_BAD_FORMAT, "norm_epsilon"},
        {"\"format\"", "\"high_pass_hz\":\"-1\",\"format\"", RILL_BAD_FORMAT, "high_pass_hz"},
        {"\"format\"", "\"heard_again_seconds\":\"61\",\"format\"", RILL_BAD_FORMAT, "heard_again_seconds"},
        {"\"format\"", "\"heard_again_speed\":\"0.25\",\"format\"", RILL_BAD_FORMAT, "heard_again_speed"},
        {"\"format\"", "\"pooling_speech_power\":\"-1\",\"format\"", RILL_BAD_FORMAT, "pooling_speech_power"},
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

/* The head of overlap may lack, but not half of it; without speech_layers the branch is something unknown. */
Test(model_refusals, every_key_and_tensor_of_the_network_is_needed) {
    model_sizes sizes = tiny_sizes;
    sizes.overlap = true;
    sizes.speech_layers = 1;
    file_bytes file = model_bytes(&sizes, SEED, false);
    const uint64_t length = header_size_of(file);
    size_t names = 0;
    for (size_t i = 8 + strlen("{\"__metadata__\""); i < 8 + length; i++) {
        const unsigned char *c = file.data + i;
        bool begins_name =
            *c == '"' && (c[-1] == ',' || c[-1] == '{') && strchr("abcdefghijklmnopqrstuvwxyz", c[1]);
        if (!begins_name || !strncmp((const char *)c, "\"dtype", 6) ||
            !strncmp((const char *)c, "\"shape", 6) || !strncmp((const char *)c, "\"data_offsets", 13) ||
            !strncmp((const char *)c, "\"speech_layers", 14))
            continue;
        expect_needed(file, c);
        names++;
    }
    cr_assert_eq(names, 21 + 37 + 25 + 2, "%zu", names);
    free(file.data);
}

Test(model_refusals, no_weight_may_be_other_than_finite) {
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

Test(model_refusals, weights_may_be_of_three_types_and_all_else_is_float32) {
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

Test(model_refusals, an_int8_weight_needs_a_scale_above_zero_for_each_row) {
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

Test(model_refusals, no_bfloat16_may_be_other_than_finite) {
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

Test(model_refusals, a_state_may_not_grow_by_itself) {
    file_bytes file = model_bytes(&tiny_sizes, SEED, false);
    const float growing = 0.01f;
    memcpy(data_of(file, "attention.log_decay") + sizeof growing, &growing, sizeof growing);
    expect_refused(file, RILL_BAD_FORMAT, "layers.0.attention.log_decay: 0.01 for head 1");
    free(file.data);
}
