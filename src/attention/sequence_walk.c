/* SPDX-License-Identifier: MIT */
#include "attention/sequence_walk.h"

#include <assert.h>
#include <float.h>
#include <math.h>

static size_t decay_stride(const rill_attention_shape *shape) {
    return shape->decay == RILL_DECAY_HEAD ? 0 : shape->heads * rill_decay_width(shape);
}

static size_t beta_stride(const rill_attention_shape *shape, const rill_sequence *sequence) {
    return sequence->beta_is_shared ? 1 : shape->heads;
}

static bool finite(size_t count, const float *x) {
    return rill_kernels_get()->within(count, x, -FLT_MAX, FLT_MAX);
}

static bool decays(size_t count, const float *x) {
    return rill_kernels_get()->within(count, x, -INFINITY, 0);
}

/* All heads of steps start … start + length − 1 at once: they lie side by side. */
static bool all_good(const rill_attention_shape *shape, const rill_sequence *sequence, size_t start,
                     size_t length) {
    size_t keys = shape->heads * shape->key_dim, values = shape->heads * shape->value_dim;
    size_t decay_rows = shape->decay == RILL_DECAY_HEAD ? 1 : length, betas = beta_stride(shape, sequence);
    return finite(length * keys, sequence->keys + start * keys) &&
           finite(length * values, sequence->values + start * values) &&
           (!sequence->log_decay || decays(decay_rows * shape->heads * rill_decay_width(shape),
                                           sequence->log_decay + start * decay_stride(shape))) &&
           (!sequence->beta || finite(length * betas, sequence->beta + start * betas)) &&
           (!sequence->transition_read || (finite(length * keys, sequence->transition_read + start * keys) &&
                                           finite(length * keys, sequence->transition_write + start * keys)));
}

static rill_head_run head_of(const rill_attention_shape *shape, const rill_sequence *sequence, float *output,
                             size_t head, size_t heads, size_t start, size_t length) {
    size_t group = shape->query_heads / shape->heads;
    rill_heads_sequence steps = {
        .length = length,
        .heads = heads,
        .query_stride = shape->query_heads * shape->key_dim,
        .key_stride = shape->heads * shape->key_dim,
        .value_stride = shape->heads * shape->value_dim,
        .decay_stride = decay_stride(shape),
        .decay_per_key = shape->decay == RILL_DECAY_STEP_KEY,
        .output_stride = shape->query_heads * shape->value_dim,
    };
    size_t key = start * steps.key_stride + head * shape->key_dim;
    steps.keys = sequence->keys + key;
    steps.values = sequence->values + start * steps.value_stride + head * shape->value_dim;
    if (sequence->log_decay)
        steps.log_decay = sequence->log_decay + start * steps.decay_stride + head * rill_decay_width(shape);
    if (output) {
        steps.query_group = group;
        steps.queries = sequence->queries + start * steps.query_stride + head * group * shape->key_dim;
        steps.output = output + start * steps.output_stride + head * group * shape->value_dim;
    }
    rill_head_run run = {.steps = steps, .beta_stride = beta_stride(shape, sequence)};
    if (sequence->beta)
        run.beta = sequence->beta + start * run.beta_stride + (sequence->beta_is_shared ? 0 : head);
    if (sequence->transition_read) {
        run.transition_read = sequence->transition_read + key;
        run.transition_write = sequence->transition_write + key;
    }
    if (sequence->bonus) run.bonus = sequence->bonus + head * shape->key_dim;
    return run;
}

static rill_head_run part_of(const rill_head_run *run, size_t start, size_t length) {
    rill_head_run part = *run;
    part.steps.length = length;
    part.steps.keys += start * run->steps.key_stride;
    part.steps.values += start * run->steps.value_stride;
    if (run->steps.log_decay) part.steps.log_decay += start * run->steps.decay_stride;
    if (run->steps.output) {
        part.steps.queries += start * run->steps.query_stride;
        part.steps.output += start * run->steps.output_stride;
    }
    if (run->beta) part.beta += start * run->beta_stride;
    if (run->transition_read) {
        part.transition_read += start * run->steps.key_stride;
        part.transition_write += start * run->steps.key_stride;
    }
    return part;
}

static bool step_is_good(const rill_attention_shape *shape, const rill_head_run *run, size_t t) {
    const rill_heads_sequence *steps = &run->steps;
    size_t key = t * steps->key_stride;
    return finite(shape->key_dim, steps->keys + key) &&
           finite(shape->value_dim, steps->values + t * steps->value_stride) &&
           (!steps->log_decay ||
            decays(rill_decay_width(shape), steps->log_decay + t * steps->decay_stride)) &&
           (!run->beta || finite(1, run->beta + t * run->beta_stride)) &&
           (!run->transition_read || (finite(shape->key_dim, run->transition_read + key) &&
                                      finite(shape->key_dim, run->transition_write + key)));
}

static void spoil_step(const rill_attention_shape *shape, const rill_head_run *run, size_t t) {
    for (size_t m = 0; m < run->steps.query_group * shape->value_dim; m++)
        run->steps.output[t * run->steps.output_stride + m] = NAN;
}

/* The runs of good steps by the form; NaN for the bad ones between them, which are counted. */
static size_t take_good_steps(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run,
                              rill_head_form *form, void *context) {
    size_t bad = 0;
    for (size_t t = 0; t < run->steps.length;) {
        size_t good = 0;
        while (t + good < run->steps.length && step_is_good(shape, run, t + good)) good++;
        if (good > 0) {
            rill_head_run part = part_of(run, t, good);
            form(shape, S, z, &part, context);
        } else {
            spoil_step(shape, run, t);
            bad++;
        }
        t += good > 0 ? good : 1;
    }
    return bad;
}

static void check_inputs(const rill_attention_shape *shape, const rill_sequence *sequence) {
    (void)shape, (void)sequence; /* without assertions */
    assert(rill_attention_check(shape, NULL) == RILL_OK);
    if (sequence->length == 0) return;
    assert((shape->decay == RILL_DECAY_NONE) == (sequence->log_decay == NULL));
    assert(rill_rule_is_delta(shape->rule) == (sequence->beta != NULL));
    assert((shape->rule == RILL_RULE_RANK_ONE) == (sequence->transition_read != NULL));
    assert((shape->rule == RILL_RULE_RANK_ONE) == (sequence->transition_write != NULL));
    assert(!sequence->bonus || (!shape->normalize && !rill_rule_erases(shape->rule)));
}

size_t rill_sequence_walk(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                          float *output, size_t block_steps, bool several_heads, rill_head_form *form,
                          void *context) {
    check_inputs(shape, sequence);
    size_t bad = 0;
    for (size_t start = 0; start < sequence->length; start += block_steps) {
        size_t left = sequence->length - start, length = left < block_steps ? left : block_steps;
        bool good = all_good(shape, sequence, start, length);
        size_t heads = good && several_heads ? shape->heads : 1;
        for (size_t head = 0; head < shape->heads; head += heads) {
            float *z, *S = rill_state_of_head(shape, state, head, &z);
            rill_head_run run = head_of(shape, sequence, output, head, heads, start, length);
            if (left >= 2 * length) run.steps.ahead = length;
            if (good)
                form(shape, S, z, &run, context);
            else
                bad += take_good_steps(shape, S, z, &run, form, context);
        }
    }
    return bad;
}

void rill_sequence_spoil(const rill_attention_shape *shape, const rill_sequence *sequence, float *output) {
    for (size_t head = 0; head < shape->heads; head++) {
        rill_head_run run = head_of(shape, sequence, output, head, 1, 0, sequence->length);
        for (size_t t = 0; t < sequence->length; t++)
            if (!step_is_good(shape, &run, t)) spoil_step(shape, &run, t);
    }
}
