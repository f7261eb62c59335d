/* SPDX-License-Identifier: MIT */
/* Attention on a graph: a node looks along its edges and nowhere else.
 *
 *     o_i = Σ_{j ∈ N(i)} w_ij v_j / Σ_{j ∈ N(i)} w_ij,  w_ij = exp(s_ij)
 *     s_ij = cap(scale q_i·k_j) + bias_ij     the dot product; any bias of an edge
 *     s_ij = leaky(left_i + right_j)          graph attention networks (1710.10903, eq. 3), as a bias alone
 *
 * Time: edges × (key_dim + value_dim) multiply-adds a head and nodes × value_dim stores; memory: none. So it
 * grows with the edges, where attention under a mask grows with the nodes squared. On a complete graph it is
 * rill_softmax_attention.
 *
 * What is not finite spoils the rows that look at it, as in <rill/softmax.h>, and no other. A node without
 * edges has the output 0. An edge that is there twice counts twice.
 *
 * Threads: all functions are pure in their arguments. Real time: nothing here allocates, locks or makes a
 * system call; time grows with the graph. */
#ifndef RILL_GRAPH_ATTENTION_H
#define RILL_GRAPH_ATTENTION_H

#include <stddef.h>

#include <rill/softmax.h>
#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Edges by the node that looks: compressed sparse rows. Pointers are borrowed. */
typedef struct rill_graph {
    size_t nodes;             /* that look, 0 … */
    size_t sources;           /* that are looked at; nodes again when a graph looks at itself */
    size_t edges;             /* 0 … */
    const size_t *first_edge; /* [nodes + 1]: those of node i are first_edge[i] … first_edge[i + 1] − 1 */
    const size_t *neighbours; /* [edges], each below sources */
} rill_graph;

/* RILL_OK when the rows are in order and every edge ends in a source; else RILL_BAD_ARGUMENT and where. */
RILL_API rill_status rill_graph_check(const rill_graph *graph, rill_error *why);

/* Sorts edges given as pairs (node, the source it looks at) into rows; within a row they keep their order.
 * first_edge [nodes + 1] and neighbours [edges] are the caller's memory, which *graph then borrows; *graph
 * has its edge i at order[i] of the pairs unless order is NULL ([edges] as well). RILL_BAD_ARGUMENT, and
 * which, for a pair out of range: then *graph is left alone. O(nodes + edges). */
RILL_API rill_status rill_graph_from_edges(size_t nodes, size_t sources, size_t edges,
                                           const size_t (*pairs)[2], size_t *first_edge, size_t *neighbours,
                                           size_t *order, rill_graph *graph, rill_error *why);

/* Zeroed fields are absent. Pointers are borrowed for the call. */
typedef struct rill_graph_input {
    const float *queries; /* [nodes][query_heads][key_dim] */
    const float *keys;    /* [sources][heads][key_dim]; with queries NULL: the score is the bias alone */
    const float *values;  /* [sources][heads][value_dim] */
    const float *bias;    /* [query_heads][edges], softmax only; −∞ takes an edge away */
    float *weights;       /* gets the normalized weight of every edge, [query_heads][edges] */
} rill_graph_input;

/* The shape must be one that rill_softmax_check accepts, the graph one that rill_graph_check accepts; output
 * [nodes][query_heads][value_dim] may not overlap the inputs. */
RILL_API void rill_graph_attention(const rill_softmax_shape *shape, const rill_graph *graph,
                                   const rill_graph_input *input, float *output);

/* scores[h][edge from i to j] = leaky(left[i][h] + right[j][h]), leaky(x) = x for x > 0, else slope · x: what
 * an edge scores in a graph attention network, where left = a₁ᵀWh and right = a₂ᵀWh (1710.10903). left
 * [nodes][heads], right [sources][heads], scores [heads][edges]. */
RILL_API void rill_graph_additive_scores(const rill_graph *graph, size_t heads, const float *left,
                                         const float *right, float slope, float *scores);

#ifdef __cplusplus
}
#endif
#endif
