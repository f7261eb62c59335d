/* SPDX-License-Identifier: MIT */
/* Attention on a graph is attention of every node over its own neighbours. */
#include <rill/graph_attention.h>

#include "random_attention.h"

typedef struct random_graph {
    rill_graph graph;
    size_t (*pairs)[2], *first_edge, *neighbours, *order;
} random_graph;

/* Any edges, some twice, some nodes without. */
static random_graph random_graph_make(size_t nodes, size_t sources, size_t edges) {
    random_graph g = {.pairs = malloc((edges + 1) * sizeof *g.pairs),
                      .first_edge = malloc((nodes + 1) * sizeof(size_t)),
                      .neighbours = malloc((edges + 1) * sizeof(size_t)),
                      .order = malloc((edges + 1) * sizeof(size_t))};
    for (size_t e = 0; e < edges; e++) {
        g.pairs[e][0] = random_below(nodes);
        g.pairs[e][1] = random_below(sources);
    }
    rill_error why = {""};
    cr_assert_eq(rill_graph_from_edges(nodes, sources, edges, (const size_t(*)[2])g.pairs, g.first_edge,
                                       g.neighbours, g.order, &g.graph, &why),
                 RILL_OK, "%s", why.message);
    return g;
}

static void random_graph_free(random_graph *g) {
    free(g->pairs);
    free(g->first_edge);
    free(g->neighbours);
    free(g->order);
}

/* What node i looks at, row behind row. */
static float *gather(const rill_graph *graph, size_t i, const float *rows, size_t width) {
    size_t begin = graph->first_edge[i], degree = graph->first_edge[i + 1] - begin;
    float *gathered = malloc((degree * width + 1) * sizeof(float));
    for (size_t j = 0; j < degree; j++)
        memcpy(gathered + j * width, rows + graph->neighbours[begin + j] * width, width * sizeof(float));
    return gathered;
}

/* Node i by the definition, over its gathered neighbours. */
static void expect_node(const rill_softmax_shape *shape, const rill_graph *graph,
                        const rill_graph_input *input, size_t i, const float *output) {
    float *keys = gather(graph, i, input->keys, shape->heads * shape->key_dim),
          *values = gather(graph, i, input->values, shape->heads * shape->value_dim);
    random_attention one = {.shape = *shape,
                            .input = {.queries_length = 1,
                                      .keys_length = graph->first_edge[i + 1] - graph->first_edge[i],
                                      .queries = input->queries + i * shape->query_heads * shape->key_dim,
                                      .keys = keys,
                                      .values = values,
                                      .bias = input->bias ? input->bias + graph->first_edge[i] : NULL,
                                      .bias_head_stride = graph->edges}};
    expect_row(&one, 0, output + i * shape->query_heads * shape->value_dim);
    free(keys);
    free(values);
}

Test(graph_attention, is_attention_over_the_neighbours) {
    random_seed(1710);
    for (int round = 0; round < 60; round++) {
        rill_softmax_shape s = round % 3 ? random_softmax_shape() : random_product_shape();
        size_t nodes = 1 + random_below(40), sources = 1 + random_below(40), edges = random_below(400);
        random_graph g = random_graph_make(nodes, sources, edges);
        random_attention a = random_attention_make(s, nodes, sources);
        rill_graph_input input = {a.input.queries, a.input.keys, a.input.values, NULL, NULL};
        if (s.similarity == RILL_SIMILARITY_SOFTMAX && random_below(2)) {
            a.bias = guarded_input(s.query_heads * edges, -4, 4);
            for (size_t e = 0; e < s.query_heads * edges; e++)
                if (random_below(5) == 0) a.bias.data[e] = -INFINITY;
            input.bias = a.bias.data;
        }
        guarded_floats output = guarded_output(nodes * s.query_heads * s.value_dim);
        guarded_floats weights = guarded_output(s.query_heads * edges);
        input.weights = weights.data;
        rill_graph_attention(&s, &g.graph, &input, output.data);
        for (size_t i = 0; i < nodes; i++) expect_node(&s, &g.graph, &input, i, output.data);
        for (size_t e = 0; e < s.query_heads * edges && s.similarity == RILL_SIMILARITY_SOFTMAX; e++)
            cr_assert(weights.data[e] >= 0 && weights.data[e] <= 1 + 1e-5f);
        guarded_free(&output);
        guarded_free(&weights);
        random_attention_free(&a);
        random_graph_free(&g);
    }
}

/* The same bits: it is the same order of sums. */
Test(graph_attention, on_a_complete_graph_is_softmax_attention) {
    random_seed(2);
    for (int round = 0; round < 20; round++) {
        size_t nodes = 1 + random_below(90);
        rill_softmax_shape s = random_softmax_shape();
        random_graph g = random_graph_make(nodes, nodes, nodes * nodes);
        for (size_t e = 0; e < nodes * nodes; e++) g.neighbours[e] = e % nodes;
        for (size_t i = 0; i <= nodes; i++) g.first_edge[i] = i * nodes;
        random_attention a = random_attention_make(s, nodes, nodes);
        size_t count = nodes * s.query_heads * s.value_dim;
        guarded_floats output = guarded_output(count), full = guarded_output(count);
        rill_graph_input input = {a.input.queries, a.input.keys, a.input.values, NULL, NULL};
        rill_graph_attention(&s, &g.graph, &input, output.data);
        rill_softmax_attention(&s, &a.input, full.data);
        cr_assert_arr_eq(output.data, full.data, count * sizeof(float));
        guarded_free(&output);
        guarded_free(&full);
        random_attention_free(&a);
        random_graph_free(&g);
    }
}

/* e_ij = leaky(left_i + right_j) and nothing else (1710.10903, eq. 3), by the definition in double. */
Test(graph_attention, with_additive_scores_is_a_graph_attention_network) {
    random_seed(3);
    for (int round = 0; round < 40; round++) {
        size_t nodes = 1 + random_below(30), edges = random_below(200), heads = 1 + random_below(4);
        rill_softmax_shape s = {
            .heads = heads, .query_heads = heads, .key_dim = 1, .value_dim = 1 + random_below(9), .scale = 1};
        random_graph g = random_graph_make(nodes, nodes, edges);
        guarded_floats left = guarded_input(nodes * heads, -3, 3),
                       right = guarded_input(nodes * heads, -3, 3);
        guarded_floats values = guarded_input(nodes * heads * s.value_dim, -3, 3);
        guarded_floats scores = guarded_output(heads * edges),
                       output = guarded_output(nodes * heads * s.value_dim);
        rill_graph_additive_scores(&g.graph, heads, left.data, right.data, 0.2f, scores.data);
        rill_graph_input input = {.values = values.data, .bias = scores.data};
        rill_graph_attention(&s, &g.graph, &input, output.data);
        for (size_t i = 0; i < nodes * heads * s.value_dim; i++) {
            size_t node = i / (heads * s.value_dim), head = i / s.value_dim % heads, m = i % s.value_dim;
            double sum = 0, want = 0;
            for (size_t e = 0; e < edges; e++) {
                if (g.pairs[e][0] != node) continue;
                size_t j = g.pairs[e][1];
                double x = (double)left.data[node * heads + head] + (double)right.data[j * heads + head];
                double weight = exp(x > 0 ? x : 0.2 * x);
                sum += weight;
                want += weight * (double)values.data[(j * heads + head) * s.value_dim + m];
            }
            want = sum > 0 ? want / sum : 0;
            /* scores below 6 in size, off by 3 u of that, less a maximum: 24 u; exp 4 u; values below 3 */
            double tolerance = 3 * (2 * (24 + 4) + (double)edges) * (double)FLT_EPSILON / 2;
            cr_assert(fabs((double)output.data[i] - want) <= tolerance, "round %d: %g, not %g", round,
                      (double)output.data[i], want);
        }
        guarded_free(&left);
        guarded_free(&right);
        guarded_free(&values);
        guarded_free(&scores);
        guarded_free(&output);
        random_graph_free(&g);
    }
}

Test(graph_attention, spoils_only_the_nodes_that_look_at_a_bad_one) {
    random_seed(4);
    for (int round = 0; round < 40; round++) {
        size_t nodes = 2 + random_below(20), bad = random_below(nodes);
        rill_softmax_shape s = random_softmax_shape();
        random_graph g = random_graph_make(nodes, nodes, random_below(60));
        random_attention a = random_attention_make(s, nodes, nodes);
        for (size_t h = 0; h < s.heads; h++) a.keys.data[(bad * s.heads + h) * s.key_dim] = NAN;
        size_t row = s.query_heads * s.value_dim;
        guarded_floats output = guarded_output(nodes * row);
        rill_graph_input input = {a.input.queries, a.input.keys, a.input.values, NULL, NULL};
        rill_graph_attention(&s, &g.graph, &input, output.data);
        for (size_t i = 0; i < nodes; i++) {
            bool looks = false;
            for (size_t e = g.first_edge[i]; e < g.first_edge[i + 1]; e++) looks |= g.neighbours[e] == bad;
            for (size_t m = 0; m < row; m++) cr_assert(isnan(output.data[i * row + m]) == looks);
            if (g.first_edge[i] == g.first_edge[i + 1]) cr_assert_eq(output.data[i * row], 0);
        }
        guarded_free(&output);
        random_attention_free(&a);
        random_graph_free(&g);
    }
}

Test(graph_attention, refuses_edges_that_lead_nowhere) {
    size_t first_edge[4], neighbours[3], order[3];
    const size_t good[3][2] = {{2, 1}, {0, 3}, {2, 0}}, from_nowhere[1][2] = {{3, 0}},
                 to_nowhere[2][2] = {{0, 0}, {0, 4}};
    rill_graph graph = {0};
    rill_error why;
    cr_assert_eq(rill_graph_from_edges(3, 4, 1, from_nowhere, first_edge, neighbours, NULL, &graph, &why),
                 RILL_BAD_ARGUMENT);
    cr_assert(strstr(why.message, "edge 0 from 3"));
    cr_assert_eq(rill_graph_from_edges(3, 4, 2, to_nowhere, first_edge, neighbours, NULL, &graph, &why),
                 RILL_BAD_ARGUMENT);
    cr_assert(strstr(why.message, "edge 1 from 0 to 4"));
    cr_assert_null(graph.first_edge, "a refused graph was written");
    cr_assert_eq(rill_graph_from_edges(3, 4, 3, good, first_edge, neighbours, order, &graph, &why), RILL_OK);
    const size_t starts[] = {0, 1, 1, 3}, ends[] = {3, 1, 0}, came_from[] = {1, 0, 2};
    cr_assert_arr_eq(first_edge, starts, sizeof starts);
    cr_assert_arr_eq(neighbours, ends, sizeof ends);
    cr_assert_arr_eq(order, came_from, sizeof came_from);
    cr_assert_eq(rill_graph_check(&graph, NULL), RILL_OK);
    neighbours[1] = 4;
    cr_assert_eq(rill_graph_check(&graph, NULL), RILL_BAD_ARGUMENT);
    neighbours[1] = 1, first_edge[1] = 2;
    cr_assert_eq(rill_graph_check(&graph, NULL), RILL_BAD_ARGUMENT);
    first_edge[1] = 1, first_edge[0] = 1;
    cr_assert_eq(rill_graph_check(&graph, NULL), RILL_BAD_ARGUMENT);
    first_edge[0] = 0, first_edge[3] = 2;
    cr_assert_eq(rill_graph_check(&graph, NULL), RILL_BAD_ARGUMENT);
}

Test(graph_attention, of_an_empty_graph_is_nothing) {
    const rill_softmax_shape s = {.heads = 2, .query_heads = 2, .key_dim = 3, .value_dim = 2, .scale = 1};
    size_t first_edge[4] = {7, 7, 7, 7};
    rill_graph graph;
    float output[12];
    memset(output, 0xff, sizeof output);
    cr_assert_eq(rill_graph_from_edges(3, 0, 0, NULL, first_edge, NULL, NULL, &graph, NULL), RILL_OK);
    cr_assert_eq(rill_graph_check(&graph, NULL), RILL_OK);
    rill_graph_input input = {(const float[18]){0}, (const float[1]){0}, NULL, NULL, NULL};
    rill_graph_attention(&s, &graph, &input, output);
    for (size_t i = 0; i < 12; i++) cr_assert_eq(output[i], 0);
    cr_assert_eq(rill_graph_from_edges(0, 0, 0, NULL, first_edge, NULL, NULL, &graph, NULL), RILL_OK);
    rill_graph_attention(&s, &graph, &input, NULL);
}

/* A million nodes that know their neighbours on a ring: under a mask that would be 10¹² pairs. */
Test(graph_attention, costs_time_by_the_edge) {
    enum { nodes = 1000000 };
    const rill_softmax_shape s = {.heads = 1, .query_heads = 1, .key_dim = 2, .value_dim = 1, .scale = 1};
    size_t *first_edge = malloc((nodes + 1) * sizeof *first_edge),
           *neighbours = malloc(3 * nodes * sizeof *neighbours);
    float *x = malloc(2 * nodes * sizeof *x), *values = malloc(nodes * sizeof *values),
          *output = malloc(nodes * sizeof *output);
    random_seed(5);
    for (size_t i = 0; i < nodes; i++) {
        first_edge[i + 1] = 3 * (i + 1);
        for (size_t j = 0; j < 3; j++) neighbours[3 * i + j] = (i + nodes - 1 + j) % nodes;
        x[2 * i] = (float)random_uniform(), x[2 * i + 1] = (float)random_uniform();
        values[i] = (float)random_uniform();
    }
    first_edge[0] = 0;
    rill_graph graph = {nodes, nodes, (size_t)3 * nodes, first_edge, neighbours};
    rill_graph_input input = {.queries = x, .keys = x, .values = values};
    rill_graph_attention(&s, &graph, &input, output);
    for (int round = 0; round < 1000; round++) {
        size_t i = random_below(nodes);
        double sum = 0, want = 0;
        for (size_t e = 3 * i; e < 3 * i + 3; e++) {
            size_t j = neighbours[e];
            double weight =
                exp((double)x[2 * i] * (double)x[2 * j] + (double)x[2 * i + 1] * (double)x[2 * j + 1]);
            sum += weight, want += weight * (double)values[j];
        }
        cr_assert(fabs((double)output[i] - want / sum) <= 32 * (double)FLT_EPSILON);
    }
    free(first_edge);
    free(neighbours);
    free(x);
    free(values);
    free(output);
}
