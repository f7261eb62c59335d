/* SPDX-License-Identifier: MIT */
/* The race of the encoder: a step of one stream, against reading its weights once from where they live. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rill/encoder.h>

#include "bench_bounds.h"
#include "bench_figure.h"
#include "bench_inputs.h"
#include "bench_kernels.h"
#include "chosen_model.h"
#include "command.h"
#include "json_line.h"
#include "message.h"

enum { STEPS = 32 }; /* of a run, from the empty history on */

struct encoder_job {
    const rill_kernels *table;
    const rill_model *model;
    const float *log_mel; /* [STEPS][frames_per_step][mel_bands] */
    size_t log_mel_floats, dim;
    void *encoder;
    float *embedding, *expected; /* [dim] of the last step */
};

static void run(void *context) {
    struct encoder_job *job = context;
    float speech;
    rill_encoder_reset(job->model, job->encoder);
    for (size_t t = 0; t < STEPS; t++)
        rill_encoder_step(job->model, job->encoder, job->log_mel + t * job->log_mel_floats, job->embedding,
                          &speech, NULL);
}

static void before(void *context) {
    struct encoder_job *job = context;
    rill_kernels_use(job->table);
    memset(job->embedding, 0xFF, job->dim * sizeof *job->embedding); /* NaN */
}

static bool after(void *context) {
    struct encoder_job *job = context;
    return memcmp(job->embedding, job->expected, job->dim * sizeof *job->embedding) == 0;
}

/* The greatest difference from the reference's embedding, which is of length 1. */
static double check(struct encoder_job *job) {
    struct encoder_job judge = *job;
    bool runs_here;
    judge.table = rill_kernels_at(0, &runs_here);
    before(&judge);
    run(&judge);
    memcpy(job->expected, job->embedding, job->dim * sizeof *job->expected);
    before(job);
    run(job);
    double worst = 0;
    for (size_t i = 0; i < job->dim; i++) {
        double difference = fabs((double)job->embedding[i] - (double)job->expected[i]);
        if (!(difference <= 2)) return INFINITY;
        worst = fmax(worst, difference);
    }
    memcpy(job->expected, job->embedding, job->dim * sizeof *job->expected);
    return worst;
}

static void tell(struct kernels_bench *bench, const struct planned_race *planned, const struct bounds *bounds,
                 const struct encoder_job *job, const struct contender *contender, double error) {
    const rill_model_info *info = rill_model_get_info(job->model);
    const double heads = (double)info->heads, weights = (double)info->parameters;
    const double read = bounds_read_seconds(bounds, weights),
                 multiply_adds = 2 * weights / bounds_flops(bounds);
    json_t *row = figure_row(&(struct figure){.what = planned->what,
                                              .kernels = job->table->name,
                                              .heads = info->heads,
                                              .key_dim = info->model_dim / info->heads,
                                              .value_dim = info->model_dim / info->heads,
                                              .length = 1,
                                              .threads = 1,
                                              .contender = contender,
                                              .token_heads = STEPS * heads,
                                              .flops = 2 * weights / heads,
                                              .limit = read > multiply_adds ? "read" : "fma",
                                              .least_seconds = fmax(read, multiply_adds) / heads},
                             bounds);
    json_object_set_new(row, "error", json_real(error));
    json_object_set_new(row, "weights", json_string("float32"));
    json_object_set_new(row, "weight_bytes", json_integer((json_int_t)(info->parameters * sizeof(float))));
    json_object_set_new(row, "streams", json_integer(1));
    json_object_set_new(row, "us_per_step", json_decimal(1e6 * race_median(contender) / STEPS, 3));
    bench_output_row(&bench->output, row);
}

int race_encoder(struct kernels_bench *bench, const struct planned_race *planned) {
    static const double tolerance = 1e-3; /* the reference sums in double, layer after layer */
    rill_model *model = chosen_model_open(bench->model);
    if (!model) return EXIT_INPUT;
    const rill_model_info *info = rill_model_get_info(model);
    const size_t step = info->frames_per_step * info->mel_bands, dim = info->embedding_dim;
    float *log_mel = aligned_memory(STEPS * step * sizeof *log_mel);
    float *weights = aligned_memory(info->parameters * sizeof *weights);
    float *embeddings = aligned_memory((1 + TABLES_MAX) * dim * sizeof *embeddings);
    void *encoder = aligned_memory(rill_encoder_size(model));
    int code = EXIT_INPUT;
    if (!log_mel || !weights || !embeddings || !encoder) {
        complain("out of memory");
        goto end;
    }
    fill_random(STEPS * step, -1, 1, log_mel);
    fill_random(info->parameters, -1, 1, weights);
    rill_encoder_init(model, encoder);
    struct bounds bounds = {.state = weights, .state_floats = info->parameters};
    struct contender contenders[BOUNDS_MAX + TABLES_MAX];
    const size_t first = bounds_enter(&bounds, contenders);
    struct encoder_job jobs[TABLES_MAX];
    double errors[TABLES_MAX];
    code = EXIT_DONE;
    for (size_t i = 0; i < bench->tables_count; i++) {
        jobs[i] = (struct encoder_job){.table = bench->tables[i],
                                       .model = model,
                                       .log_mel = log_mel,
                                       .log_mel_floats = step,
                                       .dim = dim,
                                       .encoder = encoder,
                                       .embedding = embeddings,
                                       .expected = embeddings + (i + 1) * dim};
        errors[i] = check(&jobs[i]);
        if (!(errors[i] <= tolerance)) code = EXIT_INPUT;
        contenders[first + i] =
            (struct contender){.run = run, .before = before, .after = after, .context = &jobs[i]};
    }
    if (code != EXIT_DONE || !race(&bench->race_rules, first + bench->tables_count, contenders)) {
        complain("the embeddings are wrong");
        code = EXIT_INPUT;
    }
    for (size_t i = 0; i < bench->tables_count && code == EXIT_DONE; i++)
        tell(bench, planned, &bounds, &jobs[i], &contenders[first + i], errors[i]);
end:
    free(encoder);
    free(embeddings);
    free(weights);
    free(log_mel);
    rill_model_close(model);
    return code;
}
