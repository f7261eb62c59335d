/* SPDX-License-Identifier: MIT */
/* The races of the encoder: a step of one stream, against reading its weights once from where they live, and
 * a step of many streams at once, against multiply-adds. */
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

enum { STEPS = 32, STREAMS_MAX = 64 }; /* a run takes so many steps, from the empty history on */

struct encoder_job {
    const rill_kernels *table;
    rill_model *model;    /* its weights are packed for the table */
    const float *log_mel; /* [STEPS][streams][frames_per_step][mel_bands] */
    size_t streams, log_mel_floats, dim;
    void *encoders[STREAMS_MAX]; /* each a part of memory */
    char *memory;
    float *embeddings, *expected; /* [streams][dim] of the last step */
};

static void run(void *context) {
    struct encoder_job *job = context;
    float speech[STREAMS_MAX];
    for (size_t i = 0; i < job->streams; i++) rill_encoder_reset(job->model, job->encoders[i]);
    for (size_t t = 0; t < STEPS; t++) {
        const float *log_mel = job->log_mel + t * job->streams * job->log_mel_floats;
        if (job->streams == 1)
            rill_encoder_step(job->model, job->encoders[0], log_mel, job->embeddings, speech, NULL);
        else
            rill_encoder_step_batch(job->model, job->streams, job->encoders, log_mel, job->embeddings, speech,
                                    NULL);
    }
}

static size_t embeddings_size(const struct encoder_job *job) {
    return job->streams * job->dim * sizeof(float);
}

static void before(void *context) {
    struct encoder_job *job = context;
    rill_kernels_use(job->table);
    memset(job->embeddings, 0xFF, embeddings_size(job)); /* NaN */
}

static bool after(void *context) {
    struct encoder_job *job = context;
    return memcmp(job->embeddings, job->expected, embeddings_size(job)) == 0;
}

static void close_job(struct encoder_job *job) {
    free(job->memory);
    free(job->embeddings);
    rill_model_close(job->model);
    *job = (struct encoder_job){0};
}

static bool open_job(const char *model, const rill_kernels *table, size_t streams, struct encoder_job *job) {
    rill_kernels_use(table);
    *job = (struct encoder_job){.table = table, .streams = streams, .model = chosen_model_open(model)};
    if (!job->model) return false;
    const rill_model_info *info = rill_model_get_info(job->model);
    const size_t size = rill_encoder_size(job->model);
    job->log_mel_floats = info->frames_per_step * info->mel_bands;
    job->dim = info->embedding_dim;
    job->memory = aligned_memory(streams * size);
    job->embeddings = aligned_memory(2 * embeddings_size(job));
    if (!job->memory || !job->embeddings) {
        complain("out of memory");
        return false;
    }
    job->expected = job->embeddings + streams * job->dim;
    for (size_t i = 0; i < streams; i++) {
        job->encoders[i] = job->memory + i * size;
        rill_encoder_init(job->model, job->encoders[i]);
    }
    return true;
}

/* The greatest difference from the judge's embeddings, which are of length 1 and were made stream by stream.
 */
static double check(struct encoder_job *job, const float *judged) {
    before(job);
    run(job);
    double worst = 0;
    for (size_t i = 0; i < job->streams * job->dim; i++) {
        double difference = fabs((double)job->embeddings[i] - (double)judged[i]);
        if (!(difference <= 2)) return INFINITY;
        worst = fmax(worst, difference);
    }
    memcpy(job->expected, job->embeddings, embeddings_size(job));
    return worst;
}

/* [streams][dim] into judged: the reference kernels, every stream alone. */
static bool judge(const char *model, size_t streams, const float *log_mel, float *judged) {
    struct encoder_job alone;
    bool runs_here, well = open_job(model, rill_kernels_at(0, &runs_here), 1, &alone);
    for (size_t i = 0; i < streams && well; i++) {
        float speech;
        rill_encoder_reset(alone.model, alone.encoders[0]);
        for (size_t t = 0; t < STEPS; t++)
            rill_encoder_step(alone.model, alone.encoders[0],
                              log_mel + (t * streams + i) * alone.log_mel_floats, judged + i * alone.dim,
                              &speech, NULL);
    }
    close_job(&alone);
    return well;
}

static const char *weights_name(const rill_model_info *info) {
    const double bytes = (double)info->weights_size / (double)info->parameters;
    return bytes > 3 ? "float32" : bytes > 1.7 ? "bfloat16" : "int8";
}

static void tell(struct kernels_bench *bench, const struct planned_race *planned, const struct bounds *bounds,
                 const struct encoder_job *job, const struct contender *contender, double error) {
    const rill_model_info *info = rill_model_get_info(job->model);
    const double heads = (double)info->heads, weights = (double)info->parameters,
                 streams = (double)job->streams;
    const double read = bounds_read_seconds(bounds, (double)bounds->state_floats) / streams;
    const double multiply_adds = 2 * weights / bounds_flops(bounds);
    json_t *row = figure_row(&(struct figure){.what = planned->what,
                                              .kernels = job->table->name,
                                              .heads = info->heads,
                                              .key_dim = info->model_dim / info->heads,
                                              .value_dim = info->model_dim / info->heads,
                                              .length = 1,
                                              .threads = 1,
                                              .contender = contender,
                                              .token_heads = STEPS * streams * heads,
                                              .flops = 2 * weights / heads,
                                              .limit = read > multiply_adds ? "read" : "fma",
                                              .least_seconds = fmax(read, multiply_adds) / heads},
                             bounds);
    json_object_set_new(row, "error", json_real(error));
    json_object_set_new(row, "weights", json_string(weights_name(info)));
    json_object_set_new(row, "weight_bytes", json_integer((json_int_t)info->weights_size));
    json_object_set_new(row, "streams", json_integer((json_int_t)job->streams));
    json_object_set_new(row, "us_per_step", json_decimal(1e6 * race_median(contender) / STEPS, 3));
    bench_output_row(&bench->output, row);
}

/* planned->length streams */
int race_encoder(struct kernels_bench *bench, const struct planned_race *planned) {
    static const double tolerance = 1e-3; /* the reference sums in double, layer after layer */
    const size_t streams = planned->length, tables = bench->tables_count;
    struct encoder_job jobs[TABLES_MAX] = {{0}};
    struct contender contenders[BOUNDS_MAX + TABLES_MAX];
    double errors[TABLES_MAX];
    float *memory = NULL;
    int code = EXIT_INPUT;
    for (size_t i = 0; i < tables; i++)
        if (!open_job(bench->model, bench->tables[i], streams, &jobs[i])) goto end;
    const size_t log_mel = STEPS * streams * jobs[0].log_mel_floats,
                 weights = rill_model_get_info(jobs[0].model)->weights_size / sizeof(float);
    memory = aligned_memory((weights + log_mel + streams * jobs[0].dim) * sizeof *memory);
    if (!memory) {
        complain("out of memory");
        goto end;
    }
    float *inputs = memory + weights, *judged = inputs + log_mel;
    fill_random(weights + log_mel, -1, 1, memory);
    if (!judge(bench->model, streams, inputs, judged)) goto end;
    struct bounds bounds = {.state = memory, .state_floats = weights}; /* as many bytes as the model's */
    const size_t first = bounds_enter(&bounds, contenders);
    code = EXIT_DONE;
    for (size_t i = 0; i < tables; i++) {
        jobs[i].log_mel = inputs;
        errors[i] = check(&jobs[i], judged);
        if (!(errors[i] <= tolerance)) code = EXIT_INPUT;
        contenders[first + i] =
            (struct contender){.run = run, .before = before, .after = after, .context = &jobs[i]};
    }
    if (code != EXIT_DONE || !race(&bench->race_rules, first + tables, contenders)) {
        complain("the embeddings are wrong");
        code = EXIT_INPUT;
    }
    for (size_t i = 0; i < tables && code == EXIT_DONE; i++)
        tell(bench, planned, &bounds, &jobs[i], &contenders[first + i], errors[i]);
end:
    for (size_t i = 0; i < tables; i++) close_job(&jobs[i]);
    free(memory);
    return code;
}
