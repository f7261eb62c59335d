/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "random_numbers.h"
#include "the_model.h"

static const unsigned rates[] = {16000, 48000, 44100, 8000, 11025, 192000, 16001};
enum { RATES = sizeof rates / sizeof *rates };

TestSuite(chain, .init = open_the_model, .fini = close_the_model);

typedef struct stream {
    rill_chain chain;
    void *state;
    float *embedding, logit;
    size_t steps;
} stream;

static stream open_stream(unsigned sample_rate_hz) {
    stream s = {0};
    rill_error why = {""};
    cr_assert_eq(rill_chain_open(model, sample_rate_hz, &s.chain, &why), RILL_OK, "%s", why.message);
    s.state = aligned_alloc(RILL_STATE_ALIGNMENT, rill_chain_size(&s.chain));
    s.embedding = calloc(info->embedding_dim, sizeof *s.embedding);
    rill_chain_init(&s.chain, s.state);
    return s;
}

static void close_stream(stream *s) {
    rill_chain_close(&s->chain);
    free(s->state);
    free(s->embedding);
}

static void push(stream *s, size_t count, const float *samples) {
    for (size_t done = 0, consumed; done < count; done += consumed)
        s->steps += rill_chain_step(&s->chain, s->state, count - done, samples + done, &consumed,
                                    s->embedding, &s->logit, NULL);
}

static size_t random_samples(size_t count, float *samples) {
    for (size_t i = 0; i < count; i++) samples[i] = (float)(random_uniform() - 0.5);
    return count;
}

Test(chain, a_state_depends_on_the_samples_and_not_on_the_blocks) {
    unsigned long long seed = 12;
    static float samples[60000];
    random_seed(seed);
    for (size_t r = 0; r < RATES; r++) {
        stream whole = open_stream(rates[r]), cut = open_stream(rates[r]);
        size_t size = rill_chain_saved_size(&whole.chain);
        for (int trial = 0; trial < 3; trial++) {
            size_t count = random_samples(rates[r] / 8 + random_below(rates[r] / 8), samples);
            push(&whole, count, samples);
            for (size_t done = 0; done < count;) {
                size_t block = random_below((size_t[]){3, 300, 9000}[trial]);
                if (block > count - done) block = count - done;
                push(&cut, block, samples + done);
                done += block;
            }
            cr_assert_eq(whole.steps, cut.steps);
            cr_assert_arr_eq(whole.state, cut.state, size, "seed %llu rate %u trial %d", seed, rates[r],
                             trial);
            cr_assert(rill_chain_valid(&whole.chain, whole.state));
        }
        close_stream(&whole);
        close_stream(&cut);
    }
}

Test(chain, a_step_comes_after_the_lag_it_promises_and_not_long_before) {
    static float samples[80000];
    random_seed(13);
    random_samples(80000, samples);
    for (size_t r = 0; r < RATES; r++) {
        stream s = open_stream(rates[r]);
        double lag = rill_chain_lag_seconds(&s.chain), worst = 0;
        for (size_t i = 0; i < 80000 && s.steps < 8; i++) {
            size_t before = s.steps;
            push(&s, 1, samples + i);
            if (s.steps == before) continue;
            double waited = (double)(i + 1) / rates[r] - (double)before / info->steps_per_second;
            worst = fmax(worst, waited);
        }
        cr_assert_eq(s.steps, 8);
        cr_assert_leq(worst, lag + 1e-9, "%u Hz: %g s, promised %g", rates[r], worst, lag);
        cr_assert_geq(worst, lag - 2.0 / rates[r] - 1e-9, "%u Hz: %g s, promised %g", rates[r], worst, lag);
        close_stream(&s);
    }
}

Test(chain, padding_gives_every_sample_a_step) {
    static float samples[30000];
    random_seed(14);
    for (size_t r = 0; r < RATES; r++)
        for (int trial = 0; trial < 6; trial++) {
            stream s = open_stream(rates[r]);
            size_t count = trial ? random_below(trial < 3 ? 700 : 30000) : 0;
            random_samples(count, samples);
            push(&s, count, samples);
            while (rill_chain_finish(&s.chain, s.state, true, s.embedding, &s.logit, NULL)) s.steps++;
            /* ⌈inputs · output rate / input rate⌉ samples of the model's rate */
            size_t made = (count * info->sample_rate_hz + rates[r] - 1) / rates[r];
            size_t expected = (made + s.chain.step_samples - 1) / s.chain.step_samples;
            cr_assert_eq(s.steps, expected, "%zu samples at %u Hz: %zu steps", count, rates[r], s.steps);
            cr_assert(!rill_chain_finish(&s.chain, s.state, true, s.embedding, &s.logit, NULL));
            close_stream(&s);
        }
}

Test(chain, a_state_that_no_stream_has_left_is_told) {
    static float samples[20000];
    random_seed(15);
    random_samples(20000, samples);
    for (size_t r = 0; r < 2; r++) {
        stream s = open_stream(rates[r]);
        push(&s, 20000, samples);
        /* Every counter of the head, the resampler and the front end, turned in every bit. */
        const size_t at[] = {0, s.chain.resampler_offset, s.chain.front_end_offset};
        const size_t size[] = {16, r ? 40 : 0, 8};
        for (int p = 0; p < 3; p++)
            for (size_t bit = 0; bit < 8 * size[p]; bit++) {
                unsigned char *byte = (unsigned char *)s.state + at[p] + bit / 8;
                *byte ^= (unsigned char)(1u << bit % 8);
                if (rill_chain_valid(&s.chain, s.state)) { /* then it must still be safe */
                    stream copy = open_stream(rates[r]);
                    memcpy(copy.state, s.state, rill_chain_size(&s.chain));
                    push(&copy, 3000, samples);
                    while (
                        rill_chain_finish(&copy.chain, copy.state, true, copy.embedding, &copy.logit, NULL)) {
                    }
                    close_stream(&copy);
                    cr_assert_neq(p, 0, "the head is fully determined");
                }
                *byte ^= (unsigned char)(1u << bit % 8);
            }
        close_stream(&s);
    }
}

Test(chain, what_no_sample_can_be_is_counted) {
    stream s = open_stream(8000);
    float samples[2000] = {0};
    const float bad[] = {NAN, INFINITY, -INFINITY, 1000.1F, -1e38F};
    for (int i = 0; i < 5; i++) samples[i * 399] = bad[i];
    samples[1] = 1000;
    push(&s, 2000, samples);
    cr_assert_eq(rill_chain_refused_samples(s.state), 5);
    close_stream(&s);
}
