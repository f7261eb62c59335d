/* SPDX-License-Identifier: MIT */
#include "conformance_forms.h"

#include <stdlib.h>
#include <string.h>

static void by_parallel(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                        float *output) {
    void *workspace = malloc(rill_attention_parallel_size(shape, sequence->length));
    if (!workspace) abort();
    rill_attention_parallel(shape, state, sequence, output, workspace);
    free(workspace);
}

static const float *later(const float *array, size_t floats) {
    return array ? array + floats : NULL;
}

static rill_sequence part_of(const rill_attention_shape *shape, const rill_sequence *whole, size_t start,
                             size_t length) {
    size_t heads = start * shape->heads, keys = heads * shape->key_dim;
    size_t decays[] = {0, 0, heads, keys};
    rill_sequence part = *whole;
    part.length = length;
    part.queries = later(part.queries, start * shape->query_heads * shape->key_dim);
    part.keys = later(part.keys, keys);
    part.values = later(part.values, heads * shape->value_dim);
    part.log_decay = later(part.log_decay, decays[shape->decay]);
    part.beta = later(part.beta, part.beta_is_shared ? start : heads);
    part.transition_read = later(part.transition_read, keys);
    part.transition_write = later(part.transition_write, keys);
    return part;
}

static rill_attention_form by_mix;
static rill_attention_form *const forms[] = {by_mix, rill_attention_recurrent, rill_attention_chunkwise,
                                             by_parallel};

/* In parts of 1, 2, 3, … steps by the other forms in turn. */
static void by_mix(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                   float *output) {
    for (size_t start = 0, n = 1; start < sequence->length; n++) {
        size_t left = sequence->length - start, length = n < left ? n : left;
        rill_sequence part = part_of(shape, sequence, start, length);
        forms[1 + n % 3](shape, state, &part, output + start * shape->query_heads * shape->value_dim);
        start += length;
    }
}

void recurrence_run_forms(conformance_case *c, recurrence *r,
                          void (*expect)(conformance_case *c, const recurrence *r, const void *with),
                          const void *with) {
    size_t S = r->shape.heads * r->shape.key_dim * r->shape.value_dim, z = r->shape.heads * r->shape.key_dim;
    size_t size = rill_attention_size(&r->shape),
           *lengths = conformance_memory(c, r->batches * sizeof *lengths);
    unsigned char *states = conformance_memory(c, r->batches * size);
    r->output =
        conformance_floats(c, r->batches * r->steps.length * r->shape.query_heads * r->shape.value_dim);
    r->S = conformance_floats(c, r->batches * S);
    r->z = conformance_floats(c, r->batches * z);
    for (size_t form = 0; form < sizeof forms / sizeof *forms; form++) {
        for (size_t b = 0; b < r->batches; b++) {
            float *state = (float *)(void *)(states + b * size);
            rill_attention_init(&r->shape, state);
            if (r->past) memcpy(state, r->past + b * S, S * sizeof *state);
            if (r->past_z && r->shape.normalize) memcpy(state + S, r->past_z + b * z, z * sizeof *state);
            lengths[b] = r->steps.length;
        }
        rill_attention_batch(&r->shape, forms[form], r->batches, states, &r->steps, lengths, r->output);
        for (size_t b = 0; b < r->batches; b++) {
            memcpy(r->S + b * S, states + b * size, S * sizeof *r->S);
            if (r->shape.normalize)
                memcpy(r->z + b * z, states + b * size + S * sizeof *r->S, z * sizeof *r->z);
        }
        expect(c, r, with);
    }
}

float *recurrence_swap(conformance_case *c, const float *from, size_t batches, size_t outer, size_t inner,
                       size_t dim) {
    float *to = conformance_floats(c, batches * outer * inner * dim);
    for (size_t b = 0; b < batches; b++)
        for (size_t o = 0; o < outer; o++)
            for (size_t i = 0; i < inner; i++)
                memcpy(to + ((b * inner + i) * outer + o) * dim, from + ((b * outer + o) * inner + i) * dim,
                       dim * sizeof *to);
    return to;
}
