/* SPDX-License-Identifier: MIT */
/* Weights by the names of PyTorch and of fast-transformers, from files in memory, whole and broken. */
#include <criterion/criterion.h>

#include <rill/transformer.h>

#include "model_bytes.h"

enum { dim = 8, heads = 2, wide = 5, length = 6 };

/* A decoder of one layer. Both ways of naming take the same random numbers in the same order, so that
 * in_proj_weight is the three projections one after the other. */
static file_bytes decoder(bool pytorch, bool biases) {
    model_writer *to = calloc(1, sizeof *to);
    to->data = calloc(4096, sizeof(float));
    random_seed(9);
    to->header_size =
        (size_t)snprintf(to->header, sizeof to->header, "{\"__metadata__\":{\"made\":\"here\"}");
    for (int cross = 0; cross < 2; cross++) {
        const char *scope = pytorch ? (cross ? "d.layers.0.multihead_attn." : "d.layers.0.self_attn.")
                                    : (cross ? "d.layers.0.cross_attention." : "d.layers.0.self_attention.");
        if (pytorch) {
            write_tensor(to, scope, "in_proj_weight", 3 * dim, dim, 0, 0.6f);
            if (biases) write_tensor(to, scope, "in_proj_bias", 3 * dim, 0, 0, 0.5f);
        } else {
            write_tensor(to, scope, "query_projection.weight", dim, dim, 0, 0.6f);
            write_tensor(to, scope, "key_projection.weight", dim, dim, 0, 0.6f);
            write_tensor(to, scope, "value_projection.weight", dim, dim, 0, 0.6f);
            if (biases) write_tensor(to, scope, "query_projection.bias", dim, 0, 0, 0.5f);
            if (biases) write_tensor(to, scope, "key_projection.bias", dim, 0, 0, 0.5f);
            if (biases) write_tensor(to, scope, "value_projection.bias", dim, 0, 0, 0.5f);
        }
        write_tensor(to, scope, pytorch ? "out_proj.weight" : "out_projection.weight", dim, dim, 0, 0.6f);
        if (biases)
            write_tensor(to, scope, pytorch ? "out_proj.bias" : "out_projection.bias", dim, 0, 0, 0.5f);
    }
    const char *norms[] = {"layers.0.norm1.", "layers.0.norm2.", "layers.0.norm3.", "norm."};
    for (size_t i = 0; i < 4; i++) {
        char scope[32];
        snprintf(scope, sizeof scope, "d.%s", norms[i]);
        write_tensor(to, scope, "weight", dim, 0, 1, 0.3f);
        if (biases) write_tensor(to, scope, "bias", dim, 0, 0, 0.3f);
    }
    write_tensor(to, "d.layers.0.", "linear1.weight", wide, dim, 0, 0.6f);
    write_tensor(to, "d.layers.0.", "linear2.weight", dim, wide, 0, 0.6f);
    to->header_size +=
        (size_t)snprintf(to->header + to->header_size, sizeof to->header - to->header_size, "}");
    file_bytes file = safetensors_bytes(to->header, to->size, to->data);
    free(to->data);
    free(to);
    return file;
}

static const rill_transformer_settings settings = {.heads = heads};

/* The outputs of one fixed input; false when the file is refused, with why. */
static bool run(file_bytes file, const rill_transformer_settings *with, float output[length * dim],
                rill_status *status, rill_error *why) {
    rill_weights *weights;
    rill_transformer *transformer = NULL;
    why->message[0] = '\0';
    *status = rill_weights_parse("test", file.data, file.size, &weights, why);
    if (*status == RILL_OK) *status = rill_transformer_read(weights, "d.", with, &transformer, why);
    cr_assert((*status == RILL_OK) == (transformer != NULL));
    cr_assert((*status == RILL_OK) == (why->message[0] == '\0'));
    if (transformer) {
        float x[length * dim], memory[3 * dim];
        random_seed(10);
        for (size_t i = 0; i < length * dim; i++) x[i] = random_float();
        for (size_t i = 0; i < 3 * dim; i++) memory[i] = random_float();
        const rill_transformer_input input = {
            .length = length, .x = x, .memory_length = 3, .memory = memory, .sight = {.causal = true}};
        void *workspace = malloc(rill_transformer_workspace_size(transformer, length, 3));
        rill_transformer_apply(transformer, &input, output, workspace);
        free(workspace);
    }
    rill_transformer_free(transformer);
    rill_weights_close(weights);
    return *status == RILL_OK;
}

Test(weights, of_either_name_are_the_same_decoder) {
    for (int biases = 0; biases < 2; biases++) {
        float output[2][length * dim];
        for (int pytorch = 0; pytorch < 2; pytorch++) {
            rill_status status;
            rill_error why;
            file_bytes file = decoder(pytorch, biases);
            cr_assert(run(file, &settings, output[pytorch], &status, &why), "%s", why.message);
            free(file.data);
        }
        cr_assert_arr_eq(output[0], output[1], sizeof output[0]);
    }
}

Test(weights, are_found_by_name) {
    rill_weights *weights;
    file_bytes file = decoder(true, true);
    cr_assert(rill_weights_parse("test", file.data, file.size, &weights, NULL) == RILL_OK);
    free(file.data); /* not needed any more */
    const rill_weight found = rill_weights_find(weights, "d.layers.0.linear1.weight");
    cr_assert(found.rank == 2 && found.shape[0] == wide && found.shape[1] == dim &&
              found.count == wide * dim && found.values);
    cr_assert(rill_weights_find(weights, "d.layers.0.linear1").name == NULL);
    cr_assert(strcmp(rill_weights_text(weights, "made"), "here") == 0 && !rill_weights_text(weights, "by"));
    const size_t count = rill_weights_count(weights);
    for (size_t i = 1; i < count; i++)
        cr_assert(strcmp(rill_weights_at(weights, i - 1).name, rill_weights_at(weights, i).name) < 0);
    rill_weights_close(weights);
    cr_assert(rill_weights_open("no such file", &weights, NULL) == RILL_NOT_FOUND && !weights);
    rill_weights_close(NULL);
    rill_transformer_free(NULL);
}

static void expect_refused(const char *from, const char *to, rill_status wanted) {
    float output[length * dim];
    rill_status status;
    rill_error why;
    file_bytes file = decoder(true, true), broken = with_replaced(file, from, to);
    cr_assert(!run(broken, &settings, output, &status, &why) && status == wanted, "%s → %s: %d, %s", from, to,
              (int)status, why.message);
    free(file.data);
    free(broken.data);
}

Test(weights, that_are_missing_or_wrong_are_refused) {
    expect_refused("multihead_attn.in_proj_weight", "multihead_attn.in_proj_weigh_", RILL_BAD_FORMAT);
    expect_refused("self_attn.out_proj.weight", "self_attn.out_proj_weight", RILL_BAD_FORMAT);
    expect_refused("norm2.weight", "norm2_weight", RILL_BAD_FORMAT);
    expect_refused("linear2.weight", "linear3.weight", RILL_BAD_FORMAT);
    expect_refused("layers.0.norm1.weight", "layers.1.norm1.weight", RILL_BAD_FORMAT);
    /* what is there of a layer, of cross attention, of a norm or of an extra key asks for the rest of it */
    expect_refused("d.norm.bias", "d.layers.1.linear1.bias", RILL_BAD_FORMAT);
    expect_refused("d.norm.bias", "d.layers.18446744073709551616.linear1.bias", RILL_BAD_FORMAT);
    expect_refused("norm3.weight", "norm3_weight", RILL_BAD_FORMAT);
    expect_refused("d.norm.weight", "d.norm_weight", RILL_BAD_FORMAT);
    expect_refused("d.norm.bias", "d.layers.0.self_attn.bias_v", RILL_BAD_FORMAT);
    expect_refused("[24,8]", "[8,24]", RILL_BAD_FORMAT);
    expect_refused("[5,8]", "[8,5]", RILL_BAD_FORMAT);
    expect_refused("[24,8]", "[192]", RILL_BAD_FORMAT);
    expect_refused("[24,8]", "[12,16]", RILL_BAD_FORMAT);
    expect_refused("\"dtype\":\"F32\"", "\"dtype\":\"I32\"", RILL_UNSUPPORTED);
    expect_refused("\"made\":\"here\"", "\"made\":17", RILL_BAD_FORMAT);
}

Test(weights, truncated_anywhere_are_refused) {
    float output[length * dim];
    rill_status status;
    rill_error why;
    file_bytes file = decoder(true, true);
    for (size_t size = 0; size < file.size; size += 1 + size / 50)
        cr_assert(!run((file_bytes){size, file.data}, &settings, output, &status, &why));
    free(file.data);
}

/* Whatever the bytes say: an answer and a reason, no harm. Some changes leave a file that is right. */
Test(weights, of_changed_bytes_do_no_harm) {
    float output[length * dim];
    rill_status status;
    rill_error why;
    size_t refused = 0;
    file_bytes file = decoder(true, true);
    const size_t header = 8 + header_size_of(file);
    unsigned char *changed = malloc(file.size);
    for (uint64_t round = 0; round < 400; round++) {
        memcpy(changed, file.data, file.size);
        random_seed(1000 + round); /* run draws from another seed */
        for (size_t flips = 1 + random_below(3); flips > 0; flips--)
            changed[random_below(round % 4 ? header : file.size)] ^= (unsigned char)(1 << random_below(8));
        refused += !run((file_bytes){file.size, changed}, &settings, output, &status, &why);
    }
    cr_assert(refused > 200);
    free(changed);
    free(file.data);
}

Test(weights, that_are_not_finite_are_refused) {
    float output[length * dim];
    rill_status status;
    rill_error why;
    random_seed(11);
    for (int round = 0; round < 50; round++) {
        file_bytes file = decoder(round % 2, true);
        const float bad = round % 3 ? NAN : INFINITY;
        const size_t start = 8 + header_size_of(file), floats = (file.size - start) / sizeof bad;
        memcpy(file.data + start + random_below(floats) * sizeof bad, &bad, sizeof bad);
        cr_assert(!run(file, &settings, output, &status, &why) && status == RILL_BAD_FORMAT);
        free(file.data);
    }
}

Test(weights, settings_that_do_not_fit_are_refused) {
    const rill_transformer_settings bad[] = {{.heads = 0},
                                             {.heads = 3},
                                             {.heads = 2, .self_kind = (rill_multihead_kind)5},
                                             {.heads = 2, .activation = (rill_activation)5},
                                             {.heads = 2, .norm_epsilon = -1},
                                             {.heads = 2, .norm_epsilon = NAN}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        float output[length * dim];
        rill_status status;
        rill_error why;
        file_bytes file = decoder(true, true);
        cr_assert(!run(file, &bad[i], output, &status, &why) && status == RILL_BAD_ARGUMENT, "%zu: %s", i,
                  why.message);
        free(file.data);
    }
}
