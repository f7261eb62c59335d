/* SPDX-License-Identifier: MIT */
/* DETR (2005.12872): its matcher and the assignment below it (SciPy's), and its transformer whole: encoder,
 * and decoder with object queries. Its layers alone are in conformance_transformer.c, its encodings of
 * position in conformance_position.c. */
#include "conformance.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <rill/assignment.h>
#include <rill/box_matching.h>
#include <rill/transformer.h>

/* float32 sums of up to 35 products, two layers deep, on both sides */
static const double tolerance = 1e-5;

static void run_assignment(conformance_case *c) {
    const conformance_tensor *cost;
    if (!conformance_need(c, "in.cost", &cost)) return;
    size_t rows = cost->shape[0], columns = cost->shape[1], pairs = 0;
    double *gain = conformance_memory(c, cost->count * sizeof *gain), total = 0;
    size_t *column_of_row = conformance_memory(c, rows * sizeof *column_of_row);
    float *row = conformance_floats(c, rows), *column = conformance_floats(c, rows);
    for (size_t i = 0; i < cost->count; i++) gain[i] = -(double)cost->values[i];
    if (rill_assign(rows, columns, gain, column_of_row) != RILL_OK) conformance_fail(c, "no assignment");
    for (size_t i = 0; i < rows; i++) {
        if (column_of_row[i] == SIZE_MAX) continue;
        total -= gain[i * columns + column_of_row[i]];
        row[pairs] = (float)i;
        column[pairs++] = (float)column_of_row[i];
    }
    conformance_expect(c, "out.row", row, 0);
    conformance_expect(c, "out.col", column, 0);
    conformance_expect(c, "out.total", &(float){(float)total}, 6e-8); /* u */
}

/* Image n: pairs by prediction, as DETR orders them. */
static void match_image(conformance_case *c, size_t n) {
    char name[5][32];
    const char *const names[] = {"in.labels", "in.boxes", "out.cost", "out.pred_idx", "out.tgt_idx"};
    const conformance_tensor *logits, *boxes, *labels, *drawn;
    for (size_t i = 0; i < 5; i++) snprintf(name[i], sizeof name[i], "%s%zu", names[i], n);
    if (!conformance_need(c, "in.pred_logits", &logits) || !conformance_need(c, "in.pred_boxes", &boxes) ||
        !conformance_need(c, name[0], &labels) || !conformance_need(c, name[1], &drawn))
        return;
    size_t predictions = logits->shape[1], classes = logits->shape[2], targets = labels->count, pairs = 0;
    size_t *label = conformance_memory(c, targets * sizeof *label),
           *found = conformance_memory(c, targets * sizeof *found);
    double *cost = conformance_memory(c, predictions * targets * sizeof *cost);
    float *cost_float = conformance_floats(c, predictions * targets);
    float *prediction = conformance_floats(c, targets), *target = conformance_floats(c, targets);
    for (size_t j = 0; j < targets; j++) label[j] = (size_t)labels->values[j];
    const rill_box_matching matching = {.class_weight = conformance_number(c, "cost_class", 0),
                                        .distance_weight = conformance_number(c, "cost_bbox", 0),
                                        .overlap_weight = conformance_number(c, "cost_giou", 0)};
    const rill_predicted_boxes predicted = {predictions, classes, logits->values + n * predictions * classes,
                                            boxes->values + n * predictions * 4};
    const rill_target_boxes wanted = {targets, label, drawn->values};
    rill_error why;
    if (rill_match_boxes(&matching, &predicted, &wanted, cost, found, &why) != RILL_OK) {
        conformance_fail(c, "%s", why.message);
        return;
    }
    for (size_t i = 0; i < predictions; i++)
        for (size_t j = 0; j < targets; j++) {
            cost_float[i * targets + j] = (float)cost[i * targets + j];
            if (found[j] != i) continue;
            prediction[pairs] = (float)i;
            target[pairs++] = (float)j;
        }
    conformance_expect(c, name[2], cost_float, 1e-6); /* theirs is computed in float */
    conformance_expect(c, name[3], prediction, 0);
    conformance_expect(c, name[4], target, 0);
}

/* Image n of [count][dim][pixels] as [pixels][dim]. */
static float *pixels_of(conformance_case *c, const conformance_tensor *x, size_t n) {
    size_t dim = x->shape[1], pixels = x->shape[2] * x->shape[3];
    float *rows = conformance_floats(c, pixels * dim);
    for (size_t i = 0; i < pixels * dim; i++) rows[i] = x->values[(n * dim + i % dim) * pixels + i / dim];
    return rows;
}

static void run_transformer(conformance_case *c, const rill_transformer *encoder,
                            const rill_transformer *decoder) {
    const conformance_tensor *src, *pos, *mask, *queries;
    if (!conformance_need(c, "in.src", &src) || !conformance_need(c, "in.pos", &pos) ||
        !conformance_need(c, "in.mask", &mask) || !conformance_need(c, "in.query_embed", &queries))
        return;
    size_t count = src->shape[0], dim = src->shape[1], pixels = src->shape[2] * src->shape[3];
    float *memories = conformance_floats(c, src->count),
          *outputs = conformance_floats(c, count * queries->count);
    float *encoded = conformance_floats(c, pixels * dim), *nothing = conformance_floats(c, queries->count);
    bool *seen = conformance_memory(c, pixels * sizeof *seen);
    size_t sizes[] = {rill_transformer_workspace_size(encoder, pixels, 0),
                      rill_transformer_workspace_size(decoder, queries->shape[0], pixels)};
    void *workspace = conformance_memory(c, sizes[0] > sizes[1] ? sizes[0] : sizes[1]);
    for (size_t n = 0; n < count; n++) {
        const float *position = pixels_of(c, pos, n);
        for (size_t i = 0; i < pixels; i++) seen[i] = mask->values[n * pixels + i] == 0; /* 1: padding */
        const rill_sight sight = {.mask = seen};
        rill_transformer_apply(
            encoder,
            &(rill_transformer_input){
                .length = pixels, .x = pixels_of(c, src, n), .position = position, .sight = sight},
            encoded, workspace);
        rill_transformer_apply(decoder,
                               &(rill_transformer_input){.length = queries->shape[0],
                                                         .x = nothing,
                                                         .position = queries->values,
                                                         .memory_length = pixels,
                                                         .memory = encoded,
                                                         .memory_position = position,
                                                         .memory_sight = sight},
                               outputs + n * queries->count, workspace);
        for (size_t i = 0; i < pixels * dim; i++)
            memories[(n * dim + i % dim) * pixels + i / dim] = encoded[i];
    }
    conformance_expect(c, "out.memory", memories, tolerance);
    conformance_expect(c, "out.hs", outputs, tolerance);
}

static void read_and_run_transformer(conformance_case *c) {
    rill_weights *weights;
    rill_transformer *encoder = NULL, *decoder = NULL;
    rill_error why;
    const rill_transformer_settings settings = {
        .heads = (size_t)conformance_number(c, "nhead", 0),
        .activation = strcmp(conformance_text(c, "activation"), "gelu") == 0 ? RILL_ACTIVATION_GELU
                                                                             : RILL_ACTIVATION_RELU,
        .norm_first = strcmp(conformance_text(c, "normalize_before"), "true") == 0,
        .norm_epsilon = (float)conformance_number(c, "layer_norm_eps", 0)};
    if (rill_weights_open(conformance_path(c), &weights, &why) != RILL_OK ||
        rill_transformer_read(weights, "weight.encoder.", &settings, &encoder, &why) != RILL_OK ||
        rill_transformer_read(weights, "weight.decoder.", &settings, &decoder, &why) != RILL_OK)
        conformance_fail(c, "%s", why.message);
    else
        run_transformer(c, encoder, decoder);
    rill_transformer_free(encoder);
    rill_transformer_free(decoder);
    rill_weights_close(weights);
}

static void run(conformance_case *c) {
    if (conformance_file_starts(c, "assignment_")) run_assignment(c);
    if (conformance_file_starts(c, "hungarian_"))
        for (size_t n = 0; n < 2; n++) match_image(c, n);
    if (conformance_file_starts(c, "transformer_")) read_and_run_transformer(c);
}

static bool knows(const conformance_case *c) {
    return strcmp(conformance_folder(c), "detr") == 0 &&
           (conformance_file_starts(c, "assignment_") || conformance_file_starts(c, "hungarian_") ||
            conformance_file_starts(c, "transformer_"));
}

const conformance_family conformance_detr = {"DETR", knows, run};
