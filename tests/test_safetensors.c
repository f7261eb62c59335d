/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "encoder/safetensors.h"
#include "model_bytes.h"

#define SEED UINT64_C(20061623600)

/* Parsed from memory of exactly its size, so that a sanitizer sees a read past the end, after `shift` bytes.
 */
static rill_status parse_at(file_bytes file, size_t shift, rill_safetensors *parsed, rill_error *why) {
    unsigned char *copy = calloc(1, file.size + shift);
    if (file.size) memcpy(copy + shift, file.data, file.size);
    rill_status status = rill_safetensors_parse("x.safetensors", copy + shift, file.size, parsed, why);
    free(copy);
    return status;
}

static const char *const good_header =
    "{\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[3,27]},"
    "\"__metadata__\":{\"z\":\"\\u00e9\",\"a\":\"\"},"
    "\"bytes\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
    "\"none\":{\"dtype\":\"BF16\",\"shape\":[0,7],\"data_offsets\":[27,27]},"
    "\"scalar\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[27,35]}}   ";

Test(safetensors, gives_back_what_was_written_at_any_alignment) {
    unsigned char data[35];
    const float values[6] = {1, -2, 3.5f, 0, 1e-40f, 6};
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)i;
    memcpy(data + 3, values, sizeof values);
    file_bytes file = safetensors_bytes(good_header, sizeof data, data);
    for (size_t shift = 0; shift < 8; shift++) {
        rill_safetensors parsed;
        rill_error why = {""};
        cr_assert_eq(parse_at(file, shift, &parsed, &why), RILL_OK, "%s", why.message);
        cr_assert_eq(parsed.tensors_count, 4);
        const rill_tensor *b = rill_safetensors_tensor(&parsed, "b");
        cr_assert(b && b->rank == 2 && b->shape[0] == 2 && b->shape[1] == 3 && b->count == 6);
        cr_assert_eq((uintptr_t)b->bytes % 64, 0);
        cr_assert_arr_eq(rill_tensor_f32(b), values, sizeof values);
        const rill_tensor *bytes = rill_safetensors_tensor(&parsed, "bytes");
        cr_assert(bytes && !rill_tensor_f32(bytes) && !memcmp(bytes->bytes, data, 3));
        const rill_tensor *none = rill_safetensors_tensor(&parsed, "none");
        cr_assert(none && none->count == 0 && none->size == 0);
        const rill_tensor *scalar = rill_safetensors_tensor(&parsed, "scalar");
        cr_assert(scalar && scalar->rank == 0 && scalar->count == 1 && !memcmp(scalar->bytes, data + 27, 8));
        cr_assert_null(rill_safetensors_tensor(&parsed, "absent"));
        cr_assert_str_eq(rill_safetensors_text(&parsed, "z"), "\xc3\xa9");
        cr_assert_str_eq(rill_safetensors_text(&parsed, "a"), "");
        cr_assert_null(rill_safetensors_text(&parsed, "b"));
        rill_safetensors_free(&parsed);
    }
    free(file.data);
}

Test(safetensors, every_lie_is_refused_with_its_reason) {
#define ONE(entry)          "{\"t\":{" entry "}}"
#define F32(shape, offsets) ONE("\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets)
    static const struct {
        const char *header;
        size_t data_size;
        rill_status status;
        const char *reason; /* stands in the message */
    } lies[] = {
        {"", 0, RILL_BAD_FORMAT, "no JSON"},
        {"[]", 0, RILL_BAD_FORMAT, "no JSON object"},
        {"{} x", 0, RILL_BAD_FORMAT, "no JSON"},
        {"{\"a\":", 0, RILL_BAD_FORMAT, "no JSON"},
        {"{\"\xff\":1}", 0, RILL_BAD_FORMAT, "no JSON"},
        {"{}", 4, RILL_BAD_FORMAT, "4 bytes at the end"},
        {"{\"t\":3}", 0, RILL_BAD_FORMAT, "tensor t is no JSON object"},
        {"{\"__metadata__\":3}", 0, RILL_BAD_FORMAT, "__metadata__"},
        {"{\"__metadata__\":{\"k\":3}}", 0, RILL_BAD_FORMAT, "metadata k"},
        {"{\"__metadata__\":{\"k\":\"\\u0000\"}}", 0, RILL_BAD_FORMAT, "no JSON"},
        {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, RILL_BAD_FORMAT, "duplicate"},
        {ONE("\"shape\":[1],\"data_offsets\":[0,4]"), 4, RILL_BAD_FORMAT, "tensor t has no dtype"},
        {ONE("\"dtype\":32,\"shape\":[1],\"data_offsets\":[0,4]"), 4, RILL_BAD_FORMAT, "no dtype"},
        {ONE("\"dtype\":\"F4\",\"shape\":[1],\"data_offsets\":[0,4]"), 4, RILL_UNSUPPORTED, "dtype F4"},
        {ONE("\"dtype\":\"F32\",\"data_offsets\":[0,4]"), 4, RILL_BAD_FORMAT, "tensor t has no shape"},
        {F32("[1]", "[0,4],\"more\":1"), 4, RILL_UNSUPPORTED, "other keys"},
        {F32("[1]", "[0,4],\"dtype\":\"F32\""), 4, RILL_BAD_FORMAT, "duplicate"},
        {F32("4", "[0,16]"), 16, RILL_BAD_FORMAT, "no shape"},
        {F32("[-1]", "[0,4]"), 4, RILL_BAD_FORMAT, "dimension 0"},
        {F32("[1,1.0]", "[0,4]"), 4, RILL_BAD_FORMAT, "dimension 1"},
        {F32("[\"1\"]", "[0,4]"), 4, RILL_BAD_FORMAT, "dimension 0"},
        {F32("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, RILL_UNSUPPORTED, "9 dimensions"},
        {F32("[4294967296,4294967296]", "[0,0]"), 0, RILL_BAD_FORMAT, "more values"},
        {F32("[4611686018427387904,4]", "[0,16]"), 16, RILL_BAD_FORMAT, "more values"},
        {F32("[9223372036854775807]", "[0,4]"), 4, RILL_BAD_FORMAT, "more values"},
        {F32("[9223372036854775808]", "[0,4]"), 4, RILL_BAD_FORMAT, "too big"},
        {F32("[2]", "[0,4]"), 4, RILL_BAD_FORMAT, "2 values of F32 are not 4 bytes"},
        {F32("[1]", "[0,8]"), 8, RILL_BAD_FORMAT, "1 values of F32 are not 8 bytes"},
        {F32("[1]", "{\"0\":0}"), 4, RILL_BAD_FORMAT, "data_offsets"},
        {F32("[1]", "[0]"), 4, RILL_BAD_FORMAT, "data_offsets"},
        {F32("[1]", "[0,4,8]"), 8, RILL_BAD_FORMAT, "data_offsets"},
        {F32("[1]", "[0.0,4]"), 4, RILL_BAD_FORMAT, "data_offsets"},
        {F32("[1]", "[-4,0]"), 4, RILL_BAD_FORMAT, "[-4, 0]"},
        {F32("[1]", "[4,0]"), 4, RILL_BAD_FORMAT, "[4, 0]"},
        {F32("[1]", "[0,4]"), 3, RILL_BAD_FORMAT, "[0, 4] lie outside the 3 bytes"},
        {F32("[1]", "[9223372036854775803,9223372036854775807]"), 4, RILL_BAD_FORMAT, "outside"},
        {F32("[1]", "[4,8]"), 8, RILL_BAD_FORMAT, "belong to no tensor"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         4, RILL_BAD_FORMAT, "overlaps"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         12, RILL_BAD_FORMAT, "tensor b overlaps"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
         12, RILL_BAD_FORMAT, "tensor b follows bytes"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        file_bytes file = safetensors_bytes(lies[i].header, lies[i].data_size, NULL);
        rill_safetensors parsed;
        rill_error why = {""};
        cr_expect_eq(parse_at(file, 0, &parsed, &why), lies[i].status, "%s: %s", lies[i].header, why.message);
        cr_expect(strstr(why.message, "x.safetensors: ") == why.message, "%s", why.message);
        cr_expect(strstr(why.message, lies[i].reason), "%s: %s", lies[i].header, why.message);
        cr_expect(!parsed.header && !parsed.tensors && !parsed.data, "something is left to free");
        free(file.data);
    }
}

Test(safetensors, header_length_is_bounded_by_the_file_and_the_limit) {
    file_bytes file = safetensors_bytes(good_header, 35, NULL);
    const uint64_t right = header_size_of(file);
    const uint64_t lengths[] = {
        0, 1, right - 4, right + 1, file.size - 7, file.size, UINT64_C(1) << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        rill_safetensors parsed;
        rill_error why = {""};
        memcpy(file.data, &lengths[i], 8);
        cr_expect_eq(parse_at(file, 0, &parsed, &why), RILL_BAD_FORMAT, "%llu",
                     (unsigned long long)lengths[i]);
        cr_expect_neq(why.message[0], '\0');
    }
    free(file.data);

    file_bytes large = {8 + RILL_SAFETENSORS_MAX_HEADER + 1, malloc(8 + RILL_SAFETENSORS_MAX_HEADER + 1)};
    const uint64_t beyond = RILL_SAFETENSORS_MAX_HEADER + 1;
    memset(large.data, ' ', large.size);
    memcpy(large.data, &beyond, 8);
    memcpy(large.data + 8, "{}", 2);
    rill_safetensors parsed;
    cr_assert_eq(parse_at(large, 0, &parsed, NULL), RILL_UNSUPPORTED);
    const uint64_t most = RILL_SAFETENSORS_MAX_HEADER;
    memcpy(large.data, &most, 8);
    large.size--;
    cr_assert_eq(parse_at(large, 0, &parsed, NULL), RILL_OK);
    rill_safetensors_free(&parsed);
    free(large.data);
}

Test(safetensors, deep_nesting_is_refused) {
    char *header = calloc(200001, 1);
    memset(header, '[', 200000);
    for (size_t at = 0; at < 2; at++) {
        memcpy(header, at ? "{\"a\":" : "[[[[[", 5);
        file_bytes file = safetensors_bytes(header, 0, NULL);
        rill_safetensors parsed;
        cr_expect_eq(parse_at(file, 0, &parsed, NULL), RILL_BAD_FORMAT);
        free(file.data);
    }
    free(header);
}

Test(safetensors, no_truncation_passes) {
    file_bytes file = safetensors_bytes(good_header, 35, NULL);
    for (size_t size = 0; size < file.size; size++) {
        rill_safetensors parsed;
        rill_error why = {""};
        cr_expect_eq(parse_at((file_bytes){size, file.data}, 0, &parsed, &why), RILL_BAD_FORMAT, "%zu", size);
        cr_expect_neq(why.message[0], '\0', "%zu", size);
    }
    free(file.data);
}

Test(safetensors, no_changed_byte_crashes) {
    file_bytes file = safetensors_bytes(good_header, 35, NULL);
    random_seed(SEED);
    size_t accepted = 0;
    for (size_t at = 0; at < 8 + strlen(good_header); at++)
        for (size_t trial = 0; trial < 8; trial++) {
            const unsigned char kept = file.data[at];
            file.data[at] = trial == 0 ? 0 : (unsigned char)random_bits();
            rill_safetensors parsed;
            rill_error why = {""};
            if (parse_at(file, 0, &parsed, &why) == RILL_OK) {
                accepted++; /* e.g. another letter in a name */
                rill_safetensors_free(&parsed);
            } else {
                cr_expect_neq(why.message[0], '\0');
            }
            file.data[at] = kept;
        }
    printf("seed %llu: %zu changed headers were still files\n", (unsigned long long)SEED, accepted);
    free(file.data);
}

Test(safetensors, what_is_no_file_says_so) {
    rill_safetensors parsed;
    rill_error why = {""};
    cr_expect_eq(rill_safetensors_open(RILL_TESTS "/no such file", &parsed, &why), RILL_NOT_FOUND);
    cr_expect(strstr(why.message, "no such file"), "%s", why.message);
    cr_expect_eq(rill_safetensors_open(RILL_TESTS, &parsed, &why), RILL_IO_ERROR, "a directory");
    cr_expect(strstr(why.message, RILL_TESTS), "%s", why.message);
    cr_expect_eq(rill_safetensors_open("/dev/null", &parsed, &why), RILL_BAD_FORMAT, "empty");
    cr_expect_eq(rill_safetensors_open("/dev/zero", &parsed, &why), RILL_BAD_FORMAT, "endless");
    cr_expect_eq(rill_safetensors_open(RILL_TESTS "/test_safetensors.c", &parsed, &why), RILL_BAD_FORMAT);
    cr_expect_eq(rill_safetensors_open(RILL_MODEL, &parsed, &why), RILL_OK, "%s", why.message);
    rill_safetensors_free(&parsed);
}
