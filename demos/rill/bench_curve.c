/* SPDX-License-Identifier: MIT */
#include "bench_curve.h"

#include <math.h>

double curve_exponent(const struct curve *curve, double from) {
    size_t first = 0;
    while (first < curve->count && curve->length[first] < from) first++;
    if (first + 3 > curve->count) first = curve->count > 3 ? curve->count - 3 : 0;
    const double n = (double)(curve->count - first);
    if (n < 2) return NAN;
    double mean_x = 0, mean_y = 0, xx = 0, xy = 0;
    for (size_t i = first; i < curve->count; i++) {
        mean_x += log(curve->length[i]) / n;
        mean_y += log(curve->cost[i]) / n;
    }
    for (size_t i = first; i < curve->count; i++) {
        const double x = log(curve->length[i]) - mean_x;
        xx += x * x;
        xy += x * (log(curve->cost[i]) - mean_y);
    }
    return xy / xx;
}

double curve_crossing(const struct curve *low, const struct curve *high) {
    for (size_t i = low->count; i-- > 0;) {
        const double above = log(low->cost[i] / high->cost[i]); /* of low over high; 0 counts as above */
        if (above < 0) continue;
        if (i + 1 == low->count) return INFINITY;
        const double below = log(low->cost[i + 1] / high->cost[i + 1]);
        const double share = above / (above - below);
        return exp((1 - share) * log(low->length[i]) + share * log(low->length[i + 1]));
    }
    return 0;
}
