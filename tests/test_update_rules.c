/* SPDX-License-Identifier: MIT */
/* One recurrence, many forms: for every update rule, every form, on any split of a sequence, after any
 * history, with every kernel table, gives the outputs and leaves the state of the definition. */
#define _DEFAULT_SOURCE /* syscall */
#include <criterion/criterion.h>
#include <stdio.h>

#include "count_allocations.h"
#include "kernels/kernels.h"
#include "no_system_calls.h"
#include "rule_case.h"

enum { rules_count = RILL_RULE_RANK_ONE + 1 };

static void by_parallel(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                        float *output) {
    size_t size = rill_attention_parallel_size(shape, sequence->length);
    guarded_floats workspace = guarded_output(size / sizeof(float));
    rill_attention_parallel(shape, state, sequence, output, workspace.data);
    guarded_free(&workspace);
}

static rill_attention_form *const forms[] = {rill_attention_recurrent, rill_attention_chunkwise, by_parallel};
static const char *const form_names[] = {"recurrent", "chunkwise", "parallel", "mixed"};
enum { forms_count = 3, mixed = forms_count };

/* A state of exactly its floats between canaries, filled with NaN before it is initialised. */
static guarded_floats state_make(const rill_attention_shape *shape) {
    guarded_floats state = guarded_output(rill_attention_size(shape) / sizeof(float));
    rill_attention_init(shape, state.data);
    return state;
}

static void push(const rule_case *c, const rill_attention_shape *shape, void *state, size_t longest, int form,
                 float *output) {
    for (size_t t = 0; t < c->length;) {
        size_t left = c->length - t, length = 1 + random_below(longest);
        rule_case as = *c;
        as.shape = *shape;
        rill_sequence part = rule_case_part(&as, t, length < left ? length : left);
        forms[form == mixed ? random_below(forms_count) : (size_t)form](
            shape, state, &part, output + t * shape->query_heads * shape->value_dim);
        t += part.length;
    }
}

static void describe(const rule_case *c, char *text, size_t size) {
    const rill_attention_shape *s = &c->shape;
    snprintf(text, size, "rule %d, decay %d, %zu steps, %zu x %zu, heads %zu/%zu, normalize %d, bonus %d",
             (int)s->rule, (int)s->decay, c->length, s->key_dim, s->value_dim, s->heads, s->query_heads,
             s->normalize, c->with_bonus);
}

static void expect_outputs(const rule_case *c, const char *form, const double *want, const double *error,
                           const float *got) {
    char text[200];
    describe(c, text, sizeof text);
    size_t row = c->shape.query_heads * c->shape.value_dim;
    for (size_t i = 0; i < c->length * row; i++)
        cr_assert(isnan(want[i]) ? isnan(got[i]) : fabs((double)got[i] - want[i]) <= error[i],
                  "%s: step %zu, output %zu: %.9g, want %.9g ± %.3g (%s)", form, i / row, i % row,
                  (double)got[i], want[i], error[i], text);
}

static void expect_state(const rule_case *c, const char *form, const float *state) {
    const rill_attention_shape *s = &c->shape;
    size_t head_floats = s->key_dim * s->value_dim, floats = s->heads * head_floats;
    char text[200];
    describe(c, text, sizeof text);
    for (size_t i = 0; i < floats; i++)
        cr_assert(fabs((double)state[i] - c->S[i]) <= c->state_error[i / head_floats],
                  "%s: S[%zu] %.9g, want %.9g ± %.3g (%s)", form, i, (double)state[i], c->S[i],
                  c->state_error[i / head_floats], text);
    for (size_t i = 0; i < s->heads * s->key_dim && s->normalize; i++)
        cr_assert(fabs((double)state[floats + i] - c->z[i]) <= c->state_error[i / s->key_dim],
                  "%s: z[%zu] %.9g, want %.9g (%s)", form, i, (double)state[floats + i], c->z[i], text);
}

/* The forms run with another shape where the law is that two shapes are the same function. */
static void expect_forms_as(const rule_case *c, const rill_attention_shape *shape) {
    for (int form = 0; form <= mixed; form++) {
        guarded_floats state = state_make(shape);
        guarded_floats output = guarded_output(c->length * shape->query_heads * shape->value_dim);
        for (size_t i = 0; i < output.count; i++) output.data[i] = 7; /* so that NaN is written, not left */
        push(c, shape, state.data, form == mixed ? 20 : c->length + 1, form, output.data);
        expect_outputs(c, form_names[form], c->output, c->output_error, output.data);
        expect_state(c, form_names[form], state.data);
        guarded_free(&output);
        guarded_free(&state);
    }
}

static void expect_forms(const rule_case *c) {
    expect_forms_as(c, &c->shape);
}

/* Writing, reading, both. */
static void expect_noncausal(rule_case *c) {
    const rill_attention_shape *s = &c->shape;
    bool with_bonus = c->with_bonus;
    c->with_bonus = false;
    rill_sequence all = rule_case_part(c, 0, c->length);
    guarded_floats state = state_make(s), output = guarded_output(c->length * s->query_heads * s->value_dim);
    rill_attention_noncausal(s, state.data, &all, output.data);
    expect_outputs(c, "noncausal", c->final_output, c->final_output_error, output.data);
    expect_state(c, "noncausal", state.data);
    rill_attention_reset(s, state.data);
    size_t first = random_below(c->length + 1);
    rill_sequence head = rule_case_part(c, 0, first), tail = rule_case_part(c, first, c->length - first);
    size_t bad = rill_attention_write(s, state.data, &head) + rill_attention_write(s, state.data, &tail);
    cr_assert_eq(bad, c->bad_steps);
    expect_state(c, "write", state.data);
    rill_attention_read(s, state.data, c->length, all.queries, output.data);
    for (size_t i = 0; i < output.count; i++)
        cr_assert(isnan(c->final_output[i])
                      ? isfinite(output.data[i])
                      : fabs((double)output.data[i] - c->final_output[i]) <= c->final_output_error[i]);
    guarded_free(&output);
    guarded_free(&state);
    c->with_bonus = with_bonus;
}

static bool force_table(const char *name) {
    setenv("RILL_KERNELS", name, 1);
    if (strcmp(rill_kernels_name(), name) == 0) return true;
    cr_skip_test("SKIPPED: this CPU cannot run the kernels %s", name);
    return false;
}

static void expect_laws(uint64_t seed, int rounds, bool spoilt) {
    random_seed(seed);
    printf("seed %llu\n", (unsigned long long)seed);
    const float bad[] = {NAN, INFINITY, -INFINITY}, bad_decay[] = {NAN, INFINITY, 1e-6f};
    for (int round = 0; round < rounds; round++) {
        rule_case c =
            rule_case_make(rule_case_shape((rill_update_rule)(round % rules_count)), random_below(70));
        guarded_floats *inputs[] = {&c.keys, &c.values, &c.beta, &c.read, &c.write};
        for (size_t n = spoilt && c.length > 0 ? 1 + random_below(6) : 0; n > 0; n--) {
            guarded_floats *input = inputs[random_below(5)];
            input->data[random_below(input->count)] = bad[random_below(3)];
            if (c.log_decay.count > 0 && random_below(3) == 0)
                c.log_decay.data[random_below(c.log_decay.count)] = bad_decay[random_below(3)];
        }
        rule_case_define(&c);
        expect_forms(&c);
        expect_noncausal(&c);
        rule_case_free(&c);
    }
}

/* A test for each table, for a process chooses its table once. */
#define TABLE(table)                                                                                         \
    Test(every_rule_and_form, gives_the_definition_with_##table) {                                           \
        if (force_table(#table)) expect_laws(1, 100, false);                                                 \
    }                                                                                                        \
    Test(every_rule_and_form, leaves_bad_steps_out_with_##table) {                                           \
        if (force_table(#table)) expect_laws(2, 50, true);                                                   \
    }
TABLE(reference)
TABLE(portable)
TABLE(avx2)
TABLE(avx512)

/* With a = g k, b = −β k and values β v the rank-one transition is the gated delta rule. */
Test(rank_one, holds_the_delta_rules) {
    random_seed(3);
    for (int round = 0; round < 20; round++) {
        rule_case c = rule_case_make(
            rule_case_shape(random_below(2) ? RILL_RULE_DELTA : RILL_RULE_GATED_DELTA), 1 + random_below(60));
        c.beta_is_shared = c.with_bonus = false;
        rule_case_define(&c);
        rill_attention_shape shape = c.shape;
        shape.rule = RILL_RULE_RANK_ONE;
        for (size_t row = 0; row < c.length * shape.heads; row++) {
            rule_step step = rule_case_step(&c, row / shape.heads, row % shape.heads);
            for (size_t d = 0; d < shape.key_dim; d++) {
                float g = step.log_decay ? expf(step.log_decay[c.decay_width > 1 ? d : 0]) : 1;
                c.read.data[row * shape.key_dim + d] = g * step.key[d];
                c.write.data[row * shape.key_dim + d] = -step.beta * step.key[d];
            }
            for (size_t m = 0; m < shape.value_dim; m++)
                c.values.data[row * shape.value_dim + m] *= c.beta.data[row];
        }
        expect_forms_as(&c, &shape);
        rule_case_free(&c);
    }
}

/* A query that is not finite spoils its own row, in every form. */
Test(every_rule_and_form, lets_a_bad_query_spoil_its_own_row_only) {
    random_seed(4);
    for (int round = 0; round < 40; round++) {
        rule_case c =
            rule_case_make(rule_case_shape((rill_update_rule)(round % rules_count)), 1 + random_below(40));
        rule_case_define(&c);
        size_t t = random_below(c.length), head = random_below(c.shape.query_heads);
        size_t row = t * c.shape.query_heads + head;
        c.queries.data[row * c.shape.key_dim + random_below(c.shape.key_dim)] = NAN;
        for (size_t m = 0; m < c.shape.value_dim; m++) c.output[row * c.shape.value_dim + m] = (double)NAN;
        expect_forms(&c);
        rule_case_free(&c);
    }
}

/* What is forgotten at once, and what is never: β = 0 is no write, β = 1 puts the value in its key's place.
 */
Test(delta, replaces_the_value_of_a_key) {
    rill_attention_shape shape = {
        .rule = RILL_RULE_DELTA, .heads = 1, .query_heads = 1, .key_dim = 2, .value_dim = 1, .scale = 1};
    float keys[] = {1, 0, 0, 1, 1, 0, 1, 0}, values[] = {5, 7, 3, 9}, beta[] = {1, 1, 1, 0};
    float queries[] = {1, 0, 0, 1, 1, 0, 1, 1}, want[] = {5, 7, 3, 10}, output[4];
    rill_sequence sequence = {.length = 4, .queries = queries, .keys = keys, .values = values, .beta = beta};
    for (int form = 0; form < forms_count; form++) {
        guarded_floats state = state_make(&shape);
        forms[form](&shape, state.data, &sequence, output);
        cr_assert_arr_eq(output, want, sizeof want);
        guarded_free(&state);
    }
}

/* The edges: nothing at all, one step, heads of 1 × 1, queries of 0, a decay of e^−100 after every step. */
Test(every_rule_and_form, holds_at_the_edges) {
    random_seed(6);
    for (int round = 0; round < 40 * rules_count; round++) {
        rill_attention_shape s = rule_case_shape((rill_update_rule)(round % rules_count));
        if (random_below(2)) s.heads = s.query_heads = 1;
        if (random_below(2)) s.key_dim = s.value_dim = 1;
        rule_case c = rule_case_make(s, random_below(3));
        for (size_t i = 0; i < c.log_decay.count; i++) c.log_decay.data[i] = random_below(2) ? -100 : 0;
        if (random_below(2) && c.length > 0)
            memset(c.queries.data, 0, s.query_heads * s.key_dim * sizeof(float)); /* 0 / (0 + ε) = 0 */
        rule_case_define(&c);
        expect_forms(&c);
        expect_noncausal(&c);
        guarded_floats state = state_make(&s), before = guarded_copy(&state);
        for (int form = 0; form < forms_count; form++) forms[form](&s, state.data, &(rill_sequence){0}, NULL);
        rill_attention_noncausal(&s, state.data, &(rill_sequence){0}, NULL);
        cr_assert_eq(rill_attention_write(&s, state.data, &(rill_sequence){0}), 0);
        rill_attention_read(&s, state.data, 0, NULL, NULL);
        cr_assert_arr_eq(state.data, before.data, rill_attention_size(&s));
        guarded_free(&before);
        guarded_free(&state);
        rule_case_free(&c);
    }
}

static bool run_every_form(void *with) {
    const rule_case *c = with;
    rill_sequence all = rule_case_part(c, 0, c->length);
    static float state[1 << 16], output[1 << 16], workspace[1 << 16];
    const size_t before = allocations;
    rill_attention_init(&c->shape, state);
    rill_attention_recurrent(&c->shape, state, &all, output);
    rill_attention_chunkwise(&c->shape, state, &all, output);
    rill_attention_parallel(&c->shape, state, &all, output, workspace);
    all.bonus = NULL;
    rill_attention_noncausal(&c->shape, state, &all, output);
    return allocations == before;
}

Test(real_time, no_form_allocates_or_makes_a_system_call) {
    random_seed(7);
    rill_kernels_get();
    for (int rule = 0; rule < rules_count; rule++) {
        rill_attention_shape s = rule_case_shape((rill_update_rule)rule);
        s.key_dim = s.value_dim = 20;
        rule_case c = rule_case_make(s, 30);
        cr_assert(works_without_system_calls(run_every_form, &c));
        rule_case_free(&c);
    }
}

static void refused(rill_attention_shape shape, const char *word) {
    rill_error why = {""};
    cr_assert_eq(rill_attention_check(&shape, &why), RILL_BAD_ARGUMENT);
    cr_assert(strstr(why.message, word), "\"%s\" should speak of %s", why.message, word);
}

Test(shape, of_a_rule_is_checked) {
    rill_attention_shape shape = {.heads = 1, .query_heads = 1, .key_dim = 4, .value_dim = 4, .scale = 1};
    shape.rule = RILL_RULE_DELTA, shape.decay = RILL_DECAY_HEAD, refused(shape, "delta rule has no decay");
    shape.rule = RILL_RULE_GATED_DELTA, shape.decay = RILL_DECAY_NONE;
    refused(shape, "gated delta rule needs a decay");
    shape.rule = RILL_RULE_RANK_ONE;
    cr_assert_eq(rill_attention_check(&shape, NULL), RILL_OK);
    shape.decay = RILL_DECAY_STEP_KEY;
    cr_assert_eq(rill_attention_check(&shape, NULL), RILL_OK);
    shape.normalize = true, refused(shape, "rank-one rule has no normalizer");
    shape.rule = (rill_update_rule)(RILL_RULE_RANK_ONE + 1), refused(shape, "unknown update rule");
}

/* --- padded batches --- */

static void expect_batch_row(const rule_case *c, rill_attention_form *form, const size_t *lengths, size_t n,
                             size_t padded, const float *states, const float *output) {
    const rill_attention_shape *s = &c->shape;
    size_t row = s->query_heads * s->value_dim, floats = rill_attention_size(s) / sizeof(float);
    guarded_floats state = state_make(s), alone = guarded_output(lengths[n] * row);
    rill_sequence sequence = rule_case_part(c, n * padded, lengths[n]);
    form(s, state.data, &sequence, alone.data);
    cr_assert_arr_eq(state.data, states + n * floats, rill_attention_size(s));
    if (lengths[n] > 0)
        cr_assert_arr_eq(alone.data, output + n * padded * row, lengths[n] * row * sizeof(float));
    for (size_t i = lengths[n] * row; i < padded * row; i++) cr_assert(output[n * padded * row + i] == 0);
    guarded_free(&state);
    guarded_free(&alone);
}

Test(batch, takes_each_sequence_by_itself) {
    random_seed(5);
    for (int round = 0; round < 40; round++) {
        enum { count = 4 };
        size_t padded = random_below(30), lengths[count];
        rill_attention_shape s = rule_case_shape((rill_update_rule)(round % rules_count));
        rill_attention_form *form = random_below(4) ? forms[random_below(2)] : rill_attention_noncausal;
        rule_case c = rule_case_make(s, count * padded);
        if (form == rill_attention_noncausal) c.with_bonus = false;
        size_t row = s.heads * s.key_dim, floats = rill_attention_size(&s) / sizeof(float);
        guarded_floats states = guarded_output(count * floats),
                       output = guarded_output(count * padded * s.query_heads * s.value_dim);
        for (size_t n = 0; n < count; n++) {
            lengths[n] = random_below(padded + 1);
            rill_attention_init(&s, states.data + n * floats);
            for (size_t i = lengths[n] * row; i < padded * row; i++) /* nobody reads the padding */
                c.keys.data[n * padded * row + i] = NAN;
        }
        rill_sequence all = rule_case_part(&c, 0, count * padded);
        all.length = padded;
        rill_attention_batch(&s, form, count, states.data, &all, lengths, output.data);
        for (size_t n = 0; n < count; n++)
            expect_batch_row(&c, form, lengths, n, padded, states.data, output.data);
        guarded_free(&states);
        guarded_free(&output);
        rule_case_free(&c);
    }
}

/* --- what peers get wrong --- */

static rule_case named_case(rill_update_rule rule, size_t dim, size_t length, bool normalize) {
    rill_attention_shape s = rule_case_shape(rule);
    s.key_dim = s.value_dim = dim;
    s.normalize = normalize;
    rule_case c = rule_case_make(s, length);
    rule_case_define(&c);
    return c;
}

/* flash-linear-attention, issue 285: one pass over a sequence differs from two with the state carried. */
Test(peers, one_pass_equals_two_with_the_state_carried_fla_285) {
    random_seed(285);
    for (int rule = 0; rule < rules_count; rule++)
        for (int form = 0; form < forms_count; form++) {
            rule_case c = named_case((rill_update_rule)rule, 64, 128, false);
            size_t row = c.shape.query_heads * c.shape.value_dim;
            for (size_t split = 0; split <= 128; split += 32) {
                guarded_floats state = state_make(&c.shape), output = guarded_output(c.length * row);
                rill_sequence past = rule_case_part(&c, 0, split),
                              rest = rule_case_part(&c, split, c.length - split);
                forms[form](&c.shape, state.data, &past, output.data);
                forms[form](&c.shape, state.data, &rest, output.data + split * row);
                expect_outputs(&c, form_names[form], c.output, c.output_error, output.data);
                expect_state(&c, form_names[form], state.data);
                guarded_free(&output);
                guarded_free(&state);
            }
            rule_case_free(&c);
        }
}

/* flash-linear-attention, issue 267: the normalizer is not part of the state and starts anew. */
Test(peers, the_normalizer_goes_on_with_the_state_fla_267) {
    random_seed(267);
    for (int rule = RILL_RULE_LINEAR; rule <= RILL_RULE_GATED; rule++)
        for (int form = 0; form <= mixed; form++) {
            rule_case c = named_case((rill_update_rule)rule, 16, 96, true);
            guarded_floats state = state_make(&c.shape),
                           output = guarded_output(c.length * c.shape.query_heads * c.shape.value_dim);
            push(&c, &c.shape, state.data, 8, form, output.data);
            expect_outputs(&c, form_names[form], c.output, c.output_error, output.data);
            guarded_free(&output);
            guarded_free(&state);
            rule_case_free(&c);
        }
}

/* ggml, WKV7: with heads of 32 it writes past its output. Canaries stand round output and state. */
Test(peers, heads_of_32_write_their_own_output_only_ggml_wkv7) {
    random_seed(32);
    for (size_t length = 1; length < 40; length += 13) {
        rule_case c = named_case(RILL_RULE_RANK_ONE, 32, length, false);
        expect_forms(&c);
        rule_case_free(&c);
    }
}
