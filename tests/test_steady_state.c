/* SPDX-License-Identifier: MIT */
/* A steady state is a state of the linear rule, and stays one for ever. */
#include <criterion/criterion.h>
#include <stdio.h>

#include <rill/saved_state.h>

#include "checksum.h"
#include "count_allocations.h"
#include "long_stream.h"
#include "random_sequence.h"

static rill_attention_shape random_linear(size_t dim_max) {
    rill_attention_shape shape = random_linear_or_gated(dim_max);
    shape.rule = RILL_RULE_LINEAR;
    shape.decay = RILL_DECAY_NONE;
    return shape;
}

static void *fresh_steady(const rill_attention_shape *shape) {
    void *steady = malloc(rill_steady_size(shape));
    memset(steady, 0xff, rill_steady_size(shape));
    rill_steady_init(shape, steady);
    return steady;
}

/* Everything positive, so that an output is as large as its magnitudes. The recurrent form is off by 6 units
 * a step and key_dim + 6, the steady one by less; a normalizer doubles that. */
static void expect_same_outputs(const rill_attention_shape *shape, const random_sequence *want,
                                const random_sequence *got) {
    const double bound = (shape->normalize ? 4 : 2) *
                         (double)(6 * (want->sequence.length + 8) + shape->key_dim + 6) *
                         (double)(FLT_EPSILON / 2);
    for (size_t i = 0; i < want->outputs; i++) {
        const double w = (double)want->output[i], g = (double)got->output[i];
        cr_assert(isnan(w) ? isnan(g) : fabs(g - w) <= bound * w, "output %zu: %.9g, want %.9g", i, g, w);
    }
}

Test(steady_state, gives_the_outputs_of_the_recurrence_on_every_split) {
    random_seed(41);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int round = 0; round < 60; round++) {
        const rill_attention_shape shape = random_linear(20);
        random_sequence r = random_sequence_make(&shape, 1 + random_below(150), 0);
        for (size_t n = random_below(4); n--;)
            r.memory[r.queries + random_below(r.keys + r.values)] = bad[random_below(3)];
        void *plain = fresh_state(&shape), *steady = fresh_steady(&shape);
        random_sequence got = r;
        got.output = malloc(r.outputs * sizeof(float));
        memset(got.output, 0x11, r.outputs * sizeof(float));
        rill_attention_recurrent(&shape, plain, &r.sequence, r.output);
        push_randomly(&shape, steady, &got, 1 + random_below(50), rill_steady_attention,
                      rill_steady_attention);
        expect_same_outputs(&shape, &r, &got);
        rill_steady_attention(&shape, steady, &(rill_sequence){0}, NULL);
        rill_steady_reset(&shape, steady);
        void *fresh = fresh_steady(&shape);
        cr_assert_arr_eq(steady, fresh, rill_steady_size(&shape));
        free(fresh), free(plain), free(steady), free(got.output), free(r.memory);
    }
}

/* Step by step, or any number of steps at a time: the same bits. */
Test(steady_state, gives_the_same_bits_on_every_split) {
    random_seed(43);
    for (int round = 0; round < 30; round++) {
        const rill_attention_shape shape = random_linear(40);
        random_sequence r = random_sequence_make(&shape, 1 + random_below(60), -1);
        random_sequence split = r;
        split.output = malloc(r.outputs * sizeof(float));
        void *whole = fresh_steady(&shape), *parts = fresh_steady(&shape);
        rill_steady_attention(&shape, whole, &r.sequence, r.output);
        push_randomly(&shape, parts, &split, 1 + random_below(20), rill_steady_attention,
                      rill_steady_attention);
        cr_assert_arr_eq(split.output, r.output, r.outputs * sizeof(float));
        cr_assert_arr_eq(parts, whole, rill_steady_size(&shape));
        free(whole), free(parts), free(split.output), free(r.memory);
    }
}

/* Saved and loaded, or copied, at any place in a block: the same bits from there on. */
Test(steady_state, goes_on_from_a_copy_and_from_a_file) {
    random_seed(42);
    for (int round = 0; round < 40; round++) {
        const rill_attention_shape shape = random_linear(12);
        random_sequence past = random_sequence_make(&shape, random_below(70), -1);
        random_sequence future = random_sequence_make(&shape, 1 + random_below(70), -1);
        const size_t size = rill_steady_size(&shape), saved_size = rill_steady_saved_size(&shape);
        void *steady = fresh_steady(&shape), *copy = malloc(size), *loaded = malloc(size);
        unsigned char *bytes = malloc(saved_size);
        push_randomly(&shape, steady, &past, 9, rill_steady_attention, rill_steady_attention);
        memcpy(copy, steady, size);
        memset(loaded, 0x77, size);
        rill_steady_save(&shape, steady, bytes);
        cr_assert_eq(rill_steady_load(&shape, "test", bytes, saved_size, loaded, NULL), RILL_OK);
        cr_assert_arr_eq(loaded, steady, size);
        rill_steady_attention(&shape, steady, &future.sequence, future.output);
        rill_steady_attention(&shape, copy, &future.sequence, future.output);
        rill_steady_attention(&shape, loaded, &future.sequence, future.output);
        cr_assert_arr_eq(copy, steady, size);
        cr_assert_arr_eq(loaded, steady, size);
        void *plain = fresh_state(&shape);
        cr_assert_eq(rill_attention_load(&shape, "test", bytes, saved_size, plain, NULL), RILL_WRONG_MODEL);
        free(plain), free(bytes), free(loaded), free(copy), free(steady);
        free(past.memory), free(future.memory);
    }
}

/* Made by another program: number i of part p (as read, total, compensation, block) is (−1)ⁱ (i + 1) / 8 + p,
 * 7 steps in the block. Total − compensation + block is (−1)ⁱ (i + 1) / 8 + 2, and has no rounding here. */
Test(steady_state, of_version_1_loads_for_ever) {
    const rill_attention_shape shape = {RILL_RULE_LINEAR, RILL_DECAY_NONE, 1, 1, 3, 2, true, 1e-6f, 0};
    unsigned char bytes[224];
    FILE *file = fopen(RILL_TESTS "/golden/saved_state_1_steady.bin", "rb");
    cr_assert(file);
    cr_assert_eq(fread(bytes, 1, sizeof bytes, file), sizeof bytes);
    cr_assert_eq(fgetc(file), EOF);
    fclose(file);
    float *steady = fresh_steady(&shape), *plain = fresh_state(&shape);
    rill_error why = {""};
    cr_assert_eq(rill_steady_load(&shape, "golden", bytes, sizeof bytes, steady, &why), RILL_OK, "%s",
                 why.message);
    rill_steady_plain(&shape, steady, plain);
    for (size_t i = 0; i < 9; i++) {
        const float want = (float)(i + 1) / 8 * (i % 2 ? -1 : 1) + 2;
        cr_assert_arr_eq(&plain[i], &want, sizeof want);
    }
    bytes[100] ^= 1;
    cr_assert_eq(rill_steady_load(&shape, "golden", bytes, sizeof bytes, steady, &why), RILL_BAD_FORMAT);
    bytes[100] ^= 1;
    /* numbers that are finite, but not together: total and block */
    const float most = FLT_MAX;
    memcpy(bytes + 72 + 4 * 9, &most, sizeof most);
    memcpy(bytes + 72 + 4 * 27, &most, sizeof most);
    const uint64_t sum = rill_checksum(RILL_CHECKSUM_START, bytes, sizeof bytes - 8);
    for (size_t i = 0; i < 8; i++) bytes[sizeof bytes - 8 + i] = (unsigned char)(sum >> 8 * i);
    memset(steady, 0x55, rill_steady_size(&shape));
    cr_assert_eq(rill_steady_load(&shape, "golden", bytes, sizeof bytes, steady, &why), RILL_BAD_FORMAT);
    cr_assert(strstr(why.message, "golden: a number is not finite"), "%s", why.message);
    for (size_t i = 0; i < rill_steady_size(&shape); i++)
        cr_assert_eq(((unsigned char *)steady)[i], 0x55, "changed by a failure");
    free(plain), free(steady);
}

/* What is saved today, byte for byte: two steps of one head, key (1, 2, 4) and then (8, 16, 32), value (3).
 * Slices 2 and 5 of 8 are rows 0 and 1, the last is row 2: none is folded yet. */
Test(steady_state, of_version_2_is_saved_as_documented) {
    const rill_attention_shape shape = {RILL_RULE_LINEAR, RILL_DECAY_NONE, 1, 1, 3, 1, true, 1e-6f, 0};
    const float keys[] = {1, 2, 4, 8, 16, 32}, values[] = {3, 3}, queries[6] = {1, 1, 1, 1, 1, 1};
    float output[2];
    void *steady = fresh_steady(&shape);
    const rill_sequence two = {.length = 2, .queries = queries, .keys = keys, .values = values};
    rill_steady_attention(&shape, steady, &two, output);
    const size_t size = rill_steady_saved_size(&shape);
    cr_assert_eq(size, 72 + 4 * (2 * 6 + 2 * 8 * 16) + 8);
    unsigned char *bytes = malloc(size);
    rill_steady_save(&shape, steady, bytes);
    cr_assert(bytes[8] == 2 && bytes[12] == 2 && bytes[16] == 2, "version, states, place");
    for (size_t i = 0; i < 2 * 6 + 2 * 8 * 16; i++) {
        const size_t kept = i - 12, column = kept % 16, step = kept / 16 % 8;
        float want = 0, got;
        if (i >= 12 && step < 2) {
            if (kept < 128 && column < 3) want = keys[3 * step + column];
            if (kept >= 128 && column < 1) want = values[step];
        }
        memcpy(&got, bytes + 72 + 4 * i, sizeof got);
        cr_assert(got == want, "number %zu: %g, want %g", i, (double)got, (double)want);
    }
    free(bytes), free(steady);
}

static void expect_no_drift(size_t dim, size_t steps) {
    long_stream s = long_stream_make(dim, 8);
    const size_t before = allocations;
    double worst_output = 0;
    while (s.steps < steps) {
        long_stream_step(&s);
        if (s.steps % 1009 == 0) worst_output = fmax(worst_output, long_stream_output_error(&s));
    }
    cr_assert_eq(allocations, before, "a step does not allocate");
    const long_stream_drift drift = long_stream_drifts(&s);
    printf("D = M = %zu, %zu steps, seed 8: S off by %.2g (plain %.2g), z by %.2g (plain %.2g), outputs by "
           "%.2g of their bound\n",
           dim, steps, drift.steady_S, drift.plain_S, drift.steady_z, drift.plain_z, worst_output);
    cr_assert_leq(drift.steady_S, 2e-7);
    cr_assert_leq(drift.steady_z, 2e-7);
    cr_assert_leq(worst_output, 1);
    cr_assert_geq(drift.plain_S, 10 * drift.steady_S, "the plain state does not drift: nothing was tested");
    long_stream_free(&s);
}

Test(steady_state, does_not_drift) {
    expect_no_drift(8, 1000000);
    expect_no_drift(64, COUNTS_ALLOCATIONS ? 200000 : 20000); /* under a sanitizer, which is slow */
}

Test(steady_state, is_for_what_only_adds) {
    rill_error why = {""};
    rill_attention_shape shape = {RILL_RULE_GATED, RILL_DECAY_HEAD, 1, 1, 8, 8, true, 1e-6f, 0};
    cr_assert_eq(rill_steady_check(&shape, &why), RILL_BAD_ARGUMENT);
    cr_assert(strstr(why.message, "linear rule"));
    shape.rule = RILL_RULE_LINEAR, shape.decay = RILL_DECAY_NONE;
    cr_assert_eq(rill_steady_check(&shape, &why), RILL_OK);
    cr_assert_eq(rill_steady_size(&shape), 2 * rill_attention_size(&shape) + 4 * 8 * (16 + 16) + 64);
    shape.heads = 0;
    cr_assert_eq(rill_steady_check(&shape, &why), RILL_BAD_ARGUMENT);
    shape.heads = shape.query_heads = SIZE_MAX / (8 * 9 * 4) - 64; /* has a size, but not twice */
    cr_assert_eq(rill_attention_check(&shape, &why), RILL_OK);
    cr_assert_eq(rill_steady_check(&shape, &why), RILL_BAD_ARGUMENT);
    cr_assert(strstr(why.message, "no size"));
}
