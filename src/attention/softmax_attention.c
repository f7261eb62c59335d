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

rill_key_strides rill_key_strides_by_time(const rill_softmax_shape *shape) {
    return (rill_key_strides){shape->key_dim, shape->heads * shape->key_dim, shape->value_dim,
                              shape->heads * shape->value_dim};
}

rill_quadratic_head rill_quadratic_head_of(const rill_softmax_shape *shape, const rill_softmax_input *input,
                                           const rill_key_strides *strides, size_t query_head) {
    size_t head = query_head / (shape->query_heads / shape->heads);
    return (rill_quadratic_head){
        .shape = shape,
        .keys_length = input->keys_length,
        .queries = input->queries + query_head * shape->key_dim,
        .keys = input->keys + head * strides->key_head,
        .values = input->values + head * strides->value_head,
        .query_stride = shape->query_heads * shape->key_dim,
        .key_stride = strides->key,
        .value_stride = strides->value,
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

/* Heads whose keys lie side by side go through a block of keys together, so that a page is used while it is
 * known; heads that lie apart one by one, but for those that share their keys. */
static size_t heads_together(const rill_softmax_shape *shape, const rill_key_strides *strides) {
    const size_t group = shape->query_heads / shape->heads;
    const size_t heads = strides->key_head < strides->key ? shape->query_heads : group;
    return heads < quadratic_heads ? heads : quadratic_heads;
}

void rill_quadratic_attend(const rill_softmax_shape *shape, const rill_softmax_input *input,
                           const rill_key_strides *strides, float *output) {
    const size_t most = heads_together(shape, strides);
    for (size_t first = 0; first < input->queries_length; first += quadratic_rows) {
        size_t left = input->queries_length - first, count = left < quadratic_rows ? left : quadratic_rows;
        for (size_t query_head = 0; query_head < shape->query_heads;) {
            rill_quadratic_head together[quadratic_heads];
            size_t heads = 0;
            for (; heads < most && query_head < shape->query_heads; heads++, query_head++) {
                together[heads] = rill_quadratic_head_of(shape, input, strides, query_head);
                together[heads].output = output + query_head * shape->value_dim;
            }
            rill_quadratic_take_rows(heads, together, first, count);
        }
    }
}

void rill_softmax_attention(const rill_softmax_shape *shape, const rill_softmax_input *input, float *output) {
    assert(rill_softmax_check(shape, NULL) == RILL_OK);
    assert(!input->bias || shape->similarity == RILL_SIMILARITY_SOFTMAX);
    const rill_key_strides strides = rill_key_strides_by_time(shape);
    rill_quadratic_attend(shape, input, &strides, output);
}
