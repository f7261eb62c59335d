/* SPDX-License-Identifier: MIT */
/* Dense layers, with weights of any type, layer norm, the depthwise convolution and the product of matrices.
 */
#include "kernel_tables.h"

static void dense_agrees(const rill_kernels *reference, const rill_kernels *kernels) {
    for (int round = 0; round < 60; round++) {
        size_t count = random_below(12), inputs = odd_dim(), outputs = odd_dim();
        guarded_floats x = guarded_input(count * inputs, -2, 2), w = guarded_input(outputs * inputs, -1, 1);
        guarded_floats b = guarded_input(outputs, -1, 1);
        guarded_floats y = guarded_output(count * outputs), want = guarded_output(count * outputs);
        kernels->dense(count, inputs, outputs, x.data, w.data, b.data, y.data);
        reference->dense(count, inputs, outputs, x.data, w.data, b.data, want.data);
        for (size_t i = 0; i < count * outputs; i++) {
            const float *row = w.data + i % outputs * inputs, *frame = x.data + i / outputs * inputs;
            double magnitude = fabs((double)b.data[i % outputs]);
            for (size_t j = 0; j < inputs; j++) magnitude += fabs((double)row[j] * (double)frame[j]);
            near(kernels, "dense", i, y.data[i], want.data[i], 2 * (double)(inputs + 2) * U * magnitude);
        }
        guarded_free(&y);
        guarded_free(&want);
        guarded_free(&x);
        guarded_free(&w);
        guarded_free(&b);
    }
}

Test(kernels_layers, dense_agrees_with_the_reference) {
    every_table(dense_agrees, "dense");
}

/* The order that kernels.h names, from weights one behind the other. */
static uint32_t *packed_words(const rill_packed_dense *layer, const unsigned char *weights) {
    const size_t in_word = rill_packed_in_word(layer->type), bytes = 4 / in_word;
    const size_t blocks = (layer->outputs + 31) / 32, words = (layer->inputs + in_word - 1) / in_word;
    unsigned char *packed = calloc(blocks * words * 32 + 1, 4);
    for (size_t o = 0; o < layer->outputs; o++)
        for (size_t i = 0; i < layer->inputs; i++)
            memcpy(packed + (((o / 32 * words + i / in_word) * 32 + o % 32) * in_word + i % in_word) * bytes,
                   weights + (o * layer->inputs + i) * bytes, bytes);
    return (uint32_t *)(void *)packed;
}

/* The number that weight `at` stands for, and its bytes: random, finite. */
static double random_weight(rill_weight_type type, float scale, unsigned char *bytes) {
    if (type == RILL_WEIGHTS_I8) {
        *(signed char *)bytes = (signed char)((int)random_below(256) - 128);
        return (double)scale * *(signed char *)bytes;
    }
    float value = (float)(2 * random_uniform() - 1);
    if (type == RILL_WEIGHTS_BF16) memset(&value, 0, 2); /* little-endian: the lower half */
    memcpy(bytes, (unsigned char *)&value + (type == RILL_WEIGHTS_BF16 ? 2 : 0),
           rill_packed_in_word(type) == 2 ? 2 : 4);
    return (double)value;
}

/* Both against the sum in double of what the weights stand for. */
static void packed_dense_agrees(const rill_kernels *reference, const rill_kernels *kernels) {
    for (int round = 0; round < 150; round++) {
        /* now and then more inputs than are taken at a time */
        rill_packed_dense layer = {.inputs = round % 8 ? odd_dim() : 256 + random_below(300),
                                   .outputs = odd_dim(),
                                   .type = (rill_weight_type)(round % 3)};
        const size_t count = random_below(20), bytes = 4 / rill_packed_in_word(layer.type);
        guarded_floats x = guarded_input(count * layer.inputs, -2, 2),
                       b = guarded_input(layer.outputs, -1, 1);
        guarded_floats scales = guarded_input(layer.outputs, 1e-3, 1e-2);
        guarded_floats y = guarded_output(count * layer.outputs),
                       want = guarded_output(count * layer.outputs);
        unsigned char *weights = malloc(layer.inputs * layer.outputs * bytes + 4);
        double *exact = malloc(layer.inputs * layer.outputs * sizeof *exact);
        for (size_t i = 0; i < layer.inputs * layer.outputs; i++)
            exact[i] = random_weight(layer.type, scales.data[i / layer.inputs], weights + i * bytes);
        uint32_t *words = packed_words(&layer, weights);
        layer.words = words;
        layer.bias = b.data;
        if (layer.type == RILL_WEIGHTS_I8) layer.scales = scales.data;
        kernels->packed_dense(count, &layer, x.data, y.data);
        reference->packed_dense(count, &layer, x.data, want.data);
        for (size_t i = 0; i < count * layer.outputs; i++) {
            const size_t o = i % layer.outputs;
            double sum = (double)b.data[o], magnitude = fabs(sum);
            for (size_t j = 0; j < layer.inputs; j++) {
                const double term =
                    exact[o * layer.inputs + j] * (double)x.data[i / layer.outputs * layer.inputs + j];
                sum += term;
                magnitude += fabs(term);
            }
            near(reference, "packed_dense", i, want.data[i], sum, 2 * U * magnitude);
            near(kernels, "packed_dense", i, y.data[i], sum, (double)(layer.inputs + 3) * U * magnitude);
        }
        guarded_free(&y);
        guarded_free(&want);
        guarded_free(&x);
        guarded_free(&b);
        guarded_free(&scales);
        free(weights), free(exact), free(words);
    }
}

Test(kernels_layers, packed_dense_agrees_with_the_definition_whatever_the_weights) {
    every_table(packed_dense_agrees, "packed_dense");
}

/* Rows of any size, one of zeros and one that is not finite, side by side. */
static void packed_rows_stand_alone(const rill_kernels *reference, const rill_kernels *kernels) {
    enum { COUNT = 18, INPUTS = 700, OUTPUTS = 40 };
    rill_packed_dense layer = {.inputs = INPUTS, .outputs = OUTPUTS, .type = RILL_WEIGHTS_I8};
    guarded_floats x = guarded_input(COUNT * INPUTS, -2, 2), b = guarded_input(OUTPUTS, 0, 0);
    guarded_floats scales = guarded_input(OUTPUTS, 1e-3, 1e-2);
    guarded_floats y = guarded_output(COUNT * OUTPUTS), want = guarded_output(COUNT * OUTPUTS);
    unsigned char *weights = malloc(INPUTS * OUTPUTS);
    for (size_t i = 0; i < INPUTS * OUTPUTS; i++) random_weight(RILL_WEIGHTS_I8, 1, weights + i);
    uint32_t *words = packed_words(&layer, weights);
    layer.words = words, layer.bias = b.data, layer.scales = scales.data;
    const size_t zeros = 3, bad = 5, bad_place = random_below(INPUTS);
    for (size_t i = 0; i < x.count; i++) x.data[i] *= ldexpf(1, (int)(i / INPUTS) * 11 - 90); /* … 2⁹⁷ */
    memset(x.data + zeros * INPUTS, 0, INPUTS * sizeof *x.data);
    const float not_finite[] = {NAN, INFINITY, -INFINITY};
    x.data[bad * INPUTS + bad_place] = not_finite[random_below(3)];
    kernels->packed_dense(COUNT, &layer, x.data, y.data);
    reference->packed_dense(COUNT, &layer, x.data, want.data);
    for (size_t i = 0; i < COUNT * OUTPUTS; i++) {
        const size_t o = i % OUTPUTS, n = i / OUTPUTS;
        if (n == bad) {
            const bool heard = weights[o * INPUTS + bad_place] != 0;
            cr_assert(!isfinite(y.data[i]) || !heard, "%s [%zu]: %g", kernels->name, i, (double)y.data[i]);
            continue;
        }
        double magnitude = 0;
        for (size_t j = 0; j < INPUTS; j++)
            magnitude += fabs((double)scales.data[o] * (signed char)weights[o * INPUTS + j] *
                              (double)x.data[n * INPUTS + j]);
        near(kernels, "packed_dense", i, y.data[i], want.data[i], (INPUTS + 5) * U * magnitude);
    }
    guarded_free(&y);
    guarded_free(&want);
    guarded_free(&x);
    guarded_free(&b);
    guarded_free(&scales);
    free(weights), free(words);
}

Test(kernels_layers, packed_rows_are_of_any_size_and_do_not_spoil_each_other) {
    every_table(packed_rows_stand_alone, "packed_dense");
}

/* Where x is told by digits: all as low as they can be, times weights of −128, in as many inputs as are
 * summed at once and more. */
static void largest_digits_stay_exact(const rill_kernels *reference, const rill_kernels *kernels) {
    enum { INPUTS = 520, OUTPUTS = 3 };
    const float scales[OUTPUTS] = {1, 1, 1}, bias[OUTPUTS] = {0};
    /* in units, 2²⁹ and 2¹⁵ more, whose lower half is −2¹⁵; 2³⁰ − 2⁶; and 2²⁹ + 2²¹ + 2¹³ + 2⁷ */
    const float values[] = {0x1.0004p0f, -0x1.0004p0f, 0x1.fffffep0f, -0x1.fffffep0f, 0x1.010104p0f};
    unsigned char *weights = malloc(INPUTS * OUTPUTS);
    memset(weights, 0x80, INPUTS * OUTPUTS);
    rill_packed_dense layer = {.inputs = INPUTS, .outputs = OUTPUTS, .type = RILL_WEIGHTS_I8};
    uint32_t *words = packed_words(&layer, weights);
    layer.words = words, layer.bias = bias, layer.scales = scales;
    (void)reference;
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        guarded_floats row = guarded_input(INPUTS, 0, 0), y = guarded_output(OUTPUTS);
        for (size_t i = 0; i < INPUTS; i++) row.data[i] = values[v];
        kernels->packed_dense(1, &layer, row.data, y.data);
        const double sum = -128.0 * INPUTS * (double)values[v];
        for (size_t o = 0; o < OUTPUTS; o++)
            near(kernels, "packed_dense", o, y.data[o], sum, (INPUTS + 3) * U * fabs(sum));
        guarded_free(&row);
        guarded_free(&y);
    }
    free(weights), free(words);
}

Test(kernels_layers, packed_sums_of_the_largest_digits_do_not_overflow) {
    every_table(largest_digits_stay_exact, "packed_dense");
}

/* The mean is off by δ ≤ (n + 1) u mean|x|, each centred value by δ and a rounding, the deviation relatively
 * by (n + 4) u and, in second order, δ². */
static void layer_norm_agrees(const rill_kernels *reference, const rill_kernels *kernels) {
    for (int round = 0; round < 60; round++) {
        size_t count = random_below(4), dim = odd_dim();
        double offset = random_uniform() * 4;
        guarded_floats x = guarded_input(count * dim, offset - 1, offset + 1), w = guarded_input(dim, -2, 2);
        guarded_floats b = guarded_input(dim, -1, 1);
        guarded_floats y = guarded_copy(&x), want = guarded_output(count * dim);
        reference->layer_norm(count, dim, x.data, w.data, b.data, 1e-5f, want.data);
        kernels->layer_norm(count, dim, y.data, w.data, b.data, 1e-5f, y.data); /* in place */
        for (size_t n = 0; n < count; n++) {
            double mean = 0, size = 0, variance = 0;
            for (size_t i = 0; i < dim; i++) {
                mean += (double)x.data[n * dim + i] / (double)dim;
                size += fabs((double)x.data[n * dim + i]) / (double)dim;
            }
            for (size_t i = 0; i < dim; i++)
                variance += pow((double)x.data[n * dim + i] - mean, 2) / (double)dim;
            double factor = 1 / sqrt(variance + 1e-5);
            for (size_t i = 0; i < dim; i++) {
                double centred = fabs((double)x.data[n * dim + i] - mean);
                double error =
                    (double)(dim + 8) * U *
                    (fabs((double)w.data[i]) * factor * (size + centred) + fabs((double)b.data[i]));
                near(kernels, "layer_norm", i, y.data[n * dim + i], want.data[n * dim + i], 2 * error);
            }
        }
        guarded_free(&y);
        guarded_free(&want);
        guarded_free(&x);
        guarded_free(&w);
        guarded_free(&b);
    }
}

Test(kernels_layers, layer_norm_agrees_with_the_reference) {
    every_table(layer_norm_agrees, "layer_norm");
}

static void depthwise_agrees(const rill_kernels *reference, const rill_kernels *kernels) {
    for (int round = 0; round < 100; round++) {
        size_t count = random_below(11), channels = odd_dim(), taps = 1 + random_below(20);
        bool biased = random_below(4), tap_major = random_below(2);
        guarded_floats x = guarded_input((count + taps - 1) * channels, -2, 2);
        guarded_floats w = guarded_input(channels * taps, -1, 1), b = guarded_input(channels, -1, 1);
        guarded_floats y = guarded_output(count * channels), want = guarded_output(count * channels);
        kernels->depthwise(count, channels, taps, x.data, w.data, tap_major, biased ? b.data : NULL, y.data);
        reference->depthwise(count, channels, taps, x.data, w.data, tap_major, biased ? b.data : NULL,
                             want.data);
        for (size_t i = 0; i < count * channels; i++) {
            size_t c = i % channels;
            double magnitude = fabs((double)b.data[c]);
            for (size_t j = 0; j < taps; j++)
                magnitude += fabs((double)w.data[tap_major ? j * channels + c : c * taps + j] *
                                  (double)x.data[i + j * channels]);
            near(kernels, "depthwise", i, y.data[i], want.data[i], 2 * (double)(taps + 2) * U * magnitude);
        }
        guarded_free(&y);
        guarded_free(&want);
        guarded_free(&x);
        guarded_free(&w);
        guarded_free(&b);
    }
}

Test(kernels_layers, depthwise_agrees_with_the_reference) {
    every_table(depthwise_agrees, "depthwise");
}

/* out = decay out + a b with the kernel, and what it should be; a by columns is its transpose. Σ is that of
 * inner + 1 products, one of them rounded once more. */
static void product_check(const rill_kernels *kernels, rill_matrix_product p, const guarded_floats *before) {
    guarded_floats out = guarded_copy(before);
    p.out = out.data;
    kernels->product(&p);
    for (size_t i = 0; i < out.count; i++) {
        size_t r = i / p.out_stride, m = i % p.out_stride;
        double old = (double)before->data[i], want = p.decay ? (double)p.decay[r] * old : old;
        double magnitude = fabs(want);
        for (size_t k = 0; k < p.inner && m < p.columns; k++) {
            double term =
                (double)p.a[r * p.a_row_stride + k * p.a_column_stride] * (double)p.b[k * p.b_stride + m];
            want += term;
            magnitude += fabs(term);
        }
        if (m < p.columns)
            near(kernels, "product", i, out.data[i], want, (double)(p.inner + 3) * U * magnitude);
        else /* between the rows */
            cr_assert(out.data[i] == before->data[i]);
    }
    guarded_free(&out);
}

static void product_agrees(const rill_kernels *reference, const rill_kernels *kernels) {
    for (int round = 0; round < 100; round++) {
        size_t rows = random_below(20), inner = random_below(random_below(2) ? 5 : 160), columns = odd_dim();
        size_t gap = random_below(4), by_columns = random_below(2);
        rill_matrix_product p = {.rows = rows, .inner = inner, .columns = columns};
        p.a_row_stride = by_columns ? 1 : inner + gap;
        p.a_column_stride = by_columns ? rows + gap : 1;
        p.b_stride = columns + gap;
        p.out_stride = columns + gap;
        guarded_floats a = guarded_input((rows + gap) * (inner + gap), -1, 1);
        guarded_floats b = guarded_input(inner * p.b_stride, -1, 1), decay = guarded_input(rows, 0, 1);
        guarded_floats out = guarded_input(rows * p.out_stride, -1, 1);
        p.a = a.data;
        p.b = b.data;
        p.decay = random_below(2) ? decay.data : NULL;
        product_check(reference, p, &out);
        product_check(kernels, p, &out);
        guarded_free(&a);
        guarded_free(&b);
        guarded_free(&decay);
        guarded_free(&out);
    }
}

Test(kernels_layers, product_is_the_sum_of_products) {
    every_table(product_agrees, "product");
}
