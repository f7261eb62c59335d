/* SPDX-License-Identifier: MIT */
/* What each kernel means, in plain C with sums in double: the judge of the others, and never fast. It shares
 * no code with vector_*.c, so that a wrong formula cannot agree with itself. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/tables.h"

static void dense(size_t count, size_t inputs, size_t outputs, const float *x, const float *weight,
                  const float *bias, float *y) {
    for (size_t n = 0; n < count; n++)
        for (size_t o = 0; o < outputs; o++) {
            double sum = bias[o];
            for (size_t i = 0; i < inputs; i++)
                sum += (double)weight[o * inputs + i] * (double)x[n * inputs + i];
            y[n * outputs + o] = (float)sum;
        }
}

static double packed_weight(const rill_packed_dense *layer, size_t o, size_t i) {
    const size_t in_word = rill_packed_in_word(layer->type), words = (layer->inputs + in_word - 1) / in_word;
    const uint32_t *block = layer->words + o / RILL_PACKED_COLUMNS * words * RILL_PACKED_COLUMNS;
    const uint32_t word = block[i / in_word * RILL_PACKED_COLUMNS + o % RILL_PACKED_COLUMNS];
    const uint32_t bits = word >> 32 / in_word * (i % in_word);
    if (layer->type == RILL_WEIGHTS_I8) return (bits & 0xff) < 128 ? bits & 0xff : (bits & 0xff) - 256.0;
    const uint32_t upper = layer->type == RILL_WEIGHTS_BF16 ? bits << 16 : bits;
    float weight;
    memcpy(&weight, &upper, sizeof weight);
    return (double)weight;
}

static void packed_dense(size_t count, const rill_packed_dense *layer, const float *x, float *y) {
    for (size_t n = 0; n < count; n++)
        for (size_t o = 0; o < layer->outputs; o++) {
            double sum = 0;
            for (size_t i = 0; i < layer->inputs; i++)
                sum += packed_weight(layer, o, i) * (double)x[n * layer->inputs + i];
            const double scale = layer->scales ? (double)layer->scales[o] : 1;
            y[n * layer->outputs + o] = (float)(scale * sum + (double)layer->bias[o]);
        }
}

static void layer_norm(size_t count, size_t dim, const float *x, const float *weight, const float *bias,
                       float epsilon, float *y) {
    for (size_t n = 0; n < count; n++, x += dim, y += dim) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < dim; i++) mean += (double)x[i] / (double)dim;
        for (size_t i = 0; i < dim; i++) variance += (x[i] - mean) * (x[i] - mean) / (double)dim;
        for (size_t i = 0; i < dim; i++)
            y[i] = (float)((x[i] - mean) / sqrt(variance + (double)epsilon) * (double)weight[i] +
                           (double)bias[i]);
    }
}

static void elu1(size_t count, const float *x, float *y) {
    for (size_t i = 0; i < count; i++) y[i] = (float)(x[i] > 0 ? (double)x[i] + 1 : exp((double)x[i]));
}

static void exponentials(size_t count, const float *x, float *y) {
    for (size_t i = 0; i < count; i++) y[i] = (float)exp((double)x[i]);
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static void silu(size_t count, const float *x, float *y) {
    for (size_t i = 0; i < count; i++) y[i] = (float)((double)x[i] * sigmoid((double)x[i]));
}

static void gate(size_t count, const float *a, const float *b, float *y) {
    for (size_t i = 0; i < count; i++) y[i] = (float)((double)a[i] * sigmoid((double)b[i]));
}

static void depthwise(size_t count, size_t channels, size_t taps, const float *x, const float *weight,
                      bool tap_major, const float *bias, float *y) {
    for (size_t t = 0; t < count; t++)
        for (size_t c = 0; c < channels; c++) {
            double sum = bias ? (double)bias[c] : 0;
            for (size_t j = 0; j < taps; j++)
                sum += (double)weight[tap_major ? j * channels + c : c * taps + j] *
                       (double)x[(t + j) * channels + c];
            y[t * channels + c] = (float)sum;
        }
}

static bool within(size_t count, const float *x, float low, float high) {
    for (size_t i = 0; i < count; i++)
        if (!(low <= x[i] && x[i] <= high)) return false;
    return true;
}

static void product(const rill_matrix_product *p) {
    for (size_t r = 0; r < p->rows; r++)
        for (size_t m = 0; m < p->columns; m++) {
            float *out = p->out + r * p->out_stride + m;
            double sum = p->decay ? (double)p->decay[r] * (double)*out : (double)*out;
            for (size_t i = 0; i < p->inner; i++)
                sum += (double)p->a[r * p->a_row_stride + i * p->a_column_stride] *
                       (double)p->b[i * p->b_stride + m];
            *out = (float)sum;
        }
}

static void score(const rill_rows *keys, float scale, const float *query, const rill_rows *next, float *y) {
    (void)next;
    for (size_t j = 0; j < keys->count; j++) {
        double sum = 0;
        for (size_t i = 0; i < keys->dim; i++) sum += (double)query[i] * (double)keys->rows[j][i];
        y[j] = (float)((double)scale * sum);
    }
}

static void mix(const rill_rows *values, const float *weights, const rill_rows *next, float *y) {
    (void)next;
    for (size_t m = 0; m < values->dim; m++) {
        double sum = (double)y[m];
        for (size_t j = 0; j < values->count; j++) sum += (double)weights[j] * (double)values->rows[j][m];
        y[m] = (float)sum;
    }
}

/* S = g S + k vᵀ, z = g z + k of a head for step t */
static void take_step(size_t key_dim, size_t value_dim, float *S, float *z,
                      const rill_heads_sequence *sequence, size_t head, size_t t) {
    const float *key = sequence->keys + t * sequence->key_stride + head * key_dim;
    const float *value = sequence->values + t * sequence->value_stride + head * value_dim;
    const float *log_decay = sequence->log_decay ? sequence->log_decay + t * sequence->decay_stride : NULL;
    for (size_t d = 0; d < key_dim; d++) {
        double g =
            log_decay ? exp((double)log_decay[sequence->decay_per_key ? head * key_dim + d : head]) : 1;
        for (size_t m = 0; m < value_dim; m++)
            S[d * value_dim + m] =
                (float)(g * (double)S[d * value_dim + m] + (double)key[d] * (double)value[m]);
        if (z) z[d] = (float)(g * (double)z[d] + (double)key[d]);
    }
}

/* o = qᵀS · factor, factor = scale or 1 / (q·z + ε) */
static void read_state(size_t key_dim, size_t value_dim, const float *S, const float *z, double epsilon,
                       double scale, const float *query, float *output) {
    double factor = scale;
    if (z) {
        double normalizer = epsilon;
        for (size_t d = 0; d < key_dim; d++) normalizer += (double)query[d] * (double)z[d];
        factor = 1 / normalizer;
    }
    for (size_t m = 0; m < value_dim; m++) {
        double sum = 0;
        for (size_t d = 0; d < key_dim; d++) sum += (double)query[d] * (double)S[d * value_dim + m];
        output[m] = (float)(sum * factor);
    }
}

static void recurrent(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                      const rill_heads_sequence *sequence) {
    for (size_t t = 0; t < sequence->length; t++)
        for (size_t query_head = 0; query_head < sequence->heads * sequence->query_group; query_head++) {
            size_t head = query_head / sequence->query_group;
            float *head_S = S + head * key_dim * value_dim, *head_z = z ? z + head * key_dim : NULL;
            if (query_head % sequence->query_group == 0)
                take_step(key_dim, value_dim, head_S, head_z, sequence, head, t);
            read_state(key_dim, value_dim, head_S, head_z, (double)epsilon, (double)scale,
                       sequence->queries + t * sequence->query_stride + query_head * key_dim,
                       sequence->output + t * sequence->output_stride + query_head * value_dim);
        }
}

/* column i of the step at that place in the panels of head, dim columns a head */
static float *kept_at(float *kept, size_t dim, size_t head, size_t place, size_t i) {
    return kept + head * rill_steady_kept_floats(dim) + rill_steady_kept_at(place, i);
}

static void fold(float *total, float *lost, double block) {
    const double exact = (double)*total - (double)*lost + block;
    *total = (float)exact;
    *lost = (float)((double)*total - exact);
}

/* Σ k_d v_m over the kept steps of a head, or with m = value_dim Σ k_d */
static double kept_sum(const rill_steady_step *step, size_t head, size_t d, size_t m) {
    double sum = 0;
    for (size_t s = 0; s < RILL_STEADY_BLOCK_STEPS; s++)
        sum += (double)*kept_at(step->kept_keys, step->key_dim, head, s, d) *
               (m < step->value_dim ? (double)*kept_at(step->kept_values, step->value_dim, head, s, m) : 1);
    return sum;
}

static void read_steady(const rill_steady_step *step, size_t head, size_t query_head) {
    const float *query = step->queries + query_head * step->key_dim;
    double factor = (double)step->scale;
    if (step->z) {
        double normalizer = (double)step->epsilon;
        for (size_t d = 0; d < step->key_dim; d++)
            normalizer += (double)query[d] * ((double)step->z[head * step->key_dim + d] +
                                              kept_sum(step, head, d, step->value_dim));
        factor = 1 / normalizer;
    }
    for (size_t m = 0; m < step->value_dim; m++) {
        double sum = 0;
        for (size_t d = 0; d < step->key_dim; d++)
            sum += (double)query[d] * ((double)step->S[(head * step->key_dim + d) * step->value_dim + m] +
                                       kept_sum(step, head, d, m));
        step->output[query_head * step->value_dim + m] = (float)(sum * factor);
    }
}

static void fold_steady(const rill_steady_step *step, size_t head, size_t d) {
    const size_t row = head * step->key_dim + d;
    for (size_t m = 0; m < step->value_dim; m++)
        fold(step->S + row * step->value_dim + m, step->S_lost + row * step->value_dim + m,
             kept_sum(step, head, d, m));
    if (step->z) fold(step->z + row, step->z_lost + row, kept_sum(step, head, d, step->value_dim));
    for (size_t s = 0; s < RILL_STEADY_BLOCK_STEPS; s++)
        *kept_at(step->kept_keys, step->key_dim, head, s, d) = 0;
}

static void steady_step(const rill_steady_step *step) {
    const size_t begin = step->key_dim * step->place / RILL_STEADY_BLOCK_STEPS;
    const size_t end = step->key_dim * (step->place + 1) / RILL_STEADY_BLOCK_STEPS;
    for (size_t head = 0; head < step->heads; head++) {
        for (size_t d = 0; d < step->key_dim; d++)
            *kept_at(step->kept_keys, step->key_dim, head, step->place, d) =
                step->keys ? step->keys[head * step->key_dim + d] : 0;
        for (size_t m = 0; m < step->value_dim; m++)
            *kept_at(step->kept_values, step->value_dim, head, step->place, m) =
                step->keys ? step->values[head * step->value_dim + m] : 0;
        for (size_t g = 0; g < step->query_group; g++) read_steady(step, head, head * step->query_group + g);
        for (size_t d = begin; d < end; d++) fold_steady(step, head, d);
    }
}

/* S = g S, S += k (β (v − kᵀS))ᵀ of a head for step t */
static void replace_value(size_t key_dim, size_t value_dim, float *S, const rill_heads_sequence *sequence,
                          size_t head, size_t t) {
    const float *key = sequence->keys + t * sequence->key_stride + head * key_dim;
    const float *value = sequence->values + t * sequence->value_stride + head * value_dim;
    const float *log_decay = sequence->log_decay ? sequence->log_decay + t * sequence->decay_stride : NULL;
    const float *betas = sequence->beta + t * sequence->beta_stride;
    const double beta = (double)betas[sequence->beta_is_shared ? 0 : head];
    for (size_t m = 0; m < value_dim; m++) {
        double held = 0;
        for (size_t i = 0; i < 2 * key_dim; i++) { /* all rows of a column are read before they are written */
            const size_t d = i % key_dim;
            const double g =
                log_decay ? exp((double)log_decay[sequence->decay_per_key ? head * key_dim + d : head]) : 1;
            float *s = S + d * value_dim + m;
            if (i < key_dim)
                held += (double)key[d] * g * (double)*s;
            else
                *s = (float)(g * (double)*s + (double)key[d] * beta * ((double)value[m] - held));
        }
    }
}

static void delta(size_t key_dim, size_t value_dim, float *S, float scale,
                  const rill_heads_sequence *sequence) {
    for (size_t t = 0; t < sequence->length; t++)
        for (size_t query_head = 0; query_head < sequence->heads * sequence->query_group; query_head++) {
            size_t head = query_head / sequence->query_group;
            float *head_S = S + head * key_dim * value_dim;
            if (query_head % sequence->query_group == 0)
                replace_value(key_dim, value_dim, head_S, sequence, head, t);
            read_state(key_dim, value_dim, head_S, NULL, 0, (double)scale,
                       sequence->queries + t * sequence->query_stride + query_head * key_dim,
                       sequence->output + t * sequence->output_stride + query_head * value_dim);
        }
}

static bool is_finite(const rill_heads_sequence *sequence, size_t key_dim, size_t value_dim) {
    bool finite = true;
    for (size_t t = 0; t < sequence->length; t++)
        finite =
            finite &&
            within(sequence->heads * key_dim, sequence->keys + t * sequence->key_stride, -FLT_MAX, FLT_MAX) &&
            within(sequence->heads * value_dim, sequence->values + t * sequence->value_stride, -FLT_MAX,
                   FLT_MAX);
    return finite;
}

static size_t chunk(size_t key_dim, size_t value_dim, float *S, float *z, float epsilon, float scale,
                    const rill_heads_sequence *sequence) {
    if (!sequence->finite && !is_finite(sequence, key_dim, value_dim)) return 0;
    recurrent(key_dim, value_dim, S, z, epsilon, scale, sequence);
    return sequence->heads * sequence->length;
}

static size_t delta_chunk(size_t key_dim, size_t value_dim, float *S, float scale,
                          const rill_heads_sequence *sequence) {
    if (!sequence->finite && !is_finite(sequence, key_dim, value_dim)) return 0;
    delta(key_dim, value_dim, S, scale, sequence);
    return sequence->heads * sequence->length;
}

const rill_kernels rill_kernels_reference = {
    .name = "reference",
    .dense = dense,
    .packed_dense = packed_dense,
    .layer_norm = layer_norm,
    .elu1 = elu1,
    .exponential = exponentials,
    .silu = silu,
    .gate = gate,
    .depthwise = depthwise,
    .within = within,
    .steady_step = steady_step,
    .product = product,
    .score = score,
    .mix = mix,
    .recurrent = recurrent,
    .chunk = chunk,
    .delta_recurrent = delta,
    .delta_chunk = delta_chunk,
    .wide_block_steps = 16,
};
