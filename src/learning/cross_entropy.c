/* SPDX-License-Identifier: MIT */
/* How surprising the targets are to softmax of the logits. */
#include <rill/learning.h>

#include <assert.h>
#include <math.h>

double rill_cross_entropy(size_t count, size_t classes, const float *logits, const uint32_t *targets,
                          float *logits_gradient) {
    double loss = 0;
    for (size_t n = 0; n < count; n++, logits += classes) {
        const bool asked = targets[n] != RILL_NO_TARGET;
        assert(!asked || targets[n] < classes);
        double max = -INFINITY, sum = 0;
        for (size_t c = 0; c < classes; c++) max = fmax(max, (double)logits[c]);
        for (size_t c = 0; c < classes; c++) sum += exp((double)logits[c] - max);
        const double log_sum = max + log(sum);
        if (asked) loss += log_sum - (double)logits[targets[n]];
        if (!logits_gradient) continue;
        for (size_t c = 0; c < classes; c++) {
            const double p = exp((double)logits[c] - log_sum);
            logits_gradient[c] = asked ? (float)(p - (c == targets[n] ? 1 : 0)) : 0;
        }
        logits_gradient += classes;
    }
    return loss;
}
