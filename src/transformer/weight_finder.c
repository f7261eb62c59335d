/* SPDX-License-Identifier: MIT */
#include "transformer/weight_finder.h"

#include <float.h>
#include <stdarg.h>
#include <stdio.h>

#include "failure.h"
#include "kernels/kernels.h"

enum { name_size = 256 };

static void shape_text(const rill_weight *weight, size_t size, char *text) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < weight->rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, i ? ", %zu" : "%zu", weight->shape[i]);
}

void rill_weight_fail(rill_weight_finder *in, rill_status status, const char *format, ...) {
    if (in->status != RILL_OK) return;
    char message[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    in->status = rill_fail(in->why, status, "weights: %s", message);
}

static rill_weight find_named(const rill_weight_finder *in, const char *scope, const char *part,
                              char name[name_size]) {
    int length = snprintf(name, name_size, "%s%s%s", in->prefix, scope, part);
    return length < name_size ? rill_weights_find(in->weights, name) : (rill_weight){0};
}

bool rill_weight_is_there(const rill_weight_finder *in, const char *scope, const char *part) {
    char name[name_size];
    return find_named(in, scope, part, name).name != NULL;
}

static bool is_vector(const rill_weight *weight) { /* [n], [1][n], [1][1][n] … */
    for (size_t i = 0; i + 1 < weight->rank; i++)
        if (weight->shape[i] != 1) return false;
    return weight->rank > 0;
}

static bool fits(size_t *wanted, size_t found) {
    if (*wanted == 0) *wanted = found;
    return found != 0 && *wanted == found;
}

const float *rill_weight_find(rill_weight_finder *in, const char *scope, const char *part, size_t *rows,
                              size_t *columns) {
    char name[name_size], found[100], wanted[64];
    if (in->status != RILL_OK) return NULL;
    const rill_weight weight = find_named(in, scope, part, name);
    if (!weight.name) {
        rill_weight_fail(in, RILL_BAD_FORMAT, "the tensor %s is missing", name);
    } else if (!weight.values) {
        rill_weight_fail(in, RILL_UNSUPPORTED, "tensor %s is not of the type F32", name);
    } else if (columns ? weight.rank != 2 || !fits(rows, weight.shape[0]) || !fits(columns, weight.shape[1])
                       : !is_vector(&weight) || !fits(rows, weight.count)) {
        shape_text(&weight, sizeof found, found);
        snprintf(wanted, sizeof wanted, columns ? "%zu, %zu" : "%zu", *rows, columns ? *columns : 0);
        rill_weight_fail(in, RILL_BAD_FORMAT, "tensor %s has the shape [%s]; the others ask for [%s]", name,
                         found, wanted);
    } else if (!rill_kernels_get()->within(weight.count, weight.values, -FLT_MAX, FLT_MAX)) {
        rill_weight_fail(in, RILL_BAD_FORMAT, "tensor %s holds a number that is not finite", name);
    } else {
        return weight.values;
    }
    return NULL;
}

const float *rill_weight_find_bias(rill_weight_finder *in, const char *scope, const char *part,
                                   size_t count) {
    return rill_weight_is_there(in, scope, part) ? rill_weight_find(in, scope, part, &count, NULL)
                                                 : rill_weights_zeros(in->weights);
}

rill_dense_weights rill_weight_find_dense(rill_weight_finder *in, const char *scope, size_t inputs,
                                          size_t outputs) {
    rill_dense_weights dense = {.inputs = inputs, .outputs = outputs};
    dense.weight = rill_weight_find(in, scope, ".weight", &dense.outputs, &dense.inputs);
    dense.bias = rill_weight_find_bias(in, scope, ".bias", dense.outputs);
    return dense;
}

rill_norm_weights rill_weight_find_norm(rill_weight_finder *in, const char *scope, size_t dim) {
    return (rill_norm_weights){rill_weight_find(in, scope, ".weight", &dim, NULL),
                               rill_weight_find_bias(in, scope, ".bias", dim)};
}
