/* SPDX-License-Identifier: MIT */
/* Attention: rows scored and mixed, the recurrences step by step and by chunks, the delta rules, the steady
 * step. */
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
    const bool tall = random_below(8) == 0; /* more decays than are prepared at a time */
    if (tall) c.key_dim = 2040 + random_below(40), c.value_dim = 1 + random_below(5);
    c.normalize = tall || random_below(2);
    const size_t longest = tall ? 4 : random_below(3) ? 14 : 80;
    size_t length = random_below(longest), group = 1 + random_below(3) * random_below(2),
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
    bool per_key = tall || random_below(2), steady = random_below(3) == 0,
         none = !tall && random_below(4) == 0;
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
    float *z_from = c->normalize ? z_got.data : NULL;
    if (!chunk)
        kernels->recurrent(c->key_dim, c->value_dim, S_got.data, z_from, c->epsilon, c->scale, &s);
    else
        cr_assert_eq(kernels->chunk(c->key_dim, c->value_dim, S_got.data, z_from, c->epsilon, c->scale, &s),
                     s.heads * s.length);
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
    if (!chunk)
        kernels->delta_recurrent(c->key_dim, c->value_dim, S_got.data, c->scale, &s);
    else
        cr_assert_eq(kernels->delta_chunk(c->key_dim, c->value_dim, S_got.data, c->scale, &s),
                     s.heads * s.length);
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

static size_t take_chunk(const rill_kernels *kernels, const head_case *c, const rill_heads_sequence *sequence,
                         float *S, float *z) {
    return sequence->beta ? kernels->delta_chunk(c->key_dim, c->value_dim, S, c->scale, sequence)
                          : kernels->chunk(c->key_dim, c->value_dim, S, c->normalize ? z : NULL, c->epsilon,
                                           c->scale, sequence);
}

/* One number of a key or value is not finite: what is taken ends before its step, and the states are those of
 * the steps taken, to the bit. */
static void spoiled_case(const rill_kernels *kernels, head_case *c, const float *beta) {
    rill_heads_sequence s = c->sequence;
    s.log_decay = NULL; /* else blocks, and so roundings, depend on the length */
    s.beta = beta;
    if (beta) c->normalize = false;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    const size_t t = random_below(s.length), head = random_below(s.heads);
    *(random_below(2) ? c->k.data + t * s.key_stride + head * c->key_dim + random_below(c->key_dim)
                      : c->v.data + t * s.value_stride + head * c->value_dim + random_below(c->value_dim)) =
        bad[random_below(3)];
    guarded_floats S = guarded_copy(&c->S), z = guarded_copy(&c->z),
                   output = guarded_output(s.length * c->rows_o);
    guarded_floats want = guarded_copy(&c->S), want_z = guarded_copy(&c->z);
    s.output = output.data;
    const size_t taken = take_chunk(kernels, c, &s, S.data, z.data);
    cr_assert(taken <= head * s.length + t, "%s took %zu, head %zu of %zu steps is bad at %zu", kernels->name,
              taken, head, s.length, t);
    s.finite = true;
    s.heads = taken / c->sequence.length;
    if (s.heads) take_chunk(kernels, c, &s, want.data, want_z.data);
    const size_t after = s.heads;
    s.keys += after * c->key_dim, s.values += after * c->value_dim;
    s.queries += after * s.query_group * c->key_dim, s.output += after * s.query_group * c->value_dim;
    if (s.beta && !s.beta_is_shared) s.beta += after;
    s.heads = 1;
    s.length = taken % c->sequence.length;
    if (s.length)
        take_chunk(kernels, c, &s, want.data + after * c->key_dim * c->value_dim,
                   want_z.data + after * c->key_dim);
    cr_assert(memcmp(S.data, want.data, S.count * sizeof(float)) == 0, "%s: S is not that of %zu steps",
              kernels->name, taken);
    cr_assert(memcmp(z.data, want_z.data, z.count * sizeof(float)) == 0, "%s: z is not that of %zu steps",
              kernels->name, taken);
    guarded_free(&S), guarded_free(&z), guarded_free(&output), guarded_free(&want), guarded_free(&want_z);
}

static void chunks_stop(const rill_kernels *reference, const rill_kernels *kernels) {
    for (int round = 0; round < 200; round++) {
        head_case c = head_make();
        const bool delta = c.key_dim <= RILL_DELTA_KEY_DIM_MAX && random_below(2);
        c.sequence.beta_stride = c.sequence.heads;
        guarded_floats beta = guarded_input(c.sequence.length * c.sequence.heads, 0, 1);
        if (c.sequence.length) spoiled_case(round % 8 ? kernels : reference, &c, delta ? beta.data : NULL);
        guarded_free(&beta);
        head_free(&c);
    }
}

Test(kernels_attention, chunks_stop_before_what_is_not_finite) {
    every_table(chunks_stop, "chunk, not finite");
}

/* A steady state's head count times random parts, whose kept keys may be of any age. */
typedef struct steady_case {
    rill_steady_step step; /* its pointers are those of the parts below */
    guarded_floats S, z, S_lost, z_lost, keys_kept, values_kept, queries, keys, values, output;
    bool normalize;
} steady_case;

static float *kept_at(guarded_floats *kept, size_t dim, size_t head, size_t place, size_t i) {
    return kept->data + head * rill_steady_kept_floats(dim) +
           (i / RILL_STEADY_PANEL * RILL_STEADY_BLOCK_STEPS + place) * RILL_STEADY_PANEL +
           i % RILL_STEADY_PANEL;
}

static guarded_floats random_kept(size_t heads, size_t dim, double low) {
    guarded_floats kept = guarded_input(heads * rill_steady_kept_floats(dim), 0, 0);
    for (size_t h = 0; h < heads; h++)
        for (size_t s = 0; s < RILL_STEADY_BLOCK_STEPS; s++)
            for (size_t i = 0; i < dim; i++)
                *kept_at(&kept, dim, h, s, i) = (float)(low + (1 - low) * random_uniform());
    return kept;
}

static steady_case steady_make(void) {
    steady_case c = {.normalize = random_below(2)};
    const size_t dims[] = {odd_dim(), (size_t)8 << random_below(6)}; /* whole tiles now and then */
    const size_t heads = 1 + random_below(4), group = 1 + random_below(3) / 2;
    const size_t key_dim = dims[random_below(2)],
                 value_dim = random_below(2) ? odd_dim() : (size_t)4 << random_below(7);
    const double low = c.normalize ? 0 : -1;
    c.S = guarded_input(heads * key_dim * value_dim, -1e3, 1e3);
    c.z = guarded_input(heads * key_dim, 1e2, 1e3);
    c.S_lost = guarded_input(c.S.count, -1e-5, 1e-5);
    c.z_lost = guarded_input(c.z.count, -1e-5, 1e-5);
    c.keys_kept = random_kept(heads, key_dim, low);
    c.values_kept = random_kept(heads, value_dim, -1);
    c.queries = guarded_input(heads * group * key_dim, low, 1);
    c.keys = guarded_input(heads * key_dim, low, 1);
    c.values = guarded_input(heads * value_dim, -1, 1);
    c.step = (rill_steady_step){.heads = heads,
                                .query_group = group,
                                .key_dim = key_dim,
                                .value_dim = value_dim,
                                .place = random_below(RILL_STEADY_BLOCK_STEPS),
                                .queries = c.queries.data,
                                .keys = random_below(5) ? c.keys.data : NULL,
                                .values = c.values.data,
                                .epsilon = 1e-6f,
                                .scale = 0.3f};
    return c;
}

static steady_case steady_copy(const steady_case *from) {
    steady_case c = *from;
    c.S = guarded_copy(&from->S), c.S_lost = guarded_copy(&from->S_lost);
    c.z = guarded_copy(&from->z), c.z_lost = guarded_copy(&from->z_lost);
    c.keys_kept = guarded_copy(&from->keys_kept), c.values_kept = guarded_copy(&from->values_kept);
    c.output = guarded_output(c.step.heads * c.step.query_group * c.step.value_dim);
    c.step.S = c.S.data, c.step.S_lost = c.S_lost.data;
    c.step.z = c.normalize ? c.z.data : NULL, c.step.z_lost = c.z_lost.data;
    c.step.kept_keys = c.keys_kept.data, c.step.kept_values = c.values_kept.data;
    c.step.output = c.output.data;
    return c;
}

static void steady_free(steady_case *c, bool with_inputs) {
    guarded_free(&c->S), guarded_free(&c->z), guarded_free(&c->S_lost), guarded_free(&c->z_lost);
    guarded_free(&c->keys_kept), guarded_free(&c->values_kept);
    if (with_inputs)
        guarded_free(&c->queries), guarded_free(&c->keys), guarded_free(&c->values);
    else
        guarded_free(&c->output);
}

/* Σ k_d v_m of a head's kept steps, m = value_dim: Σ k_d; or their magnitudes */
static double steady_block(steady_case *c, size_t head, size_t d, size_t m, bool absolute) {
    double sum = 0;
    for (size_t s = 0; s < RILL_STEADY_BLOCK_STEPS; s++) {
        const double k = (double)*kept_at(&c->keys_kept, c->step.key_dim, head, s, d);
        const double v =
            m < c->step.value_dim ? (double)*kept_at(&c->values_kept, c->step.value_dim, head, s, m) : 1;
        sum += absolute ? fabs(k * v) : k * v;
    }
    return sum;
}

/* Puts the step in its place: what all sums below are of. */
static void steady_keep(steady_case *c) {
    for (size_t h = 0; h < c->step.heads; h++) {
        for (size_t d = 0; d < c->step.key_dim; d++)
            *kept_at(&c->keys_kept, c->step.key_dim, h, c->step.place, d) =
                c->step.keys ? c->keys.data[h * c->step.key_dim + d] : 0;
        for (size_t m = 0; m < c->step.value_dim; m++)
            *kept_at(&c->values_kept, c->step.value_dim, h, c->step.place, m) =
                c->step.keys ? c->values.data[h * c->step.value_dim + m] : 0;
    }
}

/* A sum over key_dim rows, and over the kept steps and their own products; the normalizer's, the division. */
static void expect_steady_output(const rill_kernels *kernels, steady_case *before, const steady_case *after,
                                 size_t query_head) {
    const size_t key_dim = before->step.key_dim, value_dim = before->step.value_dim;
    const size_t head = query_head / before->step.query_group;
    const float *query = before->queries.data + query_head * key_dim;
    double normalizer = (double)before->step.epsilon;
    for (size_t d = 0; d < key_dim; d++)
        normalizer += (double)query[d] * ((double)before->z.data[head * key_dim + d] +
                                          steady_block(before, head, d, value_dim, false));
    const double factor = before->normalize ? 1 / normalizer : (double)before->step.scale;
    for (size_t m = 0; m < value_dim; m++) {
        double sum = 0, magnitude = 0;
        for (size_t d = 0; d < key_dim; d++) {
            const double S = (double)before->S.data[(head * key_dim + d) * value_dim + m];
            sum += (double)query[d] * (S + steady_block(before, head, d, m, false));
            magnitude += fabs((double)query[d]) * (fabs(S) + steady_block(before, head, d, m, true));
        }
        const double units = (double)(key_dim + RILL_STEADY_BLOCK_STEPS + 6) * (before->normalize ? 2 : 1);
        const size_t i = query_head * value_dim + m;
        near(kernels, "steady_step output", i, (double)after->output.data[i], sum * factor,
             units * U * magnitude * factor);
    }
}

/* total − lost has grown by the block, to B roundings of its sum, and three of what is smaller. */
static void expect_folded(const rill_kernels *kernels, size_t i, const float before[2], const float after[2],
                          double block, double magnitude) {
    const double grown = ((double)after[0] - (double)after[1]) - ((double)before[0] - (double)before[1]);
    near(kernels, "steady_step fold", i, grown, block,
         (RILL_STEADY_BLOCK_STEPS + 3) * U * (magnitude + fabs((double)before[1])));
}

static void expect_steady_row(const rill_kernels *kernels, steady_case *before, const steady_case *after,
                              size_t head, size_t d) {
    const size_t key_dim = before->step.key_dim, value_dim = before->step.value_dim,
                 kept = RILL_STEADY_BLOCK_STEPS;
    const size_t place = before->step.place, row = head * key_dim + d;
    const bool folded = key_dim * place / kept <= d && d < key_dim * (place + 1) / kept;
    for (size_t m = 0; m <= value_dim; m++) {
        const bool z = m == value_dim;
        const size_t i = z ? row : row * value_dim + m;
        const float was[] = {(z ? before->z : before->S).data[i],
                             (z ? before->z_lost : before->S_lost).data[i]};
        const float is[] = {(z ? after->z : after->S).data[i], (z ? after->z_lost : after->S_lost).data[i]};
        if (folded && (!z || before->normalize))
            expect_folded(kernels, i, was, is, steady_block(before, head, d, m, false),
                          steady_block(before, head, d, m, true));
        else
            cr_assert(is[0] == was[0] && is[1] == was[1], "%s steady_step changed row %zu", kernels->name, d);
    }
    steady_case still = *after;
    for (size_t s = 0; s < kept; s++) {
        const float want = folded ? 0 : *kept_at(&before->keys_kept, key_dim, head, s, d);
        cr_assert(*kept_at(&still.keys_kept, key_dim, head, s, d) == want, "%s steady_step kept key %zu, %zu",
                  kernels->name, s, d);
    }
}

static void steady_steps_agree(const rill_kernels *reference, const rill_kernels *kernels) {
    for (int round = 0; round < 40; round++) {
        steady_case c = steady_make();
        steady_case before = steady_copy(&c);
        steady_keep(&before);
        for (int which = 0; which < 2; which++) {
            const rill_kernels *table = which ? kernels : reference;
            steady_case after = steady_copy(&c);
            table->steady_step(&after.step);
            cr_assert_arr_eq(after.values_kept.data, before.values_kept.data,
                             before.values_kept.count * sizeof(float));
            for (size_t h = 0; h < c.step.heads * c.step.query_group; h++)
                expect_steady_output(table, &before, &after, h);
            for (size_t h = 0; h < c.step.heads; h++)
                for (size_t d = 0; d < c.step.key_dim; d++) expect_steady_row(table, &before, &after, h, d);
            steady_free(&after, false);
        }
        steady_free(&before, false);
        steady_free(&c, true);
    }
}

Test(kernels_attention, steady_step_loses_nothing) {
    every_table(steady_steps_agree, "steady_step");
}
