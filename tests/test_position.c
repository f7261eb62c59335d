/* SPDX-License-Identifier: MIT */
/* Positional encodings against their formulas, and their laws at positions that float32 cannot count. */
#include "guarded_floats.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#include <rill/position.h>

#include "attention/angle.h"

static const double U = (double)FLT_EPSILON / 2;

/* any number of bits, so that small and huge ones are as likely */
static uint64_t random_position(void) {
    return random_bits() >> random_below(64);
}

static double random_frequency(void) {
    return rill_angle_frequency(random_below(32), 64, pow(10, 1 + 5 * random_uniform()));
}

/* Below 2²⁰ · 2⁻⁵² the product in double is right to 2⁻³³. */
Test(angle, is_sine_and_cosine_of_the_product) {
    random_seed(1);
    for (int round = 0; round < 2000; round++) {
        const uint64_t position = random_below((size_t)1 << 20);
        const double frequency = random_frequency(), angle = (double)position * frequency;
        const rill_direction at = rill_angle_at(position, frequency);
        cr_assert(fabs(at.sine - sin(angle)) < 0x1p-32 && fabs(at.cosine - cos(angle)) < 0x1p-32);
    }
}

/* The direction of a sum is the product of the directions, as complex numbers: with the test above this holds
 * every position to its angle. Each is a product of up to four directions of 2⁻⁵² each. */
Test(angle, of_a_sum_of_positions_is_the_sum_of_angles_at_every_position) {
    random_seed(2);
    for (int round = 0; round < 5000; round++) {
        const uint64_t p = random_position() / 2, q = random_position() / 2;
        const double frequency = random_frequency();
        const rill_direction a = rill_angle_at(p, frequency), b = rill_angle_at(q, frequency),
                             both = rill_angle_at(p + q, frequency);
        cr_assert(fabs(both.sine - (a.sine * b.cosine + a.cosine * b.sine)) < 0x1p-47 &&
                      fabs(both.cosine - (a.cosine * b.cosine - a.sine * b.sine)) < 0x1p-47,
                  "%llu + %llu, frequency %g", (unsigned long long)p, (unsigned long long)q, frequency);
    }
}

Test(sinusoidal, is_its_formula_and_its_tables_join) {
    random_seed(3);
    for (int round = 0; round < 40; round++) {
        const size_t dim = 1 + random_below(40), count = 1 + random_below(30), cut = random_below(count + 1);
        const uint64_t first = round % 2 ? random_position() / 2 : random_below(1000);
        guarded_floats whole = guarded_output(count * dim), joined = guarded_output(count * dim);
        rill_position_sinusoidal(first, count, dim, RILL_POSITION_BASE, whole.data);
        rill_position_sinusoidal(first, cut, dim, RILL_POSITION_BASE, joined.data);
        rill_position_sinusoidal(first + cut, count - cut, dim, RILL_POSITION_BASE, joined.data + cut * dim);
        cr_assert_arr_eq(whole.data, joined.data, count * dim * sizeof(float));
        for (size_t n = 0; n < count * dim && first < 1000; n++) {
            const double angle =
                (double)(first + n / dim) * pow(10000, -2.0 * (double)(n % dim / 2) / (double)dim);
            const double want = n % dim % 2 ? cos(angle) : sin(angle);
            cr_assert(fabs((double)whole.data[n] - want) <= U + 1e-12);
        }
        guarded_free(&whole);
        guarded_free(&joined);
    }
}

static rill_rotary random_rotary(void) {
    rill_rotary rotary = {.heads = 1 + random_below(3), .rotated = 2 + 2 * random_below(12), .base = 10000};
    rotary.dim = rotary.rotated + random_below(2) * random_below(5);
    rotary.pairs = random_below(2) ? RILL_ROTARY_HALVES : RILL_ROTARY_NEIGHBOURS;
    return rotary;
}

static double dot(size_t count, const float *a, const float *b, double *magnitude) {
    double sum = 0;
    *magnitude = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)a[i] * (double)b[i];
        *magnitude += fabs((double)a[i] * (double)b[i]);
    }
    return sum;
}

/* 2104.09864, eq. 14: q at m times k at n is the same as q at m − n times k at 0, at any m and n, to the
 * rounding of each turned number: |a| + |b| may take part in each of a pair, so 8 u of |q||k|. */
Test(rotary, product_depends_on_the_distance_only_for_ever) {
    random_seed(210409864);
    for (int round = 0; round < 300; round++) {
        const rill_rotary rotary = random_rotary();
        const size_t row = rotary.heads * rotary.dim;
        guarded_floats q = guarded_input(row, -1, 1), k = guarded_input(row, -1, 1),
                       far_q = guarded_output(row), far_k = guarded_output(row), near_q = guarded_output(row);
        const uint64_t n = random_position() / 2, distance = random_position() / 2;
        rill_rotary_turn(&rotary, n + distance, 1, q.data, far_q.data);
        rill_rotary_turn(&rotary, n, 1, k.data, far_k.data);
        rill_rotary_turn(&rotary, distance, 1, q.data, near_q.data);
        for (size_t h = 0; h < row; h += rotary.dim) {
            double q_size, k_size, unused;
            dot(rotary.dim, q.data + h, q.data + h, &q_size);
            dot(rotary.dim, k.data + h, k.data + h, &k_size);
            const double far = dot(rotary.dim, far_q.data + h, far_k.data + h, &unused),
                         near = dot(rotary.dim, near_q.data + h, k.data + h, &unused);
            cr_assert(fabs(far - near) <= 8 * U * sqrt(q_size * k_size), "%g at %llu, %g at 0", far,
                      (unsigned long long)n, near);
        }
        guarded_free(&q);
        guarded_free(&k);
        guarded_free(&far_q);
        guarded_free(&far_k);
        guarded_free(&near_q);
    }
}

/* A sequence in place is its rows one by one; what is not turned stays to the bit; position 0 turns nothing;
 * halves are neighbours by another order. */
Test(rotary, rows_parts_and_orders) {
    random_seed(5);
    for (int round = 0; round < 100; round++) {
        rill_rotary rotary = random_rotary();
        const size_t row = rotary.heads * rotary.dim, count = 1 + random_below(6), half = rotary.rotated / 2;
        const uint64_t first = random_position() / 2;
        guarded_floats x = guarded_input(count * row, -1, 1), all = guarded_copy(&x),
                       one = guarded_output(row);
        rotary.pairs = RILL_ROTARY_HALVES;
        rill_rotary_turn(&rotary, first, count, all.data, all.data);
        for (size_t t = 0; t < count; t++) {
            rill_rotary_turn(&rotary, first + t, 1, x.data + t * row, one.data);
            cr_assert_arr_eq(one.data, all.data + t * row, row * sizeof(float));
        }
        for (size_t n = 0; n < count * row; n++)
            if (n % rotary.dim >= rotary.rotated) cr_assert(all.data[n] == x.data[n]);
        guarded_floats shuffled = guarded_copy(&x);
        for (size_t n = 0; n < count * row; n += rotary.dim)
            for (size_t i = 0; i < half; i++) {
                shuffled.data[n + 2 * i] = x.data[n + i];
                shuffled.data[n + 2 * i + 1] = x.data[n + half + i];
            }
        rotary.pairs = RILL_ROTARY_NEIGHBOURS;
        rill_rotary_turn(&rotary, first, count, shuffled.data, shuffled.data);
        for (size_t n = 0; n < count * row; n += rotary.dim)
            for (size_t i = 0; i < half; i++)
                cr_assert(shuffled.data[n + 2 * i] == all.data[n + i] &&
                          shuffled.data[n + 2 * i + 1] == all.data[n + half + i]);
        rill_rotary_turn(&rotary, 0, 1, x.data, one.data);
        cr_assert_arr_eq(one.data, x.data, row * sizeof(float));
        guarded_free(&x);
        guarded_free(&all);
        guarded_free(&one);
        guarded_free(&shuffled);
    }
}

Test(rotary, refuses_what_it_cannot_turn) {
    rill_error why = {{0}};
    const rill_rotary good = {.heads = 2, .dim = 6, .rotated = 4, .base = 10000};
    cr_assert(rill_rotary_check(&good, &why) == RILL_OK && why.message[0] == '\0');
    rill_rotary bad[] = {good, good, good, good, good, good, good};
    bad[0].heads = 0;
    bad[1].rotated = 3;
    bad[2].rotated = 8;
    bad[3].rotated = 0;
    bad[4].base = 0;
    bad[5].base = (double)NAN;
    bad[6].pairs = (rill_rotary_pairs)7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why.message[0] = '\0';
        cr_assert(rill_rotary_check(&bad[i], &why) == RILL_BAD_ARGUMENT && why.message[0], "%zu", i);
    }
}

Test(learned_position, is_rows_of_the_table) {
    random_seed(6);
    const size_t dim = 5, rows = 9;
    guarded_floats table = guarded_input(rows * dim, -1, 1), out = guarded_output(4 * dim),
                   image = guarded_output(3 * 2 * 2 * dim);
    rill_position_learned(rows, dim, table.data, 5, 4, out.data);
    cr_assert_arr_eq(out.data, table.data + 5 * dim, 4 * dim * sizeof(float));
    rill_position_learned(rows, dim, table.data, 9, 0, out.data);
    rill_position_learned_2d(3, 2, dim, rows, table.data, 4, table.data + 5 * dim, image.data);
    for (size_t y = 0; y < 3; y++)
        for (size_t x = 0; x < 2; x++) {
            const float *at = image.data + (y * 2 + x) * 2 * dim;
            cr_assert_arr_eq(at, table.data + x * dim, dim * sizeof(float));
            cr_assert_arr_eq(at + dim, table.data + (5 + y) * dim, dim * sizeof(float));
        }
    guarded_free(&table);
    guarded_free(&out);
    guarded_free(&image);
}

/* An image inside padding to the right and below has the encoding it has alone; and each value is its
 * formula. */
Test(sine_2d, padding_changes_nothing) {
    random_seed(20050872);
    for (int round = 0; round < 40; round++) {
        rill_sine_2d sine = {.height = 1 + random_below(6),
                             .width = 1 + random_below(6),
                             .features = 1 + random_below(12),
                             .normalize = round % 2,
                             .scale = 6.283185307179586,
                             .temperature = 10000};
        const size_t height = sine.height + random_below(4), width = sine.width + random_below(4),
                     row = 2 * sine.features;
        guarded_floats alone = guarded_output(sine.height * sine.width * row),
                       padded = guarded_output(height * width * row);
        bool *seen = malloc(height * width);
        for (size_t n = 0; n < height * width; n++)
            seen[n] = n / width < sine.height && n % width < sine.width;
        rill_position_sine_2d(&sine, NULL, alone.data);
        rill_sine_2d larger = sine;
        larger.height = height;
        larger.width = width;
        rill_position_sine_2d(&larger, seen, padded.data);
        for (size_t y = 0; y < sine.height; y++)
            cr_assert_arr_eq(alone.data + y * sine.width * row, padded.data + y * width * row,
                             sine.width * row * sizeof(float));
        for (size_t n = 0; n < alone.count; n++) {
            const size_t pixel = n / row, j = n % row % sine.features;
            const bool is_x = n % row >= sine.features;
            double at = (double)(1 + (is_x ? pixel % sine.width : pixel / sine.width));
            if (sine.normalize) at *= sine.scale / ((double)(is_x ? sine.width : sine.height) + 1e-6);
            at /= pow(10000, (double)(j / 2 * 2) / (double)sine.features);
            cr_assert(fabs((double)alone.data[n] - (j % 2 ? cos(at) : sin(at))) <= U + 1e-12);
        }
        free(seen);
        guarded_free(&alone);
        guarded_free(&padded);
    }
}
