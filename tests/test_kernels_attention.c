/* SPDX-License-Identifier: MIT */
/* Attention: rows scored and mixed, the recurrences step by step and by chunks, the delta rules, the fold. */
#include "kernel_tables.h"

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

Test(kernels_attention, rows_are_scored_and_mixed_as_the_definition_says) {
    every_table(rows_agree, "score, mix");
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

Test(kernels_attention, recurrent_and_chunk_are_the_definition) {
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

Test(kernels_attention, delta_replaces_as_defined) {
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

Test(kernels_attention, fold_loses_nothing) {
    every_table(folds_agree, "fold");
}
