/* SPDX-License-Identifier: MIT */
/* What is taken back has never been. */
#include <criterion/criterion.h>

#include <rill/rollback.h>
#include <rill/steady_state.h>

#include "count_allocations.h"
#include "random_sequence.h"

typedef struct stream {
    rill_attention_shape attention;
    bool steady;
    rill_rollback_shape shape;
    random_sequence inputs; /* the stream, whatever is done with it */
    size_t steps;           /* taken, and not taken back */
    unsigned char *state, *rollback;
} stream;

static size_t state_size_of(const stream *s) {
    return s->steady ? rill_steady_size(&s->attention) : rill_attention_size(&s->attention);
}

static void forget(const stream *s, void *state) {
    (s->steady ? rill_steady_init : rill_attention_init)(&s->attention, state);
}

static stream stream_make(size_t length, size_t positions) {
    stream s = {.attention = random_linear_or_gated(12)};
    s.steady = s.attention.rule == RILL_RULE_LINEAR && random_below(2);
    s.shape = (rill_rollback_shape){state_size_of(&s), positions};
    cr_assert_eq(rill_rollback_check(&s.shape, NULL), RILL_OK);
    s.inputs = random_sequence_make(&s.attention, length, -1);
    s.state = malloc(s.shape.state_size);
    forget(&s, s.state);
    s.rollback = malloc(rill_rollback_size(&s.shape)); /* exactly, so that a sanitizer sees a step beyond */
    memset(s.rollback, 0xff, rill_rollback_size(&s.shape));
    rill_rollback_init(&s.shape, s.rollback);
    return s;
}

static void stream_free(stream *s) {
    free(s->inputs.memory);
    free(s->state);
    free(s->rollback);
}

static void push(const stream *s, void *state, size_t at, float *output) {
    const rill_sequence step = sequence_part(&s->attention, &s->inputs.sequence, at, 1);
    (s->steady ? rill_steady_attention : rill_attention_recurrent)(&s->attention, state, &step, output);
}

static void step(stream *s) {
    float *output = s->inputs.output + s->steps * s->attention.query_heads * s->attention.value_dim;
    rill_rollback_keep(&s->shape, s->rollback, s->state);
    push(s, s->state, s->steps++, output);
}

/* State and outputs are those of a stream that took just these steps. */
static void expect_never_gone_forward(const stream *s) {
    const size_t row = s->attention.query_heads * s->attention.value_dim;
    unsigned char *state = malloc(s->shape.state_size);
    float *output = malloc(row * sizeof(float));
    forget(s, state);
    for (size_t t = 0; t < s->steps; t++) {
        push(s, state, t, output);
        cr_assert_arr_eq(output, s->inputs.output + t * row, row * sizeof(float), "step %zu", t);
    }
    cr_assert_arr_eq(state, s->state, s->shape.state_size);
    free(state);
    free(output);
}

Test(rollback, then_the_same_inputs_give_the_same_bits) {
    random_seed(51);
    for (int round = 0; round < 60; round++) {
        const size_t length = 60, positions = 1 + random_below(round % 3 ? 8 : 70);
        stream s = stream_make(length, positions);
        size_t reachable = 0; /* by the law, not by the ring */
        for (int move = 0; move < 40; move++) {
            cr_assert_eq(rill_rollback_kept(&s.shape, s.rollback), reachable);
            if (reachable && random_below(3) == 0) {
                const size_t back = 1 + random_below(reachable);
                rill_rollback_return(&s.shape, s.rollback, back, s.state);
                s.steps -= back, reachable -= back;
                expect_never_gone_forward(&s);
            }
            for (size_t n = random_below(10); n > 0 && s.steps < length; n--) {
                step(&s);
                if (reachable < positions) reachable++;
            }
        }
        expect_never_gone_forward(&s);
        stream_free(&s);
    }
}

Test(rollback, forks_with_a_copy_and_forgets_on_reset) {
    random_seed(52);
    stream s = stream_make(20, 4);
    while (s.steps < 10) step(&s);
    const size_t size = rill_rollback_size(&s.shape);
    unsigned char *fork = malloc(size), *state = malloc(s.shape.state_size), *fresh = malloc(size);
    memcpy(fork, s.rollback, size);
    rill_rollback_return(&s.shape, fork, 3, state);
    cr_assert_eq(rill_rollback_kept(&s.shape, fork), 1);
    cr_assert_eq(rill_rollback_kept(&s.shape, s.rollback), 4);
    rill_rollback_return(&s.shape, s.rollback, 3, s.state);
    cr_assert_arr_eq(state, s.state, s.shape.state_size);
    rill_rollback_reset(&s.shape, s.rollback);
    rill_rollback_init(&s.shape, fresh);
    cr_assert_arr_eq(s.rollback, fresh, size);
    free(fork), free(state), free(fresh);
    stream_free(&s);
}

Test(rollback, allocates_nothing) {
    random_seed(53);
    stream s = stream_make(30, 4);
    const size_t before = allocations;
    while (s.steps < 30) step(&s);
    rill_rollback_return(&s.shape, s.rollback, 4, s.state);
    cr_assert_eq(allocations, before);
    stream_free(&s);
}

Test(rollback, shape_is_checked) {
    rill_error why = {""};
    cr_assert_eq(rill_rollback_check(&(rill_rollback_shape){0, 3}, &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_rollback_check(&(rill_rollback_shape){64, 0}, &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_rollback_check(&(rill_rollback_shape){64, SIZE_MAX / 64}, &why), RILL_BAD_ARGUMENT);
    cr_assert(strstr(why.message, "no size"));
    cr_assert_eq(rill_rollback_check(&(rill_rollback_shape){64, SIZE_MAX / 64 - 1}, &why), RILL_OK);
    cr_assert_eq(rill_rollback_size(&(rill_rollback_shape){48, 5}), 5 * 48 + 64);
}
