/* SPDX-License-Identifier: MIT */
/* A state goes on after it was saved and loaded as if nothing had been; damaged bytes are never loaded. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rill/saved_state.h>

#include "checksum.h"
#include "kernels/kernels.h"
#include "random_sequence.h"
#include "rule_case.h"

static void seal(unsigned char *bytes, size_t size) {
    uint64_t sum = rill_checksum(RILL_CHECKSUM_START, bytes, size - 8);
    for (size_t i = 0; i < 8; i++) bytes[size - 8 + i] = (unsigned char)(sum >> 8 * i);
}

typedef struct saved_case {
    rill_attention_shape shape;
    size_t state_size, size;
    void *state;
    unsigned char *bytes;
} saved_case;

static saved_case saved_case_make(rill_attention_shape shape) {
    saved_case c = {.shape = shape, .state_size = rill_attention_size(&shape)};
    random_sequence past = random_sequence_make(&shape, random_below(60), -1);
    c.state = fresh_state(&shape);
    push_randomly(&shape, c.state, &past, 20, rill_attention_recurrent, rill_attention_chunkwise);
    c.size = rill_attention_saved_size(&shape);
    c.bytes = malloc(c.size);
    rill_attention_save(&shape, c.state, c.bytes);
    free(past.memory);
    return c;
}

static void saved_case_free(saved_case *c) {
    free(c->state);
    free(c->bytes);
}

Test(saved_state, loads_bit_for_bit) {
    random_seed(31);
    for (int round = 0; round < 60; round++) {
        saved_case c = saved_case_make(random_linear_or_gated(20));
        void *loaded = malloc(c.state_size);
        memset(loaded, 0xaa, c.state_size);
        rill_error why = {"untouched"};
        cr_assert_eq(rill_attention_load(&c.shape, "test", c.bytes, c.size, loaded, &why), RILL_OK);
        cr_assert_str_eq(why.message, "untouched");
        cr_assert_arr_eq(loaded, c.state, c.state_size);
        rill_attention_shape shape;
        cr_assert_eq(rill_saved_state_shape("test", c.bytes, c.size, &shape, NULL), RILL_OK);
        cr_assert(shape.rule == c.shape.rule && shape.decay == c.shape.decay &&
                  shape.heads == c.shape.heads && shape.query_heads == c.shape.query_heads &&
                  shape.key_dim == c.shape.key_dim && shape.value_dim == c.shape.value_dim &&
                  shape.normalize == c.shape.normalize);
        unsigned char *again = malloc(c.size);
        rill_attention_save(&shape, loaded, again);
        cr_assert_arr_eq(again, c.bytes, c.size);
        free(again);
        free(loaded);
        saved_case_free(&c);
    }
}

/* Any rule: saved in the middle of a sequence and loaded, it goes on with the same bits. */
Test(saved_state, every_rule_goes_on_after_loading) {
    random_seed(36);
    for (int round = 0; round < 40; round++) {
        rule_case c = rule_case_make(rule_case_shape((rill_update_rule)(round % 5)), 2 + random_below(40));
        const size_t state_size = rill_attention_size(&c.shape), size = rill_attention_saved_size(&c.shape);
        const size_t cut = 1 + random_below(c.length - 1), rest = c.length - cut;
        const size_t outputs = c.length * c.shape.query_heads * c.shape.value_dim;
        float *state = fresh_state(&c.shape), *loaded = malloc(state_size);
        float *output = malloc(outputs * sizeof *output), *again = malloc(outputs * sizeof *again);
        unsigned char *bytes = malloc(size);
        rill_sequence before = rule_case_part(&c, 0, cut), after = rule_case_part(&c, cut, rest);
        rill_attention_chunkwise(&c.shape, state, &before, output);
        rill_attention_save(&c.shape, state, bytes);
        cr_assert_eq(rill_attention_load(&c.shape, "test", bytes, size, loaded, NULL), RILL_OK);
        rill_attention_recurrent(&c.shape, state, &after, output);
        rill_attention_recurrent(&c.shape, loaded, &after, again);
        cr_assert_arr_eq(again, output, rest * c.shape.query_heads * c.shape.value_dim * sizeof *output);
        cr_assert_arr_eq(loaded, state, state_size);
        free(bytes);
        free(again);
        free(output);
        free(loaded);
        free(state);
        rule_case_free(&c);
    }
}

/* From bytes that end where a block of memory does, so that a read beyond shows. */
static rill_status try_to_load(const rill_attention_shape *shape, const unsigned char *bytes, size_t size,
                               rill_error *why) {
    size_t state_size = rill_attention_size(shape);
    unsigned char *exact = malloc(size + !size), *state = malloc(state_size);
    if (size) memcpy(exact, bytes, size);
    memset(state, 0x55, state_size);
    why->message[0] = '\0';
    rill_status status = rill_attention_load(shape, "a file", exact, size, state, why);
    if (status != RILL_OK) {
        for (size_t i = 0; i < state_size; i++) cr_assert_eq(state[i], 0x55, "changed by a failure");
        cr_assert(strncmp(why->message, "a file: ", 8) == 0, "\"%s\" names no file", why->message);
    }
    free(exact);
    free(state);
    return status;
}

Test(saved_state, with_one_byte_changed_is_refused) {
    random_seed(32);
    rill_error why;
    for (int round = 0; round < 4; round++) {
        saved_case c = saved_case_make(random_linear_or_gated(4));
        for (size_t i = 0; i < c.size; i++)
            for (int change = 1; change < 256; change = round ? change * 2 : change + 1) {
                c.bytes[i] ^= (unsigned char)change;
                cr_assert_eq(try_to_load(&c.shape, c.bytes, c.size, &why), RILL_BAD_FORMAT, "byte %zu", i);
                c.bytes[i] ^= (unsigned char)change;
            }
        for (size_t size = 0; size < c.size; size++)
            cr_assert_eq(try_to_load(&c.shape, c.bytes, size, &why), RILL_BAD_FORMAT, "%zu bytes", size);
        unsigned char *longer = calloc(1, c.size + 1);
        memcpy(longer, c.bytes, c.size);
        cr_assert_eq(try_to_load(&c.shape, longer, c.size + 1, &why), RILL_BAD_FORMAT);
        free(longer);
        cr_assert_eq(try_to_load(&c.shape, c.bytes, c.size, &why), RILL_OK);
        saved_case_free(&c);
    }
}

static void refused_when(const saved_case *c, size_t offset, uint64_t number, size_t number_size,
                         rill_status want, const char *word) {
    unsigned char *bytes = malloc(c->size);
    memcpy(bytes, c->bytes, c->size);
    for (size_t i = 0; i < number_size; i++) bytes[offset + i] = (unsigned char)(number >> 8 * i);
    seal(bytes, c->size);
    rill_error why;
    rill_status status = try_to_load(&c->shape, bytes, c->size, &why);
    cr_assert_eq(status, want, "byte %zu: %s (%s)", offset, rill_status_text(status), why.message);
    cr_assert(strstr(why.message, word), "\"%s\" should speak of %s", why.message, word);
    free(bytes);
}

/* A right checksum says nothing about who wrote it. */
Test(saved_state, with_a_wrong_header_and_a_right_checksum_is_refused) {
    random_seed(33);
    rill_attention_shape shape = {RILL_RULE_GATED, RILL_DECAY_HEAD, 2, 4, 3, 5, true, 1e-6f, 0};
    saved_case c = saved_case_make(shape);
    refused_when(&c, 8, 3, 4, RILL_UNSUPPORTED, "layout 3");
    refused_when(&c, 8, 2, 4, RILL_BAD_FORMAT, "header");
    refused_when(&c, 8, 0, 4, RILL_UNSUPPORTED, "layout 0");
    refused_when(&c, 12, 0, 4, RILL_BAD_FORMAT, "header");
    refused_when(&c, 12, 5, 4, RILL_BAD_FORMAT, "header");
    refused_when(&c, 12, 4, 4, RILL_BAD_FORMAT, "linear rule");
    refused_when(&c, 16, 1, 4, RILL_BAD_FORMAT, "header");
    refused_when(&c, 20, 99, 4, RILL_BAD_FORMAT, "rule 99");
    refused_when(&c, 20, 0, 4, RILL_BAD_FORMAT, "no decay");
    refused_when(&c, 24, 99, 4, RILL_BAD_FORMAT, "decay 99");
    refused_when(&c, 24, 2, 4, RILL_WRONG_MODEL, "decay");
    refused_when(&c, 28, 2, 4, RILL_BAD_FORMAT, "header");
    refused_when(&c, 28, 0, 4, RILL_BAD_FORMAT, "header");
    refused_when(&c, 32, 0, 8, RILL_BAD_FORMAT, "heads");
    refused_when(&c, 32, UINT64_C(1) << 62, 8, RILL_BAD_FORMAT, "heads");
    refused_when(&c, 32, 1, 8, RILL_BAD_FORMAT, "shape");
    refused_when(&c, 40, 2, 8, RILL_WRONG_MODEL, "query heads");
    refused_when(&c, 40, 3, 8, RILL_BAD_FORMAT, "query heads");
    refused_when(&c, 48, UINT64_MAX, 8, RILL_BAD_FORMAT, "header");
    refused_when(&c, 56, UINT64_C(1) << 33, 8, RILL_BAD_FORMAT, "bytes");
    refused_when(&c, 64, 0x7fc00000, 4, RILL_BAD_FORMAT, "epsilon");
    refused_when(&c, 64, 0x3f800000, 4, RILL_WRONG_MODEL, "epsilon");
    refused_when(&c, 68, 0x3f800000, 4, RILL_BAD_FORMAT, "header");
    for (size_t i = 0; i < 2 * 3 * 6; i += 5) {
        refused_when(&c, 72 + 4 * i, 0x7fc00000, 4, RILL_BAD_FORMAT, "finite");
        refused_when(&c, 72 + 4 * i, 0xff800000, 4, RILL_BAD_FORMAT, "finite");
    }
    saved_case_free(&c);
}

Test(saved_state, loads_into_its_own_shape_only) {
    random_seed(34);
    rill_attention_shape shape = {RILL_RULE_GATED, RILL_DECAY_HEAD, 2, 4, 4, 4, false, 0, 0.5f};
    saved_case c = saved_case_make(shape);
    rill_error why;
#define REFUSED(field, value, word)                                                                          \
    do {                                                                                                     \
        rill_attention_shape other = shape;                                                                  \
        other.field = value;                                                                                 \
        cr_assert_eq(try_to_load(&other, c.bytes, c.size, &why), RILL_WRONG_MODEL);                          \
        cr_assert(strstr(why.message, word), "\"%s\" should speak of %s", why.message, word);                \
    } while (0)
    REFUSED(decay, RILL_DECAY_STEP_HEAD, "decay");
    REFUSED(heads, 1, "heads");
    REFUSED(query_heads, 2, "query heads");
    REFUSED(key_dim, 5, "key dimension");
    REFUSED(value_dim, 3, "value dimension");
    REFUSED(normalize, true, "normalizer");
    REFUSED(scale, 0.25f, "scale");
    rill_attention_shape linear = shape;
    linear.rule = RILL_RULE_LINEAR, linear.decay = RILL_DECAY_NONE;
    cr_assert_eq(try_to_load(&linear, c.bytes, c.size, &why), RILL_WRONG_MODEL);
    rill_attention_shape unused = shape;
    unused.epsilon = 3; /* without a normalizer it has no meaning */
    cr_assert_eq(try_to_load(&unused, c.bytes, c.size, &why), RILL_OK);
    saved_case_free(&c);
}

static void read_golden(const char *name, unsigned char *bytes, size_t capacity, size_t *size) {
    char path[512];
    snprintf(path, sizeof path, RILL_TESTS "/golden/%s", name);
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s", path);
    *size = fread(bytes, 1, capacity, file);
    fclose(file);
}

/* Files made by another program from the layout in the header: number i is (−1)ⁱ (i + 1) / 8. */
static void expect_golden(const char *name, rill_attention_shape shape) {
    unsigned char bytes[1024], again[1024];
    size_t size, floats = shape.heads * shape.key_dim * (shape.value_dim + shape.normalize);
    read_golden(name, bytes, sizeof bytes, &size);
    cr_assert_eq(size, rill_attention_saved_size(&shape));
    float *state = fresh_state(&shape);
    rill_error why = {""};
    cr_assert_eq(rill_attention_load(&shape, name, bytes, size, state, &why), RILL_OK, "%s", why.message);
    for (size_t i = 0; i < floats; i++) {
        float want = (float)(i + 1) / 8 * (i % 2 ? -1 : 1);
        cr_assert_arr_eq(&state[i], &want, sizeof want);
    }
    rill_attention_save(&shape, state, again);
    cr_assert_arr_eq(again, bytes, size);
    free(state);
}

Test(saved_state, of_version_1_loads_for_ever) {
    expect_golden("saved_state_1_linear.bin",
                  (rill_attention_shape){RILL_RULE_LINEAR, RILL_DECAY_NONE, 2, 4, 3, 5, true, 1e-6f, 0});
    expect_golden("saved_state_1_gated.bin",
                  (rill_attention_shape){RILL_RULE_GATED, RILL_DECAY_STEP_KEY, 3, 3, 2, 4, false, 0, 0.25f});
}

/* In a process of its own, which chooses that kernel table: goes on from the saved bytes (from nothing when
 * there are none), and hands back the output followed by what it saves then. */
static void push_with(const char *kernels, const rill_attention_shape *shape, const unsigned char *bytes,
                      size_t saved_size, random_sequence *r, unsigned char *result) {
    const size_t output_size = r->outputs * sizeof(float);
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        setenv("RILL_KERNELS", kernels, 1);
        void *state = fresh_state(shape);
        if (strcmp(rill_kernels_name(), kernels) != 0) _exit(1);
        if (bytes && rill_attention_load(shape, "", bytes, saved_size, state, NULL) != RILL_OK) _exit(2);
        rill_attention_chunkwise(shape, state, &r->sequence, r->output);
        memcpy(result, r->output, output_size);
        rill_attention_save(shape, state, result + output_size);
        for (size_t done = 0, all = output_size + saved_size; done < all;) {
            ssize_t count = write(ends[1], result + done, all - done);
            if (count <= 0) _exit(3);
            done += (size_t)count;
        }
        _exit(0);
    }
    close(ends[1]);
    size_t got = 0;
    for (ssize_t count; (count = read(ends[0], result + got, output_size + saved_size - got)) > 0;)
        got += (size_t)count;
    close(ends[0]);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "kernels %s", kernels);
    cr_assert_eq(got, output_size + saved_size);
}

/* Everything is positive, so that an output is as large as its magnitudes. Each of two tables is off by at
 * most 6 units for each step a product is carried and key_dim + 6 for the reading, twice when normalized. */
static void expect_across_tables(const char *one, const char *other) {
    for (int round = 0; round < 6; round++) {
        rill_attention_shape shape = random_linear_or_gated(24);
        random_sequence past = random_sequence_make(&shape, 1 + random_below(40), 0);
        random_sequence future = random_sequence_make(&shape, 1 + random_below(40), 0);
        size_t saved_size = rill_attention_saved_size(&shape);
        unsigned char *first = malloc(past.outputs * sizeof(float) + saved_size);
        unsigned char *same = malloc(future.outputs * sizeof(float) + saved_size);
        unsigned char *moved = malloc(future.outputs * sizeof(float) + saved_size);
        push_with(one, &shape, NULL, saved_size, &past, first);
        const unsigned char *saved = first + past.outputs * sizeof(float);
        push_with(one, &shape, saved, saved_size, &future, same);
        push_with(other, &shape, saved, saved_size, &future, moved);
        double bound = (shape.normalize ? 4 : 2) *
                       (double)(6 * (past.sequence.length + future.sequence.length + 1) + shape.key_dim + 6) *
                       (double)(FLT_EPSILON / 2);
        for (size_t i = 0; i < future.outputs; i++) {
            float a, b;
            memcpy(&a, same + i * sizeof a, sizeof a);
            memcpy(&b, moved + i * sizeof b, sizeof b);
            cr_assert_float_eq((double)b, (double)a, bound * (double)a + 1e-30, "%s to %s: %.9g, not %.9g",
                               one, other, (double)b, (double)a);
        }
        free(first), free(same), free(moved), free(past.memory), free(future.memory);
    }
}

Test(saved_state, moves_between_kernel_tables) {
    random_seed(35);
    const rill_kernels *one, *other;
    bool runs;
    size_t pairs = 0;
    for (size_t i = 0; (one = rill_kernels_at(i, &runs)); i++) {
        if (!runs) continue;
        for (size_t j = 0; (other = rill_kernels_at(j, &runs)); j++) {
            if (!runs || i == j) continue;
            expect_across_tables(one->name, other->name);
            pairs++;
        }
    }
    cr_log_info("%zu pairs of kernel tables", pairs);
    cr_assert_geq(pairs, 2);
}
