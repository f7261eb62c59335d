/* SPDX-License-Identifier: MIT */
/* Positions as rotations of queries and keys (2104.09864). */
#include <rill/position.h>

#include <assert.h>
#include <math.h>
#include <string.h>

#include "attention/angle.h"
#include "failure.h"

rill_status rill_rotary_check(const rill_rotary *rotary, rill_error *why) {
    if (rotary->heads == 0 || rotary->rotated < 2 || rotary->rotated % 2 || rotary->rotated > rotary->dim)
        return rill_fail(why, RILL_BAD_ARGUMENT,
                         "rotary: %zu heads; %zu features turned is no even number from 2 to %zu",
                         rotary->heads, rotary->rotated, rotary->dim);
    if (rotary->pairs != RILL_ROTARY_NEIGHBOURS && rotary->pairs != RILL_ROTARY_HALVES)
        return rill_fail(why, RILL_BAD_ARGUMENT, "rotary: unknown pairs %d", (int)rotary->pairs);
    if (!(rotary->base > 0 && isfinite(rotary->base)))
        return rill_fail(why, RILL_BAD_ARGUMENT, "rotary: base %g is not a finite number above 0",
                         rotary->base);
    return RILL_OK;
}

void rill_rotary_turn(const rill_rotary *rotary, uint64_t first, size_t count, const float *x, float *out) {
    assert(rill_rotary_check(rotary, NULL) == RILL_OK);
    const size_t dim = rotary->dim, row = rotary->heads * dim, half = rotary->rotated / 2;
    const bool neighbours = rotary->pairs == RILL_ROTARY_NEIGHBOURS;
    if (out != x && count > 0) memcpy(out, x, count * row * sizeof *out);
    for (size_t i = 0; i < half; i++) {
        const double frequency = rill_angle_frequency(i, rotary->rotated, rotary->base);
        const size_t left = neighbours ? 2 * i : i, right = neighbours ? 2 * i + 1 : i + half;
        for (size_t t = 0; t < count; t++) {
            const rill_direction turn = rill_angle_at(first + t, frequency);
            for (float *head = out + t * row, *end = head + row; head < end; head += dim) {
                const double a = (double)head[left], b = (double)head[right];
                head[left] = (float)(a * turn.cosine - b * turn.sine);
                head[right] = (float)(a * turn.sine + b * turn.cosine);
            }
        }
    }
}
