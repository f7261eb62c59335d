/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <float.h>

#include <rill/encoder.h>

#include "count_allocations.h"
#include "encoder/layer.h"
#include "model_bytes.h"

#define SEED      UINT64_C(20061623602)
#define GOLDEN    RILL_TESTS "/../models/speaker-v1.golden.safetensors"
#define MOST_WIDE 512 /* of any row in these tests */

/* ---- the definition in double, one step at a time, straight from the model's tensors by their names ---- */

typedef struct definition {
    const rill_model *model;
    const rill_model_info *info;
    size_t steps;
    double *states;    /* [layers][heads][head_dim][head_dim + 1]: S and, last, z */
    double *histories; /* [layers][convolution_kernel][model_dim], oldest first */
} definition;

static definition definition_new(const rill_model *model) {
    const rill_model_info *info = rill_model_get_info(model);
    const size_t head_dim = info->model_dim / info->heads;
    return (definition){model, info, 0,
                        calloc(info->layers * info->model_dim * (head_dim + 1), sizeof(double)),
                        calloc(info->layers * info->convolution_kernel * info->model_dim, sizeof(double))};
}

static void definition_free(definition *of) {
    free(of->states);
    free(of->histories);
}

static const float *tensor(const definition *of, const char *scope, const char *part, size_t shape[4]) {
    char name[100];
    snprintf(name, sizeof name, "%s%s", scope, part);
    const float *values = rill_model_tensor(of->model, name, shape);
    cr_assert(values, "%s", name);
    return values;
}

/* A weight of any type as the number it stands for. */
static double weight_at(const rill_tensor *weight, const rill_tensor *scale, size_t o, size_t i) {
    const size_t at = o * weight->shape[1] + i;
    if (rill_tensor_f32(weight)) return (double)rill_tensor_f32(weight)[at];
    if (!rill_tensor_bf16(weight))
        return (double)((const signed char *)weight->bytes)[at] * (double)rill_tensor_f32(scale)[o];
    const unsigned half = rill_tensor_bf16(weight)[at], exponent = half >> 7 & 0xff;
    const double size = exponent ? ldexp(128 + half % 128, (int)exponent - 134) : ldexp(half % 128, -133);
    return half >> 15 ? -size : size;
}

static void affine(const definition *of, const char *scope, const char *part, const double *x, double *y) {
    char name[100];
    size_t shape[4];
    snprintf(name, sizeof name, "%s.bias", part);
    const float *bias = tensor(of, scope, name, shape);
    snprintf(name, sizeof name, "%s%s.weight", scope, part);
    const rill_tensor *weight = rill_safetensors_tensor(&of->model->file, name);
    cr_assert(weight, "%s", name);
    strcat(name, "_scale");
    const rill_tensor *scale = rill_safetensors_tensor(&of->model->file, name);
    for (size_t o = 0; o < weight->shape[0]; o++) {
        y[o] = (double)bias[o];
        for (size_t i = 0; i < weight->shape[1]; i++) y[o] += weight_at(weight, scale, o, i) * x[i];
    }
}

static void norm(const definition *of, const char *scope, const char *part, const double *x, double *y) {
    char name[64];
    size_t shape[4];
    snprintf(name, sizeof name, "%s.weight", part);
    const float *weight = tensor(of, scope, name, shape);
    snprintf(name, sizeof name, "%s.bias", part);
    const float *bias = tensor(of, scope, name, shape);
    double mean = 0, variance = 0;
    for (size_t i = 0; i < shape[0]; i++) mean += x[i] / (double)shape[0];
    for (size_t i = 0; i < shape[0]; i++) variance += (x[i] - mean) * (x[i] - mean) / (double)shape[0];
    for (size_t i = 0; i < shape[0]; i++)
        y[i] = (x[i] - mean) / sqrt(variance + of->info->norm_epsilon) * (double)weight[i] + (double)bias[i];
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static double elu1(double x) {
    return x > 0 ? x + 1 : exp(x);
}

static void define_attention(const definition *of, const char *scope, double *states, double *h) {
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

static void define_convolution(const definition *of, const char *scope, double *history, double *h) {
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

static void define_feed_forward(const definition *of, const char *scope, double *h) {
    double a[MOST_WIDE], u[MOST_WIDE];
    norm(of, scope, "feed_forward.norm", h, a);
    affine(of, scope, "feed_forward.expand", a, u);
    for (size_t i = 0; i < of->info->feed_forward_dim; i++) u[i] *= sigmoid(u[i]);
    affine(of, scope, "feed_forward.project", u, a);
    for (size_t i = 0; i < of->info->model_dim; i++) h[i] += a[i];
}

/* logits: that someone speaks, that two or more do */
static void define_step(definition *of, const float *log_mel, double *embedding, double logits[2]) {
    const rill_model_info *info = of->info;
    double x[MOST_WIDE], h[MOST_WIDE], length = 0;
    for (size_t i = 0; i < info->frames_per_step * info->mel_bands; i++) x[i] = (double)log_mel[i];
    affine(of, "", "input.projection", x, h);
    norm(of, "", "input.norm", h, h);
    for (size_t layer = 0; layer < info->layers; layer++) {
        char scope[32];
        snprintf(scope, sizeof scope, "layers.%zu.", layer);
        const size_t state = info->model_dim * (info->model_dim / info->heads + 1);
        define_attention(of, scope, of->states + layer * state, h);
        define_convolution(of, scope, of->histories + layer * info->convolution_kernel * info->model_dim, h);
        define_feed_forward(of, scope, h);
    }
    norm(of, "", "output.norm", h, h);
    affine(of, "", "output.speech", h, &logits[0]);
    logits[1] = -INFINITY;
    if (info->has_overlap) affine(of, "", "output.overlap", h, &logits[1]);
    affine(of, "", "output.embedding", h, embedding);
    for (size_t i = 0; i < info->embedding_dim; i++) length += embedding[i] * embedding[i];
    for (size_t i = 0; i < info->embedding_dim; i++) embedding[i] /= sqrt(length);
}

/* ---- what the tests share ---- */

static rill_model *open_shipped(void) {
    rill_model *model;
    rill_error why = {""};
    cr_assert_eq(rill_model_open(RILL_MODEL, &model, &why), RILL_OK, "%s", why.message);
    return model;
}

static rill_model *open_random(const model_sizes *sizes, uint64_t seed) {
    file_bytes file = model_bytes(sizes, seed, false);
    rill_model *model;
    rill_error why = {""};
    cr_assert_eq(rill_model_from_memory("random", file.data, file.size, &model, &why), RILL_OK, "%s",
                 why.message);
    free(file.data);
    return model;
}

static void *new_encoder(const rill_model *model) {
    const size_t size = rill_encoder_size(model);
    cr_assert_eq(size % RILL_STATE_ALIGNMENT, 0);
    unsigned char *encoder = aligned_alloc(RILL_STATE_ALIGNMENT, size);
    memset(encoder, 0xa5, size);
    rill_encoder_init(model, encoder);
    return encoder;
}

/* A sequence of inputs and room for what comes out. */
typedef struct recording {
    size_t steps, inputs, dim;
    float *log_mel, *embeddings, *logits, *overlap;
} recording;

static recording recording_new(const rill_model *model, size_t steps) {
    const rill_model_info *info = rill_model_get_info(model);
    const size_t inputs = info->frames_per_step * info->mel_bands, dim = info->embedding_dim;
    return (recording){steps,
                       inputs,
                       dim,
                       calloc(steps * inputs, sizeof(float)),
                       calloc(steps * dim, sizeof(float)),
                       calloc(steps, sizeof(float)),
                       calloc(steps, sizeof(float))};
}

static recording recording_random(const rill_model *model, size_t steps) {
    recording of = recording_new(model, steps);
    for (size_t i = 0; i < steps * of.inputs; i++) of.log_mel[i] = 2 * random_float();
    return of;
}

static void recording_free(recording *of) {
    free(of->log_mel);
    free(of->embeddings);
    free(of->logits);
    free(of->overlap);
}

/* Runs steps from … to − 1, in one call or by single steps. */
static void run(const rill_model *model, void *encoder, recording *of, size_t from, size_t to,
                bool by_steps) {
    if (!by_steps) {
        rill_encoder_prefill(model, encoder, to - from, of->log_mel + from * of->inputs,
                             of->embeddings + from * of->dim, of->logits + from, of->overlap + from);
        return;
    }
    for (size_t t = from; t < to; t++)
        rill_encoder_step(model, encoder, of->log_mel + t * of->inputs, of->embeddings + t * of->dim,
                          of->logits + t, of->overlap + t);
}

/* Pieces of random length, each by prefill or by steps. */
static void run_mixed(const rill_model *model, void *encoder, recording *of, size_t longest) {
    for (size_t from = 0; from < of->steps;) {
        size_t length = random_size(0, longest);
        size_t to = from + length < of->steps ? from + length : of->steps;
        run(model, encoder, of, from, to, random_bits() >> 63);
        from = to;
    }
}

/* The larger one; NaN stays, where fmax would lose it. */
static double worse(double a, double b) {
    return isnan(a) || b <= a ? a : b;
}

static double largest_difference(size_t count, const float *a, const float *b) {
    double largest = 0;
    for (size_t i = 0; i < count; i++) largest = worse(largest, fabs((double)a[i] - (double)b[i]));
    return largest;
}

/* ---- the golden values ---- */

typedef struct golden {
    rill_safetensors file;
    size_t steps;
    float *log_mel; /* normalised for the model; in the file it is ln(power + log_floor) */
    const float *input_projection, *layer_0, *embedding, *speech_logit;
} golden;

static golden golden_open(const rill_model_info *info) {
    golden of;
    rill_error why = {""};
    cr_assert_eq(rill_safetensors_open(GOLDEN, &of.file, &why), RILL_OK, "%s", why.message);
#define VALUES(name) rill_tensor_f32(rill_safetensors_tensor(&of.file, name))
    of.input_projection = VALUES("out.input_projection");
    of.layer_0 = VALUES("out.layer_0");
    of.embedding = VALUES("out.embedding");
    of.speech_logit = VALUES("out.speech_logit");
    of.steps = rill_safetensors_tensor(&of.file, "out.speech_logit")->count;
    const size_t count = of.steps * info->frames_per_step * info->mel_bands;
    of.log_mel = malloc(count * sizeof *of.log_mel);
    for (size_t i = 0; i < count; i++)
        of.log_mel[i] = (VALUES("out.log_mel")[i] - (float)info->feature_mean) * (float)info->feature_scale;
    return of;
}

static void golden_close(golden *of) {
    free(of->log_mel);
    rill_safetensors_free(&of->file);
}

/* The largest differences of some runs. */
typedef struct distance {
    double embedding, logit;
} distance;

static void compare(distance *worst, const golden *wanted, const recording *of) {
    worst->embedding = worse(worst->embedding,
                             largest_difference(wanted->steps * of->dim, of->embeddings, wanted->embedding));
    worst->logit = worse(worst->logit, largest_difference(wanted->steps, of->logits, wanted->speech_logit));
}

/* The bar is 1e-4; float gives far better, and what is met is printed. */
static void expect_golden(distance worst, const char *how) {
    printf("golden %s: embedding within %.2g, speech logit within %.2g\n", how, worst.embedding, worst.logit);
    cr_expect_leq(worst.embedding, 1e-5, "%s: %g", how, worst.embedding);
    cr_expect_leq(worst.logit, 1e-4, "%s: %g", how, worst.logit);
}

Test(encoder, meets_the_golden_values_by_steps_by_prefill_and_by_any_mix) {
    rill_model *model = open_shipped();
    golden wanted = golden_open(rill_model_get_info(model));
    recording of = recording_new(model, wanted.steps);
    memcpy(of.log_mel, wanted.log_mel, of.steps * of.inputs * sizeof(float));
    void *encoder = new_encoder(model);
    random_seed(SEED);

    distance steps = {0}, prefill = {0}, mixes = {0};
    run(model, encoder, &of, 0, of.steps, true);
    compare(&steps, &wanted, &of);
    expect_golden(steps, "by steps");
    rill_encoder_reset(model, encoder);
    run(model, encoder, &of, 0, of.steps, false);
    compare(&prefill, &wanted, &of);
    expect_golden(prefill, "by prefill");
    printf("seed %llu\n", (unsigned long long)SEED);
    for (size_t mix = 0; mix < 10; mix++) {
        rill_encoder_reset(model, encoder);
        run_mixed(model, encoder, &of, mix < 5 ? 5 : 50);
        compare(&mixes, &wanted, &of);
    }
    expect_golden(mixes, "by any mix");
    free(encoder);
    recording_free(&of);
    golden_close(&wanted);
    rill_model_close(model);
}

Test(encoder, meets_the_golden_values_between_its_layers) {
    rill_model *model = open_shipped();
    golden wanted = golden_open(rill_model_get_info(model));
    const size_t dim = model->info.model_dim;
    unsigned char *encoder = new_encoder(model);
    rill_workspace work = rill_workspace_at(&model->info, encoder + model->info.state_size);
    double input = 0, layer = 0;
    for (size_t t = 0; t < wanted.steps; t++) {
        rill_dense_run(model, &model->input, 1, wanted.log_mel + t * model->input.inputs, work.hidden);
        rill_norm_run(model, &model->input_norm, 1, work.hidden, work.hidden);
        input = worse(input, largest_difference(dim, work.hidden, wanted.input_projection + t * dim));
        rill_layer_run(model, &model->layers[0], 0, &(rill_stream_rows){1, 1, &encoder}, work);
        layer = worse(layer, largest_difference(dim, work.hidden, wanted.layer_0 + t * dim));
    }
    printf("golden input projection within %.2g, layer 0 within %.2g\n", input, layer);
    cr_expect_leq(input, 1e-4);
    cr_expect_leq(layer, 1e-4);
    free(encoder);
    golden_close(&wanted);
    rill_model_close(model);
}

/* So that the definition that judges random models is itself judged by numbers nobody here computed. */
Test(encoder, definition_meets_the_golden_values) {
    rill_model *model = open_shipped();
    golden wanted = golden_open(rill_model_get_info(model));
    definition defined = definition_new(model);
    double embedding[MOST_WIDE], logits[2], worst = 0, worst_logit = 0;
    for (size_t t = 0; t < wanted.steps; t++) {
        define_step(&defined, wanted.log_mel + t * model->input.inputs, embedding, logits);
        for (size_t i = 0; i < 128; i++)
            worst = worse(worst, fabs(embedding[i] - (double)wanted.embedding[t * 128 + i]));
        worst_logit = worse(worst_logit, fabs(logits[0] - (double)wanted.speech_logit[t]));
    }
    cr_expect_leq(worst, 1e-6, "%g", worst);
    cr_expect_leq(worst_logit, 1e-5, "%g", worst_logit);
    definition_free(&defined);
    golden_close(&wanted);
    rill_model_close(model);
}

/* ---- laws, on random models ---- */

static model_sizes random_sizes(void) {
    const size_t heads = random_size(1, 4);
    return (model_sizes){random_size(1, 3),
                         heads * random_size(4, 20),
                         heads,
                         random_size(1, 70),
                         random_size(1, 12),
                         random_size(2, 40),
                         random_size(1, 30),
                         random_size(1, 4),
                         random_bits() >> 63,
                         (model_weights)random_size(WEIGHTS_F32, WEIGHTS_MIXED)};
}

/* Float against double on networks of at most 3 layers: each is some 10 rounded operations deep on values of
 * order 1 with sums of at most 120 products, so 1e3 roundings of 6e-8 at the very worst. */
#define ROUNDING 6e-5

Test(encoder, is_the_definition_on_random_models_and_splits) {
    random_seed(SEED);
    double worst = 0;
    for (size_t trial = 0; trial < 30; trial++) {
        const model_sizes sizes = random_sizes();
        rill_model *model = open_random(&sizes, random_bits());
        recording of = recording_random(model, random_size(1, 60));
        void *encoder = new_encoder(model);
        run_mixed(model, encoder, &of, 40);
        definition defined = definition_new(model);
        for (size_t t = 0; t < of.steps; t++) {
            double embedding[MOST_WIDE], logits[2];
            define_step(&defined, of.log_mel + t * of.inputs, embedding, logits);
            worst = worse(worst, fabs(logits[0] - (double)of.logits[t]) / (1 + fabs(logits[0])));
            if (sizes.overlap)
                worst = worse(worst, fabs(logits[1] - (double)of.overlap[t]) / (1 + fabs(logits[1])));
            else
                cr_assert(of.overlap[t] == -INFINITY && logits[1] == -INFINITY);
            for (size_t i = 0; i < of.dim; i++)
                worst = worse(worst, fabs(embedding[i] - (double)of.embeddings[t * of.dim + i]));
            cr_assert_leq(worst, ROUNDING, "trial %zu of seed %llu, step %zu: %g", trial,
                          (unsigned long long)SEED, t, worst);
        }
        definition_free(&defined);
        free(encoder);
        recording_free(&of);
        rill_model_close(model);
    }
    printf("seed %llu: within %.2g of the definition\n", (unsigned long long)SEED, worst);
}

Test(encoder, a_copy_of_the_memory_goes_on_alike) {
    rill_model *model = open_shipped();
    random_seed(SEED);
    recording of = recording_random(model, 50), again = recording_new(model, 50);
    memcpy(again.log_mel, of.log_mel, of.steps * of.inputs * sizeof(float));
    const size_t state_size = rill_model_get_info(model)->state_size;
    void *encoder = new_encoder(model), *fork = new_encoder(model), *bare = new_encoder(model);
    run(model, encoder, &of, 0, 20, true);
    memcpy(fork, encoder, rill_encoder_size(model));
    memcpy(bare, encoder, state_size); /* the workspace is none of the history */
    run(model, encoder, &of, 20, 50, true);
    run(model, fork, &again, 20, 50, true);
    cr_expect_arr_eq(of.embeddings + 20 * of.dim, again.embeddings + 20 * of.dim,
                     30 * of.dim * sizeof(float));
    cr_expect_arr_eq(of.logits + 20, again.logits + 20, 30 * sizeof(float));
    cr_expect_arr_eq(encoder, fork, state_size);
    run(model, bare, &again, 20, 50, true);
    cr_expect_arr_eq(of.embeddings + 20 * of.dim, again.embeddings + 20 * of.dim,
                     30 * of.dim * sizeof(float));
    cr_expect_arr_eq(encoder, bare, state_size);
    free(encoder), free(fork), free(bare);
    recording_free(&of), recording_free(&again);
    rill_model_close(model);
}

Test(encoder, reset_is_init_and_no_steps_are_nothing) {
    rill_model *model = open_random(&tiny_sizes, SEED);
    random_seed(SEED);
    recording of = recording_random(model, 30);
    void *fresh = new_encoder(model), *used = new_encoder(model);
    rill_encoder_prefill(model, used, 0, NULL, NULL, NULL, NULL);
    cr_expect_arr_eq(used, fresh, rill_encoder_size(model));
    run(model, used, &of, 0, 30, false);
    cr_expect(memcmp(used, fresh, rill_model_get_info(model)->state_size));
    rill_encoder_reset(model, used);
    cr_expect_arr_eq(used, fresh, rill_encoder_size(model));
    free(fresh), free(used);
    recording_free(&of);
    rill_model_close(model);
}

static void expect_refused_row(const recording *of, size_t t) {
    for (size_t i = 0; i < of->dim; i++) cr_expect(isnan(of->embeddings[t * of->dim + i]));
    cr_expect(of->logits[t] == -INFINITY && of->overlap[t] == -INFINITY);
}

Test(encoder, a_value_that_is_not_finite_leaves_no_trace) {
    rill_model *model = open_shipped();
    random_seed(SEED);
    const size_t steps = 60, state_size = rill_model_get_info(model)->state_size;
    const float bad[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX};
    recording good = recording_random(model, steps), mixed = recording_new(model, 2 * steps);
    size_t place[60], t = 0; /* each good step somewhere among bad ones */
    for (size_t i = 0; i < steps; i++) {
        while (t - i < steps && random_bits() >> 63) {
            for (size_t j = 0; j < mixed.inputs; j++) mixed.log_mel[t * mixed.inputs + j] = random_float();
            const size_t kind = random_size(0, 4);
            /* one such value is enough, but for finite ones: all, to overflow the sums */
            for (size_t j = 0; j < (kind < 3 ? 1 : mixed.inputs); j++)
                mixed.log_mel[t * mixed.inputs + (kind < 3 ? random_size(0, mixed.inputs - 1) : j)] =
                    bad[kind];
            t++;
        }
        memcpy(mixed.log_mel + t * mixed.inputs, good.log_mel + i * good.inputs, good.inputs * sizeof(float));
        place[i] = t++;
    }
    mixed.steps = t;
    void *encoder = new_encoder(model), *troubled = new_encoder(model);
    run(model, encoder, &good, 0, steps, true);

    run(model, troubled, &mixed, 0, mixed.steps, true);
    for (size_t i = 0, row = 0; row < mixed.steps; row++)
        if (i < steps && place[i] == row)
            cr_expect_arr_eq(mixed.embeddings + row * mixed.dim, good.embeddings + i++ * good.dim,
                             good.dim * sizeof(float));
        else
            expect_refused_row(&mixed, row);
    cr_expect_arr_eq(troubled, encoder, state_size, "by steps the very same bits");

    rill_encoder_reset(model, troubled);
    run_mixed(model, troubled, &mixed, 40);
    for (size_t i = 0, row = 0; row < mixed.steps; row++)
        if (i < steps && place[i] == row) {
            cr_expect_leq(largest_difference(good.dim, mixed.embeddings + row * mixed.dim,
                                             good.embeddings + i++ * good.dim),
                          1e-5);
        } else {
            expect_refused_row(&mixed, row);
        }
    free(encoder), free(troubled);
    recording_free(&good), recording_free(&mixed);
    rill_model_close(model);
}

/* Streams of different histories, one step together and each alone. */
static double check_batch(const rill_model *model, size_t count) {
    double worst = 0;
    const rill_model_info *info = rill_model_get_info(model);
    void **together = calloc(count + 1, sizeof *together);
    recording batch = recording_random(model, count + 1), alone = recording_new(model, count + 1);
    memcpy(alone.log_mel, batch.log_mel, (count + 1) * batch.inputs * sizeof(float));
    bool *refused = calloc(count + 1, sizeof *refused);
    void *state = malloc(info->state_size);
    for (size_t s = 0; s < count; s++) {
        together[s] = new_encoder(model);
        recording before = recording_random(model, random_size(0, 6));
        run(model, together[s], &before, 0, before.steps, false);
        recording_free(&before);
        refused[s] = random_below(4) == 0;
        if (refused[s]) batch.log_mel[s * batch.inputs + random_below(batch.inputs)] = NAN;
        memcpy(alone.log_mel + s * batch.inputs, batch.log_mel + s * batch.inputs,
               batch.inputs * sizeof(float));
    }
    void **singles = calloc(count + 1, sizeof *singles);
    for (size_t s = 0; s < count; s++) {
        singles[s] = new_encoder(model);
        memcpy(singles[s], together[s], info->state_size);
        memcpy(state, together[s], info->state_size);
        run(model, singles[s], &alone, s, s + 1, true);
        if (refused[s]) cr_assert_arr_eq(singles[s], state, info->state_size);
    }
    rill_encoder_step_batch(model, count, together, batch.log_mel, batch.embeddings, batch.logits,
                            batch.overlap);
    for (size_t s = 0; s < count; s++) {
        if (refused[s]) {
            expect_refused_row(&batch, s);
            cr_assert_arr_eq(together[s], singles[s], info->state_size);
            continue;
        }
        const float *a = together[s], *b = singles[s];
        for (size_t i = 0; i < info->state_size / sizeof *a; i++)
            worst = worse(worst, fabs((double)a[i] - (double)b[i]) / (1 + fabs((double)b[i])));
        worst = worse(worst, largest_difference(batch.dim, batch.embeddings + s * batch.dim,
                                                alone.embeddings + s * batch.dim));
        worst = worse(worst, fabs((double)batch.logits[s] - (double)alone.logits[s]) /
                                 (1 + fabs((double)alone.logits[s])));
        if (info->has_overlap)
            worst = worse(worst, fabs((double)batch.overlap[s] - (double)alone.overlap[s]) /
                                     (1 + fabs((double)alone.overlap[s])));
        else
            cr_assert(batch.overlap[s] == -INFINITY && alone.overlap[s] == -INFINITY);
    }
    for (size_t s = 0; s < count; s++) free(together[s]), free(singles[s]);
    free(together), free(singles), free(refused), free(state);
    recording_free(&batch), recording_free(&alone);
    return worst;
}

Test(encoder, streams_stepped_together_go_as_each_alone) {
    double worst = 0;
    random_seed(SEED);
    printf("seed %llu\n", (unsigned long long)SEED);
    for (size_t trial = 0; trial < 30; trial++) {
        const model_sizes sizes = random_sizes();
        const uint64_t seed = random_bits();
        rill_model *model = open_random(&sizes, seed);
        random_seed(seed);
        worst = worse(worst, check_batch(model, trial < 2 ? trial : random_size(1, 40)));
        rill_model_close(model);
    }
    rill_model *model = open_shipped();
    const double shipped = worse(check_batch(model, 16), check_batch(model, 37));
    printf("together and alone within %.2g, of the shipped model %.2g\n", worst, shipped);
    cr_expect_leq(worst, 2 * ROUNDING); /* both are as near to the definition */
    cr_expect_leq(shipped, 2e-5);       /* of the logits, sums of 192 terms behind five layers */
    rill_model_close(model);
}

/* No finite value, of whatever size, may leave the state anything but finite. */
Test(encoder, stays_finite_on_huge_inputs) {
    rill_model *model = open_shipped();
    random_seed(SEED);
    void *encoder = new_encoder(model);
    for (float size = 1; size < 1e38f; size *= 1000) {
        recording of = recording_random(model, 40);
        for (size_t i = 0; i < of.steps * of.inputs; i++) of.log_mel[i] *= size;
        run_mixed(model, encoder, &of, 20);
        recording_free(&of);
        of = recording_random(model, 1);
        run(model, encoder, &of, 0, 1, true);
        for (size_t i = 0; i < of.dim; i++) cr_assert(isfinite(of.embeddings[i]), "%g", (double)size);
        recording_free(&of);
    }
    free(encoder);
    rill_model_close(model);
}

Test(encoder, a_zero_vector_stays_zero) {
    file_bytes file = model_bytes(&tiny_sizes, SEED, false);
    const char *part[] = {"output.embedding.weight", "output.embedding.bias"};
    for (size_t i = 0; i < 2; i++) {
        char *rest = strstr(strstr((char *)file.data + 8, part[i]), "data_offsets\":[") + 15;
        size_t begin = strtoul(rest, &rest, 10), end = strtoul(rest + 1, &rest, 10);
        memset(file.data + 8 + header_size_of(file) + begin, 0, end - begin);
    }
    rill_model *model;
    cr_assert_eq(rill_model_from_memory("x", file.data, file.size, &model, NULL), RILL_OK);
    void *encoder = new_encoder(model);
    const float log_mel[2] = {1, 2};
    float embedding[2] = {7, 7}, logit;
    rill_encoder_step(model, encoder, log_mel, embedding, &logit, NULL);
    cr_assert(embedding[0] == 0 && embedding[1] == 0 && isfinite(logit));
    free(encoder);
    rill_model_close(model);
    free(file.data);
}

Test(encoder, step_and_prefill_do_not_allocate) {
#if COUNTS_ALLOCATIONS
    rill_model *model = open_shipped();
    random_seed(SEED);
    recording of = recording_random(model, 100);
    of.log_mel[7] = NAN;
    void *encoder = new_encoder(model), *other = new_encoder(model);
    const size_t before = allocations;
    cr_assert_gt(before, 4, "the counter does not count");
    run(model, encoder, &of, 0, 30, true);
    run(model, encoder, &of, 30, 100, false);
    rill_encoder_step_batch(model, 2, (void *const[]){encoder, other}, of.log_mel, of.embeddings, of.logits,
                            of.overlap);
    rill_encoder_reset(model, encoder);
    const size_t after = allocations;
    cr_assert_eq(after, before);
    free(encoder), free(other);
    recording_free(&of);
    rill_model_close(model);
#else
    (void)allocations;
    cr_skip_test("SKIPPED: allocations cannot be counted under a sanitizer or without glibc");
#endif
}
