/* SPDX-License-Identifier: MIT */
/* The parallel form: every reader looks back at every write before it,
 *
 *     xᵀ S_t = Σ_{i ≤ t} (xᵀ G_{i→t} κ_i) ω_iᵀ + (G_{0→t} x)ᵀ S_0        (names as in wy_chunk.c)
 *
 * the masked quadratic form. x is decayed on its way back, so that nothing is divided and a decay of 0 is
 * exact. Reads are written last. */
#include "attention/sequence_walk.h"

#include <stdint.h>
#include <string.h>

#include "attention/row_products.h"

typedef struct look_back {
    const rill_attention_shape *shape;
    const rill_head_run *run;
    const float *S, *z;
    float *carried;  /* [key_dim]: x on its way */
    float *decay;    /* [length][decay_width] */
    float *replaced; /* [length][value_dim]: the ω that need reading; NULL when there are none */
} look_back;

static const float *key_of(const look_back *l, size_t t) {
    return l->run->steps.keys + t * l->run->steps.key_stride;
}

static const float *value_of(const look_back *l, size_t t) {
    return l->run->steps.values + t * l->run->steps.value_stride;
}

static void add_scaled(size_t count, float factor, const float *x, float *sum) {
    for (size_t m = 0; m < count; m++) sum[m] += factor * x[m];
}

static void decay_carried(const look_back *l, size_t t) {
    size_t width = rill_decay_width(l->shape);
    for (size_t d = 0; d < l->shape->key_dim && width > 0; d++)
        l->carried[d] *= l->decay[t * width + (width > 1 ? d : 0)];
}

/* out += what carried sees of the writes of step t; returns its score with the key */
static float see(const look_back *l, size_t t, float *out) {
    size_t key_dim = l->shape->key_dim, value_dim = l->shape->value_dim;
    const float *replaced = l->replaced ? l->replaced + t * value_dim : NULL;
    float score = rill_dot_product(key_dim, l->carried, key_of(l, t));
    if (l->run->transition_write) {
        const float *row = l->run->transition_write + t * l->run->steps.key_stride;
        add_scaled(value_dim, rill_dot_product(key_dim, l->carried, row), replaced, out);
        replaced = NULL;
    }
    add_scaled(value_dim, score, replaced ? replaced : value_of(l, t), out);
    return score;
}

/* The same of all steps before `steps`, none of which forgets, a block at a time. */
static float see_undecayed(const look_back *l, size_t steps, float *out) {
    enum { steps_at_once = 64 };
    const rill_kernels *kernels = rill_kernels_get();
    const size_t key_dim = l->shape->key_dim, value_dim = l->shape->value_dim;
    float normalizer = 0, scores[steps_at_once];
    for (size_t first = 0; first < steps; first += steps_at_once) {
        const float *rows[steps_at_once];
        const size_t left = steps - first, now = left < steps_at_once ? left : steps_at_once;
        rill_row_products(now, key_dim, l->run->steps.key_stride, 1, key_of(l, first), l->carried, scores);
        for (size_t j = 0; j < now; j++) {
            rows[j] = l->replaced ? l->replaced + (first + j) * value_dim : value_of(l, first + j);
            normalizer += scores[j];
        }
        kernels->mix(&(rill_rows){now, value_dim, rows}, scores, NULL, out);
    }
    return normalizer;
}

/* out += carriedᵀ of the state after `steps` steps; returns carried·z of it */
static float look_back_from(const look_back *l, size_t steps, float *out) {
    float normalizer = 0;
    if (rill_decay_width(l->shape) == 0 && !l->run->transition_write)
        normalizer = see_undecayed(l, steps, out);
    else
        for (size_t t = steps; t-- > 0;) {
            normalizer += see(l, t, out);
            decay_carried(l, t);
        }
    rill_kernels_get()->product(&(rill_matrix_product){.rows = 1,
                                                       .inner = l->shape->key_dim,
                                                       .columns = l->shape->value_dim,
                                                       .a = l->carried,
                                                       .a_column_stride = 1,
                                                       .b = l->S,
                                                       .b_stride = l->shape->value_dim,
                                                       .out = out});
    return l->z ? normalizer + rill_dot_product(l->shape->key_dim, l->carried, l->z) : 0;
}

static void carry(const look_back *l, const float *x) {
    memcpy(l->carried, x, l->shape->key_dim * sizeof *x);
}

static void find_replaced(const look_back *l, size_t t) {
    float *replaced = l->replaced + t * l->shape->value_dim;
    bool delta = rill_rule_is_delta(l->shape->rule);
    carry(l, delta ? key_of(l, t) : l->run->transition_read + t * l->run->steps.key_stride);
    if (delta) decay_carried(l, t);
    memset(replaced, 0, l->shape->value_dim * sizeof *replaced);
    look_back_from(l, t, replaced);
    float beta = delta ? l->run->steps.beta[t * l->run->steps.beta_stride] : 0;
    for (size_t m = 0; m < l->shape->value_dim && delta; m++)
        replaced[m] = beta * (value_of(l, t)[m] - replaced[m]);
}

static void answer_query(const look_back *l, size_t t, size_t head) {
    const rill_heads_sequence *steps = &l->run->steps;
    const float *query = steps->queries + t * steps->query_stride + head * l->shape->key_dim;
    float *output = steps->output + t * steps->output_stride + head * l->shape->value_dim, own = 0;
    memset(output, 0, l->shape->value_dim * sizeof *output);
    carry(l, query);
    float normalizer = look_back_from(l, l->run->bonus ? t : t + 1, output);
    for (size_t d = 0; d < l->shape->key_dim && l->run->bonus; d++)
        own += l->run->bonus[d] * query[d] * key_of(l, t)[d];
    if (l->run->bonus) add_scaled(l->shape->value_dim, own, value_of(l, t), output);
    float factor = l->z ? 1 / (normalizer + l->shape->epsilon) : l->shape->scale;
    for (size_t m = 0; m < l->shape->value_dim; m++) output[m] *= factor;
}

/* S and z over step t, its ω known */
static void take_on(const look_back *l, float *S, float *z, size_t t) {
    size_t key_dim = l->shape->key_dim, value_dim = l->shape->value_dim;
    const float *replaced = l->replaced ? l->replaced + t * value_dim : NULL, *key = key_of(l, t);
    for (size_t d = 0; d < key_dim; d++) l->carried[d] = 1;
    decay_carried(l, t);
    for (size_t d = 0; d < key_dim; d++, S += value_dim) {
        for (size_t m = 0; m < value_dim; m++) S[m] *= l->carried[d];
        if (l->run->transition_write)
            add_scaled(value_dim, l->run->transition_write[t * l->run->steps.key_stride + d], replaced, S);
        add_scaled(value_dim, key[d], replaced && !l->run->transition_write ? replaced : value_of(l, t), S);
        if (z) z[d] = l->carried[d] * z[d] + key[d];
    }
}

static void parallel(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run,
                     void *workspace) {
    size_t length = run->steps.length, width = rill_decay_width(shape);
    look_back l = {.shape = shape, .run = run, .S = S, .z = z, .carried = workspace};
    l.decay = l.carried + shape->key_dim;
    if (rill_rule_erases(shape->rule)) l.replaced = l.decay + length * width;
    for (size_t t = 0; t < length && width > 0; t++) /* elu(x) + 1 is exp(x) below 0 */
        rill_kernels_get()->elu1(width, run->steps.log_decay + t * run->steps.decay_stride,
                                 l.decay + t * width);
    for (size_t t = 0; t < length && l.replaced; t++) find_replaced(&l, t);
    for (size_t t = 0; t < length; t++)
        for (size_t head = 0; head < run->steps.query_group; head++) answer_query(&l, t, head);
    for (size_t t = 0; t < length; t++) take_on(&l, S, z, t);
}

void rill_attention_parallel(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                             float *output, void *workspace) {
    rill_sequence_walk(shape, state, sequence, output, SIZE_MAX, false, parallel, workspace);
}

size_t rill_attention_parallel_size(const rill_attention_shape *shape, size_t length) {
    size_t kept = rill_rule_erases(shape->rule) ? shape->value_dim : 0;
    return (shape->key_dim + length * (rill_decay_width(shape) + kept)) * sizeof(float);
}
