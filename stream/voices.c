/* SPDX-License-Identifier: MIT */
/* The back end's parameters, read from the model file and checked. */
#include "voices.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

static float table_position(float count) {
    return RILL_EVIDENCE_OCTAVE * log2f(1.0F + count);
}

void rill_voice_project(const rill_voice_model *voices, const float *embedding, float *x) {
    float centred[RILL_VOICE_MAX_DIM];
    for (size_t i = 0; i < voices->embedding_dim; i++) centred[i] = embedding[i] - voices->mean[i];
    for (size_t d = 0; d < voices->dim; d++) {
        const float *row = voices->projection + d * voices->embedding_dim;
        float sum[8] = {0}; /* eight sums: the compiler may not reorder one */
        size_t i = 0;
        for (; i + 8 <= voices->embedding_dim; i += 8)
            for (size_t lane = 0; lane < 8; lane++) sum[lane] += row[i + lane] * centred[i + lane];
        for (; i < voices->embedding_dim; i++) sum[0] += row[i] * centred[i];
        x[d] = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    }
}

void rill_voice_project_pooled(const rill_voice_model *voices, const float *embedding, double factor,
                               float *x) {
    float mean[RILL_VOICE_MAX_DIM];
    for (size_t i = 0; i < voices->embedding_dim; i++)
        mean[i] = (float)(embedding[i] * factor) * voices->pooled_length;
    rill_voice_project(voices, mean, x);
}

float rill_voice_evidence(const rill_voice_model *voices, float scale, const float *logs, float count,
                          const float *x) {
    float sum[8] = {0}, counted = count * scale;
    const float *between = voices->between;
    size_t d = 0;
    for (; d + 8 <= voices->dim; d += 8)
        for (size_t lane = 0; lane < 8; lane++)
            sum[lane] += between[d + lane] * x[d + lane] * x[d + lane] / (1.0F + counted * between[d + lane]);
    for (; d < voices->dim; d++) sum[0] += between[d] * x[d] * x[d] / (1.0F + counted * between[d]);
    float total = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    float position = fminf(table_position(count), RILL_EVIDENCE_TABLE - 1);
    size_t entry = (size_t)position;
    float part = position - (float)entry;
    return 0.5F * scale * scale * total - (logs[entry] + part * (logs[entry + 1] - logs[entry]));
}

float rill_voice_counted(const rill_voice_model *voices, float count) {
    return 1.0F / (1.0F + count * voices->voice_drift);
}

float rill_voice_evidence_of(const rill_voice_model *voices, float count, const float *sums) {
    float counted[RILL_VOICE_MAX_DIM], part = rill_voice_counted(voices, count);
    for (size_t d = 0; d < voices->dim; d++) counted[d] = part * sums[d];
    return rill_voice_evidence(voices, voices->evidence_scale, voices->least_log, part * count, counted);
}

float rill_voice_evidence_of_both(const rill_voice_model *voices, float count_a, const float *a,
                                  float count_b, const float *b) {
    float both[RILL_VOICE_MAX_DIM];
    const float part_a = rill_voice_counted(voices, count_a), part_b = rill_voice_counted(voices, count_b);
    for (size_t d = 0; d < voices->dim; d++) both[d] = part_a * a[d] + part_b * b[d];
    return rill_voice_evidence(voices, voices->evidence_scale, voices->least_log,
                               part_a * count_a + part_b * count_b, both);
}

float rill_voice_likeness(const rill_voice_model *voices, float count_a, const float *a, float count_b,
                          const float *b) {
    return rill_voice_evidence_of_both(voices, count_a, a, count_b, b) -
           rill_voice_evidence_of(voices, count_a, a) - rill_voice_evidence_of(voices, count_b, b);
}

static void fill_logs(const rill_voice_model *voices, double scale, float *logs) {
    for (size_t entry = 0; entry <= RILL_EVIDENCE_TABLE; entry++) {
        double count = exp2((double)entry / RILL_EVIDENCE_OCTAVE) - 1, sum = 0;
        for (size_t d = 0; d < voices->dim; d++) sum += log1p(count * scale * voices->between[d]);
        logs[entry] = (float)(sum / 2);
    }
}

/* The first failure stays: a sequence of reads needs one check at its end. */
typedef struct reader {
    const rill_model *model;
    rill_status status;
    rill_error *why;
} reader;

static double number(reader *from, const char *key, double least, double most) {
    if (from->status != RILL_OK) return least;
    double value = rill_model_number(from->model, key, NAN);
    if (value >= least && value <= most) return value;
    from->status =
        rill_fail(from->why, RILL_BAD_FORMAT, "the model's metadata %s is missing or no number from %g to %g",
                  key, least, most);
    return least;
}

/* A number that older models lack. */
static float real_or(reader *from, const char *key, double least, double most, float absent) {
    if (from->status == RILL_OK && !rill_model_text(from->model, key)) return absent;
    return (float)number(from, key, least, most);
}

static float real(reader *from, const char *key, double least, double most) {
    return (float)number(from, key, least, most);
}

static size_t whole(reader *from, const char *key, double least, double most) {
    double value = number(from, key, least, most);
    if (from->status == RILL_OK && value != floor(value))
        from->status = rill_fail(from->why, RILL_BAD_FORMAT,
                                 "the model's metadata %s = %g is no whole number", key, value);
    return (size_t)value;
}

static const float *tensor(reader *from, const char *name, size_t rows, size_t columns) {
    if (from->status != RILL_OK) return NULL;
    size_t shape[4];
    const float *values = rill_model_tensor(from->model, name, shape);
    if (values && shape[0] == rows && shape[1] == columns && shape[2] == 1 && shape[3] == 1) return values;
    from->status = rill_fail(from->why, RILL_BAD_FORMAT, "the model's tensor %s is missing or not [%zu][%zu]",
                             name, rows, columns);
    return NULL;
}

static void read_all(reader *from, rill_voice_model *voices) {
    const rill_model_info *info = rill_model_get_info(from->model);
    voices->embedding_dim = info->embedding_dim;
    voices->step_seconds = 1.0 / info->steps_per_second;
    size_t shape[4] = {0};
    if (!rill_model_tensor(from->model, "tracker.projection", shape) ||
        info->embedding_dim > RILL_VOICE_MAX_DIM || shape[0] < 1 || shape[0] > RILL_VOICE_MAX_DIM) {
        from->status =
            rill_fail(from->why, RILL_UNSUPPORTED,
                      "the model has no tracker.projection of at most %d dimensions: models/stamp.py "
                      "adds what the tracker needs",
                      RILL_VOICE_MAX_DIM);
        return;
    }
    voices->dim = shape[0];
    voices->projection = tensor(from, "tracker.projection", voices->dim, voices->embedding_dim);
    voices->mean = tensor(from, "tracker.mean", voices->embedding_dim, 1);
    voices->between = tensor(from, "tracker.between", voices->dim, 1);
    voices->room = tensor(from, "tracker.room", voices->dim, 1);
    for (size_t d = 0; from->status == RILL_OK && d < voices->dim; d++)
        if (!(voices->between[d] > 0 && voices->between[d] < 1e6F && voices->room[d] >= 0 &&
              voices->room[d] < 1e6F))
            from->status =
                rill_fail(from->why, RILL_BAD_FORMAT,
                          "the model's tensors tracker.between and tracker.room hold no variances");

    voices->speech_reach = whole(from, "tracker.speech_reach_steps", 0, 100);
    voices->speech_clip = real(from, "tracker.speech_clip", 0.1, 100);
    voices->speech_threshold = real(from, "tracker.speech_threshold", -100, 100);
    voices->speech_hold = real_or(from, "tracker.speech_hold", -100, 100, voices->speech_threshold);
    voices->overlap_reach = (size_t)real_or(from, "tracker.overlap_reach_steps", 0, 100, 5);
    voices->overlap_threshold = real_or(from, "tracker.overlap_threshold", -100, 100, 0);
    voices->overlap_hold = real_or(from, "tracker.overlap_hold", -100, 100, voices->overlap_threshold);
    voices->overlap_voice = real_or(from, "tracker.overlap_voice", 0, 10, 0.1F);
    voices->embedding_delay = whole(from, "tracker.embedding_delay_steps", 0, 100);
    voices->evidence_scale = real(from, "tracker.evidence_scale", 1e-4, 10);
    voices->decision_scale = voices->evidence_scale * real(from, "tracker.decision_factor", 0.01, 100);
    voices->voice_drift = 1 / real_or(from, "tracker.voice_limit_steps", 1, 1e9, 1e9F);
    voices->change_rate = real(from, "tracker.change_rate", 1e-6, 0.5);
    voices->pause_change_rate = real(from, "tracker.pause_change_rate", 1e-6, 0.9);
    voices->change_odds = real(from, "tracker.change_odds", 1, 1e6);
    voices->steady = (size_t)real_or(from, "tracker.steady_steps", 0, RILL_TRACKER_MAX_STEADY, 0);
    voices->newcomer_cost = real(from, "tracker.newcomer_cost", -30, 30);
    voices->recognition_evidence = real_or(from, "tracker.recognition_evidence", -1000, 1000, 2);
    voices->recognition_hold = real_or(from, "tracker.recognition_hold", 0, 1000, 0);
    voices->lookahead = whole(from, "tracker.lookahead_steps", 1, 1000);
    voices->birth_steps = whole(from, "tracker.birth_steps", 1, 1000);
    voices->learning_confidence = real(from, "tracker.learning_confidence", 0, 1);
    voices->chunk_steps = whole(from, "tracker.chunk_steps", 1, 1000);
    voices->chunk_least = whole(from, "tracker.chunk_least_steps", 1, 1000);
    voices->memory_chunks = whole(from, "tracker.memory_chunks", 2, 256);
    voices->regroup_chunks = whole(from, "tracker.regroup_chunks", 1, 100);
    voices->merge_cost = real(from, "tracker.merge_cost", -1000, 1000);
    voices->same_label = real(from, "tracker.same_label", 0, 1000);
    voices->other_label = real(from, "tracker.other_label", 0, 1000);
    voices->adjacency = real(from, "tracker.adjacency", 0, 1000);
    voices->group_least = real(from, "tracker.group_least_steps", 1, 1000);
    voices->threshold = real(from, "tracker.threshold", -1000, 1000);
    voices->enrolled_seconds = real(from, "tracker.enrolled_seconds", 0.1, 1000);
    voices->pooled_length = real(from, "tracker.pooled_length", 0.01, 1);
    voices->pause_steps = whole(from, "tracker.pause_steps", 1, 1000);
    voices->chunk_gap_steps = whole(from, "tracker.chunk_gap_steps", 1, 1000);
    voices->score_offset = real(from, "tracker.score_offset", -100, 100);
    voices->score_posterior = real(from, "tracker.score_posterior", -100, 100);
    voices->score_age = real(from, "tracker.score_age", -100, 100);
    voices->score_new = real(from, "tracker.score_new", -100, 100);
    voices->voice_offset = real(from, "tracker.voice_offset", -1000, 1000);
    voices->voice_cosine = real(from, "tracker.voice_cosine", 0, 1000);
}

rill_status rill_voice_model_create(const rill_model *model, rill_voice_model **voices, rill_error *why) {
    *voices = NULL;
    rill_voice_model *made = calloc(1, sizeof *made);
    if (!made) return rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for the voice model");
    reader from = {model, RILL_OK, why};
    read_all(&from, made);
    if (from.status != RILL_OK) {
        free(made);
        return from.status;
    }
    fill_logs(made, made->evidence_scale, made->least_log);
    fill_logs(made, made->decision_scale, made->decision_log);
    *voices = made;
    return RILL_OK;
}

void rill_voice_model_destroy(rill_voice_model *voices) {
    free(voices);
}

/* A logistic regression on the cosine: of the same trials, the likelihood ratio of the tracker's own model
 * errs more often (dev: 10.0 against 7.7 % equal error rate), as it knows rooms and not recordings. */
float rill_voice_score(const rill_voice_model *voices, const float *a, double a_seconds, const float *b,
                       double b_seconds, float *cosine) {
    double dot = 0, norm_a = 0, norm_b = 0;
    for (size_t i = 0; i < voices->embedding_dim; i++) {
        dot += (double)a[i] * (double)b[i];
        norm_a += (double)a[i] * (double)a[i];
        norm_b += (double)b[i] * (double)b[i];
    }
    bool usable = isfinite(dot) && isfinite(norm_a) && isfinite(norm_b) && norm_a > 0 && norm_b > 0 &&
                  a_seconds > 0 && b_seconds > 0;
    double angle = usable ? fmax(-1, fmin(1, dot / sqrt(norm_a * norm_b))) : 0;
    if (cosine) *cosine = (float)angle;
    if (!usable) return 0.0F;
    return (float)(1 / (1 + exp(-((double)voices->voice_offset + (double)voices->voice_cosine * angle))));
}
