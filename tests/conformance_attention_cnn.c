/* SPDX-License-Identifier: MIT */
/* The relation of self-attention and convolution (1911.03584), as its authors' code and PyTorch's convolution
 * have it: quadratic ("Gaussian") and learned relative positions, heads that are a convolution. */
#include "conformance.h"

#include <math.h>
#include <string.h>

#include <rill/relative_position.h>
#include <rill/softmax.h>

/* u · (75 products, 49 weights), of values of a few units; their own float is as far off */
static const double tolerance = 4e-6;

/* Images [count][height][width][channels]. */
typedef struct images {
    size_t count, pixels, channels, heads;
    rill_grid grid;
    float *x;
} images;

/* From [count][height][width][channels], or PyTorch's [count][channels][height][width]. */
static bool read_images(conformance_case *c, bool channels_first, images *i) {
    const conformance_tensor *x;
    if (!conformance_need(c, "in.x", &x)) return false;
    *i = (images){.count = x->shape[0], .channels = x->shape[channels_first ? 1 : 3]};
    i->grid = (rill_grid){x->shape[channels_first ? 2 : 1], x->shape[channels_first ? 3 : 2]};
    i->pixels = i->grid.height * i->grid.width;
    i->x = x->values;
    if (!channels_first) return true;
    i->x = conformance_floats(c, x->count);
    for (size_t n = 0; n < x->count; n++) {
        size_t image = n / (i->channels * i->pixels), channel = n / i->pixels % i->channels;
        i->x[(image * i->pixels + n % i->pixels) * i->channels + channel] = x->values[n];
    }
    return true;
}

/* Bias of all queries by a table. */
static float *bias_of(conformance_case *c, const images *i, const float *table) {
    float *bias = conformance_floats(c, i->heads * i->pixels * i->pixels);
    rill_relative_bias(&i->grid, i->heads, table, 0, i->pixels, bias);
    return bias;
}

/* What the heads see of the raw pixels, [count][pixels][heads][channels]; weights of the last image as the
 * authors lay them out, [pixels][heads][pixels], or NULL. queries, keys [count][pixels][heads][channels], or
 * NULL: by position alone. */
static float *look(conformance_case *c, const images *i, const float *bias, const float *queries,
                   const float *keys, float *weights) {
    size_t rows = i->pixels * i->heads, key_heads = queries ? i->heads : 1, dim = queries ? i->channels : 1;
    float *seen = conformance_floats(c, i->count * rows * i->channels);
    float *values = conformance_floats(c, rows * i->channels);
    float *scores = conformance_floats(c, rows * i->pixels), *nothing = conformance_floats(c, rows);
    const rill_softmax_shape shape = {.heads = key_heads,
                                      .query_heads = i->heads,
                                      .key_dim = dim,
                                      .value_dim = i->channels,
                                      .scale = 1 / sqrtf((float)i->channels)};
    for (size_t n = 0; n < i->count; n++) {
        const float *x = i->x + n * i->pixels * i->channels;
        for (size_t row = 0; row < i->pixels * key_heads; row++) /* every head looks at the same pixels */
            memcpy(values + row * i->channels, x + row / key_heads * i->channels,
                   i->channels * sizeof *values);
        rill_softmax_input input = {.queries_length = i->pixels,
                                    .keys_length = i->pixels,
                                    .queries = queries ? queries + n * rows * dim : nothing,
                                    .keys = keys ? keys + n * rows * dim : nothing,
                                    .values = values,
                                    .bias = bias,
                                    .bias_head_stride = i->pixels * i->pixels,
                                    .bias_query_stride = i->pixels,
                                    .scores = scores,
                                    .scores_kind = RILL_SCORES_NORMALIZED};
        rill_softmax_attention(&shape, &input, seen + n * rows * i->channels);
    }
    for (size_t s = 0; s < rows * i->pixels && weights; s++) {
        size_t head = s / i->pixels / i->pixels, query = s / i->pixels % i->pixels;
        weights[(query * i->heads + head) * i->pixels + s % i->pixels] = scores[s];
    }
    return seen;
}

/* y [rows][outputs] = x [rows][inputs] weightᵀ + bias, by the tensors' names */
static float *dense(conformance_case *c, size_t rows, const float *x, const char *weight_name,
                    const char *bias_name) {
    const conformance_tensor *weight, *bias;
    if (!conformance_need(c, weight_name, &weight) || !conformance_need(c, bias_name, &bias)) return NULL;
    size_t inputs = weight->shape[1], outputs = weight->shape[0];
    float *y = conformance_floats(c, rows * outputs);
    for (size_t i = 0; i < rows * outputs; i++) {
        double sum = (double)bias->values[i % outputs];
        for (size_t d = 0; d < inputs; d++)
            sum += (double)weight->values[i % outputs * inputs + d] * (double)x[i / outputs * inputs + d];
        y[i] = (float)sum;
    }
    return y;
}

/* P = M Mᵀ, or MᵀM with the axes exchanged, as the blur has it; a spread alone: spread² I */
static float *quadratic_table(conformance_case *c, const images *i, bool exchanged) {
    const conformance_tensor *centres, *spreads;
    float *table = conformance_floats(c, i->heads * rill_relative_shifts(&i->grid));
    if (!conformance_need(c, "weight.attention_centers", &centres) ||
        !conformance_need(c, "weight.attention_spreads", &spreads))
        return table;
    float *mu = conformance_floats(c, 2 * i->heads), *P = conformance_floats(c, 4 * i->heads);
    for (size_t h = 0; h < i->heads; h++) {
        for (size_t a = 0; a < 4; a++) {
            size_t row = a / 2, column = a % 2;
            const float *m = spreads->values + (spreads->rank > 1 ? 4 * h : h);
            if (spreads->rank == 1)
                P[4 * h + a] = row == column ? *m * *m : 0;
            else if (exchanged)
                P[4 * h + a] = m[1 - row] * m[1 - column] + m[3 - row] * m[3 - column];
            else
                P[4 * h + a] = m[2 * row] * m[2 * column] + m[2 * row + 1] * m[2 * column + 1];
        }
        for (size_t a = 0; a < 2; a++) mu[2 * h + a] = centres->values[2 * h + (exchanged ? 1 - a : a)];
    }
    rill_relative_quadratic(&i->grid, i->heads, mu, P, table);
    return table;
}

static void run_gaussian(conformance_case *c) {
    images i;
    if (!read_images(c, false, &i)) return;
    i.heads = (size_t)conformance_number(c, "heads", 0);
    bool blur = conformance_file_starts(c, "gaussian_blur");
    float *table = quadratic_table(c, &i, blur);
    for (size_t s = 0; s < rill_relative_shifts(&i.grid) && blur; s++) { /* a kernel of 7 x 7 */
        size_t wide = 2 * i.grid.width - 1, y = s / wide, x = s % wide;
        if (y + 3 < i.grid.height - 1 || y > i.grid.height + 2 || x + 3 < i.grid.width - 1 ||
            x > i.grid.width + 2)
            table[s] = -INFINITY;
    }
    float *weights = conformance_floats(c, i.pixels * i.heads * i.pixels);
    float *seen = look(c, &i, bias_of(c, &i, table), NULL, NULL, weights);
    float *y = dense(c, i.count * i.pixels, seen, "weight.value.weight", "weight.value.bias");
    if (y) conformance_expect(c, "out.y", y, tolerance);
    if (conformance_find(c, "out.attention")) conformance_expect(c, "out.attention", weights, tolerance);
}

/* A position's vector times each head's: [2 positions − 1][heads] */
static float *position_scores(conformance_case *c, const char *vectors_name, const char *heads_name) {
    const conformance_tensor *vectors, *heads;
    if (!conformance_need(c, vectors_name, &vectors) || !conformance_need(c, heads_name, &heads)) return NULL;
    size_t dim = vectors->shape[1];
    float *scores = conformance_floats(c, vectors->shape[0] * heads->shape[0]);
    for (size_t s = 0; s < vectors->shape[0] * heads->shape[0]; s++)
        for (size_t d = 0; d < dim; d++)
            scores[s] +=
                vectors->values[s / heads->shape[0] * dim + d] * heads->values[s % heads->shape[0] * dim + d];
    return scores;
}

/* Their "row" is the second axis: what is learned about columns of pixels. */
static void run_learned(conformance_case *c) {
    images i;
    if (!read_images(c, false, &i)) return;
    i.heads = (size_t)conformance_number(c, "heads", 0);
    size_t positions = (size_t)conformance_number(c, "max_position_embeddings", 0);
    float *down = position_scores(c, "weight.col_embeddings.weight", "weight.head_keys_col.weight");
    float *right = position_scores(c, "weight.row_embeddings.weight", "weight.head_keys_row.weight");
    if (!down || !right) return;
    float *table = conformance_floats(c, i.heads * rill_relative_shifts(&i.grid)), *q = NULL, *k = NULL;
    rill_relative_learned(&i.grid, i.heads, positions, down, right, table);
    if (conformance_find(c, "weight.query.weight")) {
        q = dense(c, i.count * i.pixels, i.x, "weight.query.weight", "weight.query.bias");
        k = dense(c, i.count * i.pixels, i.x, "weight.key.weight", "weight.key.bias");
    }
    float *weights = conformance_floats(c, i.pixels * i.heads * i.pixels);
    float *seen = look(c, &i, bias_of(c, &i, table), q, k, weights);
    float *y = dense(c, i.count * i.pixels, seen, "weight.value.weight", "weight.value.bias");
    if (y) conformance_expect(c, "out.y", y, tolerance);
    if (conformance_find(c, "out.attention")) conformance_expect(c, "out.attention", weights, tolerance);
}

/* Through the projection [outputs][heads · channels], to [count][outputs][pixels]. */
static float *project(conformance_case *c, const images *i, const float *seen, size_t outputs,
                      const float *projection, const float *bias) {
    size_t width = i->heads * i->channels;
    float *y = conformance_floats(c, i->count * outputs * i->pixels);
    for (size_t n = 0; n < i->count * outputs * i->pixels; n++) {
        size_t output = n / i->pixels % outputs, pixel = n / i->pixels / outputs * i->pixels + n % i->pixels;
        double sum = (double)bias[output];
        for (size_t d = 0; d < width; d++)
            sum += (double)projection[output * width + d] * (double)seen[pixel * width + d];
        y[n] = (float)sum;
    }
    return y;
}

static void run_convolution(conformance_case *c) {
    images i;
    const conformance_tensor *weight, *bias;
    if (!read_images(c, true, &i) || !conformance_need(c, "weight.conv.weight", &weight) ||
        !conformance_need(c, "weight.conv.bias", &bias))
        return;
    size_t kernel = weight->shape[2], outputs = weight->shape[0];
    i.heads = kernel * kernel;
    ptrdiff_t(*shifts)[2] = conformance_memory(c, i.heads * sizeof *shifts);
    float *projection = conformance_floats(c, weight->count), *centres = conformance_floats(c, 2 * i.heads);
    float *P = conformance_floats(c, 4 * i.heads);
    float *table = conformance_floats(c, i.heads * rill_relative_shifts(&i.grid));
    float *weights = conformance_floats(c, i.pixels * i.heads * i.pixels);
    rill_convolution_heads(kernel, i.channels, outputs, weight->values, shifts, projection);
    conformance_expect(c, "weight.value_out", projection, 0);

    rill_relative_pixel(&i.grid, i.heads, (const ptrdiff_t(*)[2])shifts, table);
    float *seen = look(c, &i, bias_of(c, &i, table), NULL, NULL, weights);
    conformance_expect(c, "out.conv_zero_pad", project(c, &i, seen, outputs, projection, bias->values),
                       tolerance);
    if (conformance_find(c, "out.onehot_attention_zero_pad"))
        conformance_expect(c, "out.onehot_attention_zero_pad", weights, 0);

    for (size_t a = 0; a < 2 * i.heads; a++) {
        centres[a] = (float)shifts[a / 2][a % 2];
        P[a / 2 * 4 + a % 2 * 3] = 400; /* a spread of 20: α = 200 */
    }
    conformance_expect(c, "weight.head_shift", centres, 0);
    rill_relative_quadratic(&i.grid, i.heads, centres, P, table);
    seen = look(c, &i, bias_of(c, &i, table), NULL, NULL, NULL);
    float *y = project(c, &i, seen, outputs, projection, bias->values);
    conformance_expect(c, "out.gaussian_attention_alpha200", y, tolerance);
    conformance_expect(c, "out.conv_replicate_pad", y, tolerance);
}

static void run(conformance_case *c) {
    if (conformance_file_starts(c, "gaussian")) run_gaussian(c);
    if (conformance_file_starts(c, "learned2d")) run_learned(c);
    if (conformance_file_starts(c, "conv")) run_convolution(c);
}

static bool knows(const conformance_case *c) {
    return strcmp(conformance_folder(c), "attention_cnn") == 0;
}

const conformance_family conformance_attention_cnn = {"attention as convolution", knows, run};
