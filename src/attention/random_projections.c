/* SPDX-License-Identifier: MIT */
/* Normal projections from a seed, orthogonal in blocks. */
#include <math.h>

#include <rill/feature_map.h>

/* splitmix64 (Steele, Lea, Flood 2014): every seed is a good one */
static uint64_t next_bits(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* (0, 1] */
static double next_uniform(uint64_t *state) {
    return (double)((next_bits(state) >> 11) + 1) * 0x1p-53;
}

/* N(0, 1) by Box and Muller; the other half of the pair is thrown away */
static double next_normal(uint64_t *state) {
    const double turn = 6.283185307179586;
    double radius = sqrt(-2 * log(next_uniform(state)));
    return radius * cos(turn * next_uniform(state));
}

static double next_row(uint64_t *state, size_t dim, float *row) {
    double square = 0;
    for (size_t d = 0; d < dim; d++) {
        row[d] = (float)next_normal(state);
        square += (double)row[d] * (double)row[d];
    }
    return sqrt(square);
}

static double dot(size_t dim, const float *a, const float *b) {
    double sum = 0;
    for (size_t d = 0; d < dim; d++) sum += (double)a[d] * (double)b[d];
    return sum;
}

/* Row r of a block of rows that are orthogonal so far loses its part along them: Gram and Schmidt, twice (a
 * second pass takes away what rounding left: Kahan's "twice is enough"). */
static void make_orthogonal(size_t r, size_t dim, const float *block, float *row) {
    for (int pass = 0; pass < 2; pass++)
        for (size_t s = 0; s < r; s++) {
            const float *other = block + s * dim;
            double along = dot(dim, row, other) / dot(dim, other, other);
            for (size_t d = 0; d < dim; d++) row[d] = (float)((double)row[d] - along * (double)other[d]);
        }
}

void rill_random_projections_draw(uint64_t seed, bool orthogonal, size_t count, size_t dim,
                                  float *projections) {
    for (size_t r = 0; r < count; r++) {
        float *row = projections + r * dim, *block = projections + r / dim * dim * dim;
        double length = next_row(&seed, dim, row);
        if (!orthogonal) continue;
        /* its direction is uniform among those left; its length is that of the normal row it was */
        make_orthogonal(r % dim, dim, block, row);
        double left = sqrt(dot(dim, row, row));
        for (size_t d = 0; d < dim; d++) row[d] = (float)((double)row[d] * length / left);
    }
}
