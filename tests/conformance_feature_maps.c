/* SPDX-License-Identifier: MIT */
/* The papers' feature maps: φ itself, and linear attention on it where the case has that too.
 *
 * Left out: fla's DPFP, which takes −relu(x) where the paper has relu(−x); Hadamard, outer product and
 * ReBased maps. T2R and generalized random features are a linear layer and relu: the layer is here, relu is
 * rill's. */
#include "conformance.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <rill/feature_map.h>
#include <rill/softmax.h>

static const double tolerance = 1e-5;

typedef struct mapped { /* rows [rows][dim] and their features */
    size_t rows, dim, features_dim;
    const float *x;
    float *features;
} mapped;

static mapped mapped_make(conformance_case *c, const conformance_tensor *x, size_t features_dim) {
    mapped m = {.dim = x->shape[x->rank - 1], .features_dim = features_dim, .x = x->values};
    m.rows = x->count / m.dim;
    m.features = conformance_floats(c, m.rows * features_dim);
    return m;
}

static void run_dpfp(conformance_case *c, const conformance_tensor *x) {
    size_t roll = (size_t)conformance_number(c, "nu", 0), dim = x->shape[x->rank - 1];
    mapped m = mapped_make(c, x, 2 * dim * roll);
    rill_feature_map_dpfp(m.rows, dim, roll, m.x, m.features);
    conformance_expect(c, "out.phi", m.features, tolerance);
    rill_feature_map_divide_by_sum(m.rows, m.features_dim, m.features);
    conformance_expect(c, "out.phi_sum_normalized", m.features, tolerance);
}

/* fla doubles W x + b */
static void run_hedgehog(conformance_case *c, const conformance_tensor *x) {
    const conformance_tensor *weight, *bias;
    if (!conformance_need(c, "weight.layer.weight", &weight) ||
        !conformance_need(c, "weight.layer.bias", &bias))
        return;
    size_t outputs = weight->shape[0];
    mapped m = mapped_make(c, x, 2 * outputs);
    for (size_t i = 0; i < weight->count; i++) weight->values[i] *= 2;
    for (size_t i = 0; i < bias->count; i++) bias->values[i] *= 2;
    rill_feature_map_hedgehog(m.rows, m.dim, outputs, weight->values, bias->values, true, m.x, m.features);
    conformance_expect(c, "out.phi", m.features, tolerance);
    rill_feature_map_hedgehog(m.rows, m.dim, outputs, weight->values, bias->values, false, m.x, m.features);
    rill_feature_map_divide_by_sum(m.rows, m.features_dim, m.features);
    conformance_expect(c, "out.phi", m.features, tolerance);
}

static void run_taylor(conformance_case *c, const conformance_tensor *x) {
    const conformance_tensor *x2;
    if (!conformance_need(c, "in.x2", &x2)) return;
    size_t features_dim = rill_feature_map_taylor_dim(x->shape[x->rank - 1]);
    mapped m = mapped_make(c, x, features_dim), n = mapped_make(c, x2, features_dim);
    float scale = 1 / sqrtf((float)m.dim), *products = conformance_floats(c, m.rows);
    rill_feature_map_taylor(m.rows, m.dim, scale, m.x, m.features);
    rill_feature_map_taylor(n.rows, n.dim, scale, n.x, n.features);
    conformance_expect(c, "out.phi", m.features, tolerance);
    for (size_t i = 0; i < m.rows * features_dim; i++)
        products[i / features_dim] += m.features[i] * n.features[i];
    conformance_expect(c, "out.phi_dot_phi2", products, tolerance);
}

static void run_linear_relu(conformance_case *c, const conformance_tensor *x) {
    const conformance_tensor *weight, *bias = conformance_find(c, "weight.layer.bias");
    if (!conformance_need(c, "weight.layer.weight", &weight)) return;
    mapped m = mapped_make(c, x, weight->shape[0]);
    for (size_t i = 0; i < m.rows * m.features_dim; i++) {
        size_t row = i / m.features_dim, o = i % m.features_dim;
        double sum = bias ? (double)bias->values[o] : 0;
        for (size_t d = 0; d < m.dim; d++)
            sum += (double)weight->values[o * m.dim + d] * (double)m.x[row * m.dim + d];
        m.features[i] = (float)sum;
    }
    rill_feature_map_relu(m.rows * m.features_dim, m.features, m.features);
    conformance_expect(c, "out.phi", m.features, tolerance);
}

static void run_map(conformance_case *c) {
    const conformance_tensor *x;
    if (!conformance_need(c, "in.x", &x)) return;
    if (conformance_file_starts(c, "dpfp_original"))
        run_dpfp(c, x);
    else if (conformance_file_starts(c, "dpfp_fla"))
        conformance_skip(c, "fla's reading of DPFP is not the paper's");
    else if (conformance_file_starts(c, "hedgehog"))
        run_hedgehog(c, x);
    else if (conformance_file_starts(c, "taylor"))
        run_taylor(c, x);
    else if (conformance_file_starts(c, "t2r"))
        run_linear_relu(c, x);
    else
        conformance_skip(c, "not among rill's feature maps");
}

/* fast-transformers' random features. in.x are the queries as well. */
typedef struct random_features {
    size_t dim, projections_count, features_dim;
    float *projections; /* [projections_count][dim] */
    float scale, smoothing;
} random_features;

/* Omega is [dim][projections] there. */
static bool read_random_features(conformance_case *c, random_features *f) {
    const conformance_tensor *omega, *phi;
    if (!conformance_need(c, "weight.omega", &omega) || !conformance_need(c, "out.phi_x", &phi)) return false;
    f->dim = omega->shape[0];
    f->projections_count = omega->shape[1];
    f->features_dim = phi->shape[phi->rank - 1];
    f->scale = (float)conformance_number(c, "softmax_temp", 1);
    f->smoothing = (float)conformance_number(c, "arg_smoothing", 1);
    f->projections = conformance_floats(c, omega->count);
    for (size_t i = 0; i < omega->count; i++)
        f->projections[i % f->projections_count * f->dim + i / f->projections_count] = omega->values[i];
    return true;
}

/* |x'|² over a sequence at most: what `stabilize` takes from every exponent, head by head */
static float largest_square(const random_features *f, const conformance_tensor *x, size_t batch,
                            size_t head) {
    float largest = 0;
    for (size_t t = 0; t < x->shape[1]; t++) {
        const float *row = x->values + ((batch * x->shape[1] + t) * x->shape[2] + head) * f->dim;
        float square = 0;
        for (size_t d = 0; d < f->dim; d++) square += f->scale * row[d] * row[d];
        largest = fmaxf(largest, square);
    }
    return largest;
}

static void map_row(conformance_case *c, const random_features *f, const float *x, float shift,
                    float *features) {
    size_t count = f->projections_count;
    if (conformance_file_starts(c, "featuremap_favor")) {
        rill_feature_map_favor(1, f->dim, count, f->projections, f->scale, shift, x, features);
    } else if (conformance_file_starts(c, "featuremap_generalized")) {
        for (size_t r = 0; r < count; r++) {
            double sum = 0;
            for (size_t d = 0; d < f->dim; d++) sum += (double)f->projections[r * f->dim + d] * (double)x[d];
            features[r] = (float)(sqrt((double)f->scale) * sum);
        }
        rill_feature_map_relu(count, features, features);
    } else {
        rill_feature_map_random_fourier(1, f->dim, count, f->projections, f->scale, x, features);
        if (f->features_dim > 2 * count)
            features[2 * count] = f->smoothing; /* smoothed: a constant is added */
    }
}

static float *map_all(conformance_case *c, const random_features *f, const conformance_tensor *x) {
    float *features = conformance_floats(c, x->count / f->dim * f->features_dim);
    for (size_t row = 0; row < x->count / f->dim; row++) {
        size_t head = row % x->shape[2], batch = row / x->shape[2] / x->shape[1];
        float shift = conformance_text(c, "arg_stabilize") ? largest_square(f, x, batch, head) : 0;
        map_row(c, f, x->values + row * f->dim, shift, features + row * f->features_dim);
    }
    return features;
}

/* Tolerances grow as the denominator of a row falls: "causal 1.24e-01, full …" in the metadata. A row that
 * sees nothing (0) has the output 0, whatever epsilon is. */
static double smallest_denominator(const conformance_case *c) {
    const char *text = conformance_text(c, "min_abs_denominator");
    double causal = 1;
    if (text) sscanf(text, "causal %lf", &causal);
    return causal > 0 && causal < 1 ? causal : 1;
}

static void run_random_features(conformance_case *c) {
    const conformance_tensor *x, *keys, *values;
    random_features f;
    if (!conformance_need(c, "in.x", &x) || !conformance_need(c, "in.keys", &keys) ||
        !conformance_need(c, "in.values", &values) || !read_random_features(c, &f))
        return;
    float *q = map_all(c, &f, x), *k = map_all(c, &f, keys);
    conformance_expect(c, "out.phi_x", q, tolerance);
    size_t length = x->shape[1], heads = x->shape[2], value_dim = values->shape[3];
    rill_attention_shape linear = {.heads = heads,
                                   .query_heads = heads,
                                   .key_dim = f.features_dim,
                                   .value_dim = value_dim,
                                   .normalize = true,
                                   .epsilon = 1e-6f};
    rill_softmax_shape all = {.similarity = RILL_SIMILARITY_PRODUCT,
                              .heads = heads,
                              .query_heads = heads,
                              .key_dim = f.features_dim,
                              .value_dim = value_dim,
                              .scale = 1,
                              .normalize = true,
                              .epsilon = 1e-6f};
    float *causal = conformance_floats(c, values->count), *full = conformance_floats(c, values->count);
    void *state = conformance_memory(c, rill_attention_size(&linear));
    for (size_t b = 0; b < x->shape[0]; b++) {
        size_t features = b * length * heads * f.features_dim, start = b * length * heads * value_dim;
        rill_sequence sequence = {.length = length,
                                  .queries = q + features,
                                  .keys = k + features,
                                  .values = values->values + start};
        rill_softmax_input input = {.queries_length = length,
                                    .keys_length = length,
                                    .queries = q + features,
                                    .keys = k + features,
                                    .values = values->values + start};
        rill_attention_init(&linear, state);
        rill_attention_recurrent(&linear, state, &sequence, causal + start);
        rill_softmax_attention(&all, &input, full + start);
    }
    conformance_expect(c, "out.causal_linear", causal, tolerance / smallest_denominator(c));
    conformance_expect(c, "out.linear", full, tolerance / smallest_denominator(c));
}

/* Based: Taylor features, then linear attention; [batches][heads][length][dim] there. */
static void run_based(conformance_case *c) {
    const conformance_tensor *q, *k, *v;
    if (!conformance_need(c, "in.q", &q) || !conformance_need(c, "in.k", &k) ||
        !conformance_need(c, "in.v", &v))
        return;
    size_t dim = q->shape[3], length = q->shape[2], value_dim = v->shape[3],
           features_dim = rill_feature_map_taylor_dim(dim);
    mapped queries = mapped_make(c, q, features_dim), keys = mapped_make(c, k, features_dim);
    rill_feature_map_taylor(queries.rows, dim, 1 / sqrtf((float)dim), queries.x, queries.features);
    rill_feature_map_taylor(keys.rows, dim, 1 / sqrtf((float)dim), keys.x, keys.features);
    rill_attention_shape shape = {.heads = 1,
                                  .query_heads = 1,
                                  .key_dim = features_dim,
                                  .value_dim = value_dim,
                                  .epsilon = 1e-6f,
                                  .scale = 1};
    float *output = conformance_floats(c, v->count);
    for (int normalize = 0; normalize < 2; normalize++) {
        shape.normalize = normalize;
        void *state = conformance_memory(c, rill_attention_size(&shape));
        for (size_t row = 0; row < queries.rows; row += length) {
            rill_sequence sequence = {.length = length,
                                      .queries = queries.features + row * features_dim,
                                      .keys = keys.features + row * features_dim,
                                      .values = v->values + row * value_dim};
            rill_attention_init(&shape, state);
            rill_attention_chunkwise(&shape, state, &sequence, output + row * value_dim);
        }
        conformance_expect(c, normalize ? "out.o" : "out.o_nonorm", output, tolerance);
    }
}

static void run(conformance_case *c) {
    if (conformance_file_starts(c, "featuremap_"))
        run_random_features(c);
    else if (conformance_file_starts(c, "based_"))
        run_based(c);
    else
        run_map(c);
}

static bool knows(const conformance_case *c) {
    const char *folder = conformance_folder(c);
    return strcmp(folder, "feature_maps") == 0 ||
           (strcmp(folder, "fast_transformers") == 0 && conformance_file_starts(c, "featuremap_")) ||
           (strcmp(folder, "fla_naive") == 0 && conformance_file_starts(c, "based_"));
}

const conformance_family conformance_feature_maps = {"feature maps", knows, run};
