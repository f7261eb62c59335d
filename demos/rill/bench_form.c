/* SPDX-License-Identifier: MIT */
#include "bench_form.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rill/attention.h>
#include <rill/softmax.h>

#include "bench_inputs.h"

const struct form forms[FORMS] = {
    [FORM_SOFTMAX_QUADRATIC] = {"softmax_quadratic", "softmax", false},
    [FORM_SOFTMAX_CACHED] = {"softmax_cached", "softmax, KV cache", true},
    [FORM_SLIDING_WINDOW] = {"sliding_window", "softmax, window 256", true},
    [FORM_LINEAR_PARALLEL] = {"linear_parallel", "linear, parallel", false},
    [FORM_LINEAR_CHUNKWISE] = {"linear_chunkwise", "linear, chunkwise", true},
    [FORM_LINEAR_RECURRENT] = {"linear_recurrent", "linear, recurrent", true},
};

enum { CHUNKWISE_ROWS = 64 }; /* whose features stay in cache until they are used */

static size_t row_floats(const struct field *field) {
    return field->heads * field->dim;
}

static rill_attention_shape linear_shape(const struct field *field) {
    return (rill_attention_shape){.rule = RILL_RULE_LINEAR,
                                  .heads = field->heads,
                                  .query_heads = field->heads,
                                  .key_dim = field->dim,
                                  .value_dim = field->dim,
                                  .normalize = true,
                                  .epsilon = 1e-6f,
                                  .scale = 1};
}

static rill_softmax_shape softmax_shape(const struct field *field) {
    return (rill_softmax_shape){.similarity = RILL_SIMILARITY_SOFTMAX,
                                .heads = field->heads,
                                .query_heads = field->heads,
                                .key_dim = field->dim,
                                .value_dim = field->dim,
                                .scale = (float)(1 / sqrt((double)field->dim))};
}

/* Never wider than the sequence, so that one token more costs the same however often it is taken. */
static rill_sliding_window_shape window_shape(const struct field *field) {
    return (rill_sliding_window_shape){.softmax = softmax_shape(field),
                                       .window = field->length < FORM_WINDOW ? field->length : FORM_WINDOW};
}

/* count rows from row t on */
static rill_sequence rows_of(const struct field *field, size_t t, size_t count) {
    const size_t at = t * row_floats(field);
    return (rill_sequence){.length = count,
                           .queries = field->queries + at,
                           .keys = field->keys + at,
                           .values = field->values + at};
}

/* The same with the features of queries and keys. */
static rill_sequence feature_rows_of(const struct field *field, size_t t, size_t count) {
    rill_sequence rows = rows_of(field, t, count);
    const size_t floats = count * row_floats(field);
    rill_feature_map_elu1(floats, rows.queries, field->features);
    rill_feature_map_elu1(floats, rows.keys, field->features + floats);
    rows.queries = field->features;
    rows.keys = field->features + floats;
    return rows;
}

static float *output_row(const struct field *field, size_t t) {
    return field->output + t * row_floats(field);
}

bool field_make(size_t heads, size_t dim, size_t length, struct field *field) {
    *field = (struct field){.heads = heads, .dim = dim, .length = length};
    const rill_attention_shape linear = linear_shape(field);
    const rill_softmax_shape softmax = softmax_shape(field);
    const rill_sliding_window_shape window = window_shape(field);
    const size_t sizes[FORMS] = {[FORM_SOFTMAX_CACHED] = rill_key_value_cache_size(&softmax, length + 1),
                                 [FORM_SLIDING_WINDOW] = rill_sliding_window_size(&window),
                                 [FORM_LINEAR_PARALLEL] = rill_attention_size(&linear) +
                                                          rill_attention_parallel_size(&linear, length),
                                 [FORM_LINEAR_CHUNKWISE] = rill_attention_size(&linear),
                                 [FORM_LINEAR_RECURRENT] = rill_attention_size(&linear)};
    const size_t floats = (length + 1) * row_floats(field);
    const size_t features = 2 * (length > CHUNKWISE_ROWS ? length : CHUNKWISE_ROWS) * row_floats(field);
    field->queries = aligned_memory((4 * floats + features) * sizeof(float));
    bool well = field->queries != NULL;
    for (size_t i = 0; i < FORMS; i++) {
        if (sizes[i] == 0) continue;
        field->memories[i] = aligned_memory(sizes[i]);
        if (field->memories[i])
            memset(field->memories[i], 0, sizes[i]); /* pages are there before they are timed */
        else
            well = false;
    }
    if (!well) {
        field_free(field);
        return false;
    }
    field->keys = field->queries + floats;
    field->values = field->keys + floats;
    field->output = field->values + floats;
    field->features = field->output + floats;
    fill_random(3 * floats, -1, 1, field->queries);
    memset(field->output, 0, (floats + features) * sizeof(float));
    rill_key_value_cache_init(&softmax, field->memories[FORM_SOFTMAX_CACHED], length + 1);
    rill_sliding_window_init(&window, field->memories[FORM_SLIDING_WINDOW]);
    return true;
}

void field_free(struct field *field) {
    free(field->queries);
    for (size_t i = 0; i < FORMS; i++) free(field->memories[i]);
    *field = (struct field){0};
}

static void take(enum form_kind kind, struct field *field, size_t t) {
    void *memory = field->memories[kind];
    const rill_sequence row = rows_of(field, t, 1);
    if (kind == FORM_SOFTMAX_CACHED) {
        const rill_softmax_shape shape = softmax_shape(field);
        rill_key_value_cache_step(&shape, memory, &row, output_row(field, t));
    } else if (kind == FORM_SLIDING_WINDOW) {
        const rill_sliding_window_shape shape = window_shape(field);
        rill_sliding_window_step(&shape, memory, &row, output_row(field, t));
    } else {
        const rill_attention_shape shape = linear_shape(field);
        const rill_sequence features = feature_rows_of(field, t, 1);
        rill_attention_recurrent(&shape, memory, &features, output_row(field, t));
    }
}

static void forget(enum form_kind kind, struct field *field) {
    void *memory = field->memories[kind];
    if (kind == FORM_SOFTMAX_CACHED) {
        const rill_softmax_shape shape = softmax_shape(field);
        rill_key_value_cache_reset(&shape, memory);
    } else if (kind == FORM_SLIDING_WINDOW) {
        const rill_sliding_window_shape shape = window_shape(field);
        rill_sliding_window_reset(&shape, memory);
    } else {
        const rill_attention_shape shape = linear_shape(field);
        rill_attention_reset(&shape, memory);
    }
}

static void look_at_all(struct field *field) {
    const rill_softmax_shape shape = softmax_shape(field);
    const rill_softmax_input input = {.queries_length = field->length,
                                      .keys_length = field->length,
                                      .queries = field->queries,
                                      .keys = field->keys,
                                      .values = field->values,
                                      .causal = true};
    rill_softmax_attention(&shape, &input, field->output);
}

static void go_chunkwise(struct field *field) {
    const rill_attention_shape shape = linear_shape(field);
    for (size_t t = 0; t < field->length; t += CHUNKWISE_ROWS) {
        const size_t left = field->length - t;
        const rill_sequence rows = feature_rows_of(field, t, left < CHUNKWISE_ROWS ? left : CHUNKWISE_ROWS);
        rill_attention_chunkwise(&shape, field->memories[FORM_LINEAR_CHUNKWISE], &rows, output_row(field, t));
    }
}

static void go_parallel(struct field *field) {
    const rill_attention_shape shape = linear_shape(field);
    const rill_sequence rows = feature_rows_of(field, 0, field->length);
    void *state = field->memories[FORM_LINEAR_PARALLEL];
    rill_attention_parallel(&shape, state, &rows, field->output, (char *)state + rill_attention_size(&shape));
}

void form_whole(enum form_kind kind, struct field *field) {
    if (kind == FORM_SOFTMAX_QUADRATIC) {
        look_at_all(field);
        return;
    }
    forget(kind, field);
    if (kind == FORM_LINEAR_PARALLEL)
        go_parallel(field);
    else if (kind == FORM_LINEAR_CHUNKWISE)
        go_chunkwise(field);
    else
        for (size_t t = 0; t < field->length; t++) take(kind, field, t);
}

void form_next(enum form_kind kind, struct field *field) {
    if (kind == FORM_SOFTMAX_CACHED) rill_key_value_cache_truncate(field->memories[kind], field->length);
    take(kind, field, field->length);
}

size_t form_memory(enum form_kind kind, const struct field *field) {
    const rill_attention_shape linear = linear_shape(field);
    const rill_softmax_shape softmax = softmax_shape(field);
    const rill_sliding_window_shape window = {softmax, 0, FORM_WINDOW};
    const size_t sequence = 3 * field->length * row_floats(field) * sizeof(float);
    switch (kind) {
    case FORM_SOFTMAX_QUADRATIC:
        return sequence;
    case FORM_SOFTMAX_CACHED:
        return rill_key_value_cache_size(&softmax, field->length);
    case FORM_SLIDING_WINDOW:
        return rill_sliding_window_size(&window);
    case FORM_LINEAR_PARALLEL:
        return sequence + rill_attention_parallel_size(&linear, field->length);
    default:
        return rill_attention_size(&linear);
    }
}

/* What of key j a query takes in: e^(q·k/√D), or φ(q)·φ(k). */
static double similarity(bool linear, size_t dim, const float *query, const float *key) {
    double sum = 0;
    for (size_t d = 0; d < dim; d++) {
        const double q = (double)query[d], k = (double)key[d];
        sum += linear ? (q > 0 ? q + 1 : exp(q)) * (k > 0 ? k + 1 : exp(k)) : q * k;
    }
    return linear ? sum : exp(sum / sqrt((double)dim));
}

double form_error(enum form_kind kind, const struct field *field) {
    const bool linear = kind >= FORM_LINEAR_PARALLEL;
    const size_t D = field->dim, row = row_floats(field), last = field->length - 1;
    const size_t first =
        kind == FORM_SLIDING_WINDOW && field->length > FORM_WINDOW ? field->length - FORM_WINDOW : 0;
    double worst = 0, greatest = 0;
    double *sum = calloc(D, sizeof *sum);
    if (!sum) return NAN;
    for (size_t h = 0; h < field->heads; h++) {
        double weights = linear ? 1e-6 : 0;
        memset(sum, 0, D * sizeof *sum);
        for (size_t j = first; j <= last; j++) {
            const size_t at = j * row + h * D;
            const double weight =
                similarity(linear, D, field->queries + last * row + h * D, field->keys + at);
            weights += weight;
            for (size_t d = 0; d < D; d++) sum[d] += weight * (double)field->values[at + d];
        }
        for (size_t d = 0; d < D; d++) {
            const double wanted = sum[d] / weights;
            const double difference = fabs((double)field->output[last * row + h * D + d] - wanted);
            if (isnan(difference)) worst = INFINITY;
            worst = fmax(worst, difference);
            greatest = fmax(greatest, fabs(wanted));
        }
    }
    free(sum);
    return worst / greatest;
}
