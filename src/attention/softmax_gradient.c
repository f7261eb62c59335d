/* SPDX-License-Identifier: MIT */
/* Backward of softmax attention (<rill/gradient.h>): tiles of some queries by all the keys in their sight.
 *
 * With weights p, G = ∂L/∂o, and c = 1 − (capped score / softcap)², 1 without a softcap:
 *
 *     ∂L/∂v_j = Σ_i p_ij G_i
 *     a_ij = ∂L/∂(scale q_i·k_j) = c_ij p_ij (G_i·v_j − Σ_l p_il G_i·v_l)
 *     ∂L/∂q_i = scale Σ_j a_ij k_j,  ∂L/∂k_j = scale Σ_i a_ij q_i
 *
 * Five matrix products a tile: the scores, G·v, and these three. */
#include <rill/gradient.h>

#include <assert.h>
#include <math.h>
#include <string.h>

#include "attention/quadratic.h"
#include "kernels/kernels.h"

typedef struct head_tile {
    rill_quadratic_head head;
    size_t first, rows;   /* of queries */
    rill_key_range range; /* of keys in sight of any of them */
    /* of the head, copies with 0 for what is not finite; bad [keys]: whether a key or value was not */
    float *keys, *keys_across, *values_across; /* [keys][key_dim], [key_dim][keys], [value_dim][keys] */
    float *bad;
    /* of the tile: [rows][key_dim] scale q, [rows][value_dim] G, then [rows][keys in range] p, a and c; rows
     * that give nothing are 0 */
    float *queries, *asked, *weights, *slopes, *caps;
} head_tile;

size_t rill_softmax_gradient_size(const rill_softmax_shape *shape, size_t keys_length) {
    const size_t tile = quadratic_rows * (shape->key_dim + shape->value_dim + 3 * keys_length);
    return (keys_length * (2 * shape->key_dim + shape->value_dim + 1) + tile) * sizeof(float);
}

static head_tile lay_out(const rill_softmax_shape *shape, size_t keys, float *place) {
    head_tile tile = {.keys = place};
    tile.keys_across = tile.keys + keys * shape->key_dim;
    tile.values_across = tile.keys_across + keys * shape->key_dim;
    tile.bad = tile.values_across + keys * shape->value_dim;
    tile.queries = tile.bad + keys;
    tile.asked = tile.queries + quadratic_rows * shape->key_dim;
    tile.weights = tile.asked + quadratic_rows * shape->value_dim;
    tile.slopes = tile.weights + quadratic_rows * keys;
    tile.caps = tile.slopes + quadratic_rows * keys;
    return tile;
}

static void clear(size_t count, float *x) {
    if (count > 0) memset(x, 0, count * sizeof *x);
}

static bool all_finite(size_t count, const float *x) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static void copy_keys(const head_tile *tile) {
    const rill_quadratic_head *head = &tile->head;
    const size_t keys = head->keys_length, key_dim = head->shape->key_dim, value_dim = head->shape->value_dim;
    for (size_t j = 0; j < keys; j++) {
        const float *key = head->keys + j * head->key_stride, *value = head->values + j * head->value_stride;
        const bool good = all_finite(key_dim, key) && all_finite(value_dim, value);
        tile->bad[j] = good ? 0 : 1;
        for (size_t d = 0; d < key_dim; d++)
            tile->keys[j * key_dim + d] = tile->keys_across[d * keys + j] = good ? key[d] : 0;
        for (size_t m = 0; m < value_dim; m++) tile->values_across[m * keys + j] = good ? value[m] : 0;
    }
}

/* Whether query i sees a key of its sight: what is not finite spoils only the rows that do. */
static bool sees(const rill_quadratic_head *head, size_t i, size_t j) {
    return (!head->mask || head->mask[i * head->mask_stride + j]) &&
           (!head->bias || head->bias[i * head->bias_stride + j] != -INFINITY);
}

static bool row_is_good(const head_tile *tile, size_t i, rill_key_range sight) {
    if (!all_finite(tile->head.shape->key_dim, tile->head.queries + i * tile->head.query_stride))
        return false;
    for (size_t j = sight.begin; j < sight.end; j++)
        if (tile->bad[j] != 0 && sees(&tile->head, i, j)) return false;
    return true;
}

static void take_in_row(const head_tile *tile, size_t r, const float *output_gradient) {
    const rill_softmax_shape *shape = tile->head.shape;
    const size_t i = tile->first + r;
    const float *query = tile->head.queries + i * tile->head.query_stride;
    float *scaled = tile->queries + r * shape->key_dim, *asked = tile->asked + r * shape->value_dim;
    clear(shape->key_dim, scaled);
    clear(shape->value_dim, asked);
    if (!row_is_good(tile, i, rill_quadratic_keys_in_sight(&tile->head, i))) return;
    for (size_t d = 0; d < shape->key_dim; d++) scaled[d] = shape->scale * query[d];
    memcpy(asked, output_gradient + i * tile->head.output_stride, shape->value_dim * sizeof *asked);
}

/* c of the products */
static void cap_slopes(float softcap, size_t count, const float *products, float *caps) {
    for (size_t j = 0; j < count; j++) {
        const float t = tanhf(products[j] / softcap);
        caps[j] = 1 - t * t;
    }
}

/* Scores to weights, in place. False, and they are not to be used: none is above −∞, or one is NaN or +∞. */
static bool normalize(size_t count, float *scores) {
    float max = -INFINITY;
    double sum = 0;
    for (size_t j = 0; j < count; j++) max = scores[j] > max ? scores[j] : max;
    for (size_t j = 0; j < count; j++) scores[j] -= max == -INFINITY ? 0 : max;
    rill_kernels_get()->elu1(count, scores, scores); /* exp, of what is not above 0 */
    for (size_t j = 0; j < count; j++) sum += (double)scores[j];
    for (size_t j = 0; j < count; j++) scores[j] = (float)((double)scores[j] / sum);
    return sum > 0;
}

/* scale q·k to p, and G·v to a */
static void weigh_row(const head_tile *tile, size_t r) {
    const rill_softmax_shape *shape = tile->head.shape;
    const size_t width = tile->range.end - tile->range.begin, i = tile->first + r;
    const rill_key_range sight = rill_quadratic_keys_in_sight(&tile->head, i);
    float *weights = tile->weights + r * width, *slopes = tile->slopes + r * width,
          *caps = tile->caps + r * width;
    const size_t before = sight.begin - tile->range.begin, count = sight.end - sight.begin;
    if (shape->softcap > 0) cap_slopes(shape->softcap, width, weights, caps);
    rill_quadratic_bias_scores(&tile->head, i, sight, RILL_SCORES_BIASED, weights + before);
    if (!normalize(count, weights + before)) {
        clear(width, weights);
        clear(width, slopes);
        clear(shape->value_dim, tile->asked + r * shape->value_dim);
        return;
    }
    clear(before, weights);
    clear(width - before - count, weights + before + count);
    double mean = 0;
    for (size_t j = 0; j < width; j++) mean += (double)weights[j] * (double)slopes[j];
    for (size_t j = 0; j < width; j++) slopes[j] = weights[j] * (slopes[j] - (float)mean);
    if (shape->softcap > 0)
        for (size_t j = 0; j < width; j++) slopes[j] *= caps[j];
}

/* out [rows][columns] += a b, rows and columns of a by its strides */
static void add_product(size_t rows, size_t inner, size_t columns, const float *a, size_t row_stride,
                        size_t column_stride, const float *b, size_t b_stride, float *out,
                        size_t out_stride) {
    const rill_matrix_product product = {rows, inner,    columns, a,   row_stride, column_stride,
                                         b,    b_stride, NULL,    out, out_stride};
    rill_kernels_get()->product(&product);
}

/* queries_gradient: of the tile's first row; the others: of key 0. Those of keys and values are added to. */
static void take_tile(const head_tile *tile, float *queries_gradient, float *keys_gradient,
                      float *values_gradient) {
    const rill_quadratic_head *head = &tile->head;
    const size_t keys = head->keys_length, key_dim = head->shape->key_dim, value_dim = head->shape->value_dim;
    const size_t rows = tile->rows, begin = tile->range.begin, width = tile->range.end - begin;
    clear(rows * width, tile->weights);
    clear(rows * width, tile->slopes);
    add_product(rows, key_dim, width, tile->queries, key_dim, 1, tile->keys_across + begin, keys,
                tile->weights, width);
    add_product(rows, value_dim, width, tile->asked, value_dim, 1, tile->values_across + begin, keys,
                tile->slopes, width);
    for (size_t r = 0; r < rows; r++) weigh_row(tile, r);
    add_product(width, rows, value_dim, tile->weights, 1, width, tile->asked, value_dim,
                values_gradient + begin * head->value_stride, head->value_stride);
    add_product(width, rows, key_dim, tile->slopes, 1, width, tile->queries, key_dim,
                keys_gradient + begin * head->key_stride, head->key_stride);
    add_product(rows, width, key_dim, tile->slopes, width, 1, tile->keys + begin * key_dim, key_dim,
                queries_gradient, head->query_stride);
    for (size_t r = 0; r < rows; r++)
        for (size_t d = 0; d < key_dim; d++)
            queries_gradient[r * head->query_stride + d] *= head->shape->scale;
}

void rill_softmax_gradient(const rill_softmax_shape *shape, const rill_softmax_input *input,
                           const float *output_gradient, const rill_sequence_gradient *gradient,
                           void *workspace) {
    assert(rill_softmax_check(shape, NULL) == RILL_OK && shape->similarity == RILL_SIMILARITY_SOFTMAX);
    const size_t queries = input->queries_length, keys = input->keys_length;
    clear(queries * shape->query_heads * shape->key_dim, gradient->queries);
    clear(keys * shape->heads * shape->key_dim, gradient->keys);
    clear(keys * shape->heads * shape->value_dim, gradient->values);
    const rill_key_strides strides = rill_key_strides_by_time(shape);
    head_tile tile = lay_out(shape, keys, workspace);
    for (size_t query_head = 0; query_head < shape->query_heads; query_head++) {
        const size_t group = shape->query_heads / shape->heads, head = query_head / group;
        tile.head = rill_quadratic_head_of(shape, input, &strides, query_head);
        if (query_head % group == 0) copy_keys(&tile);
        for (tile.first = 0; tile.first < queries; tile.first += tile.rows) {
            tile.rows = queries - tile.first < quadratic_rows ? queries - tile.first : quadratic_rows;
            tile.range.begin = rill_quadratic_keys_in_sight(&tile.head, tile.first).begin;
            tile.range.end = rill_quadratic_keys_in_sight(&tile.head, tile.first + tile.rows - 1).end;
            if (tile.range.begin >= tile.range.end) continue;
            for (size_t r = 0; r < tile.rows; r++)
                take_in_row(&tile, r, output_gradient + query_head * shape->value_dim);
            take_tile(&tile,
                      gradient->queries + (tile.first * shape->query_heads + query_head) * shape->key_dim,
                      gradient->keys + head * shape->key_dim, gradient->values + head * shape->value_dim);
        }
    }
}
