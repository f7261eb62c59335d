/* SPDX-License-Identifier: MIT */
/* Metadata texts to checked numbers. */
#include <math.h>
#include <string.h>

#include <jansson.h>

#include "encoder/model.h"
#include "failure.h"

/* The first failure stays: a sequence of reads needs one check at its end. */
typedef struct reader {
    const char *name; /* of the file, for errors */
    const rill_safetensors *file;
    rill_status status;
    rill_error *why;
} reader;

/* strtod follows the locale ("0,25"), jansson does not. */
bool rill_read_number(const char *text, double *number) {
    json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
    double value = json_is_real(json) ? json_real_value(json) : NAN;
    json_decref(json);
    if (!isfinite(value)) return false;
    *number = value;
    return true;
}

static double read_number(reader *from, const char *key, double least, double most) {
    if (from->status != RILL_OK) return 0;
    const char *text = rill_safetensors_text(from->file, key);
    double number = 0;
    if (!text)
        from->status = rill_fail(from->why, RILL_BAD_FORMAT, "%s: the metadata lacks %s", from->name, key);
    else if (!rill_read_number(text, &number) || number < least || number > most)
        from->status =
            rill_fail(from->why, RILL_BAD_FORMAT, "%s: metadata %s = \"%.40s\" is no number from %g to %g",
                      from->name, key, text, least, most);
    return number;
}

/* The same of a key that may lack. */
static double read_number_or(reader *from, const char *key, double least, double most, double fallback) {
    return rill_safetensors_text(from->file, key) ? read_number(from, key, least, most) : fallback;
}

static size_t whole(reader *from, const char *key, double number) {
    if (from->status == RILL_OK && number != floor(number))
        from->status = rill_fail(from->why, RILL_BAD_FORMAT, "%s: metadata %s = %g is no whole number",
                                 from->name, key, number);
    return from->status == RILL_OK ? (size_t)number : 0;
}

static size_t read_count(reader *from, const char *key, size_t most) {
    return whole(from, key, read_number(from, key, 1, (double)most));
}

/* Text for people ends up on terminals: control characters are refused. */
static void read_label(reader *from, const char *key, const char *fallback, size_t capacity, char *label) {
    const char *text = rill_safetensors_text(from->file, key);
    if (!text) text = fallback;
    size_t length = strlen(text);
    bool plain = length < capacity;
    for (size_t i = 0; plain && i < length; i++) plain = (unsigned char)text[i] >= ' ' && text[i] != 0x7f;
    if (plain)
        memcpy(label, text, length + 1);
    else if (from->status == RILL_OK)
        from->status = rill_fail(from->why, RILL_BAD_FORMAT,
                                 "%s: metadata %s is longer than %zu bytes or holds control characters",
                                 from->name, key, capacity - 1);
}

/* Another format or network is well-formed, but nothing this version can run. */
static void require(reader *from, const char *key, const char *value) {
    if (from->status != RILL_OK) return;
    const char *text = rill_safetensors_text(from->file, key);
    if (!text)
        from->status = rill_fail(from->why, RILL_BAD_FORMAT, "%s: the metadata lacks %s (no rill model?)",
                                 from->name, key);
    else if (strcmp(text, value))
        from->status =
            rill_fail(from->why, RILL_UNSUPPORTED, "%s: metadata %s = \"%.40s\"; this version reads \"%s\"",
                      from->name, key, text, value);
}

static void read_front_end(reader *from, rill_model_info *info) {
    info->sample_rate_hz = (unsigned)read_count(from, "sample_rate_hz", 768000);
    info->window_samples = read_count(from, "window_samples", 65536);
    info->hop_samples = read_count(from, "hop_samples", 65536);
    info->fft_size = read_count(from, "fft_size", 131072);
    info->mel_bands = read_count(from, "mel_bands", 1024);
    info->mel_hz_min = read_number(from, "mel_hz_min", 0, 384000);
    info->mel_hz_max = read_number(from, "mel_hz_max", 0, 384000);
    info->log_floor = read_number(from, "log_floor", 1e-30, 1);
    info->feature_mean = read_number(from, "feature_mean", -1e6, 1e6);
    info->feature_scale = read_number(from, "feature_scale", 1e-6, 1e6);
    info->high_pass_hz = read_number_or(from, "high_pass_hz", 0, 1000, 0);
}

static void read_network(reader *from, rill_model_info *info) {
    require(from, "feature_map", "elu+1");
    info->frames_per_step = read_count(from, "frames_per_step", 64);
    info->layers = read_count(from, "layers", 64);
    info->model_dim = read_count(from, "model_dim", 4096);
    info->heads = read_count(from, "heads", 4096);
    info->feed_forward_dim = read_count(from, "feed_forward_dim", 16384);
    info->convolution_kernel = read_count(from, "convolution_kernel", 256);
    info->embedding_dim = read_count(from, "embedding_dim", 4096);
    info->speech_layers = whole(from, "speech_layers", read_number_or(from, "speech_layers", 0, 64, 0));
    const double unless_said = fmax(0, (double)info->layers - (double)info->speech_layers);
    info->shared_layers = info->layers;
    if (info->speech_layers)
        info->shared_layers =
            whole(from, "shared_layers",
                  read_number_or(from, "shared_layers", 0, (double)info->layers, unless_said));
    info->normalizer_epsilon = read_number(from, "normalizer_epsilon", 1e-30, 1);
    info->norm_epsilon = read_number(from, "norm_epsilon", 1e-30, 1);
}

/* What must hold between the numbers. */
static rill_status check_relations(const reader *from, const rill_model_info *info) {
    if (info->fft_size < info->window_samples)
        return rill_fail(from->why, RILL_BAD_FORMAT, "%s: fft_size %zu is smaller than window_samples %zu",
                         from->name, info->fft_size, info->window_samples);
    if (info->hop_samples > info->window_samples)
        return rill_fail(from->why, RILL_BAD_FORMAT, "%s: hop_samples %zu leaves gaps between windows of %zu",
                         from->name, info->hop_samples, info->window_samples);
    if (info->mel_hz_min >= info->mel_hz_max || info->mel_hz_max > info->sample_rate_hz / 2.0)
        return rill_fail(from->why, RILL_BAD_FORMAT,
                         "%s: mel_hz_min %g and mel_hz_max %g are no band below half of sample_rate_hz %u",
                         from->name, info->mel_hz_min, info->mel_hz_max, info->sample_rate_hz);
    if (info->model_dim % info->heads)
        return rill_fail(from->why, RILL_BAD_FORMAT, "%s: %zu heads do not divide model_dim %zu", from->name,
                         info->heads, info->model_dim);
    return RILL_OK;
}

static void derive(rill_model_info *info) {
    size_t step_samples = info->hop_samples * info->frames_per_step;
    info->steps_per_second = (double)info->sample_rate_hz / (double)step_samples;
    info->latency_seconds =
        (double)(step_samples + info->window_samples - info->hop_samples) / (double)info->sample_rate_hz;
}

rill_status rill_model_read_info(const char *name, const rill_safetensors *file, rill_model_info *info,
                                 rill_error *why) {
    reader from = {name, file, RILL_OK, why};
    require(&from, "format", "rill-encoder-1");
    read_label(&from, "model_id", "unnamed", sizeof info->id, info->id);
    read_label(&from, "licence", "not stated", sizeof info->licence, info->licence);
    read_front_end(&from, info);
    read_network(&from, info);
    info->skipped_start_seconds = read_number_or(&from, "skipped_start_seconds", 0, 60, 0.3);
    info->heard_again_seconds = read_number_or(&from, "heard_again_seconds", 0, 60, 0);
    info->heard_again_speed = read_number_or(&from, "heard_again_speed", 0.5, 2, 1);
    info->pooling_speech_power = read_number_or(&from, "pooling_speech_power", 0, 1, 1);
    if (from.status == RILL_OK) from.status = check_relations(&from, info);
    if (from.status == RILL_OK) derive(info);
    return from.status;
}
