/* SPDX-License-Identifier: MIT */
/* Gradients against finite differences of the definition in double.
 *
 * The loss is a random linear function of the outputs and of the state left behind. All that it depends on
 * lies in one array x of doubles: queries, keys, values, log decays, the state at the start. The differences
 * are of fourth order: with h = 1e-3 they are off by about 1e-12 of the loss's scale, far below float. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

#include <rill/gradient.h>

#include "count_allocations.h"
#include "random_sequence.h"

#define U ((double)FLT_EPSILON / 2)

typedef struct problem {
    rill_attention_shape shape;
    random_sequence inputs;
    size_t state_floats, variables;
    size_t keys, values, decays, state; /* where they begin in x; queries are first */
    double *x;
    float *initial, *state_gradient, *output_gradient;
} problem;

static const float *decay_row(const problem *p, size_t t, size_t head) {
    const size_t row = p->shape.decay == RILL_DECAY_HEAD ? 0 : t;
    return p->inputs.sequence.log_decay + (row * p->shape.heads + head) * decay_width_of(&p->shape);
}

/* As <rill/attention.h> has it, of the inputs as they are and not as a difference moves them. */
static bool is_bad(const problem *p, size_t t, size_t head) {
    const rill_attention_shape *s = &p->shape;
    bool bad = false;
    for (size_t d = 0; d < s->key_dim; d++)
        bad |= !isfinite(p->inputs.sequence.keys[(t * s->heads + head) * s->key_dim + d]);
    for (size_t m = 0; m < s->value_dim; m++)
        bad |= !isfinite(p->inputs.sequence.values[(t * s->heads + head) * s->value_dim + m]);
    for (size_t i = 0; i < decay_width_of(s); i++) bad |= !(decay_row(p, t, head)[i] <= 0);
    return bad;
}

/* Σ ∂L/∂o · o of the query head's row t, as S (and z behind all S) is; 0 when the query is not finite */
static double loss_of_read(const problem *p, const double *x, const double *S, const double *z, size_t t,
                           size_t query_head) {
    const rill_attention_shape *s = &p->shape;
    const double *q = x + (t * s->query_heads + query_head) * s->key_dim;
    const float *G = p->output_gradient + (t * s->query_heads + query_head) * s->value_dim;
    double normalizer = (double)s->epsilon, read = 0;
    for (size_t d = 0; d < s->key_dim; d++) {
        if (!isfinite(q[d])) return 0;
        if (s->normalize) normalizer += q[d] * z[d];
        for (size_t m = 0; m < s->value_dim; m++) read += (double)G[m] * q[d] * S[d * s->value_dim + m];
    }
    return s->normalize ? read / normalizer : read * (double)s->scale;
}

static void take_step(const problem *p, const double *x, double *S, double *z, size_t t, size_t head) {
    const rill_attention_shape *s = &p->shape;
    const double *k = x + p->keys + (t * s->heads + head) * s->key_dim;
    const double *v = x + p->values + (t * s->heads + head) * s->value_dim;
    const size_t width = decay_width_of(s), row = s->decay == RILL_DECAY_HEAD ? 0 : t;
    const double *a = x + p->decays + (row * s->heads + head) * width;
    for (size_t d = 0; d < s->key_dim; d++) {
        const double g = width ? exp(a[width > 1 ? d : 0]) : 1;
        for (size_t m = 0; m < s->value_dim; m++)
            S[d * s->value_dim + m] = g * S[d * s->value_dim + m] + k[d] * v[m];
        if (s->normalize) z[d] = g * z[d] + k[d];
    }
}

/* The definition. The state left is written when it is asked for. */
static double loss(const problem *p, const double *x, bool causal, double *state_left) {
    const rill_attention_shape *s = &p->shape;
    const size_t size = s->key_dim * s->value_dim, group = s->query_heads / s->heads;
    double *state = malloc((p->state_floats + 1) * sizeof *state), sum = 0;
    memcpy(state, x + p->state, p->state_floats * sizeof *state);
    for (size_t head = 0; head < s->heads; head++) {
        double *S = state + head * size,
               *z = state + s->heads * size + (s->normalize ? head * s->key_dim : 0);
        for (size_t pass = 0; pass < (causal ? 1 : 2); pass++)
            for (size_t t = 0; t < p->inputs.sequence.length; t++) {
                if (is_bad(p, t, head)) continue;
                if (pass == 0) take_step(p, x, S, z, t, head);
                if (causal || pass == 1)
                    for (size_t i = 0; i < group; i++) sum += loss_of_read(p, x, S, z, t, head * group + i);
            }
    }
    for (size_t i = 0; i < p->state_floats; i++) sum += (double)p->state_gradient[i] * state[i];
    if (state_left) memcpy(state_left, state, p->state_floats * sizeof *state);
    free(state);
    return sum;
}

/* dL/dx along a direction, fourth order */
static double difference(const problem *p, const double *direction, bool causal) {
    const double h = 1e-3, weights[] = {1. / 12, -2. / 3, 0, 2. / 3, -1. / 12};
    double *moved = malloc(p->variables * sizeof *moved), sum = 0;
    for (int i = 0; i < 5; i++) {
        if (i == 2) continue;
        for (size_t n = 0; n < p->variables; n++) moved[n] = p->x[n] + (i - 2) * h * direction[n];
        sum += weights[i] * loss(p, moved, causal, NULL);
    }
    free(moved);
    return sum / h;
}

static float *random_floats(size_t count, double low, double high) {
    return fill_uniform(malloc((count + 1) * sizeof(float)), count, low, high);
}

static problem problem_make(rill_attention_shape shape, size_t length) {
    problem p = {.shape = shape, .inputs = random_sequence_make(&shape, length, -1)};
    p.state_floats = shape.heads * shape.key_dim * (shape.value_dim + shape.normalize);
    p.keys = p.inputs.queries;
    p.values = p.keys + p.inputs.keys;
    p.decays = p.values + p.inputs.values;
    p.state = p.decays + p.inputs.decays;
    p.variables = p.state + p.state_floats;
    p.x = malloc(p.variables * sizeof *p.x);
    p.initial = random_floats(rill_attention_size(&shape) / sizeof(float), 0.2, 1);
    p.state_gradient = random_floats(rill_attention_size(&shape) / sizeof(float), -1, 1);
    p.output_gradient = random_floats(p.inputs.outputs, -1, 1);
    return p;
}

/* What was changed in the inputs enters x; outputs of bad steps get a gradient that must not be looked at. */
static void problem_settle(problem *p) {
    const rill_attention_shape *s = &p->shape;
    for (size_t n = 0; n < p->state; n++) p->x[n] = (double)p->inputs.memory[n];
    for (size_t n = 0; n < p->state_floats; n++) p->x[p->state + n] = (double)p->initial[n];
    for (size_t t = 0; t < p->inputs.sequence.length; t++)
        for (size_t head = 0; head < s->heads; head++)
            if (is_bad(p, t, head))
                for (size_t m = 0, group = s->query_heads / s->heads; m < group * s->value_dim; m++)
                    p->output_gradient[(t * s->query_heads + head * group) * s->value_dim + m] = NAN;
}

static void problem_free(problem *p) {
    free(p->inputs.memory);
    free(p->x);
    free(p->initial);
    free(p->state_gradient);
    free(p->output_gradient);
}

/* What is to be tested: the gradient in one array as x. */
typedef struct answer {
    float *all, *state;
    rill_sequence_gradient parts;
} answer;

static answer answer_make(const problem *p) {
    answer a = {.all = malloc((p->variables + 1) * sizeof(float)),
                .state = malloc(rill_attention_size(&p->shape))};
    for (size_t n = 0; n < p->variables; n++) a.all[n] = NAN; /* so that nothing is left unwritten */
    memcpy(a.state, p->state_gradient, rill_attention_size(&p->shape));
    a.parts = (rill_sequence_gradient){a.all, a.all + p->keys, a.all + p->values,
                                       p->shape.decay == RILL_DECAY_NONE ? NULL : a.all + p->decays};
    return a;
}

static void answer_end(const problem *p, answer *a) {
    memcpy(a->all + p->state, a->state, p->state_floats * sizeof(float));
}

static void answer_free(answer *a) {
    free(a->all);
    free(a->state);
}

static answer causal_gradient(const problem *p) {
    answer a = answer_make(p);
    void *workspace = malloc(rill_attention_gradient_size(&p->shape, p->inputs.sequence.length));
    const size_t before = allocations;
    rill_attention_gradient(&p->shape, p->initial, &p->inputs.sequence, p->output_gradient, a.state, &a.parts,
                            workspace);
    cr_assert_eq(allocations, before);
    free(workspace);
    answer_end(p, &a);
    return a;
}

static answer noncausal_gradient(const problem *p) {
    answer a = answer_make(p);
    void *workspace = malloc(rill_attention_gradient_size(&p->shape, 0));
    float *state_left = calloc(1, rill_attention_size(&p->shape));
    double *left = malloc((p->state_floats + 1) * sizeof *left);
    loss(p, p->x, false, left);
    for (size_t n = 0; n < p->state_floats; n++) state_left[n] = (float)left[n];
    rill_attention_read_gradient(&p->shape, state_left, p->inputs.sequence.length, p->inputs.sequence.queries,
                                 p->output_gradient, a.state, a.parts.queries, workspace);
    rill_attention_write_gradient(&p->shape, state_left, &p->inputs.sequence, a.state, &a.parts, workspace);
    free(left), free(state_left), free(workspace);
    answer_end(p, &a);
    return a;
}

/* A gradient of log g is a difference of sums of q ∘ ∂L/∂q, which were rounded to float, and of what the
 * state left behind holds: u for each. */
static double decay_error(const problem *p, const answer *a) {
    double sum = 0;
    for (size_t n = 0; n < p->keys; n++)
        if (isfinite(p->x[n])) sum += fabs(p->x[n] * (double)a->all[n]);
    return U * sum;
}

static void expect_differences(const problem *p, const answer *a, bool causal, double relative) {
    double *direction = calloc(p->variables, sizeof *direction), scale = 0;
    for (size_t n = 0; n < p->variables; n++) scale = fmax(scale, fabs((double)a->all[n]));
    for (size_t n = 0; n < p->variables; n++) {
        direction[n] = 1;
        const double want = isfinite(p->x[n]) ? difference(p, direction, causal) : 0;
        direction[n] = 0;
        const double got = (double)a->all[n];
        cr_assert(isfinite(p->x[n]) || got == 0, "variable %zu: %g for %g", n, got, p->x[n]);
        const bool of_decay = n >= p->decays && n < p->state;
        const double error = relative * (causal ? fabs(want) : scale) + (of_decay ? decay_error(p, a) : 0);
        cr_assert_float_eq(
            got, want, error + 1e-9 * (1 + scale),
            "variable %zu (keys %zu, values %zu, decays %zu, state %zu): %.9g, want %.9g; rule "
            "%d, decay %d, normalize %d, length %zu, heads %zu/%zu, %zu x %zu",
            n, p->keys, p->values, p->decays, p->state, got, want, (int)p->shape.rule, (int)p->shape.decay,
            p->shape.normalize, p->inputs.sequence.length, p->shape.heads, p->shape.query_heads,
            p->shape.key_dim, p->shape.value_dim);
    }
    free(direction);
}

/* Nothing is rounded to float but the result. */
Test(gradient, is_that_of_finite_differences) {
    random_seed(61);
    for (int round = 0; round < 60; round++) {
        problem p = problem_make(random_linear_or_gated(5), random_below(9));
        problem_settle(&p);
        answer a = causal_gradient(&p);
        expect_differences(&p, &a, true, 2 * U);
        answer_free(&a);
        problem_free(&p);
    }
}

/* The state left behind is rounded to float, which the reading and the decays feel. */
Test(gradient, not_causal_is_that_of_finite_differences) {
    random_seed(62);
    for (int round = 0; round < 60; round++) {
        problem p = problem_make(random_linear_or_gated(5), random_below(9));
        problem_settle(&p);
        answer a = noncausal_gradient(&p);
        expect_differences(&p, &a, false, 64 * U);
        answer_free(&a);
        problem_free(&p);
    }
}

Test(gradient, leaves_bad_steps_and_queries_out) {
    random_seed(63);
    const float bad[] = {NAN, INFINITY, -INFINITY}, bad_decay[] = {NAN, 0.5f, -INFINITY, -50, 0};
    for (int round = 0; round < 60; round++) {
        problem p = problem_make(random_linear_or_gated(4), 1 + random_below(8));
        for (size_t n = 1 + random_below(3); n--;) {
            p.inputs.memory[random_below(p.decays)] = bad[random_below(3)];
            if (p.inputs.decays)
                p.inputs.memory[p.decays + random_below(p.inputs.decays)] = bad_decay[random_below(5)];
        }
        problem_settle(&p);
        answer a = causal_gradient(&p);
        expect_differences(&p, &a, true, 2 * U);
        answer_free(&a);
        problem_free(&p);
    }
}

/* Along a direction at random, for shapes of any size; a product is off by u, a gradient of log g by more. */
Test(gradient, is_the_slope_in_any_direction) {
    random_seed(64);
    for (int round = 0; round < 40; round++) {
        problem p = problem_make(random_linear_or_gated(40), 1 + random_below(120));
        problem_settle(&p);
        answer a = causal_gradient(&p);
        double *direction = malloc(p.variables * sizeof *direction), slope = 0, size = 0;
        for (size_t n = 0; n < p.variables; n++) {
            direction[n] = (2 * random_uniform() - 1) / 64;
            slope += direction[n] * (double)a.all[n];
            size += fabs(direction[n] * (double)a.all[n]);
            if (n >= p.decays && n < p.state) size += fabs(direction[n]) * decay_error(&p, &a) / U;
        }
        const double want = difference(&p, direction, true);
        cr_assert_float_eq(slope, want, 2 * U * size + 1e-9 * (1 + fabs(want)), "%.12g, want %.12g ± %.2g",
                           slope, want, 2 * U * size);
        free(direction);
        answer_free(&a);
        problem_free(&p);
    }
}

/* From the last part to the first, each from the state it started from, which the forward pass kept. */
static answer gradient_in_parts(const problem *p, size_t part_length) {
    const rill_attention_shape *s = &p->shape;
    const size_t length = p->inputs.sequence.length, parts = (length + part_length - 1) / part_length;
    const size_t state_size = rill_attention_size(s), row = s->query_heads * s->value_dim;
    unsigned char *states = malloc((parts + 1) * state_size);
    memcpy(states, p->initial, state_size);
    for (size_t i = 0; i < parts; i++) {
        const size_t start = i * part_length, left = length - start;
        const rill_sequence part =
            sequence_part(s, &p->inputs.sequence, start, left < part_length ? left : part_length);
        memcpy(states + (i + 1) * state_size, states + i * state_size, state_size);
        rill_attention_chunkwise(s, states + (i + 1) * state_size, &part, p->inputs.output + start * row);
    }
    answer a = answer_make(p);
    void *workspace = malloc(rill_attention_gradient_size(s, part_length));
    double *head_decay = calloc(s->heads, sizeof *head_decay);
    for (size_t i = parts; i-- > 0;) {
        const size_t start = i * part_length, left = length - start;
        const rill_sequence part =
            sequence_part(s, &p->inputs.sequence, start, left < part_length ? left : part_length);
        rill_sequence_gradient to = a.parts;
        to.queries += start * s->query_heads * s->key_dim;
        to.keys += start * s->heads * s->key_dim;
        to.values += start * s->heads * s->value_dim;
        if (to.log_decay && s->decay != RILL_DECAY_HEAD) to.log_decay += start * s->heads * decay_width_of(s);
        rill_attention_gradient(s, states + i * state_size, &part, p->output_gradient + start * row, a.state,
                                &to, workspace);
        for (size_t head = 0; head < s->heads && s->decay == RILL_DECAY_HEAD; head++)
            head_decay[head] += (double)to.log_decay[head];
    }
    for (size_t head = 0; head < s->heads && s->decay == RILL_DECAY_HEAD; head++)
        a.parts.log_decay[head] = (float)head_decay[head];
    free(head_decay), free(workspace), free(states);
    answer_end(p, &a);
    return a;
}

/* Parts start from states that were rounded in every step: as the forms, 6 units a step of what was summed,
 * here of the largest gradient of each kind. */
static void expect_alike(const problem *p, const answer *whole, const answer *parts, size_t from, size_t to,
                         double error) {
    double scale = 0;
    for (size_t n = from; n < to; n++) scale = fmax(scale, fabs((double)whole->all[n]));
    error += 8 * (double)(p->inputs.sequence.length + p->shape.key_dim) * U * scale;
    for (size_t n = from; n < to; n++)
        cr_assert_float_eq((double)parts->all[n], (double)whole->all[n], error,
                           "variable %zu: %.9g in parts, %.9g whole, ± %.2g", n, (double)parts->all[n],
                           (double)whole->all[n], error);
}

Test(gradient, of_parts_is_that_of_the_whole) {
    random_seed(65);
    for (int round = 0; round < 40; round++) {
        problem p = problem_make(random_linear_or_gated(20), 1 + random_below(60));
        problem_settle(&p);
        answer whole = causal_gradient(&p), parts = gradient_in_parts(&p, 1 + random_below(20));
        const double of_decay = 8 * (double)p.inputs.sequence.length * decay_error(&p, &whole);
        expect_alike(&p, &whole, &parts, 0, p.keys, 0);
        expect_alike(&p, &whole, &parts, p.keys, p.values, 0);
        expect_alike(&p, &whole, &parts, p.values, p.decays, 0);
        expect_alike(&p, &whole, &parts, p.decays, p.state, of_decay);
        expect_alike(&p, &whole, &parts, p.state, p.variables, 0);
        answer_free(&whole);
        answer_free(&parts);
        problem_free(&p);
    }
}

/* Twice the steps take no more memory, but for the two numbers a query that a normalizer asks for. */
Test(gradient, takes_constant_memory) {
    rill_attention_shape shape = {RILL_RULE_GATED, RILL_DECAY_HEAD, 4, 8, 16, 16, false, 0, 1};
    cr_assert_eq(rill_attention_gradient_size(&shape, 1000000), rill_attention_gradient_size(&shape, 1));
    shape.normalize = true;
    cr_assert_eq(rill_attention_gradient_size(&shape, 1001) - rill_attention_gradient_size(&shape, 1),
                 1000 * 2 * 2 * sizeof(double));
}
