/* SPDX-License-Identifier: MIT */
/* Every table that runs here against the reference, and the reference against the formulas in double.
 * u is the unit roundoff of float. A sum of n products in any order is within (n + 1) u Σ|xy| of the exact
 * one, and two such sums within twice that. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "guarded_floats.h"
#include "kernels/kernels.h"

#define U ((double)FLT_EPSILON / 2)

typedef void check_table(const rill_kernels *reference, const rill_kernels *kernels);

/* The same random cases for every table; those this CPU lacks are named. */
static void every_table(check_table *check, const char *law) {
    bool runs_here;
    const rill_kernels *reference = rill_kernels_at(0, &runs_here), *kernels;
    for (size_t i = 1; (kernels = rill_kernels_at(i, &runs_here)); i++) {
        if (!runs_here) {
            printf("SKIPPED %s: this CPU cannot run the kernels %s\n", law, kernels->name);
            continue;
        }
        random_seed(20260 + i);
        check(reference, kernels);
    }
}

static size_t odd_dim(void) {
    return random_below(2) ? 1 + random_below(160) : 16 * (1 + random_below(10));
}

static void near(const rill_kernels *kernels, const char *what, size_t i, double got, double want,
                 double tolerance) {
    cr_assert(fabs(got - want) <= tolerance, "%s %s [%zu]: %.9g, want %.9g ± %.3g (difference %.3g)",
              kernels->name, what, i, got, want, tolerance, fabs(got - want));
}

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

Test(kernels, dense_agrees_with_the_reference) {
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
        rill_packed_dense layer = {
            .inputs = odd_dim(), .outputs = odd_dim(), .type = (rill_weight_type)(round % 3)};
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

Test(kernels, packed_dense_agrees_with_the_definition_whatever_the_weights) {
    every_table(packed_dense_agrees, "packed_dense");
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

Test(kernels, layer_norm_agrees_with_the_reference) {
    every_table(layer_norm_agrees, "layer_norm");
}

/* elu1 and exponential within 2 ulp of the exponential in double, a gate within 4: 2 of the exponential, ½
 * each of sum and quotient; in place and apart, over the whole range that does not vanish */
static void activations_agree(const rill_kernels *reference, const rill_kernels *kernels) {
    double ulp = FLT_EPSILON;
    for (int round = 0; round < 200; round++) {
        size_t count = random_below(3000);
        guarded_floats x = guarded_input(count, round % 2 ? -2 : -110, round % 2 ? 2 : 95);
        guarded_floats a = guarded_input(count, -3, 3), y = guarded_copy(&x), want = guarded_output(count);
        kernels->elu1(count, y.data, y.data);
        reference->elu1(count, x.data, want.data);
        for (size_t i = 0; i < count; i++) {
            double exact = x.data[i] > 0 ? (double)x.data[i] + 1 : exp((double)x.data[i]);
            near(kernels, "elu1", i, y.data[i], exact, 2 * ulp * exact + 0x1p-149);
            near(reference, "elu1", i, want.data[i], exact, ulp * exact + 0x1p-149);
        }
        memcpy(y.data, x.data, count * sizeof *x.data);
        kernels->exponential(count, y.data, y.data);
        reference->exponential(count, x.data, want.data);
        for (size_t i = 0; i < count; i++) {
            const double exact = exp((double)x.data[i]), error = 2 * ulp * exact + 0x1p-149;
            if (exact > FLT_MAX * (1 + 3 * ulp))
                cr_assert(y.data[i] == INFINITY && want.data[i] == INFINITY, "%s exp(%.9g) = %g",
                          kernels->name, (double)x.data[i], (double)y.data[i]);
            else if (exact < FLT_MAX * (1 - 3 * ulp)) {
                near(kernels, "exponential", i, y.data[i], exact, error);
                near(reference, "exponential", i, want.data[i], exact, ulp * exact + 0x1p-149);
            }
        }
        kernels->silu(count, x.data, y.data);
        for (size_t i = 0; i < count; i++) {
            double exact = (double)x.data[i] / (1 + exp(-(double)x.data[i]));
            near(kernels, "silu", i, y.data[i], exact, 4 * ulp * fabs(exact) + 1e-36);
        }
        kernels->gate(count, a.data, x.data, y.data);
        for (size_t i = 0; i < count; i++) {
            double exact = (double)a.data[i] / (1 + exp(-(double)x.data[i]));
            near(kernels, "gate", i, y.data[i], exact, 4 * ulp * fabs(exact) + 1e-36);
        }
        guarded_free(&x);
        guarded_free(&a);
        guarded_free(&y);
        guarded_free(&want);
    }
}

Test(kernels, activations_are_within_a_few_units_in_the_last_place) {
    every_table(activations_agree, "elu1, exponential, silu, gate");
}

static void specials_hold(const rill_kernels *reference, const rill_kernels *kernels) {
    (void)reference;
    for (size_t count = 1; count < 40; count++)
        for (size_t at = 0; at < count; at++) {
            float x[40] = {0}, ones[40], y[40];
            for (size_t i = 0; i < count; i++) ones[i] = 1;
            const float inputs[] = {NAN, -NAN, INFINITY, -INFINITY, -FLT_MAX, FLT_MAX, -0.0f, -FLT_MIN};
            const float elu1[] = {NAN, NAN, INFINITY, 0, 0, FLT_MAX, 1, 1};
            const float exponential[] = {NAN, NAN, INFINITY, 0, 0, INFINITY, 1, 1};
            const float sigmoid[] = {NAN, NAN, 1, 0, 0, 1, 0.5f, 0.5f};
            for (size_t k = 0; k < sizeof inputs / sizeof *inputs; k++) {
                x[at] = inputs[k];
                kernels->elu1(count, x, y);
                cr_assert(isnan(elu1[k]) ? isnan(y[at]) : y[at] == elu1[k], "%s elu1(%g) = %g", kernels->name,
                          (double)x[at], (double)y[at]);
                kernels->exponential(count, x, y);
                cr_assert(isnan(exponential[k]) ? isnan(y[at]) : y[at] == exponential[k], "%s exp(%g) = %g",
                          kernels->name, (double)x[at], (double)y[at]);
                for (size_t i = 0; i < count; i++) cr_assert(i == at || y[i] == 1);
                kernels->gate(count, ones, x, y);
                cr_assert(isnan(sigmoid[k]) ? isnan(y[at]) : y[at] == sigmoid[k], "%s sigmoid(%g) = %g",
                          kernels->name, (double)x[at], (double)y[at]);
                cr_assert(kernels->within(count, x, -FLT_MAX, FLT_MAX) == (isfinite(inputs[k]) != 0),
                          "%s within, finite: %g at %zu of %zu", kernels->name, (double)x[at], at, count);
                cr_assert(kernels->within(count, x, -INFINITY, 0) == (inputs[k] <= 0));
                for (size_t i = 0; i < count; i++) cr_assert(i == at || y[i] == 0.5f);
            }
        }
    cr_assert(kernels->within(0, NULL, 0, 0));
}

Test(kernels, nan_and_infinity_stay_where_they_are) {
    every_table(specials_hold, "NaN and infinity");
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

Test(kernels, depthwise_agrees_with_the_reference) {
    every_table(depthwise_agrees, "depthwise");
}

/* Scores and mixtures of rows that lie apart, in an order of their own, whatever may be fetched. */
static void rows_agree(const rill_kernels *reference, const rill_kernels *kernels) {
    for (int round = 0; round < 150; round++) {
        const size_t count = random_below(70), dim = odd_dim(), gap = random_below(4);
        guarded_floats x = guarded_input(dim, -2, 2), memory = guarded_input(count * (dim + gap), -1, 1);
        guarded_floats weights = guarded_input(count, 0, 1), before = guarded_input(dim, -1, 1);
        guarded_floats y = guarded_output(count), want = guarded_output(count);
        const float **rows = malloc((count + 1) * sizeof *rows);
        for (size_t j = 0; j < count; j++) rows[j] = memory.data + random_below(count) * (dim + gap);
        const rill_rows all = {count, dim, rows}, some = {random_below(count + 1), dim, rows};
        const float scale = (float)random_uniform();
        kernels->score(&all, scale, x.data, random_below(2) ? &some : NULL, y.data);
        reference->score(&all, scale, x.data, NULL, want.data);
        for (size_t j = 0; j < count; j++) {
            double sum = 0, magnitude = 0;
            for (size_t i = 0; i < dim; i++) {
                sum += (double)scale * (double)x.data[i] * (double)rows[j][i];
                magnitude += fabs((double)scale * (double)x.data[i] * (double)rows[j][i]);
            }
            near(reference, "score", j, want.data[j], sum, 2 * U * magnitude);
            near(kernels, "score", j, y.data[j], sum, (double)(dim + 3) * U * magnitude);
            float alone;
            kernels->score(&(rill_rows){1, dim, rows + j}, scale, x.data, NULL, &alone);
            cr_assert(alone == y.data[j], "%s score [%zu] alone: %.9g, among others %.9g", kernels->name, j,
                      (double)alone, (double)y.data[j]);
        }
        guarded_floats mixed = guarded_copy(&before), exact = guarded_copy(&before);
        kernels->mix(&all, weights.data, random_below(2) ? &some : NULL, mixed.data);
        reference->mix(&all, weights.data, NULL, exact.data);
        for (size_t m = 0; m < dim; m++) {
            double sum = (double)before.data[m], magnitude = fabs(sum);
            for (size_t j = 0; j < count; j++) {
                sum += (double)weights.data[j] * (double)rows[j][m];
                magnitude += fabs((double)weights.data[j] * (double)rows[j][m]);
            }
            near(reference, "mix", m, exact.data[m], sum, 2 * U * magnitude);
            near(kernels, "mix", m, mixed.data[m], sum, (double)(count + 2) * U * magnitude);
        }
        free(rows);
        guarded_free(&x);
        guarded_free(&memory);
        guarded_free(&weights);
        guarded_free(&before);
        guarded_free(&y);
        guarded_free(&want);
        guarded_free(&mixed);
        guarded_free(&exact);
    }
}

Test(kernels, rows_are_scored_and_mixed_as_the_definition_says) {
    every_table(rows_agree, "score, mix");
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

Test(kernels, product_is_the_sum_of_products) {
    every_table(product_agrees, "product");
}

/* Random heads and their exact outputs' magnitudes. A product k v that entered at step j has been rounded
 * once on entry and, at each later step, by a decay of 2 ulp, its product and the sum: at most 6 u a step;
 * reading adds key_dim + 2. With φ(q), φ(k) ≥ 0 the normalizer has the same relative error. */
typedef struct head_case {
    size_t key_dim, value_dim, rows_q, rows_o;
    size_t outputs; /* of a step */
    bool normalize;
    float epsilon, scale;
    guarded_floats S, z, q, k, v, g;
    rill_heads_sequence sequence;
} head_case;

static head_case head_make(void) {
    head_case c = {.key_dim = odd_dim(), .value_dim = odd_dim(), .epsilon = 1e-6f, .scale = 0.3f};
    c.normalize = random_below(2);
    size_t length = random_below(random_below(3) ? 14 : 80), group = 1 + random_below(3) * random_below(2),
           gap = random_below(5), heads = random_below(3) ? 1 : 1 + random_below(6);
    c.outputs = heads * group * c.value_dim;
    c.rows_q = heads * group * c.key_dim + gap;
    c.rows_o = c.outputs + gap;
    double low = c.normalize ? 0 : -1;
    c.S = guarded_input(heads * c.key_dim * c.value_dim, -3, 3);
    c.z = guarded_input(heads * c.key_dim, 1, 2);
    c.q = guarded_input(length * c.rows_q, low, 1);
    c.k = guarded_input(length * (heads * c.key_dim + gap), low, 1);
    c.v = guarded_input(length * (heads * c.value_dim + gap), -1, 1);
    bool per_key = random_below(2), steady = random_below(3) == 0, none = random_below(4) == 0;
    size_t width = heads * (per_key ? c.key_dim : 1);
    c.g = guarded_input((steady ? 1 : length) * width, -3, 0);
    for (size_t i = 0; i < c.g.count; i++)
        if (random_below(20) == 0) c.g.data[i] = random_below(2) ? -INFINITY : -0.0f;
    c.sequence = (rill_heads_sequence){
        .heads = heads,
        .length = length,
        .query_group = group,
        .queries = c.q.data,
        .keys = c.k.data,
        .values = c.v.data,
        .log_decay = none ? NULL : c.g.data,
        .query_stride = c.rows_q,
        .key_stride = heads * c.key_dim + gap,
        .value_stride = heads * c.value_dim + gap,
        .decay_stride = steady ? 0 : width,
        .decay_per_key = per_key,
        .output_stride = c.rows_o,
    };
    return c;
}

static void head_free(head_case *c) {
    guarded_free(&c->S);
    guarded_free(&c->z);
    guarded_free(&c->q);
    guarded_free(&c->k);
    guarded_free(&c->v);
    guarded_free(&c->g);
}

static double decay_of(const head_case *c, size_t t, size_t head, size_t d) {
    const rill_heads_sequence *s = &c->sequence;
    if (!s->log_decay) return 1;
    return exp((double)s->log_decay[t * s->decay_stride + (s->decay_per_key ? head * c->key_dim + d : head)]);
}

/* the definition in double, of the values or (absolute) of their magnitudes */
static void head_define(const head_case *c, bool absolute, double *S, double *z, double *output) {
    const rill_heads_sequence *s = &c->sequence;
    double sign = absolute ? -1 : 1; /* of what is negative */
#define VALUE(x) ((double)(x) < 0 ? sign * (double)(x) : (double)(x))
    for (size_t i = 0; i < c->S.count; i++) S[i] = VALUE(c->S.data[i]);
    for (size_t d = 0; d < c->z.count; d++) z[d] = VALUE(c->z.data[d]);
    for (size_t t = 0; t < s->length; t++) {
        for (size_t i = 0; i < s->heads * c->key_dim; i++) {
            double k = VALUE(s->keys[t * s->key_stride + i]);
            double g = decay_of(c, t, i / c->key_dim, i % c->key_dim);
            const float *values = s->values + t * s->value_stride + i / c->key_dim * c->value_dim;
            for (size_t m = 0; m < c->value_dim; m++)
                S[i * c->value_dim + m] = g * S[i * c->value_dim + m] + k * VALUE(values[m]);
            z[i] = g * z[i] + k;
        }
        for (size_t h = 0; h < s->heads * s->query_group; h++)
            for (size_t m = 0; m < c->value_dim; m++) {
                double numerator = 0, normalizer = (double)c->epsilon;
                for (size_t d = 0; d < c->key_dim; d++) {
                    double q = VALUE(s->queries[t * s->query_stride + h * c->key_dim + d]);
                    numerator += q * S[(h / s->query_group * c->key_dim + d) * c->value_dim + m];
                    normalizer += q * z[h / s->query_group * c->key_dim + d];
                }
                output[t * c->outputs + h * c->value_dim + m] =
                    c->normalize ? numerator / normalizer : numerator * (double)c->scale;
            }
    }
#undef VALUE
}

static void head_check(const rill_kernels *kernels, const head_case *c, bool chunk, const double *S,
                       const double *z, const double *o, const double *S_size, const double *o_size) {
    guarded_floats S_got = guarded_copy(&c->S), z_got = guarded_copy(&c->z);
    guarded_floats output = guarded_output(c->sequence.length * c->rows_o);
    rill_heads_sequence s = c->sequence;
    s.output = output.data;
    (chunk ? kernels->chunk : kernels->recurrent)(c->key_dim, c->value_dim, S_got.data,
                                                  c->normalize ? z_got.data : NULL, c->epsilon, c->scale, &s);
    double held = 6 * (double)(s.length + 1) * U, read = held + (double)(c->key_dim + 6) * U;
    const char *form = chunk ? "chunk" : "recurrent";
    for (size_t i = 0; i < c->S.count; i++)
        near(kernels, form, i, S_got.data[i], S[i], held * S_size[i] + 1e-37);
    for (size_t d = 0; d < c->z.count; d++)
        near(kernels, form, d, z_got.data[d], c->normalize ? z[d] : c->z.data[d],
             c->normalize ? held * z[d] : 0);
    for (size_t t = 0; t < s.length; t++) {
        for (size_t i = 0; i < c->outputs; i++) {
            size_t at = t * c->outputs + i;
            double error = (c->normalize ? 2 : 1) * read * o_size[at] + 1e-37;
            near(kernels, form, at, output.data[t * c->rows_o + i], o[at], error);
        }
        for (size_t i = c->outputs; i < c->rows_o; i++) /* between the rows */
            cr_assert(memcmp(output.data + t * c->rows_o + i, &guarded_canary, 4) == 0);
    }
    guarded_free(&S_got);
    guarded_free(&z_got);
    guarded_free(&output);
}

static void heads_agree(const rill_kernels *reference, const rill_kernels *kernels) {
    for (int round = 0; round < 80; round++) {
        head_case c = head_make();
        size_t outputs = c.sequence.length * c.outputs;
        double *memory = calloc(2 * (c.S.count + c.z.count + outputs), sizeof(double));
        double *S = memory, *z = S + c.S.count, *o = z + c.z.count;
        double *S_size = o + outputs, *z_size = S_size + c.S.count, *o_size = z_size + c.z.count;
        head_define(&c, false, S, z, o);
        head_define(&c, true, S_size, z_size, o_size);
        for (int chunk = 0; chunk < 2; chunk++) {
            head_check(kernels, &c, chunk, S, z, o, S_size, o_size);
            head_check(reference, &c, chunk, S, z, o, S_size, o_size);
        }
        free(memory);
        head_free(&c);
    }
}

Test(kernels, recurrent_and_chunk_are_the_definition) {
    every_table(heads_agree, "recurrent and chunk");
}

/* The delta rules in double, S [heads][key_dim][value_dim] */
static void delta_define(const head_case *c, double *S, double *output) {
    const rill_heads_sequence *s = &c->sequence;
    for (size_t i = 0; i < c->S.count; i++) S[i] = (double)c->S.data[i];
    for (size_t i = 0; i < s->length * s->heads; i++) {
        const size_t t = i / s->heads, head = i % s->heads;
        const float *k = s->keys + t * s->key_stride + head * c->key_dim;
        const float *v = s->values + t * s->value_stride + head * c->value_dim;
        const double beta = (double)s->beta[t * s->beta_stride + (s->beta_is_shared ? 0 : head)];
        double *held = S + head * c->key_dim * c->value_dim;
        for (size_t m = 0; m < c->value_dim; m++) {
            double erased = 0;
            for (size_t d = 0; d < c->key_dim; d++) {
                held[d * c->value_dim + m] *= decay_of(c, t, head, d);
                erased += (double)k[d] * held[d * c->value_dim + m];
            }
            for (size_t d = 0; d < c->key_dim; d++)
                held[d * c->value_dim + m] += (double)k[d] * beta * ((double)v[m] - erased);
            for (size_t h = head * s->query_group; h < (head + 1) * s->query_group; h++) {
                double sum = 0;
                for (size_t d = 0; d < c->key_dim; d++)
                    sum += (double)s->queries[t * s->query_stride + h * c->key_dim + d] *
                           held[d * c->value_dim + m];
                output[t * c->outputs + h * c->value_dim + m] = sum * (double)c->scale;
            }
        }
    }
}

/* Keys of length 1 and 0 ≤ β ≤ 1: no step makes a column longer but by its value, so that no column of S is
 * ever longer than `most` = ‖S_0‖ + Σ |v|. A step's sums are wrong by (2 key_dim + 12) u of that, and later
 * ones do not enlarge it; a query of entries up to 1 is up to √key_dim long. */
static void delta_check(const rill_kernels *kernels, bool chunk, const head_case *c, const double *S,
                        const double *o) {
    guarded_floats S_got = guarded_copy(&c->S), output = guarded_output(c->sequence.length * c->rows_o);
    rill_heads_sequence s = c->sequence;
    s.output = output.data;
    const char *form = chunk ? "delta_chunk" : "delta_recurrent";
    (chunk ? kernels->delta_chunk : kernels->delta_recurrent)(c->key_dim, c->value_dim, S_got.data, c->scale,
                                                              &s);
    const double dim = (double)c->key_dim, most = 3 * sqrt(dim) + (double)s.length;
    const double held = (2 * dim + 12) * (double)(s.length + 1) * U * most;
    for (size_t i = 0; i < c->S.count; i++) near(kernels, form, i, S_got.data[i], S[i], held);
    for (size_t t = 0; t < s.length; t++) {
        for (size_t i = 0; i < c->outputs; i++)
            near(kernels, form, t * c->outputs + i, output.data[t * c->rows_o + i], o[t * c->outputs + i],
                 sqrt(dim) * held);
        for (size_t i = c->outputs; i < c->rows_o; i++) /* between the rows */
            cr_assert(memcmp(output.data + t * c->rows_o + i, &guarded_canary, 4) == 0);
    }
    guarded_free(&S_got);
    guarded_free(&output);
}

static void deltas_agree(const rill_kernels *reference, const rill_kernels *kernels) {
    for (int round = 0; round < 120; round++) {
        head_case c = head_make();
        if (c.key_dim <= RILL_DELTA_KEY_DIM_MAX) {
            for (size_t i = 0; i < c.sequence.length * c.sequence.heads; i++) {
                float *key = c.k.data + i / c.sequence.heads * c.sequence.key_stride +
                             i % c.sequence.heads * c.key_dim,
                      squares = 1e-12f;
                for (size_t d = 0; d < c.key_dim; d++) squares += key[d] * key[d];
                for (size_t d = 0; d < c.key_dim; d++) key[d] /= sqrtf(squares);
            }
            c.sequence.beta_is_shared = random_below(2);
            c.sequence.beta_stride = c.sequence.beta_is_shared ? 1 : c.sequence.heads;
            guarded_floats beta = guarded_input(c.sequence.length * c.sequence.beta_stride, 0, 1);
            c.sequence.beta = beta.data;
            double *S = calloc(c.S.count + c.sequence.length * c.outputs, sizeof *S), *o = S + c.S.count;
            delta_define(&c, S, o);
            for (int chunk = 0; chunk < 2; chunk++) {
                delta_check(reference, chunk, &c, S, o);
                delta_check(kernels, chunk, &c, S, o);
            }
            free(S);
            guarded_free(&beta);
        }
        head_free(&c);
    }
}

Test(kernels, delta_replaces_as_defined) {
    every_table(deltas_agree, "delta");
}

/* total − compensation is the sum, to a rounding of what is added and two of the smaller: 4 u (|block| + |c|)
 */
static void folds_agree(const rill_kernels *reference, const rill_kernels *kernels) {
    for (int round = 0; round < 60; round++) {
        size_t count = random_below(300);
        guarded_floats total = guarded_input(count, -1e3, 1e3), small = guarded_input(count, -1e-5, 1e-5);
        guarded_floats block = guarded_input(count, -2, 2), now = guarded_output(count);
        for (int which = 0; which < 2; which++) {
            guarded_floats t = guarded_copy(&total), c = guarded_copy(&small), b = guarded_copy(&block);
            (which ? kernels : reference)->fold(count, t.data, c.data, now.data, b.data);
            for (size_t i = 0; i < count; i++) {
                double added = (double)block.data[i] - (double)small.data[i];
                double left = (double)t.data[i] - (double)c.data[i] - (double)total.data[i];
                near(which ? kernels : reference, "fold", i, left, added,
                     4 * U * (fabs((double)block.data[i]) + fabs((double)small.data[i])));
                cr_assert(now.data[i] == t.data[i] && b.data[i] == 0);
            }
            guarded_free(&t), guarded_free(&c), guarded_free(&b);
        }
        guarded_free(&total), guarded_free(&small), guarded_free(&block), guarded_free(&now);
    }
}

Test(kernels, fold_loses_nothing) {
    every_table(folds_agree, "fold");
}

Test(kernels, the_table_in_use_runs_here) {
    bool runs_here, found = false;
    const rill_kernels *kernels;
    for (size_t i = 0; (kernels = rill_kernels_at(i, &runs_here)); i++)
        if (kernels == rill_kernels_get()) found = runs_here;
    cr_assert(found);
    cr_assert_eq(rill_kernels_get(), rill_kernels_get());
}

static void forced(const char *name, const char *want) {
    setenv("RILL_KERNELS", name, 1);
    cr_assert_str_eq(rill_kernels_get()->name, want);
}

Test(kernels, the_environment_forces_a_table) {
    forced("portable", "portable");
}

Test(kernels, a_name_that_does_not_exist_is_as_if_unset) {
    const char *best = NULL;
    bool runs_here;
    const rill_kernels *kernels;
    for (size_t i = 0; (kernels = rill_kernels_at(i, &runs_here)); i++)
        if (runs_here) best = kernels->name;
    forced("abacus", best);
}
