/* SPDX-License-Identifier: MIT */
#include "attention/sequence_walk.h"

#include <assert.h>
#include <float.h>
#include <math.h>

enum {
    block_steps = 64
}; /* 64 rows of 8 heads of 64 values: 128 KiB each of q, k, v, within a second-level cache */

static size_t decay_width(const rill_attention_shape *shape) { /* floats a head and step */
    if (shape->decay == RILL_DECAY_NONE) return 0;
    return shape->decay == RILL_DECAY_STEP_KEY ? shape->key_dim : 1;
}

static size_t decay_stride(const rill_attention_shape *shape) {
    return shape->decay == RILL_DECAY_HEAD ? 0 : shape->heads * decay_width(shape);
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
    size_t decay_rows = shape->decay == RILL_DECAY_HEAD ? 1 : length;
    return finite(length * keys, sequence->keys + start * keys) &&
           finite(length * values, sequence->values + start * values) &&
           decays(decay_rows * shape->heads * decay_width(shape),
                  sequence->log_decay + start * decay_stride(shape));
}

static rill_head_sequence head_of(const rill_attention_shape *shape, const rill_sequence *sequence,
                                  float *output, size_t head, size_t start, size_t length) {
    size_t group = shape->query_heads / shape->heads;
    rill_head_sequence run = {
        .length = length,
        .query_group = group,
        .query_stride = shape->query_heads * shape->key_dim,
        .key_stride = shape->heads * shape->key_dim,
        .value_stride = shape->heads * shape->value_dim,
        .decay_stride = decay_stride(shape),
        .decay_per_key = shape->decay == RILL_DECAY_STEP_KEY,
        .output_stride = shape->query_heads * shape->value_dim,
    };
    run.queries = sequence->queries + start * run.query_stride + head * group * shape->key_dim;
    run.keys = sequence->keys + start * run.key_stride + head * shape->key_dim;
    run.values = sequence->values + start * run.value_stride + head * shape->value_dim;
    if (sequence->log_decay)
        run.log_decay = sequence->log_decay + start * run.decay_stride + head * decay_width(shape);
    run.output = output + start * run.output_stride + head * group * shape->value_dim;
    return run;
}

static rill_head_sequence part_of(const rill_head_sequence *run, size_t start, size_t length) {
    rill_head_sequence part = *run;
    part.length = length;
    part.queries += start * run->query_stride;
    part.keys += start * run->key_stride;
    part.values += start * run->value_stride;
    if (run->log_decay) part.log_decay += start * run->decay_stride;
    part.output += start * run->output_stride;
    return part;
}

static bool step_is_good(const rill_attention_shape *shape, const rill_head_sequence *run, size_t t) {
    return finite(shape->key_dim, run->keys + t * run->key_stride) &&
           finite(shape->value_dim, run->values + t * run->value_stride) &&
           (!run->log_decay || decays(decay_width(shape), run->log_decay + t * run->decay_stride));
}

/* The runs of good steps by the form; NaN for the bad ones between them. */
static void take_good_steps(const rill_attention_shape *shape, float *S, float *z,
                            const rill_head_sequence *run, rill_head_form *form) {
    for (size_t t = 0; t < run->length;) {
        size_t good = 0;
        while (t + good < run->length && step_is_good(shape, run, t + good)) good++;
        if (good > 0) {
            rill_head_sequence part = part_of(run, t, good);
            form(shape, S, z, &part);
        } else {
            float *output = run->output + t * run->output_stride;
            for (size_t m = 0; m < run->query_group * shape->value_dim; m++) output[m] = NAN;
        }
        t += good > 0 ? good : 1;
    }
}

void rill_sequence_walk(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                        float *output, rill_head_form *form) {
    assert(rill_attention_check(shape, NULL) == RILL_OK);
    assert(sequence->length == 0 || (shape->decay == RILL_DECAY_NONE) == (sequence->log_decay == NULL));
    float *S = state, *z = S + shape->heads * shape->key_dim * shape->value_dim;
    for (size_t start = 0; start < sequence->length; start += block_steps) {
        size_t left = sequence->length - start, length = left < block_steps ? left : block_steps;
        bool good = all_good(shape, sequence, start, length);
        for (size_t head = 0; head < shape->heads; head++) {
            float *head_S = S + head * shape->key_dim * shape->value_dim;
            float *head_z = shape->normalize ? z + head * shape->key_dim : NULL;
            rill_head_sequence run = head_of(shape, sequence, output, head, start, length);
            if (good)
                form(shape, head_S, head_z, &run);
            else
                take_good_steps(shape, head_S, head_z, &run, form);
        }
    }
}
