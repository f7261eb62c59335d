/* SPDX-License-Identifier: MIT */
/* The encoder's definition in double, one step at a time, straight from the model's tensors by their names.
 */
#ifndef RILL_TEST_ENCODER_DEFINITION_H
#define RILL_TEST_ENCODER_DEFINITION_H

#include <criterion/criterion.h>

#include <rill/encoder.h>

#include "encoder/model.h"
#include "model_bytes.h"

#define MOST_WIDE 512 /* of any row in these tests */

typedef struct definition {
    const rill_model *model;
    const rill_model_info *info;
    size_t steps;
    double *states;    /* [layers + speech_layers][heads][head_dim][head_dim + 1]: S and, last, z */
    double *histories; /* [layers + speech_layers][convolution_kernel][model_dim], oldest first */
} definition;

static inline definition definition_new(const rill_model *model) {
    const rill_model_info *info = rill_model_get_info(model);
    const size_t head_dim = info->model_dim / info->heads, layers = info->layers + info->speech_layers;
    return (definition){model, info, 0, calloc(layers * info->model_dim * (head_dim + 1), sizeof(double)),
                        calloc(layers * info->convolution_kernel * info->model_dim, sizeof(double))};
}

static inline void definition_free(definition *of) {
    free(of->states);
    free(of->histories);
}

static inline const float *tensor(const definition *of, const char *scope, const char *part,
                                  size_t shape[4]) {
    char name[NAME_SIZE];
    join_name(name, scope, part, "");
    const float *values = rill_model_tensor(of->model, name, shape);
    cr_assert(values, "%s", name);
    return values;
}

/* A weight of any type as the number it stands for. */
static inline double weight_at(const rill_tensor *weight, const rill_tensor *scale, size_t o, size_t i) {
    const size_t at = o * weight->shape[1] + i;
    if (rill_tensor_f32(weight)) return (double)rill_tensor_f32(weight)[at];
    if (!rill_tensor_bf16(weight))
        return (double)((const signed char *)weight->bytes)[at] * (double)rill_tensor_f32(scale)[o];
    const unsigned half = rill_tensor_bf16(weight)[at], exponent = half >> 7 & 0xff;
    const double size = exponent ? ldexp(128 + half % 128, (int)exponent - 134) : ldexp(half % 128, -133);
    return half >> 15 ? -size : size;
}

static inline void affine(const definition *of, const char *scope, const char *part, const double *x,
                          double *y) {
    char name[NAME_SIZE];
    size_t shape[4];
    join_name(name, scope, part, ".bias");
    const float *bias = tensor(of, "", name, shape);
    join_name(name, scope, part, ".weight");
    const rill_tensor *weight = rill_safetensors_tensor(&of->model->file, name);
    cr_assert(weight, "%s", name);
    join_name(name, scope, part, ".weight_scale");
    const rill_tensor *scale = rill_safetensors_tensor(&of->model->file, name);
    for (size_t o = 0; o < weight->shape[0]; o++) {
        y[o] = (double)bias[o];
        for (size_t i = 0; i < weight->shape[1]; i++) y[o] += weight_at(weight, scale, o, i) * x[i];
    }
}

static inline void norm(const definition *of, const char *scope, const char *part, const double *x,
                        double *y) {
    char name[NAME_SIZE];
    size_t shape[4];
    join_name(name, scope, part, ".weight");
    const float *weight = tensor(of, "", name, shape);
    join_name(name, scope, part, ".bias");
    const float *bias = tensor(of, "", name, shape);
    double mean = 0, variance = 0;
    for (size_t i = 0; i < shape[0]; i++) mean += x[i] / (double)shape[0];
    for (size_t i = 0; i < shape[0]; i++) variance += (x[i] - mean) * (x[i] - mean) / (double)shape[0];
    for (size_t i = 0; i < shape[0]; i++)
        y[i] = (x[i] - mean) / sqrt(variance + of->info->norm_epsilon) * (double)weight[i] + (double)bias[i];
}

static inline double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static inline double elu1(double x) {
    return x > 0 ? x + 1 : exp(x);
}

static inline void define_attention(const definition *of, const char *scope, double *states, double *h) {
    const size_t dim = of->info->model_dim, head_dim = dim / of->info->heads;
    double a[MOST_WIDE], q[MOST_WIDE], k[MOST_WIDE], v[MOST_WIDE], o[MOST_WIDE] = {0};
    norm(of, scope, "attention.norm", h, a);
    affine(of, scope, "attention.query", a, q);
    affine(of, scope, "attention.key", a, k);
    affine(of, scope, "attention.value", a, v);
    size_t shape[4];
    const float *log_decay = tensor(of, scope, "attention.log_decay", shape);
    for (size_t i = 0; i < dim; i++) {
        const size_t head = i / head_dim;
        const double decay = exp((double)log_decay[head]);
        double *row = states + i * (head_dim + 1); /* S[head][i] and z[head][i] */
        for (size_t j = 0; j < head_dim; j++) {
            row[j] = decay * row[j] + elu1(k[i]) * v[head * head_dim + j];
            o[head * head_dim + j] += elu1(q[i]) * row[j];
        }
        row[head_dim] = decay * row[head_dim] + elu1(k[i]);
    }
    for (size_t head = 0; head < of->info->heads; head++) {
        double total = of->info->normalizer_epsilon;
        for (size_t i = head * head_dim; i < (head + 1) * head_dim; i++)
            total += elu1(q[i]) * states[i * (head_dim + 1) + head_dim];
        for (size_t i = head * head_dim; i < (head + 1) * head_dim; i++) o[i] /= total;
    }
    affine(of, scope, "attention.output", o, a);
    for (size_t i = 0; i < dim; i++) h[i] += a[i];
}

static inline void define_convolution(const definition *of, const char *scope, double *history, double *h) {
    const size_t dim = of->info->model_dim, taps = of->info->convolution_kernel;
    double a[MOST_WIDE], u[MOST_WIDE], y[MOST_WIDE];
    size_t shape[4];
    norm(of, scope, "convolution.norm", h, a);
    affine(of, scope, "convolution.expand", a, u);
    const float *weight = tensor(of, scope, "convolution.depthwise.weight", shape);
    const float *bias = tensor(of, scope, "convolution.depthwise.bias", shape);
    memmove(history, history + dim, (taps - 1) * dim * sizeof *history);
    for (size_t i = 0; i < dim; i++) {
        history[(taps - 1) * dim + i] = u[i] * sigmoid(u[dim + i]);
        y[i] = (double)bias[i];
        for (size_t j = 0; j < taps; j++) y[i] += (double)weight[i * taps + j] * history[j * dim + i];
        y[i] *= sigmoid(y[i]);
    }
    affine(of, scope, "convolution.project", y, a);
    for (size_t i = 0; i < dim; i++) h[i] += a[i];
}

static inline void define_feed_forward(const definition *of, const char *scope, double *h) {
    double a[MOST_WIDE], u[MOST_WIDE];
    norm(of, scope, "feed_forward.norm", h, a);
    affine(of, scope, "feed_forward.expand", a, u);
    for (size_t i = 0; i < of->info->feed_forward_dim; i++) u[i] *= sigmoid(u[i]);
    affine(of, scope, "feed_forward.project", u, a);
    for (size_t i = 0; i < of->info->model_dim; i++) h[i] += a[i];
}

/* Layer number `layer` of a stack; place: of its state among all. */
static inline void define_layer(definition *of, const char *stack, size_t layer, size_t place, double *h) {
    const rill_model_info *info = of->info;
    char scope[40];
    snprintf(scope, sizeof scope, "%s.%zu.", stack, layer);
    const size_t state = info->model_dim * (info->model_dim / info->heads + 1);
    define_attention(of, scope, of->states + place * state, h);
    define_convolution(of, scope, of->histories + place * info->convolution_kernel * info->model_dim, h);
    define_feed_forward(of, scope, h);
}

/* logits: that someone speaks, that two or more do */
static inline void define_step(definition *of, const float *log_mel, double *embedding, double logits[2]) {
    const rill_model_info *info = of->info;
    double x[MOST_WIDE], h[MOST_WIDE] = {0}, s[MOST_WIDE], length = 0;
    for (size_t i = 0; i < info->frames_per_step * info->mel_bands; i++) x[i] = (double)log_mel[i];
    affine(of, "", "input.projection", x, h);
    norm(of, "", "input.norm", h, h);
    memcpy(s, h, sizeof s);
    for (size_t layer = 0; layer < info->layers; layer++) {
        define_layer(of, "layers", layer, layer, h);
        if (layer + 1 == info->shared_layers) memcpy(s, h, sizeof s);
    }
    norm(of, "", "output.norm", h, h);
    for (size_t layer = 0; layer < info->speech_layers; layer++)
        define_layer(of, "speech.layers", layer, info->layers + layer, s);
    if (info->speech_layers)
        norm(of, "", "speech.norm", s, s);
    else
        memcpy(s, h, sizeof s);
    affine(of, "", "output.speech", s, &logits[0]);
    logits[1] = -INFINITY;
    if (info->has_overlap) affine(of, "", "output.overlap", s, &logits[1]);
    affine(of, "", "output.embedding", h, embedding);
    for (size_t i = 0; i < info->embedding_dim; i++) length += embedding[i] * embedding[i];
    for (size_t i = 0; i < info->embedding_dim; i++) embedding[i] /= sqrt(length);
}

#endif
