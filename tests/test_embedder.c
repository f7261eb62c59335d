/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/listener.h>

#include "chain.h"
#include "encoder/safetensors.h"
#include "random_numbers.h"
#include "synthetic_voice.h"
#include "the_model.h"

#define GOLDEN RILL_TESTS "/../models/speaker-v1.golden.safetensors"

enum { DIM_MAX = 1024 };
static size_t dim;
static rill_safetensors golden;

static void open_model(void) {
    rill_error why = {""};
    open_the_model();
    cr_assert_eq(rill_safetensors_open(GOLDEN, &golden, &why), RILL_OK, "%s", why.message);
    dim = info->embedding_dim;
    cr_assert_leq(dim, DIM_MAX);
}

static void close_model(void) {
    close_the_model();
    rill_safetensors_free(&golden);
}

TestSuite(embedder, .init = open_model, .fini = close_model);

static rill_embedder *open_embedder(unsigned sample_rate_hz) {
    rill_embedder *embedder;
    rill_error why = {""};
    cr_assert_eq(rill_embedder_open(model, sample_rate_hz, &embedder, &why), RILL_OK, "%s", why.message);
    return embedder;
}

/* Seconds of speech; the embedding of all samples in one block. */
static double embed(unsigned sample_rate_hz, size_t count, const float *samples, float *embedding) {
    rill_embedder *embedder = open_embedder(sample_rate_hz);
    rill_embedder_push(embedder, count, samples);
    double seconds = rill_embedder_finish(embedder, embedding);
    rill_embedder_close(embedder);
    return seconds;
}

static double cosine(const float *a, const float *b) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < dim; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* What a chain makes of samples, and of their first heard_again_seconds again: value [steps][dim]. */
struct hearing {
    double speed; /* they were played at */
    float *value, *logit;
    size_t steps, before; /* all; those complete before it is heard again */
};

static void hear(struct hearing *hearing, const rill_chain *chain, void *state, size_t count,
                 const float *samples) {
    for (size_t done = 0, consumed; done < count; done += consumed)
        if (rill_chain_step(chain, state, count - done, samples + done, &consumed,
                            hearing->value + hearing->steps * dim, hearing->logit + hearing->steps, NULL))
            hearing->steps++;
}

/* All of the samples, or at another speed than 1 their first heard_again_seconds, then these. */
static struct hearing heard_twice(unsigned sample_rate_hz, double speed, size_t count, const float *samples) {
    rill_error why = {""};
    rill_chain chain;
    const unsigned rate = (unsigned)(sample_rate_hz * speed + 0.5);
    cr_assert_eq(rill_chain_open(model, rate, &chain, &why), RILL_OK, "%s", why.message);
    void *state = aligned_alloc(RILL_STATE_ALIGNMENT, rill_chain_size(&chain));
    size_t most = (size_t)(2 * (double)count / rate * info->steps_per_second) + 2;
    struct hearing hearing = {speed, calloc(most * dim, sizeof(float)), calloc(most, sizeof(float)), 0, 0};
    size_t beginning = (size_t)(sample_rate_hz * info->heard_again_seconds);
    if (beginning > count) beginning = count;
    rill_chain_init(&chain, state);
    hear(&hearing, &chain, state, speed == 1 ? count : beginning, samples);
    hearing.before = hearing.steps;
    hear(&hearing, &chain, state, beginning, samples);
    while (rill_chain_finish(&chain, state, false, hearing.value + hearing.steps * dim,
                             hearing.logit + hearing.steps, NULL))
        hearing.steps++;
    cr_assert_leq(hearing.steps, most);
    free(state);
    rill_chain_close(&chain);
    return hearing;
}

/* The definition, in double: of a step made twice, the first counts a third, the second two; steps at another
 * speed count so much. Adds to the mean; returns the seconds of speech heard once. */
static double add_steps(const struct hearing *hearing, double *mean) {
    double seconds = 0;
    for (size_t t = 0; t < hearing->steps; t++) {
        double start = (double)t / info->steps_per_second;
        double probability = 1 / (1 + exp(-(double)hearing->logit[t]));
        bool again = t >= hearing->before && info->heard_again_seconds > 0;
        bool twice = again || start * hearing->speed < info->heard_again_seconds;
        double share = hearing->speed * (again ? 2. / 3 : twice ? 1. / 3 : 1);
        if (start < info->skipped_start_seconds) continue;
        if (!again) seconds += probability / info->steps_per_second;
        for (size_t i = 0; i < dim; i++)
            mean[i] +=
                share * pow(probability, info->pooling_speech_power) * (double)hearing->value[t * dim + i];
    }
    return seconds;
}

static void free_hearing(struct hearing *hearing) {
    free(hearing->value);
    free(hearing->logit);
}

static void expect_definition(unsigned sample_rate_hz, size_t count, const float *samples,
                              const struct hearing *hearing) {
    double mean[DIM_MAX] = {0}, square = 0, seconds = add_steps(hearing, mean);
    float embedding[DIM_MAX];
    if (info->heard_again_seconds > 0 && info->heard_again_speed != 1) {
        struct hearing other = heard_twice(sample_rate_hz, info->heard_again_speed, count, samples);
        add_steps(&other, mean);
        free_hearing(&other);
    }
    for (size_t i = 0; i < dim; i++) square += mean[i] * mean[i];
    double told = embed(sample_rate_hz, count, samples, embedding);
    cr_assert(fabs(told - seconds) < 1e-9, "%g s, not %g", told, seconds);
    for (size_t i = 0; i < dim; i++)
        cr_assert(fabs((double)embedding[i] - mean[i] / sqrt(square)) < 1e-6, "value %zu of %zu samples", i,
                  count);
}

Test(embedder, is_the_mean_of_the_golden_steps_and_of_those_heard_again) {
    const rill_tensor *samples = rill_safetensors_tensor(&golden, "in.samples");
    const float *value = rill_tensor_f32(rill_safetensors_tensor(&golden, "out.embedding"));
    struct hearing hearing = heard_twice(info->sample_rate_hz, 1, samples->count, rill_tensor_f32(samples));
    cr_assert_gt(hearing.before, 100);
    for (size_t i = 0; i < hearing.before * dim; i++)
        cr_assert(fabsf(hearing.value[i] - value[i]) < 1e-4F, "value %zu of step %zu", i % dim, i / dim);
    expect_definition(info->sample_rate_hz, samples->count, rill_tensor_f32(samples), &hearing);
    free_hearing(&hearing);
}

static float *voice(unsigned sample_rate_hz, double seconds, size_t *count) {
    *count = (size_t)(seconds * sample_rate_hz);
    float *samples = malloc((*count + 1) * sizeof *samples);
    for (size_t i = 0; i < *count; i++) samples[i] = synthetic_voice((double)i / sample_rate_hz, 1.2);
    return samples;
}

Test(embedder, blocks_of_any_size_give_the_same_bits) {
    const unsigned rate[] = {16000, 48000, 44100, 8000};
    unsigned long long seed = 4;
    random_seed(seed);
    for (size_t r = 0; r < 4; r++) {
        size_t count;
        float *samples = voice(rate[r], 0.9, &count), whole[DIM_MAX], cut[DIM_MAX];
        double seconds = embed(rate[r], count, samples, whole);
        rill_embedder *embedder = open_embedder(rate[r]);
        for (int trial = 0; trial < 4; trial++) { /* the same embedder again: a reset leaves no trace */
            size_t largest = (size_t[]){1, 7, 700, 50000}[trial];
            for (size_t done = 0; done < count;) {
                size_t block = random_below(largest + 1);
                if (block > count - done) block = count - done;
                rill_embedder_push(embedder, block, samples + done);
                done += block;
            }
            cr_assert_eq(rill_embedder_finish(embedder, cut), seconds);
            cr_assert_eq(rill_embedder_speech_seconds(embedder), seconds);
            cr_assert_arr_eq(whole, cut, dim * sizeof *cut, "seed %llu rate %u blocks up to %zu", seed,
                             rate[r], largest);
            rill_embedder_reset(embedder);
        }
        rill_embedder_close(embedder);
        free(samples);
    }
}

static void expect_definition_of_voices(void) {
    const double seconds[] = {0.5, 9.99, 10, 12.5};
    for (size_t i = 0; i < 8; i++) {
        unsigned rate = i < 4 ? 16000 : 44100;
        size_t count;
        float *samples = voice(rate, seconds[i % 4], &count);
        struct hearing hearing = heard_twice(rate, 1, count, samples);
        expect_definition(rate, count, samples, &hearing);
        free_hearing(&hearing);
        free(samples);
    }
}

Test(embedder, the_beginning_is_heard_again) {
    cr_assert_eq(info->heard_again_seconds, 10);
    cr_assert_eq(info->heard_again_speed, 0.95);
    cr_assert_eq(info->pooling_speech_power, 0.3);
    expect_definition_of_voices();
}

/* The shipped model without one of its keys. */
static void open_without(const char *key) {
    FILE *file = fopen(RILL_MODEL, "rb");
    cr_assert(file && fseek(file, 0, SEEK_END) == 0);
    size_t size = (size_t)ftell(file), at = 0, length = strlen(key);
    char *bytes = malloc(size);
    rewind(file);
    cr_assert_eq(fread(bytes, 1, size, file), size);
    fclose(file);
    while (at + length < size && memcmp(bytes + at, key, length) != 0) at++;
    cr_assert_lt(at + length, size, "%s", key);
    bytes[at + 1] = '-'; /* another key, which no one reads */
    rill_error why = {""};
    cr_assert_eq(rill_model_from_memory("without", bytes, size, &model, &why), RILL_OK, "%s", why.message);
    info = rill_model_get_info(model);
    free(bytes);
}

Test(embedder, a_model_without_these_keys_hears_once_at_its_speed_and_weighs_by_speech) {
    static const char *const keys[] = {"\"heard_again_seconds\"", "\"heard_again_speed\"",
                                       "\"pooling_speech_power\""};
    rill_model *shipped = model;
    for (size_t i = 0; i < 3; i++) {
        open_without(keys[i]);
        cr_assert_eq(info->heard_again_seconds, i == 0 ? 0 : 10);
        cr_assert_eq(info->heard_again_speed, i == 1 ? 1 : 0.95);
        cr_assert_eq(info->pooling_speech_power, i == 2 ? 1 : 0.3);
        expect_definition_of_voices();
        rill_model_close(model);
    }
    model = shipped;
    info = rill_model_get_info(model);
}

Test(embedder, the_rate_hardly_matters) {
    size_t count;
    float own[DIM_MAX], other[DIM_MAX], *samples = voice(16000, 2, &count);
    embed(16000, count, samples, own);
    free(samples);
    const unsigned rate[] = {48000, 44100, 192000};
    for (size_t r = 0; r < 3; r++) {
        samples = voice(rate[r], 2, &count);
        embed(rate[r], count, samples, other);
        cr_assert_gt(cosine(own, other), 0.995, "%u Hz: %g", rate[r], cosine(own, other));
        free(samples);
    }
}

Test(embedder, nothing_heard_is_nothing) {
    float embedding[DIM_MAX], silence[4000] = {0};
    const size_t count[] = {0, 1, 399, 400, 4000};
    for (size_t i = 0; i < 5; i++) {
        embedding[0] = 7;
        cr_assert_eq(embed(16000, count[i], silence, embedding), 0, "%zu samples", count[i]);
        for (size_t k = 0; k < dim; k++) cr_assert_eq(embedding[k], 0);
    }
    rill_error why = {""};
    rill_embedder *embedder;
    const unsigned rate[] = {0, 2000000};
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(rill_embedder_open(model, rate[i], &embedder, &why), RILL_BAD_ARGUMENT);
        cr_assert_null(embedder);
    }
    rill_embedder_close(NULL);
}

Test(embedder, what_no_sample_can_be_is_silence) {
    size_t count;
    float *samples = voice(16000, 2, &count), *bad = malloc(count * sizeof *bad), a[DIM_MAX], b[DIM_MAX];
    const float value[] = {NAN, INFINITY, -INFINITY, 1001, -1e30F};
    memcpy(bad, samples, count * sizeof *bad);
    random_seed(5);
    for (int i = 0; i < 200; i++) {
        size_t place = random_below(count);
        samples[place] = 0;
        bad[place] = value[i % 5];
    }
    double seconds = embed(16000, count, samples, a);
    cr_assert_eq(embed(16000, count, bad, b), seconds);
    cr_assert_arr_eq(a, b, dim * sizeof *a);
    cr_assert(fabs(cosine(a, a) - 1) < 1e-9 && seconds > 0);
    free(samples);
    free(bad);
}
