/* SPDX-License-Identifier: MIT */
/* A random sequence for any update rule, its definition in double, and how far float may be from it. */
#ifndef RILL_TEST_RULE_CASE_H
#define RILL_TEST_RULE_CASE_H

#include <float.h>
#include <math.h>

#include <rill/attention.h>

#include "guarded_floats.h"

typedef struct rule_case {
    rill_attention_shape shape;
    size_t length, decay_width;
    guarded_floats queries, keys, values, log_decay, beta, read, write, bonus;
    bool beta_is_shared, with_bonus;
    /* what the definition gives: [length][query_heads][value_dim], S [heads][key_dim][value_dim], z [heads]
     * [key_dim], and the reads of the final state; beside each how far float may be off */
    double *output, *output_error, *final_output, *final_output_error;
    double *S, *z, *state_error; /* [heads] */
    size_t bad_steps;            /* pairs of head and step */
} rule_case;

static inline rill_sequence rule_case_part(const rule_case *c, size_t start, size_t length) {
    const rill_attention_shape *s = &c->shape;
    size_t keys = start * s->heads * s->key_dim;
    rill_sequence part = {.length = length,
                          .queries = c->queries.data + start * s->query_heads * s->key_dim,
                          .keys = c->keys.data + keys,
                          .values = c->values.data + start * s->heads * s->value_dim,
                          .beta_is_shared = c->beta_is_shared};
    if (s->decay != RILL_DECAY_NONE)
        part.log_decay =
            c->log_decay.data + (s->decay == RILL_DECAY_HEAD ? 0 : start * s->heads * c->decay_width);
    if (s->rule == RILL_RULE_DELTA || s->rule == RILL_RULE_GATED_DELTA)
        part.beta = c->beta.data + start * (c->beta_is_shared ? 1 : s->heads);
    if (s->rule == RILL_RULE_RANK_ONE) {
        part.transition_read = c->read.data + keys;
        part.transition_write = c->write.data + keys;
    }
    if (c->with_bonus) part.bonus = c->bonus.data;
    return part;
}

static inline double rule_case_norm(size_t count, const float *x) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static inline void rule_case_rescale(size_t count, float *x, double norm) {
    double factor = norm / (rule_case_norm(count, x) + 1e-9);
    for (size_t i = 0; i < count; i++) x[i] = (float)((double)x[i] * factor);
}

static inline rill_attention_shape rule_case_shape(rill_update_rule rule) {
    rill_attention_shape s = {.rule = rule, .epsilon = 1e-3f, .scale = 0.5f};
    if (rule == RILL_RULE_GATED || rule == RILL_RULE_GATED_DELTA) s.decay = (rill_decay)(1 + random_below(3));
    if (rule == RILL_RULE_RANK_ONE) s.decay = (rill_decay)random_below(4);
    s.heads = 1 + random_below(3);
    s.query_heads = s.heads * (1 + random_below(3));
    const size_t dims[] = {24, 24, 24, 160, 260}; /* the last: more than a block of the state */
    s.key_dim = 1 + random_below(dims[random_below(5)]);
    s.value_dim = 1 + random_below(dims[random_below(5)]);
    s.normalize = (rule == RILL_RULE_LINEAR || rule == RILL_RULE_GATED) && random_below(2);
    return s;
}

/* Keys of the delta rules have length 1 and β is within 0 … 2, so that I − β k kᵀ makes nothing larger; the
 * rank-one transition takes away at most what the decay leaves. Features are positive when normalized. */
static inline rule_case rule_case_make(rill_attention_shape s, size_t length) {
    double low = s.normalize ? 0.01 : -1;
    bool rank_one = s.rule == RILL_RULE_RANK_ONE;
    rule_case c = {.shape = s, .length = length, .beta_is_shared = random_below(3) == 0};
    c.with_bonus = s.rule <= RILL_RULE_GATED && !s.normalize && random_below(2);
    c.decay_width = s.decay == RILL_DECAY_NONE ? 0 : s.decay == RILL_DECAY_STEP_KEY ? s.key_dim : 1;
    size_t head_keys = length * s.heads * s.key_dim, decay_rows = s.decay == RILL_DECAY_HEAD ? 1 : length;
    c.queries = guarded_input(length * s.query_heads * s.key_dim, low, 1);
    c.keys = guarded_input(head_keys, low, 1);
    c.values = guarded_input(length * s.heads * s.value_dim, -1, 1);
    c.log_decay =
        guarded_input(decay_rows * s.heads * c.decay_width, rank_one ? -2 : -0.3, rank_one ? -0.6 : 0);
    c.beta = guarded_input(length * s.heads, 0, 2);
    c.read = guarded_input(head_keys, -1, 1);
    c.write = guarded_input(head_keys, -1, 1);
    c.bonus = guarded_input(s.heads * s.key_dim, -1, 1);
    for (size_t row = 0; row < length * s.heads; row++) {
        if (!s.normalize) rule_case_rescale(s.key_dim, c.keys.data + row * s.key_dim, 1);
        rule_case_rescale(s.key_dim, c.read.data + row * s.key_dim, 1);
        rule_case_rescale(s.key_dim, c.write.data + row * s.key_dim,
                          (s.decay == RILL_DECAY_NONE ? 0.02 : 0.45) * random_uniform());
    }
    for (size_t i = 0; i < c.log_decay.count; i++) {
        const float rare[] = {-INFINITY, -0.0f, -100, -1e-30f, -FLT_MAX};
        size_t which = random_below(5);
        if (random_below(60) == 0 && (!rank_one || which % 2 == 0)) c.log_decay.data[i] = rare[which];
    }
    size_t outputs = length * s.query_heads * s.value_dim;
    c.output = calloc(4 * outputs + 1, sizeof *c.output);
    c.output_error = c.output + outputs;
    c.final_output = c.output_error + outputs;
    c.final_output_error = c.final_output + outputs;
    c.S = calloc(s.heads * s.key_dim * s.value_dim, sizeof *c.S);
    c.z = calloc(s.heads * s.key_dim, sizeof *c.z);
    c.state_error = calloc(s.heads, sizeof *c.state_error);
    return c;
}

static inline void rule_case_free(rule_case *c) {
    guarded_floats *all[] = {&c->queries, &c->keys, &c->values, &c->log_decay,
                             &c->beta,    &c->read, &c->write,  &c->bonus};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    free(c->output);
    free(c->S);
    free(c->z);
    free(c->state_error);
}

/* What step t of a head takes in. */
typedef struct rule_step {
    const float *key, *value, *log_decay, *read, *write, *bonus;
    float beta;
    bool bad;
} rule_step;

static inline rule_step rule_case_step(const rule_case *c, size_t t, size_t head) {
    const rill_attention_shape *s = &c->shape;
    rill_sequence at = rule_case_part(c, t, 1);
    rule_step step = {.key = at.keys + head * s->key_dim, .value = at.values + head * s->value_dim};
    if (at.log_decay) step.log_decay = at.log_decay + head * c->decay_width;
    if (at.beta) step.beta = at.beta[c->beta_is_shared ? 0 : head];
    if (at.transition_read) {
        step.read = at.transition_read + head * s->key_dim;
        step.write = at.transition_write + head * s->key_dim;
    }
    if (at.bonus) step.bonus = at.bonus + head * s->key_dim;
    step.bad = !isfinite(step.beta);
    for (size_t m = 0; m < s->value_dim; m++) step.bad |= !isfinite(step.value[m]);
    for (size_t i = 0; i < c->decay_width; i++) step.bad |= !(step.log_decay[i] <= 0);
    for (size_t d = 0; d < s->key_dim; d++)
        step.bad |= !isfinite(step.key[d]) || (step.read && !isfinite(step.read[d] + step.write[d]));
    return step;
}

/* S and z of a head, and bounds of what float makes of them, in Frobenius norms (z is one more column of S):
 *
 *   size     max ‖S‖ of the steps so far + Σ ‖κ‖‖ω‖ of the writes: what all sums along the way are made of
 *   error    e_t = ‖T_t‖ e_{t-1} + (1 + ‖a‖‖b‖) n u size, T the step's transition: an error made in what
 *            step t writes or takes away is one more write, and later steps treat it as any other
 *   n        key_dim + 6 length + 16: roundings in a sum over key_dim and over all writes, each of which was
 *            decayed, at 4 u a step, up to length times */
typedef struct head_definition {
    double *S, *z, *erased;
    double largest, writes, error, roundings;
} head_definition;

static inline double definition_size(const head_definition *h) {
    return h->largest + h->writes;
}

static inline void define_step(const rule_case *c, head_definition *h, const rule_step *step) {
    const rill_attention_shape *s = &c->shape;
    const double u = (double)FLT_EPSILON / 2, key = rule_case_norm(s->key_dim, step->key);
    bool delta = s->rule == RILL_RULE_DELTA || s->rule == RILL_RULE_GATED_DELTA;
    double decay_max = step->log_decay ? 0 : 1, transition, erasing = 0, written = 0, norm = 0;
    memset(h->erased, 0, s->value_dim * sizeof *h->erased);
    for (size_t d = 0; d < s->key_dim; d++) {
        double g = step->log_decay ? exp((double)step->log_decay[c->decay_width > 1 ? d : 0]) : 1;
        double read = step->read ? (double)step->read[d] : delta ? g * (double)step->key[d] : 0;
        decay_max = fmax(decay_max, g);
        for (size_t m = 0; m < s->value_dim; m++) h->erased[m] += read * h->S[d * s->value_dim + m];
    }
    for (size_t d = 0; d < s->key_dim; d++) {
        double g = step->log_decay ? exp((double)step->log_decay[c->decay_width > 1 ? d : 0]) : 1;
        for (size_t m = 0; m < s->value_dim; m++) {
            double *S = h->S + d * s->value_dim + m, value = (double)step->value[m];
            *S *= g;
            if (delta) value = (double)step->beta * (value - h->erased[m]);
            *S += (double)step->key[d] * value;
            if (step->write) *S += (double)step->write[d] * h->erased[m];
            norm += *S * *S;
        }
        h->z[d] = g * h->z[d] + (double)step->key[d];
        if (s->normalize) norm += h->z[d] * h->z[d];
    }
    for (size_t m = 0; m < s->value_dim; m++) {
        double value = (double)step->value[m];
        if (delta) value = (double)step->beta * (value - h->erased[m]);
        written += value * value;
    }
    if (s->normalize) written += 1;
    transition = decay_max;
    if (delta) {
        erasing = fabs((double)step->beta) * key * key;
        transition *= fmax(1, fabs(1 - (double)step->beta * key * key));
    } else if (step->read) {
        erasing = rule_case_norm(s->key_dim, step->read) * rule_case_norm(s->key_dim, step->write);
        transition += erasing;
        double taken = 0;
        for (size_t m = 0; m < s->value_dim; m++) taken += h->erased[m] * h->erased[m];
        h->writes += rule_case_norm(s->key_dim, step->write) * sqrt(taken);
    }
    h->largest = fmax(h->largest, sqrt(norm));
    h->writes += key * sqrt(written);
    h->error = transition * h->error + (1 + erasing) * h->roundings * u * definition_size(h);
}

/* o = scale qᵀ(S + diag(u) k vᵀ) or qᵀS / (q·z + ε); NaN where the step is bad */
static inline void define_output(const rule_case *c, const head_definition *h, const rule_step *step,
                                 size_t t, size_t query_head, bool with_bonus, double *output,
                                 double *error) {
    const rill_attention_shape *s = &c->shape;
    const double u = (double)FLT_EPSILON / 2;
    const float *query = c->queries.data + (t * s->query_heads + query_head) * s->key_dim;
    double own = 0, own_size = 0, normalizer = (double)s->epsilon, norm = rule_case_norm(s->key_dim, query);
    for (size_t d = 0; d < s->key_dim; d++) {
        double product = with_bonus ? (double)step->bonus[d] * (double)query[d] * (double)step->key[d] : 0;
        own += product;
        own_size += fabs(product);
        normalizer += (double)query[d] * h->z[d];
    }
    double off = norm * (h->error + h->roundings * u * definition_size(h));
    for (size_t m = 0; m < s->value_dim; m++) {
        double sum = with_bonus ? own * (double)step->value[m] : 0;
        for (size_t d = 0; d < s->key_dim; d++) sum += (double)query[d] * h->S[d * s->value_dim + m];
        double o = s->normalize ? sum / normalizer : sum * (double)s->scale,
               value = fabs((double)step->value[m]);
        double tolerance = s->normalize ? off * (1 + fabs(o)) / normalizer
                                        : (off + (with_bonus ? h->roundings * u * own_size * value : 0)) *
                                              fabs((double)s->scale);
        size_t at = (t * s->query_heads + query_head) * s->value_dim + m;
        output[at] = step->bad ? (double)NAN : o;
        error[at] = tolerance + 8 * u * fabs(o) + 1e-36;
    }
}

static inline void rule_case_define_head(rule_case *c, size_t head) {
    const rill_attention_shape *s = &c->shape;
    size_t group = s->query_heads / s->heads;
    head_definition h = {.S = c->S + head * s->key_dim * s->value_dim,
                         .z = c->z + head * s->key_dim,
                         .erased = calloc(s->value_dim, sizeof(double)),
                         .roundings = (double)(s->key_dim + 6 * c->length + 16)};
    memset(h.S, 0, s->key_dim * s->value_dim * sizeof *h.S);
    memset(h.z, 0, s->key_dim * sizeof *h.z);
    for (size_t t = 0; t < c->length; t++) {
        rule_step step = rule_case_step(c, t, head);
        c->bad_steps += step.bad;
        if (!c->with_bonus && !step.bad) define_step(c, &h, &step);
        for (size_t i = 0; i < group; i++)
            define_output(c, &h, &step, t, head * group + i, c->with_bonus, c->output, c->output_error);
        if (c->with_bonus && !step.bad) define_step(c, &h, &step);
    }
    for (size_t t = 0; t < c->length; t++) {
        rule_step step = rule_case_step(c, t, head);
        for (size_t i = 0; i < group; i++)
            define_output(c, &h, &step, t, head * group + i, false, c->final_output, c->final_output_error);
    }
    c->state_error[head] = h.error + h.roundings * (double)FLT_EPSILON / 2 * definition_size(&h) + 1e-36;
    free(h.erased);
}

static inline void rule_case_define(rule_case *c) {
    c->bad_steps = 0;
    for (size_t head = 0; head < c->shape.heads; head++) rule_case_define_head(c, head);
}

#endif
