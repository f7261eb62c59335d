/* SPDX-License-Identifier: MIT */
/* The transformer against its definition in double: what it computes, on every split, and its gradient. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rill/symbol_model.h>

#include "count_allocations.h"
#include "random_numbers.h"

static rill_symbol_model_shape random_shape(size_t dim_max) {
    rill_symbol_model_shape shape = {.similarity =
                                         random_below(2) ? RILL_SIMILARITY_SOFTMAX : RILL_SIMILARITY_PRODUCT};
    shape.symbols = 2 + random_below(7);
    shape.symbols_per_step = 1 + random_below(3);
    shape.classes = 1 + random_below(5);
    shape.layers = 1 + random_below(3);
    shape.heads = 1 + random_below(3);
    shape.dim = shape.heads * (1 + random_below(dim_max));
    shape.feed_forward_dim = 1 + random_below(2 * dim_max);
    return shape;
}

/* ---- the definition ---- */

/* y [length][outputs] of dense weights at *p, which is moved on */
static void define_dense(size_t length, size_t inputs, size_t outputs, const double *x, const double **p,
                         double *y) {
    const double *weight = *p, *bias = weight + inputs * outputs;
    for (size_t n = 0; n < length; n++)
        for (size_t o = 0; o < outputs; o++) {
            double sum = bias[o];
            for (size_t i = 0; i < inputs; i++) sum += weight[o * inputs + i] * x[n * inputs + i];
            y[n * outputs + o] = sum;
        }
    *p += (inputs + 1) * outputs;
}

static void define_norm(size_t length, size_t dim, const double *x, const double **p, double *y) {
    for (size_t n = 0; n < length; n++, x += dim, y += dim) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < dim; i++) mean += x[i] / (double)dim;
        for (size_t i = 0; i < dim; i++) variance += (x[i] - mean) * (x[i] - mean) / (double)dim;
        for (size_t i = 0; i < dim; i++)
            y[i] = (x[i] - mean) / sqrt(variance + (double)1e-5f) * (*p)[i] + (*p)[dim + i];
    }
    *p += 2 * dim;
}

static double similarity(const rill_symbol_model_shape *shape, const double *q, const double *k) {
    const size_t dim = shape->dim / shape->heads;
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        if (shape->similarity == RILL_SIMILARITY_SOFTMAX)
            sum += q[i] * k[i] / sqrt((double)dim);
        else
            sum += (q[i] > 0 ? q[i] + 1 : exp(q[i])) * (k[i] > 0 ? k[i] + 1 : exp(k[i]));
    }
    return shape->similarity == RILL_SIMILARITY_SOFTMAX ? exp(sum) : sum;
}

/* out [length][dim]: every step looks back at all before it */
static void define_attention(const rill_symbol_model_shape *shape, size_t length, const double *q,
                             const double *k, const double *v, double *out) {
    const size_t dim = shape->dim, width = dim / shape->heads;
    memset(out, 0, length * dim * sizeof *out);
    for (size_t i = 0; i < length; i++)
        for (size_t h = 0; h < dim; h += width) {
            double sum = shape->similarity == RILL_SIMILARITY_SOFTMAX ? 0 : 1e-6;
            for (size_t j = 0; j <= i; j++) sum += similarity(shape, q + i * dim + h, k + j * dim + h);
            for (size_t j = 0; j <= i; j++)
                for (size_t m = h; m < h + width; m++)
                    out[i * dim + m] +=
                        similarity(shape, q + i * dim + h, k + j * dim + h) / sum * v[j * dim + m];
        }
}

/* logits [length][classes] */
static void define(const rill_symbol_model_shape *s, const double *p, size_t length, const uint32_t *symbols,
                   double *logits) {
    const size_t dim = s->dim, wide = s->feed_forward_dim, rows = length * dim;
    double *x = calloc(6 * rows + length * wide + 1, sizeof *x), *a = x + rows, *q = a + rows, *k = q + rows,
           *v = k + rows, *o = v + rows, *u = o + rows;
    for (size_t n = 0; n < length; n++)
        for (size_t i = 0; i < s->symbols_per_step; i++)
            for (size_t d = 0; d < dim; d++)
                x[n * dim + d] += p[symbols[n * s->symbols_per_step + i] * dim + d];
    p += s->symbols * dim;
    for (size_t layer = 0; layer < s->layers; layer++) {
        define_norm(length, dim, x, &p, a);
        define_dense(length, dim, dim, a, &p, q);
        define_dense(length, dim, dim, a, &p, k);
        define_dense(length, dim, dim, a, &p, v);
        define_attention(s, length, q, k, v, o);
        define_dense(length, dim, dim, o, &p, a);
        for (size_t i = 0; i < rows; i++) x[i] += a[i];
        define_norm(length, dim, x, &p, a);
        define_dense(length, dim, wide, a, &p, u);
        for (size_t i = 0; i < length * wide; i++) u[i] /= 1 + exp(-u[i]);
        define_dense(length, wide, dim, u, &p, a);
        for (size_t i = 0; i < rows; i++) x[i] += a[i];
    }
    define_norm(length, dim, x, &p, a);
    define_dense(length, dim, s->classes, a, &p, logits);
    free(x);
}

static double define_loss(const rill_symbol_model_shape *s, const double *p, size_t length,
                          const uint32_t *symbols, const uint32_t *targets) {
    double *logits = calloc(length * s->classes + 1, sizeof *logits), loss = 0;
    define(s, p, length, symbols, logits);
    for (size_t n = 0; n < length; n++) {
        double sum = 0;
        for (size_t c = 0; c < s->classes; c++) sum += exp(logits[n * s->classes + c]);
        if (targets[n] != RILL_NO_TARGET) loss += log(sum) - logits[n * s->classes + targets[n]];
    }
    free(logits);
    return loss;
}

/* ---- the tests ---- */

typedef struct problem {
    rill_symbol_model_shape shape;
    size_t length, count; /* of parameters */
    float *parameters;
    double *exact;
    uint32_t *symbols, *targets;
} problem;

static problem problem_make(size_t dim_max, size_t length) {
    problem p = {.shape = random_shape(dim_max), .length = length};
    cr_assert_eq(rill_symbol_model_check(&p.shape, NULL), RILL_OK);
    p.count = rill_symbol_model_parameters(&p.shape);
    p.parameters = malloc(p.count * sizeof(float));
    p.exact = malloc(p.count * sizeof(double));
    rill_symbol_model_draw(&p.shape, random_bits(), p.parameters);
    for (size_t i = 0; i < p.count; i++) {
        p.parameters[i] += (float)(0.2 * random_uniform() - 0.1); /* biases and norms as well */
        p.exact[i] = (double)p.parameters[i];
    }
    p.symbols = calloc(length * p.shape.symbols_per_step + 1, sizeof(uint32_t));
    p.targets = calloc(length + 1, sizeof(uint32_t));
    for (size_t i = 0; i < length * p.shape.symbols_per_step; i++)
        p.symbols[i] = (uint32_t)random_below(p.shape.symbols);
    for (size_t n = 0; n < length; n++)
        p.targets[n] = random_below(4) ? (uint32_t)random_below(p.shape.classes) : RILL_NO_TARGET;
    return p;
}

static void problem_free(problem *p) {
    free(p->parameters), free(p->exact), free(p->symbols), free(p->targets);
}

/* Through every layer rounding is multiplied by what the norms and weights, all near 1, make of it: a hundred
 * roundings of numbers near 1 a layer. */
static double tolerance_of(const problem *p) {
    return 100 * (double)(p->shape.layers + 1) * (double)FLT_EPSILON * sqrt((double)p->shape.dim);
}

/* In parts of 1 … longest steps. */
static void step_through(const problem *p, size_t longest, float *logits) {
    const rill_symbol_model_shape *s = &p->shape;
    void *memory = malloc(rill_symbol_model_size(s, p->length) + 1);
    void *workspace = malloc(rill_symbol_model_workspace_size(s, longest) + 1);
    rill_symbol_model_init(s, p->length, memory);
    for (size_t t = 0, now; t < p->length; t += now) {
        now = 1 + random_below(longest);
        if (now > p->length - t) now = p->length - t;
        const size_t before = allocations;
        rill_symbol_model_step(s, p->parameters, p->length, memory, now, p->symbols + t * s->symbols_per_step,
                               logits + t * s->classes, workspace);
        cr_assert_eq(allocations, before);
    }
    free(memory), free(workspace);
}

Test(symbol_model, is_its_definition_on_every_split) {
    random_seed(101);
    for (int round = 0; round < 60; round++) {
        problem p = problem_make(9, random_below(30));
        const size_t count = p.length * p.shape.classes;
        double *want = calloc(count + 1, sizeof *want);
        float *got = calloc(count + 1, sizeof *got);
        define(&p.shape, p.exact, p.length, p.symbols, want);
        step_through(&p, 1 + random_below(12), got);
        for (size_t i = 0; i < count; i++)
            cr_assert_float_eq((double)got[i], want[i], tolerance_of(&p), "%zu of %zu: %.9g, want %.9g", i,
                               count, (double)got[i], want[i]);
        free(want), free(got);
        problem_free(&p);
    }
}

/* Every parameter's, by differences of fourth order; what the loss is multiplied by on the way back is
 * near 1. A norm over few numbers can be steep (up to 1/√1e-5): dimensions of a head are 4 and more here. */
Test(symbol_model, gradient_is_that_of_finite_differences) {
    random_seed(102);
    for (int round = 0; round < 24; round++) {
        problem p = problem_make(5, 1 + random_below(9));
        if (p.shape.dim < 4) {
            problem_free(&p);
            continue;
        }
        float *got = calloc(p.count, sizeof *got);
        void *workspace = malloc(rill_symbol_model_gradient_size(&p.shape, p.length));
        const size_t before = allocations;
        const double loss = rill_symbol_model_gradient(&p.shape, p.parameters, p.length, p.symbols, p.targets,
                                                       got, workspace);
        cr_assert_eq(allocations, before);
        const double want_loss = define_loss(&p.shape, p.exact, p.length, p.symbols, p.targets);
        cr_assert_float_eq(loss, want_loss, (double)p.length * tolerance_of(&p));
        double scale = 1;
        for (size_t i = 0; i < p.count; i++) scale = fmax(scale, fabs((double)got[i]));
        for (size_t i = 0; i < p.count; i++) {
            const double at = p.exact[i], h = 2e-4, weights[] = {1. / 12, -2. / 3, 0, 2. / 3, -1. / 12};
            double want = 0;
            for (int n = 0; n < 5; n++) {
                p.exact[i] = at + (n - 2) * h;
                if (n != 2)
                    want += weights[n] * define_loss(&p.shape, p.exact, p.length, p.symbols, p.targets) / h;
            }
            p.exact[i] = at;
            cr_assert_float_eq((double)got[i], want, scale * tolerance_of(&p) + 1e-5,
                               "parameter %zu of %zu: %.9g, want %.9g ± %.1g (similarity %d)", i, p.count,
                               (double)got[i], want, scale * tolerance_of(&p), (int)p.shape.similarity);
        }
        free(got), free(workspace);
        problem_free(&p);
    }
}

/* A batch is a sum: two sequences add up in the gradient. */
Test(symbol_model, gradients_add_up) {
    random_seed(103);
    problem p = problem_make(6, 12);
    float *once = calloc(p.count, sizeof *once), *twice = calloc(p.count, sizeof *twice);
    void *workspace = malloc(rill_symbol_model_gradient_size(&p.shape, p.length));
    rill_symbol_model_gradient(&p.shape, p.parameters, p.length, p.symbols, p.targets, once, workspace);
    for (int i = 0; i < 2; i++)
        rill_symbol_model_gradient(&p.shape, p.parameters, p.length, p.symbols, p.targets, twice, workspace);
    for (size_t i = 0; i < p.count; i++)
        cr_assert_float_eq((double)twice[i], 2 * (double)once[i], 1e-4 * (1 + fabs((double)once[i])));
    cr_assert_eq(rill_symbol_model_gradient(&p.shape, p.parameters, 0, NULL, NULL, once, workspace), 0);
    free(once), free(twice), free(workspace);
    problem_free(&p);
}

Test(symbol_model, linear_memory_is_constant_and_softmax_grows) {
    rill_symbol_model_shape shape = {RILL_SIMILARITY_PRODUCT, 4, 1, 4, 2, 8, 2, 8};
    cr_assert_eq(rill_symbol_model_size(&shape, 1), rill_symbol_model_size(&shape, 1000000));
    shape.similarity = RILL_SIMILARITY_SOFTMAX;
    cr_assert_gt(rill_symbol_model_size(&shape, 1000), 900 * 2 * 2 * 8 * sizeof(float));
}

Test(symbol_model, refuses_shapes_that_make_no_sense) {
    const rill_symbol_model_shape right = {RILL_SIMILARITY_PRODUCT, 4, 1, 4, 2, 8, 2, 8};
    rill_error why;
    cr_assert_eq(rill_symbol_model_check(&right, &why), RILL_OK);
    for (int field = 0; field < 7; field++)
        for (int i = 0; i < 3; i++) {
            const size_t bad[] = {0, RILL_SYMBOL_MODEL_MAX + 1, SIZE_MAX};
            rill_symbol_model_shape shape = right;
            (&shape.symbols)[field] = bad[i];
            cr_assert_eq(rill_symbol_model_check(&shape, &why), RILL_BAD_ARGUMENT, "field %d", field);
        }
    rill_symbol_model_shape shape = right;
    shape.heads = 3;
    cr_assert_eq(rill_symbol_model_check(&shape, &why), RILL_BAD_ARGUMENT);
    shape = right;
    shape.layers = 1025;
    cr_assert_eq(rill_symbol_model_check(&shape, &why), RILL_BAD_ARGUMENT);
    shape = right;
    shape.similarity = (rill_similarity)7;
    cr_assert_eq(rill_symbol_model_check(&shape, &why), RILL_BAD_ARGUMENT);
}

/* Whatever length is asked for, a size is that of the memory needed, or SIZE_MAX: never less. */
Test(symbol_model, sizes_are_right_or_none) {
    for (int which = 0; which < 4; which++) {
        const rill_similarity similarity = which % 2 ? RILL_SIMILARITY_SOFTMAX : RILL_SIMILARITY_PRODUCT;
        const size_t dim = which < 2 ? 1 : 8;
        const rill_symbol_model_shape shape = {similarity, 4, 1, 1, dim == 1 ? 1 : 3, dim, 1, 1};
        const double kept = similarity == RILL_SIMILARITY_SOFTMAX ? 2 * (double)(shape.layers * dim) : 0;
        const double one = (double)rill_symbol_model_gradient_size(&shape, 2000) -
                           (double)rill_symbol_model_gradient_size(&shape, 1000); /* of 1000 steps */
        for (size_t i = 2; i < 8 * 62; i++) {
            const size_t length = (8 + i % 8) << i / 8 >> 3; /* eight in each power of two */
            const double size = (double)rill_symbol_model_size(&shape, length),
                         gradient = (double)rill_symbol_model_gradient_size(&shape, length);
            cr_assert_geq(size, fmin(kept * sizeof(float) * (double)length, 0x1p64), "%zu steps", length);
            cr_assert_geq(gradient, fmin(0.9 * one / 1000 * (double)length, 0x1p64), "%zu steps", length);
        }
    }
}

/* It learns: to repeat the symbol of two steps before, which chance gets one time in four. */
Test(symbol_model, learns_to_look_back) {
    for (int similarity = 0; similarity < 2; similarity++) {
        const rill_symbol_model_shape shape = {(rill_similarity)similarity, 20, 2, 4, 1, 16, 2, 32};
        enum { LENGTH = 16 };
        const size_t count = rill_symbol_model_parameters(&shape);
        float *parameters = malloc(count * sizeof(float)), *gradient = malloc(count * sizeof(float));
        void *adam_state = malloc(rill_adam_size(count));
        void *workspace = malloc(rill_symbol_model_gradient_size(&shape, LENGTH));
        const rill_adam adam = rill_adam_defaults(0.01f);
        rill_symbol_model_draw(&shape, 1, parameters);
        rill_adam_init(count, adam_state);
        random_seed(104);
        double first = 0, last = 0;
        for (int update = 0; update < 300; update++) {
            memset(gradient, 0, count * sizeof *gradient);
            double loss = 0;
            for (int n = 0; n < 4; n++) {
                uint32_t symbols[LENGTH][2], targets[LENGTH];
                for (uint32_t t = 0; t < LENGTH; t++) {
                    symbols[t][0] = (uint32_t)random_below(4);
                    symbols[t][1] = 4 + t;
                    targets[t] = t < 2 ? RILL_NO_TARGET : symbols[t - 2][0];
                }
                loss += rill_symbol_model_gradient(&shape, parameters, LENGTH, symbols[0], targets, gradient,
                                                   workspace);
            }
            rill_adam_step(&adam, count, adam_state, gradient, parameters);
            if (update < 10) first += loss / (10 * 4 * (LENGTH - 2));
            if (update >= 290) last += loss / (10 * 4 * (LENGTH - 2));
        }
        cr_log_info("similarity %d: loss %.3f, then %.3f", similarity, first, last);
        cr_assert_gt(first, 1.2);
        cr_assert_lt(last, 0.7 * log(4), "similarity %d: %.3f nats, then %.3f", similarity, first, last);
        free(parameters), free(gradient), free(adam_state), free(workspace);
    }
}
