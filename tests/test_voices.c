/* SPDX-License-Identifier: MIT */
/* The evidence that two stretches of speech are one speaker's. */
#include "made_voices.h"
#include "voices.h"

TestSuite(voices, .init = open_all, .fini = close_all);

/* log of the density of a mean with the variance noise around a speaker N(0, between), against that around
 * none in particular (0), for one mean or two of the same speaker */
static double evidence(size_t means, const double *mean, const double *noise, double between) {
    double precision = 1 / between, sum = 0;
    for (size_t i = 0; i < means; i++) precision += 1 / noise[i], sum += mean[i] / noise[i];
    return 0.5 * sum * sum / precision - 0.5 * log(precision * between);
}

/* rill_voice_likeness is the likelihood ratio of two means, each with its noise and how the voice was that
 * day. */
Test(voices, likeness_is_a_likelihood_ratio) {
    static const float counts[][2] = {{1, 1}, {10, 300}, {38, 38}, {2000, 5000}};
    for (uint64_t seed = 1; seed <= 4; seed++)
        for (size_t c = 0; c < 4; c++) {
            random_seed(seed);
            voices->voice_drift = seed == 1 ? 0 : 1.0F / (float)(100 * seed);
            float sums[2][DIM];
            double expected = 0, size = 0;
            for (size_t d = 0; d < dim; d++) {
                const double scale = (double)voices->evidence_scale, between = (double)voices->between[d];
                double mean[2], noise[2], speaker = sqrt(between) * normal();
                for (size_t i = 0; i < 2; i++) {
                    noise[i] = (1 / (double)counts[c][i] + (double)voices->voice_drift) / scale;
                    sums[i][d] = counts[c][i] * (float)(speaker + sqrt(noise[i]) * normal());
                    mean[i] = (double)sums[i][d] / (double)counts[c][i];
                }
                double both = evidence(2, mean, noise, between), a = evidence(1, mean, noise, between),
                       b = evidence(1, mean + 1, noise + 1, between);
                expected += both - a - b;
                size += fabs(both) + fabs(a) + fabs(b);
            }
            double found = (double)rill_voice_likeness(voices, counts[c][0], sums[0], counts[c][1], sums[1]);
            /* the logarithms come from a table, drawn straight between its entries */
            cr_assert_float_eq(found, expected, 2e-3 * size, "seed %llu, %g and %g steps: %g for %g of %g",
                               (unsigned long long)seed, (double)counts[c][0], (double)counts[c][1], found,
                               expected, size);
        }
}

/* A voice is not quite the same from day to day: however long both are heard, that alone does not make two
 * speakers of one. */
Test(voices, long_hearing_does_not_part_a_voice) {
    for (int limited = 0; limited < 2; limited++) {
        random_seed(7);
        voices->voice_drift = limited ? 1 / 400.0F : 0;
        float speaker[DIM], drift[DIM], sums[2][DIM];
        for (size_t d = 0; d < dim; d++) {
            speaker[d] = sqrtf(voices->between[d]) * (float)normal();
            drift[d] = sqrtf(2 / (400 * voices->evidence_scale)) * (float)normal();
        }
        float before = 0;
        for (float count = 50; count < 1e6F; count *= 4) {
            for (size_t d = 0; d < dim; d++) {
                sums[0][d] = count * (speaker[d] + drift[d] / 2);
                sums[1][d] = count * (speaker[d] - drift[d] / 2);
            }
            float likeness = rill_voice_likeness(voices, count, sums[0], count, sums[1]);
            if (limited) cr_assert_gt(likeness, 0, "%g steps: %g", (double)count, (double)likeness);
            if (!limited && count > 5000)
                cr_assert(likeness < 0 && likeness < before, "%g steps: %g", (double)count, (double)likeness);
            before = likeness;
        }
    }
}
