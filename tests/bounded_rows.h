/* SPDX-License-Identifier: MIT */
/* Rows in double, and beside each number how far float32 is likely to be from it: the definitions of a
 * network's parts that carry the error along. Roundings are taken as independent, so n of them add up to √n u
 * (u = 2⁻²⁴), and errors that meet in a sum are added in squares; the odds of more than BOUNDED_TIMES as much
 * vanish (Higham, Mary 2019, A new approach to probabilistic rounding error analysis). Bounds for the worst
 * of all signs would be ten times as large after every sublayer. Weights of one query share its error: theirs
 * are added as they are. */
#ifndef RILL_TEST_BOUNDED_ROWS_H
#define RILL_TEST_BOUNDED_ROWS_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <rill/multihead.h>

#define BOUNDED_U     ((double)FLT_EPSILON / 2)
#define BOUNDED_TIMES 8.0

typedef struct bounded {
    double value, off;
} bounded;

/* two errors in one number */
static inline double bounded_meet(double a, double b) {
    return sqrt(a * a + b * b);
}

static inline bounded *bounded_rows(size_t count) {
    bounded *rows = calloc(count + 1, sizeof *rows);
    if (!rows) abort();
    return rows;
}

static inline bounded *bounded_of(size_t count, const float *x) {
    bounded *rows = bounded_rows(count);
    for (size_t i = 0; i < count; i++) rows[i].value = (double)x[i];
    return rows;
}

static inline bounded bounded_sum(bounded a, bounded b) {
    return (bounded){a.value + b.value,
                     bounded_meet(bounded_meet(a.off, b.off), BOUNDED_U * (a.value + b.value))};
}

/* rows + position in float; NULL: rows */
static inline bounded *bounded_plus(size_t count, const bounded *rows, const float *position) {
    bounded *sum = bounded_rows(count);
    for (size_t i = 0; i < count; i++)
        sum[i] = position ? bounded_sum(rows[i], (bounded){(double)position[i], 0}) : rows[i];
    return sum;
}

static inline bounded *bounded_dense(const rill_dense_weights *dense, size_t count, const bounded *x) {
    bounded *y = bounded_rows(count * dense->outputs);
    for (size_t n = 0; n < count * dense->outputs; n++) {
        const float *weight = dense->weight + n % dense->outputs * dense->inputs;
        const bounded *row = x + n / dense->outputs * dense->inputs;
        double size = fabs((double)dense->bias[n % dense->outputs]);
        y[n].value = (double)dense->bias[n % dense->outputs];
        for (size_t i = 0; i < dense->inputs; i++) {
            y[n].value += (double)weight[i] * row[i].value;
            y[n].off = bounded_meet(y[n].off, (double)weight[i] * row[i].off);
            size += fabs((double)weight[i] * row[i].value);
        }
        y[n].off = bounded_meet(y[n].off, BOUNDED_U * sqrt((double)(dense->inputs + 1)) * size);
    }
    return y;
}

/* in place */
static inline void bounded_norm(const rill_norm_weights *norm, float epsilon, size_t count, size_t dim,
                                bounded *x) {
    const double n = (double)dim;
    for (size_t r = 0; r < count; r++, x += dim) {
        double mean = 0, mean_off = 0, size = 0, variance = 0, variance_off = 0;
        for (size_t i = 0; i < dim; i++) {
            mean += x[i].value / n;
            mean_off = bounded_meet(mean_off, x[i].off / n);
            size += fabs(x[i].value) / n;
        }
        mean_off = bounded_meet(mean_off, BOUNDED_U * sqrt(n + 1) * size);
        for (size_t i = 0; i < dim; i++) {
            const double centred = x[i].value - mean;
            variance += centred * centred / n;
            variance_off = bounded_meet(variance_off, 2 * centred * x[i].off / n);
        }
        variance_off = bounded_meet(variance_off, BOUNDED_U * sqrt(n + 3) * variance);
        const double root = sqrt(variance + (double)epsilon),
                     relative = bounded_meet(variance_off / (variance + (double)epsilon) / 2, 3 * BOUNDED_U);
        for (size_t i = 0; i < dim; i++) {
            const double unit = (x[i].value - mean) / root, weight = (double)norm->weight[i];
            const double off = bounded_meet(bounded_meet(x[i].off, mean_off) / root, unit * relative);
            x[i].value = unit * weight + (double)norm->bias[i];
            x[i].off = bounded_meet(weight * off, BOUNDED_U * (fabs(unit * weight) + fabs(x[i].value)));
        }
    }
}

/* x Φ(x): its slope is at most 1.13; erfcf within 4 ulp, and twice a product */
static inline bounded bounded_gelu(bounded x) {
    const double value = 0.5 * x.value * erfc(-x.value / sqrt(2));
    const double argument = 2 * BOUNDED_U * x.value * 1.13; /* −x/√2 is rounded before erfc */
    return (bounded){value, bounded_meet(bounded_meet(1.13 * x.off, argument), 6 * BOUNDED_U * value)};
}

static inline bounded bounded_relu(bounded x) {
    return (bounded){x.value > 0 ? x.value : 0, x.off};
}

/* φ(x) = elu(x) + 1: its slope is at most 1 */
static inline bounded bounded_elu1(bounded x) {
    const double value = x.value > 0 ? x.value + 1 : exp(x.value);
    return (bounded){value, bounded_meet(x.off, 3 * BOUNDED_U * value)};
}

static inline bool bounded_sees(const rill_sight *sight, size_t head, size_t i, size_t j) {
    if (sight->causal && j > i) return false;
    if (sight->windowed && j < i && i - j > sight->window_before) return false;
    if (sight->windowed && j > i && j - i > sight->window_after) return false;
    return !sight->mask || sight->mask[head * sight->mask_head_stride + i * sight->mask_query_stride + j];
}

/* One query of one head: the similarity of each key it sees, softmax's or linear attention's, then what they
 * mix into o [value_dim]. keys and values: rows of all heads, this one's columns from the pointers on. */
static inline void bounded_attend(const rill_multihead *m, const rill_sight *sight, size_t head, size_t i,
                                  const bounded *query, size_t keys_length, size_t extra, const bounded *keys,
                                  const bounded *values, bounded *o) {
    const size_t key_dim = m->query.outputs / m->heads, value_dim = m->value.outputs / m->heads,
                 all = keys_length + extra;
    const bool linear = m->kind == RILL_MULTIHEAD_LINEAR;
    double *weights = calloc(all + 1, sizeof *weights), most = -INFINITY, least = INFINITY, off = 0, sum = 0,
           sum_off = 0;
    double *weights_off = calloc(all + 1, sizeof *weights_off);
    for (size_t j = 0; j < all; j++) {
        const bounded *key = keys + j * m->key.outputs;
        const bool seen = j >= keys_length || bounded_sees(sight, head, i, j);
        double score = 0, score_off = 0, size = 0;
        weights[j] = linear ? 0 : -INFINITY;
        for (size_t d = 0; seen && d < key_dim; d++) {
            const bounded a = linear ? bounded_elu1(query[d]) : query[d],
                          b = linear ? bounded_elu1(key[d]) : key[d];
            score += a.value * b.value;
            score_off = bounded_meet(score_off, bounded_meet(a.value * b.off, a.off * b.value));
            size += fabs(a.value * b.value);
        }
        if (!seen) continue;
        if (linear) {
            weights[j] = score;
            weights_off[j] = bounded_meet(score_off, BOUNDED_U * sqrt((double)(key_dim + 4)) * size);
            continue;
        }
        const double scale = 1 / sqrt((double)key_dim);
        score *= scale;
        score_off = scale * bounded_meet(score_off, BOUNDED_U * sqrt((double)(key_dim + 4)) * size);
        if (sight->bias && j < keys_length)
            score += (double)sight->bias[head * sight->bias_head_stride + i * sight->bias_query_stride + j];
        weights[j] = score;
        if (isinf(score)) continue;
        score_off = bounded_meet(score_off, 2 * BOUNDED_U * score);
        most = fmax(most, score);
        least = fmin(least, score);
        off = fmax(off, score_off);
    }
    for (size_t j = 0; j < all && !linear; j++) {
        weights[j] = isinf(most) || isinf(weights[j]) ? 0 : exp(weights[j] - most);
        if (weights[j] > 0) weights_off[j] = weights[j] * (off + BOUNDED_U * (most - least + 8));
    }
    for (size_t j = 0; j < all; j++) {
        sum += weights[j];
        sum_off += weights_off[j] + BOUNDED_U * sqrt((double)(all + 16)) * weights[j];
    }
    const double epsilon = linear ? (m->epsilon > 0 ? (double)m->epsilon : 1e-6) : 0;
    const double divisor = sum + epsilon > 0 ? sum + epsilon : 1;
    for (size_t c = 0; c < value_dim; c++) {
        double total = 0, total_off = 0;
        for (size_t j = 0; j < all; j++) {
            if (weights[j] == 0) continue; /* what is hidden may hold anything */
            const bounded v = values[j * m->value.outputs + c];
            total += weights[j] * v.value;
            total_off += weights_off[j] * fabs(v.value) + weights[j] * v.off +
                         BOUNDED_U * sqrt((double)(all + 16)) * weights[j] * fabs(v.value);
        }
        o[c].value = total / divisor;
        o[c].off = total_off / divisor + fabs(o[c].value) * (sum_off / divisor + 2 * BOUNDED_U);
    }
    free(weights);
    free(weights_off);
}

static inline bounded *bounded_multihead(const rill_multihead *m, const rill_sight *sight,
                                         size_t queries_length, const bounded *queries, size_t keys_length,
                                         const bounded *keys, const bounded *values) {
    const size_t extra = (size_t)(m->extra_key != NULL) + (size_t)m->zero_key, all = keys_length + extra,
                 key_dim = m->query.outputs / m->heads, value_dim = m->value.outputs / m->heads;
    bounded *q = bounded_dense(&m->query, queries_length, queries),
            *k0 = bounded_dense(&m->key, keys_length, keys),
            *v0 = bounded_dense(&m->value, keys_length, values), *k = bounded_rows(all * m->key.outputs),
            *v = bounded_rows(all * m->value.outputs), *o = bounded_rows(queries_length * m->value.outputs);
    for (size_t n = 0; n < keys_length * m->key.outputs; n++) k[n] = k0[n];
    for (size_t n = 0; n < keys_length * m->value.outputs; n++) v[n] = v0[n];
    for (size_t n = 0; m->extra_key && n < m->key.outputs; n++)
        k[keys_length * m->key.outputs + n].value = (double)m->extra_key[n];
    for (size_t n = 0; m->extra_key && n < m->value.outputs; n++)
        v[keys_length * m->value.outputs + n].value = (double)m->extra_value[n];
    for (size_t h = 0; h < m->heads; h++)
        for (size_t i = 0; i < queries_length; i++)
            bounded_attend(m, sight, h, i, q + i * m->query.outputs + h * key_dim, keys_length, extra,
                           k + h * key_dim, v + h * value_dim, o + i * m->value.outputs + h * value_dim);
    bounded *y = bounded_dense(&m->output, queries_length, o);
    free(q);
    free(k0);
    free(v0);
    free(k);
    free(v);
    free(o);
    return y;
}

#endif
