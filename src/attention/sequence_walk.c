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

/* rows of width floats, stride apart; 0: one row for all */
static bool within(size_t rows, size_t stride, size_t width, const float *x, float low, float high) {
    const rill_kernels *kernels = rill_kernels_get();
    if (stride == width || stride == 0) return kernels->within((stride ? rows : 1) * width, x, low, high);
    for (size_t r = 0; r < rows; r++)
        if (!kernels->within(width, x + r * stride, low, high)) return false;
    return true;
}

static bool finite(size_t rows, size_t stride, size_t width, const float *x) {
    return within(rows, stride, width, x, -FLT_MAX, FLT_MAX);
}

/* Are the decays and betas of the run's steps from t on good in all its heads? */
static bool good_rates(const rill_attention_shape *shape, const rill_heads_sequence *steps, size_t t,
                       size_t length) {
    return (!steps->log_decay || within(length, steps->decay_stride, steps->heads * rill_decay_width(shape),
                                        steps->log_decay + t * steps->decay_stride, -INFINITY, 0)) &&
           (!steps->beta || finite(length, steps->beta_stride, steps->beta_is_shared ? 1 : steps->heads,
                                   steps->beta + t * steps->beta_stride));
}

/* Are the run's steps from t on good in all its heads? */
static bool good_steps(const rill_attention_shape *shape, const rill_head_run *run, size_t t, size_t length) {
    const rill_heads_sequence *steps = &run->steps;
    const size_t keys = steps->heads * shape->key_dim, values = steps->heads * shape->value_dim;
    const size_t key = t * steps->key_stride, value = t * steps->value_stride;
    return finite(length, steps->key_stride, keys, steps->keys + key) &&
           finite(length, steps->value_stride, values, steps->values + value) &&
           good_rates(shape, steps, t, length) &&
           (!run->transition_read || (finite(length, steps->key_stride, keys, run->transition_read + key) &&
                                      finite(length, steps->key_stride, keys, run->transition_write + key)));
}

/* Written where it is used: what was just stored by parts is slow to copy whole. */
static void choose_heads(const rill_attention_shape *shape, const rill_sequence *sequence, float *output,
                         size_t head, size_t heads, size_t start, size_t length, rill_head_run *run) {
    const size_t key_row = shape->heads * shape->key_dim, value_row = shape->heads * shape->value_dim;
    const size_t group = shape->query_heads == shape->heads ? 1 : shape->query_heads / shape->heads;
    const size_t key = start * key_row + head * shape->key_dim;
    rill_heads_sequence *steps = &run->steps;
    *run = (rill_head_run){0};
    steps->length = length;
    steps->heads = heads;
    steps->query_stride = group * key_row;
    steps->key_stride = key_row;
    steps->value_stride = value_row;
    steps->output_stride = group * value_row;
    steps->keys = sequence->keys + key;
    steps->values = sequence->values + start * value_row + head * shape->value_dim;
    if (sequence->log_decay) {
        steps->decay_per_key = shape->decay == RILL_DECAY_STEP_KEY;
        steps->decay_stride = decay_stride(shape);
        steps->log_decay = sequence->log_decay + start * steps->decay_stride + head * rill_decay_width(shape);
    }
    if (sequence->beta) {
        steps->beta_is_shared = sequence->beta_is_shared;
        steps->beta_stride = beta_stride(shape, sequence);
        steps->beta = sequence->beta + start * steps->beta_stride + (sequence->beta_is_shared ? 0 : head);
    }
    if (output) {
        steps->query_group = group;
        steps->queries = sequence->queries + start * steps->query_stride + head * group * shape->key_dim;
        steps->output = output + start * steps->output_stride + head * group * shape->value_dim;
    }
    if (sequence->transition_read) {
        run->transition_read = sequence->transition_read + key;
        run->transition_write = sequence->transition_write + key;
    }
    if (sequence->bonus) run->bonus = sequence->bonus + head * shape->key_dim;
}

static rill_head_run part_of(const rill_head_run *run, size_t start, size_t length) {
    rill_head_run part = *run;
    part.steps.length = length;
    part.steps.finite = true;
    part.steps.keys += start * run->steps.key_stride;
    part.steps.values += start * run->steps.value_stride;
    if (run->steps.log_decay) part.steps.log_decay += start * run->steps.decay_stride;
    if (run->steps.output) {
        part.steps.queries += start * run->steps.query_stride;
        part.steps.output += start * run->steps.output_stride;
    }
    if (run->steps.beta) part.steps.beta += start * run->steps.beta_stride;
    if (run->transition_read) {
        part.transition_read += start * run->steps.key_stride;
        part.transition_write += start * run->steps.key_stride;
    }
    return part;
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
        while (t + good < run->steps.length && good_steps(shape, run, t + good, 1)) good++;
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
    assert(sequence->first_head <= shape->heads &&
           sequence->head_count <= shape->heads - sequence->first_head);
    assert(!sequence->bonus || (!shape->normalize && !rill_rule_erases(shape->rule)));
}

size_t rill_sequence_walk(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                          float *output, size_t block_steps, bool several_heads, rill_head_form *form,
                          void *context) {
    check_inputs(shape, sequence);
    const size_t first = sequence->first_head;
    const size_t count = sequence->head_count ? sequence->head_count : shape->heads - first;
    size_t bad = 0;
    for (size_t start = 0; start < sequence->length; start += block_steps) {
        size_t left = sequence->length - start, length = left < block_steps ? left : block_steps;
        rill_head_run run;
        choose_heads(shape, sequence, output, first, count, start, length, &run);
        const bool good = good_steps(shape, &run, 0, length);
        const size_t heads = good && several_heads ? count : 1;
        for (size_t head = first; head < first + count; head += heads) {
            float *z, *S = rill_state_of_head(shape, state, head, &z);
            if (heads < count) choose_heads(shape, sequence, output, head, heads, start, length, &run);
            if (left >= 2 * length) run.steps.ahead = length;
            if (good)
                form(shape, S, z, &run, context);
            else
                bad += take_good_steps(shape, S, z, &run, form, context);
        }
    }
    return bad;
}

/* Good steps of one head. What several at once are multiplied with, a key by what was forgotten before it,
 * may overflow where no step does by itself: the form is to look at that as well, and the steps that it does
 * not take are taken one by one. */
static void take_one_head(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run,
                          void *context) {
    rill_looking_form *const form = *(rill_looking_form *const *)context;
    rill_head_run unknown = *run;
    unknown.steps.finite = false;
    size_t taken = run->steps.length > 1 ? form(shape, S, z, &unknown) : 0;
    for (; taken < run->steps.length; taken++) {
        const rill_head_run step = part_of(run, taken, 1);
        form(shape, S, z, &step);
    }
}

/* Do all heads' rows lie side by side, and do those of two blocks stay beside S in a second-level cache? In
 * three eighths of it, for what went before is there as well: 640 KiB of 2 MiB are a gain, 544 of 1 MiB a
 * loss. Where no more than 512 KiB are there, the third level is so busy that 288 of them are a gain, but for
 * the delta rules. */
static bool fits_in_order(const rill_attention_shape *shape, const rill_heads_sequence *steps) {
    const size_t rows = steps->query_stride + steps->key_stride + steps->value_stride + steps->output_stride;
    const size_t S = shape->heads * shape->key_dim * shape->value_dim, level = rill_second_level_size();
    const size_t most = level > 512 << 10 || rill_rule_erases(shape->rule) ? level / 8 * 3 : level / 16 * 9;
    return steps->heads == shape->heads && (2 * steps->length * rows + S) * sizeof(float) <= most;
}

/* `count` heads from `head` on: by the form until one holds a step that may be bad, that one step by step,
 * and on. */
static void take_looking(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                         float *output, size_t head, size_t count, size_t start, size_t length, size_t ahead,
                         bool fetched, rill_looking_form *form) {
    const size_t end = head + count;
    while (head < end) {
        rill_head_run run;
        float *z, *S = rill_state_of_head(shape, state, head, &z);
        choose_heads(shape, sequence, output, head, end - head, start, length, &run);
        run.steps.ahead = ahead;
        run.steps.in_order = (ahead > 0 || fetched) && fits_in_order(shape, &run.steps);
        run.steps.fetched = fetched && run.steps.in_order;
        /* a single step is taken by kernels that do not look */
        const bool good =
            length > 1 ? good_rates(shape, &run.steps, 0, length) : good_steps(shape, &run, 0, 1);
        run.steps.finite = good && length == 1;
        const size_t taken = good ? form(shape, S, z, &run) : 0, done = taken % length;
        head += taken / length;
        if (head == end) return;
        S = rill_state_of_head(shape, state, head, &z);
        choose_heads(shape, sequence, output, head, 1, start + done, length - done, &run);
        take_good_steps(shape, S, z, &run, take_one_head, &form);
        head++;
    }
}

void rill_sequence_walk_looking(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                                float *output, size_t block_steps, rill_looking_form *form) {
    check_inputs(shape, sequence);
    const size_t first = sequence->first_head;
    const size_t count = sequence->head_count ? sequence->head_count : shape->heads - first;
    for (size_t start = 0; start < sequence->length; start += block_steps) {
        const size_t left = sequence->length - start, length = left < block_steps ? left : block_steps;
        take_looking(shape, state, sequence, output, first, count, start, length,
                     left >= 2 * length ? length : 0, start > 0 && length == block_steps, form);
    }
}

void rill_sequence_spoil(const rill_attention_shape *shape, const rill_sequence *sequence, float *output) {
    for (size_t head = 0; head < shape->heads; head++) {
        rill_head_run run;
        choose_heads(shape, sequence, output, head, 1, 0, sequence->length, &run);
        for (size_t t = 0; t < sequence->length; t++)
            if (!good_steps(shape, &run, t, 1)) spoil_step(shape, &run, t);
    }
}
