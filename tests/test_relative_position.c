/* SPDX-License-Identifier: MIT */
/* Attention by position is what the paper says: any convolution, exactly or in the limit. */
#include <rill/relative_position.h>

#include "kernels/kernels.h"
#include "random_attention.h"

typedef struct picture {
    rill_grid grid;
    size_t pixels, kernel, heads, inputs, outputs;
    guarded_floats x, weight, bias; /* [pixels][inputs], [outputs][inputs][kernel][kernel], [outputs] */
    ptrdiff_t (*shifts)[2];
    float *projection;
} picture;

/* Any sizes, kernels even and odd, smaller and larger than the image. */
static picture picture_make(void) {
    picture p = {.grid = {1 + random_below(9), 1 + random_below(9)},
                 .kernel = 1 + random_below(5),
                 .inputs = 1 + random_below(5),
                 .outputs = 1 + random_below(5)};
    p.pixels = p.grid.height * p.grid.width;
    p.heads = p.kernel * p.kernel;
    p.x = guarded_input(p.pixels * p.inputs, -2, 2);
    p.weight = guarded_input(p.outputs * p.inputs * p.heads, -1, 1);
    p.bias = guarded_input(p.outputs, -1, 1);
    p.shifts = malloc(p.heads * sizeof *p.shifts);
    p.projection = malloc(p.outputs * p.heads * p.inputs * sizeof *p.projection);
    rill_convolution_heads(p.kernel, p.inputs, p.outputs, p.weight.data, p.shifts, p.projection);
    return p;
}

static void picture_free(picture *p) {
    guarded_free(&p->x);
    guarded_free(&p->weight);
    guarded_free(&p->bias);
    free(p->shifts);
    free(p->projection);
}

/* What the heads see by a table, [pixels][heads][inputs]: raw pixels, some queries at a time. */
static float *look(const picture *p, const float *table) {
    const rill_softmax_shape shape = {
        .heads = 1, .query_heads = p->heads, .key_dim = 1, .value_dim = p->inputs, .scale = 1};
    float *seen = malloc(p->pixels * p->heads * p->inputs * sizeof *seen);
    float *nothing = calloc(p->pixels * p->heads, sizeof *nothing);
    for (size_t first = 0, count; first < p->pixels; first += count) {
        count = 1 + random_below(p->pixels - first);
        guarded_floats bias = guarded_output(p->heads * count * p->pixels);
        rill_relative_bias(&p->grid, p->heads, table, first, count, bias.data);
        rill_softmax_input input = {.queries_length = count,
                                    .keys_length = p->pixels,
                                    .queries = nothing,
                                    .keys = nothing,
                                    .values = p->x.data,
                                    .bias = bias.data,
                                    .bias_head_stride = count * p->pixels,
                                    .bias_query_stride = p->pixels};
        rill_softmax_attention(&shape, &input, seen + first * p->heads * p->inputs);
        guarded_free(&bias);
    }
    free(nothing);
    return seen;
}

/* The convolution by its definition: zeros around the image, or its border repeated. *size: Σ |w x|, and of
 * that, with every pixel as large as the largest. */
static double convolve(const picture *p, size_t pixel, size_t output, bool repeat, double *size) {
    ptrdiff_t height = (ptrdiff_t)p->grid.height, width = (ptrdiff_t)p->grid.width;
    double sum = (double)p->bias.data[output];
    *size = fabs(sum);
    for (size_t i = 0; i < p->inputs * p->heads; i++) {
        size_t channel = i / p->heads, tap = i % p->heads;
        ptrdiff_t y = (ptrdiff_t)pixel / width + (ptrdiff_t)(tap / p->kernel) - (ptrdiff_t)p->kernel / 2;
        ptrdiff_t x = (ptrdiff_t)pixel % width + (ptrdiff_t)(tap % p->kernel) - (ptrdiff_t)p->kernel / 2;
        double w = (double)p->weight.data[output * p->inputs * p->heads + i];
        *size += 2 * fabs(w);
        if (!repeat && (y < 0 || x < 0 || y >= height || x >= width)) continue;
        y = y < 0 ? 0 : y < height ? y : height - 1;
        x = x < 0 ? 0 : x < width ? x : width - 1;
        sum += w * (double)p->x.data[(size_t)(y * width + x) * p->inputs + channel];
    }
    return sum;
}

/* The heads side by side through the dense layer, against the convolution. off: how far a head may be from
 * its pixel, relative to the largest pixel. */
static void expect_convolution(const picture *p, const float *seen, bool repeat, double off) {
    const size_t width = p->heads * p->inputs;
    float *y = malloc(p->pixels * p->outputs * sizeof *y);
    rill_kernels_get()->dense(p->pixels, width, p->outputs, seen, p->projection, p->bias.data, y);
    for (size_t i = 0; i < p->pixels * p->outputs; i++) {
        double size, want = convolve(p, i / p->outputs, i % p->outputs, repeat, &size);
        double tolerance = size * ((double)(width + 2) * (double)FLT_EPSILON / 2 + off);
        cr_assert(fabs((double)y[i] - want) <= tolerance,
                  "%zu x %zu pixels, kernel %zu, %zu to %zu channels: %.9g, not %.9g ± %.2g", p->grid.height,
                  p->grid.width, p->kernel, p->inputs, p->outputs, (double)y[i], want, tolerance);
    }
    free(y);
}

Test(relative_position, any_convolution_is_attention) {
    random_seed(1911);
    for (int round = 0; round < 200; round++) {
        picture p = picture_make();
        guarded_floats table = guarded_output(p.heads * rill_relative_shifts(&p.grid));
        rill_relative_pixel(&p.grid, p.heads, (const ptrdiff_t(*)[2])p.shifts, table.data);
        float *seen = look(&p, table.data);
        for (size_t i = 0; i < p.pixels * p.heads * p.inputs; i++) { /* one pixel, bit for bit, or nothing */
            size_t pixel = i / p.inputs / p.heads, head = i / p.inputs % p.heads, width = p.grid.width;
            size_t y = pixel / width + (size_t)p.shifts[head][0],
                   x = pixel % width + (size_t)p.shifts[head][1];
            bool inside = y < p.grid.height && x < width;
            float want = inside ? p.x.data[(y * width + x) * p.inputs + i % p.inputs] : 0;
            cr_assert_eq(seen[i], want);
        }
        expect_convolution(&p, seen, false, 0);
        free(seen);
        guarded_free(&table);
        picture_free(&p);
    }
}

/* exp(−α |δ − μ|²): all but the nearest pixel of the image together weigh less than ((1 + e) / (1 − e))² − 1
 * of it, e = exp(−α), wherever μ lies: the square of the distance grows by at least the square of the way
 * from the nearest. Twice the largest pixel times that is how far a head can be off. */
Test(relative_position, the_quadratic_encoding_converges_to_the_convolution) {
    const double alphas[] = {0.5, 1, 2, 4, 8, 16, 32, 100};
    random_seed(2);
    for (int round = 0; round < 60; round++) {
        picture p = picture_make();
        guarded_floats table = guarded_output(p.heads * rill_relative_shifts(&p.grid));
        float *centres = malloc(2 * p.heads * sizeof *centres),
              *precisions = calloc(4 * p.heads, sizeof(float));
        for (size_t i = 0; i < 2 * p.heads; i++) centres[i] = (float)p.shifts[i / 2][i % 2];
        for (size_t a = 0; a < sizeof alphas / sizeof *alphas; a++) {
            for (size_t i = 0; i < 2 * p.heads; i++)
                precisions[i / 2 * 4 + i % 2 * 3] = (float)(2 * alphas[a]);
            rill_relative_quadratic(&p.grid, p.heads, centres, precisions, table.data);
            float *seen = look(&p, table.data);
            double e = exp(-alphas[a]), others = (1 + e) * (1 + e) / ((1 - e) * (1 - e)) - 1;
            /* float: a weight's score is off by u of at most α · 200; sums of at most 81 pixels */
            double rounding = (2 * alphas[a] * 200 + 100) * (double)FLT_EPSILON * fmin(others, 1);
            expect_convolution(&p, seen, true, 2 * others + rounding + 4 * (double)FLT_EPSILON);
            free(seen);
        }
        free(centres);
        free(precisions);
        guarded_free(&table);
        picture_free(&p);
    }
}

Test(relative_position, tables_and_biases_are_their_formulas) {
    random_seed(3);
    for (int round = 0; round < 100; round++) {
        rill_grid grid = {1 + random_below(7), 1 + random_below(7)};
        size_t heads = 1 + random_below(3), pixels = grid.height * grid.width,
               positions = 7 + random_below(3);
        guarded_floats centres = guarded_input(2 * heads, -2, 2),
                       precisions = guarded_input(4 * heads, -1, 1);
        guarded_floats down = guarded_input((2 * positions - 1) * heads, -1, 1),
                       right = guarded_input((2 * positions - 1) * heads, -1, 1);
        guarded_floats quadratic = guarded_output(heads * rill_relative_shifts(&grid)),
                       learned = guarded_output(heads * rill_relative_shifts(&grid));
        guarded_floats bias[2] = {guarded_output(heads * pixels * pixels),
                                  guarded_output(heads * pixels * pixels)};
        rill_relative_quadratic(&grid, heads, centres.data, precisions.data, quadratic.data);
        rill_relative_learned(&grid, heads, positions, down.data, right.data, learned.data);
        rill_relative_bias(&grid, heads, quadratic.data, 0, pixels, bias[0].data);
        rill_relative_bias(&grid, heads, learned.data, 0, pixels, bias[1].data);
        for (size_t i = 0; i < heads * pixels * pixels; i++) {
            size_t h = i / pixels / pixels, q = i / pixels % pixels, k = i % pixels;
            double dy = (double)(k / grid.width) - (double)(q / grid.width),
                   dx = (double)(k % grid.width) - (double)(q % grid.width);
            double y = dy - (double)centres.data[2 * h], x = dx - (double)centres.data[2 * h + 1], want = 0;
            const double v[2] = {y, x};
            for (size_t a = 0; a < 4; a++)
                want -= 0.5 * v[a / 2] * (double)precisions.data[4 * h + a] * v[a % 2];
            cr_assert(fabs((double)bias[0].data[i] - want) <= (double)FLT_EPSILON * (y * y + x * x));
            float both = down.data[(positions - 1 + k / grid.width - q / grid.width) * heads + h] +
                         right.data[(positions - 1 + k % grid.width - q % grid.width) * heads + h];
            cr_assert_eq(bias[1].data[i], both);
        }
        guarded_free(&centres), guarded_free(&precisions), guarded_free(&down), guarded_free(&right);
        guarded_free(&quadratic), guarded_free(&learned), guarded_free(&bias[0]), guarded_free(&bias[1]);
    }
}

Test(relative_position, refuses_images_without_size) {
    rill_error why;
    cr_assert_eq(rill_grid_check(&(rill_grid){32, 32}, 9, &why), RILL_OK);
    cr_assert_eq(rill_grid_check(&(rill_grid){0, 32}, 9, &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_grid_check(&(rill_grid){32, 0}, 9, &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_grid_check(&(rill_grid){32, 32}, 0, &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_grid_check(&(rill_grid){SIZE_MAX, 2}, 1, &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_grid_check(&(rill_grid){1u << 16, 1u << 15}, 1, &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_grid_check(&(rill_grid){32, 32}, SIZE_MAX / 1024, &why), RILL_BAD_ARGUMENT);
}
