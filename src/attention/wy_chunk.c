/* SPDX-License-Identifier: MIT */
/* n steps of any rule for one read and one write of the state: the WY form (2406.06484, section 3; with
 * decay: 2412.06464, section 3.3, and for diag + b aᵀ 2503.14456).
 *
 * Whatever the rule, a chunk only adds rank-one writes to a state that decays: with G_{j→t} = Π_{j < i ≤ t}
 * diag(g_i), all entries ≤ 1 (nothing is divided),
 *
 *     S_t = G_{0→t} S_0 + Σ_{writes i up to t} (G_{i→t} κ_i) ω_iᵀ
 *
 *     rule        writes of step t                    what ω needs to read
 *     linear      k_t vᵀ                              nothing
 *     delta       k_t (β_t (v_t − u_t))ᵀ              u_t = k_tᵀ G_t S_{t-1}
 *     rank one    b_t u_tᵀ, k_t v_tᵀ                  u_t = a_tᵀ S_{t-1}
 *
 * A reader x at step t sees xᵀ S_t = (G_{0→t} x)ᵀ S_0 + Σ_i (xᵀ G_{i→t} κ_i) ω_iᵀ: reads of S_0 that do not
 * depend on one another, and scores against the writes before it. So: all reads of the a's and k's at once;
 * the ω one after the other by forward substitution; all reads of the queries; one write. */
#include "attention/wy_chunk.h"

#include <assert.h>
#include <string.h>

enum {
    steps_max = rill_wy_chunk_steps,
    writes_max = 2 * steps_max,
    block = 128 /* rows or columns of S at a time, which bounds the stack */
};

typedef struct chunk {
    const rill_attention_shape *shape;
    const rill_head_run *run;
    size_t start, steps;
    size_t step_writes; /* 2 for the rank-one rule, else 1 */
} chunk;

/* Rows row … row + rows − 1 of the state's key dimension. */
typedef struct key_block {
    size_t row, rows;
    size_t count;                   /* writes so far */
    float keys[writes_max * block]; /* [count][rows]: G_{i→t} κ_i */
    float total[block];             /* G_{0→t} */
    float g[steps_max * block];     /* [steps][rows]: the decays, if there are any */
    size_t start;                   /* the step of the run that the chunk begins with */
    bool placed, passed;            /* g is known; keys and total are those of the chunk's end */
} key_block;

/* What reads at every step, and when within it. */
typedef struct reader {
    const float *rows; /* of step 0 */
    size_t stride;
    enum { before_decay, after_decay, after_write } moment;
    float *reads; /* [steps][rows]: G_{0→t} x_t */
    float *scores; /* [steps][writes_max]: x_tᵀ G_{i→t} κ_i, added to what is there; 0 beyond what x_t sees */
} reader;

static void fill(size_t count, float *x, float value) {
    for (size_t i = 0; i < count; i++) x[i] = value;
}

/* Most states have one block, whose decays and last keys then serve all passes of a chunk. */
static void place(key_block *b, const chunk *c, size_t row) {
    if (b->placed && b->start == c->start && b->row == row) return;
    const rill_heads_sequence *steps = &c->run->steps;
    size_t left = c->shape->key_dim - row;
    b->start = c->start;
    b->row = row;
    b->rows = left < block ? left : block;
    b->placed = true;
    b->passed = false;
    for (size_t t = 0; t < c->steps && steps->log_decay; t++) {
        const float *log_decay = steps->log_decay + (c->start + t) * steps->decay_stride;
        float *g = b->g + t * b->rows;
        size_t width = steps->decay_per_key ? b->rows : 1; /* elu(x) + 1 is exp(x) up to 0 */
        rill_kernels_get()->elu1(width, log_decay + (steps->decay_per_key ? row : 0), g);
        if (width < b->rows) fill(b->rows, g, g[0]);
    }
}

static void add_dot_products(size_t count, size_t dim, const float *x, const float *rows, float *sums) {
    static const float zeros[writes_max];
    float products[writes_max];
    rill_kernels_get()->dense(1, dim, count, x, rows, zeros, products);
    for (size_t i = 0; i < count; i++) sums[i] += products[i];
}

static void read_at(const key_block *b, const reader *who, size_t t) {
    const float *x = who->rows + t * who->stride + b->row;
    float *read = who->reads + t * b->rows;
    for (size_t d = 0; d < b->rows; d++) read[d] = b->total[d] * x[d];
    add_dot_products(b->count, b->rows, x, b->keys, who->scores + t * writes_max);
}

static void decay_at(const chunk *c, key_block *b, size_t t) {
    if (!c->run->steps.log_decay) return;
    const float *g = b->g + t * b->rows;
    for (size_t d = 0; d < b->rows; d++) b->total[d] *= g[d];
    for (size_t i = 0; i < b->count; i++)
        for (size_t d = 0; d < b->rows; d++) b->keys[i * b->rows + d] *= g[d];
}

static void write_at(const chunk *c, key_block *b, const float *rows, size_t t) {
    const float *key = rows + (c->start + t) * c->run->steps.key_stride + b->row;
    memcpy(b->keys + b->count++ * b->rows, key, b->rows * sizeof *key);
}

/* Over all steps of the chunk: keys and total as they are at its end, and what the reader, if any, reads. */
static void pass_through(const chunk *c, key_block *b, const reader *who) {
    b->count = 0;
    fill(b->rows, b->total, 1);
    for (size_t t = 0; t < c->steps; t++) {
        if (who && who->moment == before_decay) read_at(b, who, t);
        decay_at(c, b, t);
        if (who && who->moment == after_decay) read_at(b, who, t);
        if (c->run->transition_write) write_at(c, b, c->run->transition_write, t);
        write_at(c, b, c->run->steps.keys, t);
        if (who && who->moment == after_write) read_at(b, who, t);
    }
    b->passed = true;
}

/* out += reads · S, the columns from column on, by the rows of b */
static void add_reads(const chunk *c, const key_block *b, const float *S, size_t column, size_t columns,
                      const float *reads, float *out, size_t out_stride) {
    size_t value_dim = c->shape->value_dim;
    rill_kernels_get()->product(&(rill_matrix_product){.rows = c->steps,
                                                       .inner = b->rows,
                                                       .columns = columns,
                                                       .a = reads,
                                                       .a_row_stride = b->rows,
                                                       .a_column_stride = 1,
                                                       .b = S + b->row * value_dim + column,
                                                       .b_stride = value_dim,
                                                       .out = out,
                                                       .out_stride = out_stride});
}

/* out [rows] += scores · the first `writes` ω */
static void add_writes(size_t rows, size_t writes, size_t columns, const float *scores, const float *omega,
                       float *out, size_t out_stride) {
    rill_kernels_get()->product(&(rill_matrix_product){.rows = rows,
                                                       .inner = writes,
                                                       .columns = columns,
                                                       .a = scores,
                                                       .a_row_stride = writes_max,
                                                       .a_column_stride = 1,
                                                       .b = omega,
                                                       .b_stride = columns,
                                                       .out = out,
                                                       .out_stride = out_stride});
}

static const float *value_at(const chunk *c, size_t t, size_t column) {
    return c->run->steps.values + (c->start + t) * c->run->steps.value_stride + column;
}

/* u_t to the ω of step t */
static void finish_write(const chunk *c, size_t t, size_t column, size_t columns, float *omega) {
    const float *value = value_at(c, t, column);
    if (c->run->steps.beta) {
        float beta = c->run->steps.beta[(c->start + t) * c->run->steps.beta_stride];
        for (size_t m = 0; m < columns; m++) omega[m] = beta * (value[m] - omega[m]);
    } else {
        memcpy(omega + (c->step_writes - 1) * columns, value, columns * sizeof *value);
    }
}

/* ω of all writes, the columns from column on: omega [steps · step_writes][columns] */
static void find_writes(const chunk *c, key_block *b, const float *S, size_t column, size_t columns,
                        float *omega) {
    size_t row = c->step_writes * columns;
    float scores[steps_max * writes_max], reads[steps_max * block];
    fill(c->steps * writes_max, scores, 0);
    if (rill_rule_erases(c->shape->rule)) {
        const float *rows = c->run->steps.beta ? c->run->steps.keys : c->run->transition_read;
        size_t stride = c->run->steps.key_stride;
        reader erased = {rows + c->start * stride, stride, c->run->steps.beta ? after_decay : before_decay,
                         reads, scores};
        fill(c->steps * row, omega, 0);
        for (size_t d = 0; d < c->shape->key_dim; d += block) {
            place(b, c, d);
            pass_through(c, b, &erased);
            add_reads(c, b, S, column, columns, reads, omega, row);
        }
    }
    for (size_t t = 0; t < c->steps; t++) {
        if (rill_rule_erases(c->shape->rule))
            add_writes(1, t * c->step_writes, columns, scores + t * writes_max, omega, omega + t * row, row);
        finish_write(c, t, column, columns, omega + t * row);
    }
}

/* Σ_d u q k of each step: how a query with a bonus sees its own step */
static void add_bonus(const chunk *c, const float *queries, float *scores) {
    for (size_t t = 0; t < c->steps; t++) {
        const float *query = queries + t * c->run->steps.query_stride;
        const float *key = c->run->steps.keys + (c->start + t) * c->run->steps.key_stride;
        float sum = 0;
        for (size_t d = 0; d < c->shape->key_dim; d++) sum += c->run->bonus[d] * query[d] * key[d];
        scores[t * writes_max + t] = sum;
    }
}

/* One query head, the columns from column on */
static void answer_queries(const chunk *c, key_block *b, const float *S, size_t head, size_t column,
                           size_t columns, const float *omega) {
    const rill_heads_sequence *steps = &c->run->steps;
    float scores[steps_max * writes_max], reads[steps_max * block];
    float *output = steps->output + c->start * steps->output_stride + head * c->shape->value_dim + column;
    reader queries = {steps->queries + c->start * steps->query_stride + head * c->shape->key_dim,
                      steps->query_stride, c->run->bonus ? before_decay : after_write, reads, scores};
    fill(c->steps * writes_max, scores, 0);
    for (size_t t = 0; t < c->steps; t++) fill(columns, output + t * steps->output_stride, 0);
    for (size_t d = 0; d < c->shape->key_dim; d += block) {
        place(b, c, d);
        pass_through(c, b, &queries);
        add_reads(c, b, S, column, columns, reads, output, steps->output_stride);
    }
    if (c->run->bonus) add_bonus(c, queries.rows, scores);
    add_writes(c->steps, c->steps * c->step_writes, columns, scores, omega, output, steps->output_stride);
    for (size_t t = 0; t < c->steps; t++)
        for (size_t m = 0; m < columns; m++) output[t * steps->output_stride + m] *= c->shape->scale;
}

/* S = G S + Σ (G κ) ωᵀ, the columns from column on; z with the last of them */
static void take_on(const chunk *c, key_block *b, float *S, float *z, size_t column, size_t columns,
                    const float *omega) {
    size_t value_dim = c->shape->value_dim;
    for (size_t d = 0; d < c->shape->key_dim; d += block) {
        place(b, c, d);
        if (!b->passed) pass_through(c, b, NULL);
        rill_kernels_get()->product(&(rill_matrix_product){.rows = b->rows,
                                                           .inner = b->count,
                                                           .columns = columns,
                                                           .a = b->keys,
                                                           .a_row_stride = 1,
                                                           .a_column_stride = b->rows,
                                                           .b = omega,
                                                           .b_stride = columns,
                                                           .decay = c->run->steps.log_decay ? b->total : NULL,
                                                           .out = S + b->row * value_dim + column,
                                                           .out_stride = value_dim});
        if (!z || column + columns < value_dim) continue;
        for (size_t i = 0; i < b->rows; i++) z[d + i] *= b->total[i];
        for (size_t i = 0; i < b->count * b->rows; i++) z[d + i % b->rows] += b->keys[i];
    }
}

void rill_wy_chunks(const rill_attention_shape *shape, float *S, float *z, const rill_head_run *run,
                    size_t steps) {
    assert(!z || run->steps.query_group == 0);
    chunk c = {.shape = shape, .run = run, .step_writes = run->transition_write ? 2 : 1};
    float omega[writes_max * block];
    key_block b;
    b.placed = false;
    for (; c.start < run->steps.length; c.start += c.steps) {
        c.steps = run->steps.length - c.start < steps ? run->steps.length - c.start : steps;
        for (size_t column = 0; column < shape->value_dim; column += block) {
            size_t left = shape->value_dim - column, columns = left < block ? left : block;
            find_writes(&c, &b, S, column, columns, omega);
            for (size_t head = 0; head < run->steps.query_group; head++)
                answer_queries(&c, &b, S, head, column, columns, omega);
            take_on(&c, &b, S, z, column, columns, omega);
        }
    }
}

bool rill_delta_by_kernel(const rill_attention_shape *shape) {
    return rill_rule_is_delta(shape->rule) && shape->key_dim <= RILL_DELTA_KEY_DIM_MAX;
}

void rill_delta_or_wy(const rill_attention_shape *shape, float *S, const rill_head_run *run, bool chunked) {
    const rill_kernels *kernels = rill_kernels_get();
    if (rill_delta_by_kernel(shape))
        kernels->delta_recurrent(shape->key_dim, shape->value_dim, S, shape->scale, &run->steps);
    else
        rill_wy_chunks(shape, S, NULL, run, chunked ? rill_wy_chunk_steps : 1);
}
