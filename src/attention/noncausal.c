/* SPDX-License-Identifier: MIT */
/* Writing without reading, reading without writing, and the two together: attention that is not causal. */
#include "attention/wy_chunk.h"

#include <assert.h>
#include <string.h>

static void take_in(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run,
                    void *unused) {
    (void)unused;
    rill_wy_chunks(shape, S, z, run, rill_wy_chunk_steps);
}

size_t rill_attention_write(const rill_attention_shape *shape, void *state, const rill_sequence *sequence) {
    return rill_sequence_walk(shape, state, sequence, NULL, rill_block_steps, false, take_in, NULL);
}

/* output rows · factor: scale, or 1 / (q·z + ε) */
static void scale_rows(const rill_attention_shape *shape, const float *z, size_t count, const float *queries,
                       size_t query_stride, float *output, size_t output_stride) {
    for (size_t n = 0; n < count; n++) {
        float factor = shape->scale, normalizer;
        if (z) {
            rill_kernels_get()->dense(1, shape->key_dim, 1, queries + n * query_stride, z, &shape->epsilon,
                                      &normalizer);
            factor = 1 / normalizer;
        }
        for (size_t m = 0; m < shape->value_dim; m++) output[n * output_stride + m] *= factor;
    }
}

void rill_attention_read(const rill_attention_shape *shape, const void *state, size_t count,
                         const float *queries, float *output) {
    assert(rill_attention_check(shape, NULL) == RILL_OK);
    if (count == 0) return;
    size_t query_row = shape->query_heads * shape->key_dim,
           output_row = shape->query_heads * shape->value_dim;
    memset(output, 0, count * output_row * sizeof *output);
    for (size_t query_head = 0; query_head < shape->query_heads; query_head++) {
        float *z, *S = rill_state_of_head(shape, state, query_head / (shape->query_heads / shape->heads), &z);
        const float *query = queries + query_head * shape->key_dim;
        float *out = output + query_head * shape->value_dim;
        rill_kernels_get()->product(&(rill_matrix_product){.rows = count,
                                                           .inner = shape->key_dim,
                                                           .columns = shape->value_dim,
                                                           .a = query,
                                                           .a_row_stride = query_row,
                                                           .a_column_stride = 1,
                                                           .b = S,
                                                           .b_stride = shape->value_dim,
                                                           .out = out,
                                                           .out_stride = output_row});
        scale_rows(shape, z, count, query, query_row, out, output_row);
    }
}

void rill_attention_noncausal(const rill_attention_shape *shape, void *state, const rill_sequence *sequence,
                              float *output) {
    assert(!sequence->bonus && sequence->first_head == 0 && sequence->head_count == 0);
    size_t bad = rill_attention_write(shape, state, sequence);
    rill_attention_read(shape, state, sequence->length, sequence->queries, output);
    if (bad > 0) rill_sequence_spoil(shape, sequence, output);
}
