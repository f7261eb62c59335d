/* SPDX-License-Identifier: MIT */
/* What a model file tells once it is open, and what happens when there is none or no memory. */
#include <jansson.h>

#include "fail_allocation.h"
#include "model_opened.h"

#define SEED UINT64_C(20061623601)

Test(model, the_shipped_one_says_what_it_is) {
    rill_model *model;
    rill_error why = {""};
    cr_assert_eq(rill_model_open(RILL_MODEL, &model, &why), RILL_OK, "%s", why.message);
    const rill_model_info *info = rill_model_get_info(model);
    cr_assert_eq(info->sample_rate_hz, 16000);
    cr_assert(info->window_samples == 400 && info->hop_samples == 160 && info->fft_size == 512);
    cr_assert(info->mel_bands == 80 && info->mel_hz_min == 20 && info->mel_hz_max == 7600);
    cr_assert(info->log_floor == 1e-6 && info->feature_mean == -8 && info->feature_scale == 0.25);
    cr_assert(info->frames_per_step == 4 && info->layers == 8 && info->shared_layers == 2 &&
              info->speech_layers == 3 && info->model_dim == 192 && info->heads == 6);
    cr_assert(info->feed_forward_dim == 448 && info->convolution_kernel == 9 && info->embedding_dim == 192);
    cr_assert(info->normalizer_epsilon == 1e-6 && info->norm_epsilon == 1e-5);
    cr_assert_eq(info->skipped_start_seconds, 0.3);
    cr_assert_eq(info->heard_again_seconds, 10);
    cr_assert_eq(info->parameters, 4886788);
    cr_assert(info->has_overlap);
    cr_assert(info->weights_size > 4800000 && info->weights_size < 5300000); /* int8 */
    cr_assert_eq(info->state_size, (8 + 3) * (6 * 32 * 33 + 8 * 192) * sizeof(float));
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
