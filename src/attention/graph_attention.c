/* SPDX-License-Identifier: MIT */
/* Every node is one query over the rows that its edges name. */
#include <rill/graph_attention.h>

#include <assert.h>
#include <string.h>

#include "attention/quadratic.h"
#include "failure.h"

rill_status rill_graph_check(const rill_graph *graph, rill_error *why) {
    const size_t *first = graph->first_edge;
    if (first[0] != 0 || first[graph->nodes] != graph->edges)
        return rill_fail(why, RILL_BAD_ARGUMENT, "graph: rows from edge %zu to %zu, where there are %zu",
                         first[0], first[graph->nodes], graph->edges);
    for (size_t i = 0; i < graph->nodes; i++)
        if (first[i] > first[i + 1])
            return rill_fail(why, RILL_BAD_ARGUMENT, "graph: the edges of node %zu end before they begin", i);
    for (size_t e = 0; e < graph->edges; e++)
        if (graph->neighbours[e] >= graph->sources)
            return rill_fail(why, RILL_BAD_ARGUMENT, "graph: edge %zu leads to node %zu of %zu", e,
                             graph->neighbours[e], graph->sources);
    return RILL_OK;
}

rill_status rill_graph_from_edges(size_t nodes, size_t sources, size_t edges, const size_t (*pairs)[2],
                                  size_t *first_edge, size_t *neighbours, size_t *order, rill_graph *graph,
                                  rill_error *why) {
    for (size_t e = 0; e < edges; e++)
        if (pairs[e][0] >= nodes || pairs[e][1] >= sources)
            return rill_fail(why, RILL_BAD_ARGUMENT, "graph: edge %zu from %zu to %zu, where %zu look at %zu",
                             e, pairs[e][0], pairs[e][1], nodes, sources);
    /* first_edge[i]: how many edges node i has; then where its next one goes; at last where node i + 1
     * begins, which belongs one place further. */
    memset(first_edge, 0, (nodes + 1) * sizeof *first_edge);
    for (size_t e = 0; e < edges; e++) first_edge[pairs[e][0]]++;
    for (size_t i = 0, begin = 0; i <= nodes; i++) {
        size_t count = first_edge[i];
        first_edge[i] = begin;
        begin += count;
    }
    for (size_t e = 0; e < edges; e++) {
        size_t place = first_edge[pairs[e][0]]++;
        neighbours[place] = pairs[e][1];
        if (order) order[place] = e;
    }
    memmove(first_edge + 1, first_edge, nodes * sizeof *first_edge);
    first_edge[0] = 0;
    *graph = (rill_graph){nodes, sources, edges, first_edge, neighbours};
    return RILL_OK;
}

void rill_graph_attention(const rill_softmax_shape *shape, const rill_graph *graph,
                          const rill_graph_input *input, float *output) {
    assert(rill_softmax_check(shape, NULL) == RILL_OK && rill_graph_check(graph, NULL) == RILL_OK);
    assert(!input->queries == !input->keys && (input->queries || input->bias));
    assert(!input->bias || shape->similarity == RILL_SIMILARITY_SOFTMAX);
    if (graph->edges == 0) { /* then there may be no values, whose address would be taken */
        for (size_t i = 0; i < graph->nodes * shape->query_heads * shape->value_dim; i++) output[i] = 0;
        return;
    }
    rill_softmax_shape scored = *shape;
    if (!input->queries) scored.key_dim = 0; /* an empty product: 0, whatever lies there */
    const float *queries = input->queries ? input->queries : input->values;
    const float *keys = input->keys ? input->keys : input->values;
    for (size_t i = 0; i < graph->nodes; i++) {
        size_t begin = graph->first_edge[i], degree = graph->first_edge[i + 1] - begin;
        for (size_t query_head = 0; query_head < shape->query_heads; query_head++) {
            size_t head = query_head / (shape->query_heads / shape->heads), row = i * shape->query_heads;
            rill_quadratic_head node = {
                .shape = &scored,
                .keys_length = degree,
                .queries = queries + (row + query_head) * scored.key_dim,
                .keys = keys + head * scored.key_dim,
                .values = input->values + head * shape->value_dim,
                .key_stride = shape->heads * scored.key_dim,
                .value_stride = shape->heads * shape->value_dim,
                .rows = graph->neighbours + begin,
                .bias = input->bias ? input->bias + query_head * graph->edges + begin : NULL,
                .scores = input->weights ? input->weights + query_head * graph->edges + begin : NULL,
                .scores_kind = RILL_SCORES_NORMALIZED,
                .output = output + (row + query_head) * shape->value_dim,
            };
            rill_quadratic_take_rows(1, &node, 0, 1);
        }
    }
}

void rill_graph_additive_scores(const rill_graph *graph, size_t heads, const float *left, const float *right,
                                float slope, float *scores) {
    assert(rill_graph_check(graph, NULL) == RILL_OK);
    for (size_t i = 0; i < graph->nodes; i++)
        for (size_t e = graph->first_edge[i]; e < graph->first_edge[i + 1]; e++)
            for (size_t h = 0; h < heads; h++) {
                float sum = left[i * heads + h] + right[graph->neighbours[e] * heads + h];
                scores[h * graph->edges + e] = sum > 0 ? sum : slope * sum;
            }
}
