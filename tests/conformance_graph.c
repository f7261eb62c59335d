/* SPDX-License-Identifier: MIT */
/* Attention along the edges of a graph: fast-transformers' softmax under an adjacency mask, and pyGAT's graph
 * attention layers (1710.10903), dense and sparse. */
#include "conformance.h"

#include <math.h>
#include <string.h>

#include <rill/graph_attention.h>

/* u · (key_dim + edges) and the exponential's few ulp, of values of a few units */
static const double tolerance = 2e-6;

/* The positive entries of adj [nodes][nodes], as edges. */
static rill_graph graph_of(conformance_case *c, const conformance_tensor *adj) {
    size_t nodes = adj->shape[0], edges = 0;
    size_t(*pairs)[2] = conformance_memory(c, adj->count * sizeof *pairs);
    for (size_t e = 0; e < adj->count; e++) {
        if (!(adj->values[e] > 0)) continue;
        pairs[edges][0] = e / nodes;
        pairs[edges++][1] = e % nodes;
    }
    rill_graph graph = {0};
    rill_error why;
    if (rill_graph_from_edges(nodes, nodes, edges, (const size_t(*)[2])pairs,
                              conformance_memory(c, (nodes + 1) * sizeof(size_t)),
                              conformance_memory(c, edges * sizeof(size_t)), NULL, &graph, &why) != RILL_OK)
        conformance_fail(c, "%s", why.message);
    return graph;
}

static void run_dot(conformance_case *c) {
    const conformance_tensor *adj, *q, *k, *v;
    if (!conformance_need(c, "in.adj", &adj) || !conformance_need(c, "in.queries", &q) ||
        !conformance_need(c, "in.keys", &k) || !conformance_need(c, "in.values", &v))
        return;
    rill_softmax_shape shape = {.heads = k->shape[2],
                                .query_heads = q->shape[2],
                                .key_dim = k->shape[3],
                                .value_dim = v->shape[3],
                                .scale = 1 / sqrtf((float)k->shape[3])};
    rill_graph graph = graph_of(c, adj);
    rill_graph_input input = {.queries = q->values, .keys = k->values, .values = v->values};
    float *output = conformance_floats(c, v->count);
    rill_graph_attention(&shape, &graph, &input, output);
    conformance_expect(c, "out.values", output, tolerance);
}

/* y [rows][columns] = x [rows][inner] w [inner][columns], w as pyGAT keeps it */
static float *multiply(conformance_case *c, size_t rows, size_t inner, size_t columns, const float *x,
                       const float *w) {
    float *y = conformance_floats(c, rows * columns);
    for (size_t i = 0; i < rows * columns; i++) {
        double sum = 0;
        for (size_t d = 0; d < inner; d++)
            sum += (double)x[i / columns * inner + d] * (double)w[d * columns + i % columns];
        y[i] = (float)sum;
    }
    return y;
}

/* pyGAT's dense layer lets a node without edges look at all nodes alike: edges of equal score. */
static rill_graph with_isolated_nodes_looking_at_all(conformance_case *c, const conformance_tensor *adj,
                                                     bool *isolated) {
    conformance_tensor all = *adj;
    size_t nodes = adj->shape[0];
    all.values = conformance_floats(c, adj->count);
    for (size_t i = 0; i < nodes; i++) {
        isolated[i] = true;
        for (size_t j = 0; j < nodes; j++) isolated[i] = isolated[i] && !(adj->values[i * nodes + j] > 0);
        for (size_t j = 0; j < nodes; j++)
            all.values[i * nodes + j] = isolated[i] ? 1 : adj->values[i * nodes + j];
    }
    return graph_of(c, &all);
}

/* One head. a [2 · out] is a₁ and a₂ one behind the other; the sparse layer's weight is exp(−leaky). */
static float *layer(conformance_case *c, const conformance_tensor *adj, const float *h, const char *w_name,
                    const char *a_name, bool elu, bool sparse) {
    const conformance_tensor *w, *a;
    if (!conformance_need(c, w_name, &w) || !conformance_need(c, a_name, &a)) return NULL;
    size_t nodes = adj->shape[0], inputs = w->shape[0], outputs = w->shape[1];
    bool *isolated = conformance_memory(c, nodes * sizeof *isolated);
    rill_graph graph = with_isolated_nodes_looking_at_all(c, adj, isolated);
    float *wh = multiply(c, nodes, inputs, outputs, h, w->values);
    float *left = multiply(c, nodes, outputs, 1, wh, a->values);
    float *right = multiply(c, nodes, outputs, 1, wh, a->values + outputs);
    float *scores = conformance_floats(c, graph.edges), *output = conformance_floats(c, nodes * outputs);
    rill_graph_additive_scores(&graph, 1, left, right, (float)conformance_number(c, "alpha", 0), scores);
    for (size_t i = 0; i < nodes; i++)
        for (size_t e = graph.first_edge[i]; e < graph.first_edge[i + 1]; e++)
            scores[e] = isolated[i] ? 0 : sparse ? -scores[e] : scores[e];
    rill_softmax_shape shape = {.heads = 1, .query_heads = 1, .key_dim = 1, .value_dim = outputs, .scale = 1};
    rill_graph_attention(&shape, &graph, &(rill_graph_input){.values = wh, .bias = scores}, output);
    for (size_t i = 0; i < nodes * outputs && elu; i++)
        output[i] = output[i] > 0 ? output[i] : expm1f(output[i]);
    return output;
}

static void run_layer(conformance_case *c, bool sparse) {
    const conformance_tensor *adj, *h;
    if (!conformance_need(c, "in.adj", &adj) || !conformance_need(c, "in.h", &h)) return;
    const char *concat = conformance_text(c, "concat_elu");
    bool elu = sparse || (concat && strcmp(concat, "true") == 0);
    float *output = layer(c, adj, h->values, "weight.W", "weight.a", elu, sparse);
    if (output) conformance_expect(c, "out.h", output, tolerance);
}

/* Four heads side by side, a head over them, log softmax of each row. */
static void run_model(conformance_case *c) {
    static const char *const w[] = {"weight.attention_0.W", "weight.attention_1.W", "weight.attention_2.W",
                                    "weight.attention_3.W"};
    static const char *const a[] = {"weight.attention_0.a", "weight.attention_1.a", "weight.attention_2.a",
                                    "weight.attention_3.a"};
    const conformance_tensor *adj, *h, *want;
    if (!conformance_need(c, "in.adj", &adj) || !conformance_need(c, "in.h", &h) ||
        !conformance_need(c, "out.logp", &want))
        return;
    size_t nodes = adj->shape[0], dim = (size_t)conformance_number(c, "nhid", 0), classes = want->shape[1];
    float *hidden = conformance_floats(c, nodes * 4 * dim);
    for (size_t head = 0; head < 4; head++) {
        float *one = layer(c, adj, h->values, w[head], a[head], true, false);
        if (!one) return;
        for (size_t i = 0; i < nodes; i++)
            memcpy(hidden + (i * 4 + head) * dim, one + i * dim, dim * sizeof(float));
    }
    float *logp = layer(c, adj, hidden, "weight.out_att.W", "weight.out_att.a", true, false);
    if (!logp) return;
    for (size_t i = 0; i < nodes; i++) {
        double sum = 0;
        for (size_t m = 0; m < classes; m++) sum += exp((double)logp[i * classes + m]);
        for (size_t m = 0; m < classes; m++) logp[i * classes + m] -= (float)log(sum);
    }
    conformance_expect(c, "out.logp", logp, tolerance);
}

static void run(conformance_case *c) {
    if (conformance_file_starts(c, "dot_edges"))
        run_dot(c);
    else if (conformance_file_starts(c, "gat_model"))
        run_model(c);
    else
        run_layer(c, conformance_file_starts(c, "gat_sparse"));
}

static bool knows(const conformance_case *c) {
    return strcmp(conformance_folder(c), "graph") == 0;
}

const conformance_family conformance_graph = {"attention on graphs", knows, run};
