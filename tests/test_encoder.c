/* SPDX-License-Identifier: MIT */
/* The laws of the encoder, on random models of any size and on the shipped one. */
#include <criterion/criterion.h>
#include <float.h>

#include "count_allocations.h"
#include "encoder_definition.h"
#include "encoder_run.h"

#define SEED UINT64_C(20061623602)

static model_sizes random_sizes(void) {
    const size_t heads = random_size(1, 4), layers = random_size(1, 3);
    return (model_sizes){layers,
                         heads * random_size(4, 20),
                         heads,
                         random_size(1, 70),
                         random_size(1, 12),
                         random_size(2, 40),
                         random_size(1, 30),
                         random_size(1, 4),
                         random_bits() >> 63,
                         (model_weights)random_size(WEIGHTS_F32, WEIGHTS_MIXED),
                         random_below(layers + 2),
                         random_below(layers + 2)};
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
    cr_expect_leq(shipped, 2e-5);       /* of the logits, sums of 192 terms behind eight layers */
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
