/* SPDX-License-Identifier: MIT */
/* Hedgehog is its formula, with a bias and without, as exponentials or as their softmax. */
#include "feature_rows.h"

typedef struct linear_layer {
    size_t outputs;
    guarded_floats weight, bias;
    bool biased, normalize;
} linear_layer;

static linear_layer layer_make(size_t dim) {
    size_t outputs = 1 + random_below(30);
    return (linear_layer){outputs, guarded_input(outputs * dim, -1, 1), guarded_input(outputs, -1, 1),
                          random_below(2), random_below(2)};
}

static void map_hedgehog(feature_rows *rows, void *with) {
    const linear_layer *layer = with;
    rill_feature_map_hedgehog(rows->count, rows->dim, layer->outputs, layer->weight.data,
                              layer->biased ? layer->bias.data : NULL, layer->normalize, rows->x.data,
                              rows->features.data);
}

/* y is off by dim + 2 roundings of its terms, what is taken from it before exp by one more, the softmax twice
 * that. */
Test(hedgehog, features_are_their_formula) {
    random_seed(1);
    for (int round = 0; round < 60; round++) {
        size_t dim = 1 + random_below(30);
        linear_layer layer = layer_make(dim);
        feature_rows rows = feature_rows_make(random_below(5), dim, 2 * layer.outputs, 2);
        map_hedgehog(&rows, &layer);
        for (size_t n = 0; n < rows.count; n++) {
            double y[30], sum = 0, largest = 0, off = 0;
            for (size_t o = 0; o < layer.outputs; o++) {
                double bias = layer.biased ? (double)layer.bias.data[o] : 0;
                const float *w = layer.weight.data + o * dim, *x = rows.x.data + n * dim;
                y[o] = double_dot(dim, w, x) + bias;
                off = fmax(off, (double)(dim + 3) * U * (absolute_dot(dim, w, x) + fabs(bias)));
                largest = fmax(largest, fabs(y[o]));
                sum += exp(y[o]) + exp(-y[o]);
            }
            for (size_t o = 0; o < 2 * layer.outputs; o++) {
                double want =
                    exp(o < layer.outputs ? y[o] : -y[o - layer.outputs]) / (layer.normalize ? sum : 1);
                double relative = layer.normalize ? 4 * (off + largest * U) + 8 * U : off + 4 * U;
                double got = (double)rows.features.data[n * 2 * layer.outputs + o];
                cr_assert(fabs(got - want) <= want * expm1(relative), "round %d: %g, want %g", round, got,
                          want);
            }
        }
        guarded_free(&layer.weight);
        guarded_free(&layer.bias);
        feature_rows_free(&rows);
    }
}

Test(hedgehog, softmax_of_large_outputs_does_not_overflow) {
    const float weight[] = {1, -2}, x[] = {500};
    float features[4];
    rill_feature_map_hedgehog(1, 1, 2, weight, NULL, true, x, features);
    cr_assert(features[0] == 0 && features[1] == 0 && features[2] == 0 && features[3] == 1);
}

Test(hedgehog, nan_stays_in_its_row) {
    random_seed(2);
    for (int round = 0; round < 4; round++) {
        linear_layer layer = layer_make(5);
        feature_rows rows = feature_rows_make(8, 5, 2 * layer.outputs, 1);
        expect_nan_stays(&rows, map_hedgehog, &layer);
        guarded_free(&layer.weight);
        guarded_free(&layer.bias);
        feature_rows_free(&rows);
    }
}
