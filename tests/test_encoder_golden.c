/* SPDX-License-Identifier: MIT */
/* The shipped model against the values that its recipe's own network gave, in double. */
#include <criterion/criterion.h>

#include "encoder/layer.h"
#include "encoder_definition.h"
#include "encoder_run.h"

#define SEED   UINT64_C(20061623602)
#define GOLDEN RILL_TESTS "/../models/speaker-v1.golden.safetensors"

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

Test(encoder_golden, meets_the_golden_values_by_steps_by_prefill_and_by_any_mix) {
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

Test(encoder_golden, meets_the_golden_values_between_its_layers) {
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
Test(encoder_golden, definition_meets_the_golden_values) {
    rill_model *model = open_shipped();
    golden wanted = golden_open(rill_model_get_info(model));
    definition defined = definition_new(model);
    const size_t dim = model->info.embedding_dim;
    double embedding[MOST_WIDE], logits[2], worst = 0, worst_logit = 0;
    for (size_t t = 0; t < wanted.steps; t++) {
        define_step(&defined, wanted.log_mel + t * model->input.inputs, embedding, logits);
        for (size_t i = 0; i < dim; i++)
            worst = worse(worst, fabs(embedding[i] - (double)wanted.embedding[t * dim + i]));
        worst_logit = worse(worst_logit, fabs(logits[0] - (double)wanted.speech_logit[t]));
    }
    cr_expect_leq(worst, 1e-6, "%g", worst);
    cr_expect_leq(worst_logit, 1e-5, "%g", worst_logit);
    definition_free(&defined);
    golden_close(&wanted);
    rill_model_close(model);
}
