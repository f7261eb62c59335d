/* SPDX-License-Identifier: MIT */
/* A tape for small networks: what is computed is written down, and read backwards it is the gradient. The
 * layers are those of <rill/learning.h>, attention those of <rill/softmax.h> and <rill/gradient.h>. */
#ifndef RILL_LECTURE_TAPE_H
#define RILL_LECTURE_TAPE_H

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rill/gradient.h>
#include <rill/learning.h>

typedef struct variable {
    size_t rows, columns;
    float *value, *gradient; /* [rows][columns] */
} variable;

typedef struct operation {
    void (*back)(const struct operation *operation); /* adds to the gradients of in what out's ask */
    variable out, in[3];
    size_t heads;
} operation;

enum { TAPE_FLOATS = 1 << 20, TAPE_OPERATIONS = 256, TAPE_PARAMETERS = 1 << 16 };
static float tape_memory[TAPE_FLOATS];
static operation tape[TAPE_OPERATIONS];
static size_t tape_used, tape_length;

static float *tape_take(size_t count) { /* zeros, until the tape is read back */
    float *floats = tape_memory + tape_used;
    if ((tape_used += count) > TAPE_FLOATS || tape_length >= TAPE_OPERATIONS) abort();
    return memset(floats, 0, count * sizeof *floats);
}

static variable tape_variable(size_t rows, size_t columns) {
    float *value = tape_take(rows * columns);
    return (variable){rows, columns, value, tape_take(rows * columns)};
}

static variable tape_write(operation done) {
    tape[tape_length++] = done;
    return done.out;
}

static void tape_forget(void) {
    tape_length = tape_used = 0;
}

/* From the gradients of what was computed last to those of the parameters. */
static void tape_back(void) {
    while (tape_length > 0) tape_length--, tape[tape_length].back(tape + tape_length);
    tape_forget();
}

static float tape_parameters[TAPE_PARAMETERS], tape_gradients[TAPE_PARAMETERS];
static size_t tape_parameters_count; /* of those used so far: the network sets it to 0 when it begins */
static bool tape_begun;              /* parameters have their first values */

/* The next parameters, in the order of their use: at first uniform around a mean. */
static variable tape_parameter(size_t rows, size_t columns, float mean, float deviation) {
    size_t at = tape_parameters_count;
    if ((tape_parameters_count += rows * columns) > TAPE_PARAMETERS) abort();
    for (size_t i = 0; i < rows * columns && !tape_begun; i++)
        tape_parameters[at + i] = mean + deviation * 3.4641f * ((float)rand() / (float)RAND_MAX - 0.5f);
    return (variable){rows, columns, tape_parameters + at, tape_gradients + at};
}

static void dense_back(const operation *o) {
    const variable *x = o->in, *w = o->in + 1, *b = o->in + 2;
    rill_dense_gradient(x->rows, x->columns, w->rows, x->value, w->value, o->out.gradient, x->gradient,
                        w->gradient, b->gradient);
}

/* x Wᵀ + b, weight [outputs][inputs], bias [1][outputs] */
static variable dense(variable x, variable weight, variable bias) {
    operation o = {dense_back, tape_variable(x.rows, weight.rows), {x, weight, bias}, 0};
    rill_dense(x.rows, x.columns, weight.rows, x.value, weight.value, bias.value, o.out.value);
    return tape_write(o);
}

/* With weights of its own. */
static variable layer(variable x, size_t outputs) {
    variable weight = tape_parameter(outputs, x.columns, 0, 1 / sqrtf(3 * (float)x.columns));
    return dense(x, weight, tape_parameter(1, outputs, 0, 0));
}

static void add_back(const operation *o) {
    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < o->out.rows * o->out.columns; i++)
            o->in[side].gradient[i] += o->out.gradient[i];
}

static variable add(variable a, variable b) {
    operation o = {add_back, tape_variable(a.rows, a.columns), {a, b, a}, 0};
    for (size_t i = 0; i < a.rows * a.columns; i++) o.out.value[i] = a.value[i] + b.value[i];
    return tape_write(o);
}

static void silu_back(const operation *o) {
    size_t count = o->out.rows * o->out.columns;
    rill_silu_gradient(count, o->in[0].value, o->out.value, o->out.gradient);
    for (size_t i = 0; i < count; i++) o->in[0].gradient[i] += o->out.gradient[i];
}

static variable silu(variable x) {
    operation o = {silu_back, tape_variable(x.rows, x.columns), {x, x, x}, 0};
    rill_silu(x.rows * x.columns, x.value, o.out.value);
    return tape_write(o);
}

static void norm_back(const operation *o) {
    const variable *x = o->in, *w = o->in + 1, *b = o->in + 2;
    rill_layer_norm_gradient(x->rows, x->columns, x->value, w->value, 1e-5f, o->out.gradient, x->gradient,
                             w->gradient, b->gradient);
}

static variable norm(variable x, variable weight, variable bias) {
    operation o = {norm_back, tape_variable(x.rows, x.columns), {x, weight, bias}, 0};
    rill_layer_norm(x.rows, x.columns, x.value, weight.value, bias.value, 1e-5f, o.out.value);
    return tape_write(o);
}

static variable normed(variable x) {
    variable weight = tape_parameter(1, x.columns, 1, 0);
    return norm(x, weight, tape_parameter(1, x.columns, 0, 0));
}

static rill_softmax_shape attention_shape(const operation *o, rill_softmax_input *input) {
    size_t dim = o->in[0].columns / o->heads;
    *input = (rill_softmax_input){.queries_length = o->in[0].rows,
                                  .keys_length = o->in[1].rows,
                                  .queries = o->in[0].value,
                                  .keys = o->in[1].value,
                                  .values = o->in[2].value};
    return (rill_softmax_shape){.heads = o->heads,
                                .query_heads = o->heads,
                                .key_dim = dim,
                                .value_dim = dim,
                                .scale = 1 / sqrtf((float)dim)};
}

static void attend_back(const operation *o) {
    rill_softmax_input input;
    rill_softmax_shape shape = attention_shape(o, &input);
    float *of[3];
    for (size_t i = 0; i < 3; i++) of[i] = tape_take(o->in[i].rows * o->in[i].columns);
    float *workspace = tape_take(rill_softmax_gradient_size(&shape, input.keys_length) / sizeof(float) + 1);
    rill_sequence_gradient gradient = {of[0], of[1], of[2], NULL};
    rill_softmax_gradient(&shape, &input, o->out.gradient, &gradient, workspace);
    for (size_t i = 0; i < 3; i++)
        for (size_t n = 0; n < o->in[i].rows * o->in[i].columns; n++) o->in[i].gradient[n] += of[i][n];
}

static variable attend(variable queries, variable keys, variable values, size_t heads) {
    operation o = {attend_back, tape_variable(queries.rows, values.columns), {queries, keys, values}, heads};
    rill_softmax_input input;
    rill_softmax_shape shape = attention_shape(&o, &input);
    rill_softmax_attention(&shape, &input, o.out.value);
    return tape_write(o);
}

#endif
