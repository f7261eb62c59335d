/* SPDX-License-Identifier: MIT */
/* Queries over keys, heads and masks: walks blocks of queries outside, heads inside. */
#include <assert.h>
#include <math.h>

#include "attention/quadratic.h"
#include "failure.h"

rill_status rill_softmax_check(const rill_softmax_shape *shape, rill_error *why) {
    bool product = shape->similarity == RILL_SIMILARITY_PRODUCT;
    if (!product && shape->similarity != RILL_SIMILARITY_SOFTMAX)
        return rill_fail(why, RILL_BAD_ARGUMENT, "softmax: unknown similarity %d", (int)shape->similarity);
    if (shape->heads == 0 || shape->key_dim == 0 || shape->value_dim == 0)
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "softmax: %zu heads of key dimension %zu, value dimension %zu: none may be 0",
                         shape->heads, shape->key_dim, shape->value_dim);
    if (shape->query_heads == 0 || shape->query_heads % shape->heads != 0)
        return rill_fail(why, RILL_BAD_ARGUMENT, "softmax: %zu query heads are no multiple of %zu heads",
                         shape->query_heads, shape->heads);
    if (!isfinite(shape->scale))
        return rill_fail(why, RILL_BAD_ARGUMENT, "softmax: scale %g is not finite", (double)shape->scale);
    if (!(isfinite(shape->softcap) && shape->softcap >= 0) || (product && shape->softcap > 0))
        return rill_fail(why, RILL_BAD_ARGUMENT, "softmax: softcap %g is not %s", (double)shape->softcap,
                         product ? "0, and the product has none" : "a finite number from 0 on");
    if (product && shape->normalize && !(isfinite(shape->epsilon) && shape->epsilon >= 0))
        return rill_fail(why, RILL_BAD_ARGUMENT, "softmax: epsilon %g is not a finite number from 0 on",
                         (double)shape->epsilon);
    return RILL_OK;
}

rill_quadratic_head rill_quadratic_head_of(const rill_softmax_shape *shape, const rill_softmax_input *input,
                                           size_t query_head) {
    size_t head = query_head / (shape->query_heads / shape->heads);
    return (rill_quadratic_head){
        .shape = shape,
        .keys_length = input->keys_length,
        .queries = input->queries + query_head * shape->key_dim,
        .keys = input->keys + head * shape->key_dim,
        .values = input->values + head * shape->value_dim,
        .query_stride = shape->query_heads * shape->key_dim,
        .key_stride = shape->heads * shape->key_dim,
        .value_stride = shape->heads * shape->value_dim,
        .offset = input->offset,
        .causal = input->causal,
        .windowed = input->windowed,
        .window_before = input->window_before,
        .window_after = input->window_after,
        .mask = input->mask ? input->mask + query_head * input->mask_head_stride : NULL,
        .mask_stride = input->mask_query_stride,
        .bias = input->bias ? input->bias + query_head * input->bias_head_stride : NULL,
        .bias_stride = input->bias_query_stride,
        .scores =
            input->scores ? input->scores + query_head * input->queries_length * input->keys_length : NULL,
        .scores_kind = input->scores_kind,
        .output_stride = shape->query_heads * shape->value_dim,
    };
}

void rill_softmax_attention(const rill_softmax_shape *shape, const rill_softmax_input *input, float *output) {
    assert(rill_softmax_check(shape, NULL) == RILL_OK);
    assert(!input->bias || shape->similarity == RILL_SIMILARITY_SOFTMAX);
    for (size_t first = 0; first < input->queries_length; first += quadratic_rows) {
        size_t left = input->queries_length - first, count = left < quadratic_rows ? left : quadratic_rows;
        for (size_t query_head = 0; query_head < shape->query_heads;) {
            rill_quadratic_head together[quadratic_heads];
            size_t heads = 0;
            for (; heads < quadratic_heads && query_head < shape->query_heads; heads++, query_head++) {
                together[heads] = rill_quadratic_head_of(shape, input, query_head);
                together[heads].output = output + query_head * shape->value_dim;
            }
            rill_quadratic_take_rows(heads, together, first, count);
        }
    }
}
