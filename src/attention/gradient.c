/* SPDX-License-Identifier: MIT */
/* Backward of the linear and the gated rule: one walk forward with S, one back with R (<rill/gradient.h>).
 * A head at a time; S and R are [key_dim][columns], a normalizer being the last column. */
#include <rill/gradient.h>

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct head_walk {
    const rill_attention_shape *shape;
    const rill_sequence *sequence;
    const rill_sequence_gradient *gradient;
    const float *output_gradient;
    size_t head, group, columns;
    double *S, *R;         /* [key_dim][columns] */
    double *A;             /* [key_dim] ∂L/∂log g, before it is summed */
    double *key_row;       /* [key_dim] */
    double *value_row;     /* [value_dim] */
    double *factors;       /* [length][group][2], with a normalizer: of ∂L/∂o_t in G_t, and G_t of z */
    double head_log_decay; /* RILL_DECAY_HEAD: the sum over the steps */
} head_walk;

static size_t columns_of(const rill_attention_shape *shape) {
    return shape->value_dim + shape->normalize;
}

size_t rill_attention_gradient_size(const rill_attention_shape *shape, size_t length) {
    const size_t group = shape->query_heads / shape->heads;
    const size_t factors = shape->normalize ? 2 * length * group : 0;
    return (2 * shape->key_dim * (columns_of(shape) + 1) + shape->value_dim + factors) * sizeof(double);
}

static head_walk walk_make(const rill_attention_shape *shape, const rill_sequence *sequence,
                           const rill_sequence_gradient *gradient, void *workspace) {
    assert(rill_attention_check(shape, NULL) == RILL_OK);
    assert(shape->rule == RILL_RULE_LINEAR || shape->rule == RILL_RULE_GATED);
    assert(!sequence || (!sequence->bonus && sequence->first_head == 0 && sequence->head_count == 0));
    head_walk walk = {.shape = shape, .sequence = sequence, .gradient = gradient, .S = workspace};
    walk.group = shape->query_heads / shape->heads;
    walk.columns = columns_of(shape);
    walk.R = walk.S + shape->key_dim * walk.columns;
    walk.A = walk.R + shape->key_dim * walk.columns;
    walk.key_row = walk.A + shape->key_dim;
    walk.value_row = walk.key_row + shape->key_dim;
    walk.factors = walk.value_row + shape->value_dim;
    return walk;
}

/* Where S and z of the walk's head begin among a state's floats. */
static size_t S_place(const head_walk *walk) {
    return walk->head * walk->shape->key_dim * walk->shape->value_dim;
}

static size_t z_place(const head_walk *walk) {
    return (walk->shape->heads * walk->shape->value_dim + walk->head) * walk->shape->key_dim;
}

static void load(const head_walk *walk, const float *state, double *to) {
    const size_t value_dim = walk->shape->value_dim;
    for (size_t d = 0; d < walk->shape->key_dim; d++) {
        double *row = to + d * walk->columns;
        for (size_t m = 0; m < value_dim; m++) row[m] = (double)state[S_place(walk) + d * value_dim + m];
        if (walk->shape->normalize) row[value_dim] = (double)state[z_place(walk) + d];
    }
}

static void store(const head_walk *walk, const double *from, float *state) {
    const size_t value_dim = walk->shape->value_dim;
    for (size_t d = 0; d < walk->shape->key_dim; d++) {
        const double *row = from + d * walk->columns;
        for (size_t m = 0; m < value_dim; m++) state[S_place(walk) + d * value_dim + m] = (float)row[m];
        if (walk->shape->normalize) state[z_place(walk) + d] = (float)row[value_dim];
    }
}

/* Rows of step t: of a key or value head, and of a query head of this head's group. */
static size_t key_place(const head_walk *walk, size_t t) {
    return (t * walk->shape->heads + walk->head) * walk->shape->key_dim;
}

static size_t value_place(const head_walk *walk, size_t t) {
    return (t * walk->shape->heads + walk->head) * walk->shape->value_dim;
}

static size_t query_head(const head_walk *walk, size_t t, size_t i) {
    return t * walk->shape->query_heads + walk->head * walk->group + i;
}

static size_t decay_width(const rill_attention_shape *shape) {
    if (shape->decay == RILL_DECAY_NONE) return 0;
    return shape->decay == RILL_DECAY_STEP_KEY ? shape->key_dim : 1;
}

static size_t decay_place(const head_walk *walk, size_t t) {
    const size_t row = walk->shape->decay == RILL_DECAY_HEAD ? 0 : t;
    return (row * walk->shape->heads + walk->head) * decay_width(walk->shape);
}

/* g_t of every key dimension, until the key row is used again */
static const double *decays_of(const head_walk *walk, size_t t) {
    const size_t width = decay_width(walk->shape);
    double g = 1;
    for (size_t d = 0; d < walk->shape->key_dim; d++) {
        if (d < width) g = exp((double)walk->sequence->log_decay[decay_place(walk, t) + d]);
        walk->key_row[d] = g;
    }
    return walk->key_row;
}

static bool all_finite(size_t count, const float *x) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static bool step_is_good(const head_walk *walk, size_t t) {
    for (size_t i = 0; i < decay_width(walk->shape); i++)
        if (!(walk->sequence->log_decay[decay_place(walk, t) + i] <= 0)) return false;
    return all_finite(walk->shape->key_dim, walk->sequence->keys + key_place(walk, t)) &&
           all_finite(walk->shape->value_dim, walk->sequence->values + value_place(walk, t));
}

static double dot(size_t count, const double *a, const float *b) {
    double sums[4] = {0}; /* one would wait for itself */
    size_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (size_t j = 0; j < 4; j++) sums[j] += a[i + j] * (double)b[i + j];
    for (; i < count; i++) sums[0] += a[i] * (double)b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* S = g_t S + k_t v_tᵀ */
static void take_step(const head_walk *walk, size_t t) {
    const float *key = walk->sequence->keys + key_place(walk, t);
    const float *value = walk->sequence->values + value_place(walk, t);
    const size_t value_dim = walk->shape->value_dim;
    const double *g = decays_of(walk, t);
    for (size_t d = 0; d < walk->shape->key_dim; d++) {
        double *row = walk->S + d * walk->columns;
        const double k = (double)key[d];
        for (size_t m = 0; m < value_dim; m++) row[m] = g[d] * row[m] + k * (double)value[m];
        if (walk->shape->normalize) row[value_dim] = g[d] * row[value_dim] + k;
    }
}

/* ∂L/∂q = S G; the two factors make G of the output's gradient */
static void read_back(const head_walk *walk, const float *query, const float *output_gradient,
                      float *query_gradient, double factors[2]) {
    const rill_attention_shape *shape = walk->shape;
    double normalizer = (double)shape->epsilon, read = 0; /* read: ∂L/∂o · numerator */
    for (size_t d = 0; d < shape->key_dim; d++) {
        const double *row = walk->S + d * walk->columns;
        walk->key_row[d] = dot(shape->value_dim, row, output_gradient);
        read += (double)query[d] * walk->key_row[d];
        if (shape->normalize) normalizer += (double)query[d] * row[shape->value_dim];
    }
    factors[0] = shape->normalize ? 1 / normalizer : (double)shape->scale;
    factors[1] = shape->normalize ? -read / (normalizer * normalizer) : 0;
    for (size_t d = 0; d < shape->key_dim; d++) {
        const double z = shape->normalize ? walk->S[d * walk->columns + shape->value_dim] : 0;
        query_gradient[d] = (float)(factors[0] * walk->key_row[d] + factors[1] * z);
    }
}

/* R += q Gᵀ */
static void ask_of_state(const head_walk *walk, const float *query, const float *output_gradient,
                         const double factors[2]) {
    const size_t value_dim = walk->shape->value_dim;
    for (size_t d = 0; d < walk->shape->key_dim; d++) {
        double *row = walk->R + d * walk->columns;
        const double q = (double)query[d] * factors[0];
        for (size_t m = 0; m < value_dim; m++) row[m] += q * (double)output_gradient[m];
        if (walk->shape->normalize) row[value_dim] += (double)query[d] * factors[1];
    }
}

static void walk_forward(const head_walk *walk) {
    const rill_attention_shape *shape = walk->shape;
    for (size_t t = 0; t < walk->sequence->length; t++) {
        const bool good = step_is_good(walk, t);
        if (good) take_step(walk, t);
        for (size_t i = 0; i < walk->group; i++) {
            const size_t head = query_head(walk, t, i);
            const float *query = walk->sequence->queries + head * shape->key_dim;
            float *query_gradient = walk->gradient->queries + head * shape->key_dim;
            double unused[2],
                *factors = shape->normalize ? walk->factors + 2 * (t * walk->group + i) : unused;
            if (good && all_finite(shape->key_dim, query))
                read_back(walk, query, walk->output_gradient + head * shape->value_dim, query_gradient,
                          factors);
            else
                memset(query_gradient, 0, shape->key_dim * sizeof *query_gradient);
        }
    }
}

/* R takes in what step t reads, and A what q_t adds to it. */
static void take_in_queries(const head_walk *walk, size_t t) {
    const rill_attention_shape *shape = walk->shape;
    for (size_t i = 0; i < walk->group; i++) {
        const size_t head = query_head(walk, t, i);
        const float *query = walk->sequence->queries + head * shape->key_dim;
        const float *query_gradient = walk->gradient->queries + head * shape->key_dim;
        if (!all_finite(shape->key_dim, query)) continue;
        const double scaled[2] = {(double)shape->scale, 0};
        ask_of_state(walk, query, walk->output_gradient + head * shape->value_dim,
                     shape->normalize ? walk->factors + 2 * (t * walk->group + i) : scaled);
        for (size_t d = 0; d < shape->key_dim; d++)
            walk->A[d] += (double)query[d] * (double)query_gradient[d];
    }
}

/* ∂L/∂k_t = R v_t, ∂L/∂v_t = Rᵀ k_t, and what k_t takes from A */
static void give_to_step(const head_walk *walk, size_t t) {
    const rill_attention_shape *shape = walk->shape;
    const float *key = walk->sequence->keys + key_place(walk, t);
    const float *value = walk->sequence->values + value_place(walk, t);
    for (size_t m = 0; m < shape->value_dim; m++) walk->value_row[m] = 0;
    for (size_t d = 0; d < shape->key_dim; d++) {
        const double *row = walk->R + d * walk->columns, k = (double)key[d];
        const double of_key =
            dot(shape->value_dim, row, value) + (shape->normalize ? row[shape->value_dim] : 0);
        walk->gradient->keys[key_place(walk, t) + d] = (float)of_key;
        walk->A[d] -= k * of_key;
        for (size_t m = 0; m < shape->value_dim; m++) walk->value_row[m] += k * row[m];
    }
    for (size_t m = 0; m < shape->value_dim; m++)
        walk->gradient->values[value_place(walk, t) + m] = (float)walk->value_row[m];
}

/* To what came before step t: R = g_t R; and ∂L/∂log g_t */
static void pass_decay(head_walk *walk, size_t t) {
    if (walk->shape->decay == RILL_DECAY_NONE) return;
    float *wanted = walk->gradient->log_decay;
    const bool each_key = walk->shape->decay == RILL_DECAY_STEP_KEY;
    const double *g = decays_of(walk, t);
    double sum = 0;
    for (size_t d = 0; d < walk->shape->key_dim; d++) {
        if (g[d] <= 0) walk->A[d] = 0;
        sum += walk->A[d];
        for (size_t m = 0; m < walk->columns; m++) walk->R[d * walk->columns + m] *= g[d];
        if (wanted && each_key) wanted[decay_place(walk, t) + d] = (float)walk->A[d];
    }
    if (walk->shape->decay == RILL_DECAY_HEAD)
        walk->head_log_decay += sum;
    else if (wanted && !each_key)
        wanted[decay_place(walk, t)] = (float)sum;
}

static void give_nothing(const head_walk *walk, size_t t) {
    const rill_attention_shape *shape = walk->shape;
    memset(walk->gradient->keys + key_place(walk, t), 0, shape->key_dim * sizeof(float));
    memset(walk->gradient->values + value_place(walk, t), 0, shape->value_dim * sizeof(float));
    if (walk->gradient->log_decay && shape->decay != RILL_DECAY_HEAD)
        memset(walk->gradient->log_decay + decay_place(walk, t), 0, decay_width(shape) * sizeof(float));
}

/* From the last step to the first; S is the state that was left. */
static void walk_back(head_walk *walk, bool causal, float *state_gradient) {
    load(walk, state_gradient, walk->R);
    for (size_t d = 0; d < walk->shape->key_dim; d++) {
        walk->A[d] = 0;
        for (size_t m = 0; m < walk->columns; m++)
            walk->A[d] += walk->R[d * walk->columns + m] * walk->S[d * walk->columns + m];
    }
    walk->head_log_decay = 0;
    for (size_t t = walk->sequence->length; t-- > 0;) {
        if (!step_is_good(walk, t)) {
            give_nothing(walk, t);
            continue;
        }
        if (causal) take_in_queries(walk, t);
        give_to_step(walk, t);
        pass_decay(walk, t);
    }
    if (walk->shape->decay == RILL_DECAY_HEAD && walk->gradient->log_decay)
        walk->gradient->log_decay[walk->head] = (float)walk->head_log_decay;
    store(walk, walk->R, state_gradient);
}

void rill_attention_gradient(const rill_attention_shape *shape, const void *state,
                             const rill_sequence *sequence, const float *output_gradient,
                             void *state_gradient, const rill_sequence_gradient *gradient, void *workspace) {
    head_walk walk = walk_make(shape, sequence, gradient, workspace);
    walk.output_gradient = output_gradient;
    for (; walk.head < shape->heads; walk.head++) {
        load(&walk, state, walk.S);
        walk_forward(&walk);
        walk_back(&walk, true, state_gradient);
    }
}

void rill_attention_read_gradient(const rill_attention_shape *shape, const void *state, size_t count,
                                  const float *queries, const float *output_gradient, void *state_gradient,
                                  float *queries_gradient, void *workspace) {
    head_walk walk = walk_make(shape, NULL, NULL, workspace);
    for (; walk.head < shape->heads; walk.head++) {
        load(&walk, state, walk.S);
        load(&walk, state_gradient, walk.R);
        for (size_t i = 0; i < count * walk.group; i++) {
            const size_t head = query_head(&walk, i / walk.group, i % walk.group);
            const float *query = queries + head * shape->key_dim;
            const float *asked = output_gradient + head * shape->value_dim;
            float *query_gradient = queries_gradient + head * shape->key_dim;
            double factors[2];
            if (all_finite(shape->key_dim, query)) {
                read_back(&walk, query, asked, query_gradient, factors);
                ask_of_state(&walk, query, asked, factors);
            } else {
                memset(query_gradient, 0, shape->key_dim * sizeof *query_gradient);
            }
        }
        store(&walk, walk.R, state_gradient);
    }
}

void rill_attention_write_gradient(const rill_attention_shape *shape, const void *state_left,
                                   const rill_sequence *sequence, void *state_gradient,
                                   const rill_sequence_gradient *gradient, void *workspace) {
    head_walk walk = walk_make(shape, sequence, gradient, workspace);
    for (; walk.head < shape->heads; walk.head++) {
        load(&walk, state_left, walk.S);
        walk_back(&walk, false, state_gradient);
    }
}
