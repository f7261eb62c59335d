/* SPDX-License-Identifier: MIT */
/* Self-attention on a graph: a node looks along its edges and nowhere else (graph attention networks,
 * 1710.10903, here with the scores of 1706.03762).
 *
 *     o_i = Σ_{j ∈ N(i)} α_ij v_j,   α_ij = softmax over the neighbours j of q_i·k_j
 *
 * First what it does: 34 members of a karate club, 78 friendships (Zachary, Journal of Anthropological
 * Research 33, 1977). The instructor (node 0) and the president (node 33) fell out, and the club split. Told
 * only these two, attention to one's friends, again and again, tells the side of everybody else: values are
 * what is believed so far, and so are queries and keys, so that a friend who agrees weighs more.
 * Then what it costs: time by the edge, where softmax attention under a mask takes time by the pair. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rill/rill.h>

enum { MEMBERS = 34, FRIENDSHIPS = 78, HEADS = 4, DIM = 16, DEGREE = 8 };

static const size_t friendships[FRIENDSHIPS][2] = {
    {0, 1},   {0, 2},   {0, 3},   {0, 4},   {0, 5},   {0, 6},   {0, 7},   {0, 8},   {0, 10},  {0, 11},
    {0, 12},  {0, 13},  {0, 17},  {0, 19},  {0, 21},  {0, 31},  {1, 2},   {1, 3},   {1, 7},   {1, 13},
    {1, 17},  {1, 19},  {1, 21},  {1, 30},  {2, 3},   {2, 7},   {2, 8},   {2, 9},   {2, 13},  {2, 27},
    {2, 28},  {2, 32},  {3, 7},   {3, 12},  {3, 13},  {4, 6},   {4, 10},  {5, 6},   {5, 10},  {5, 16},
    {6, 16},  {8, 30},  {8, 32},  {8, 33},  {9, 33},  {13, 33}, {14, 32}, {14, 33}, {15, 32}, {15, 33},
    {18, 32}, {18, 33}, {19, 33}, {20, 32}, {20, 33}, {22, 32}, {22, 33}, {23, 25}, {23, 27}, {23, 29},
    {23, 32}, {23, 33}, {24, 25}, {24, 27}, {24, 31}, {25, 31}, {26, 29}, {26, 33}, {27, 33}, {28, 31},
    {28, 33}, {29, 32}, {29, 33}, {30, 32}, {30, 33}, {31, 32}, {31, 33}, {32, 33}};
static const char went_with[MEMBERS + 1] = "iiiiiiiiipiiiippiipipipppppppppppp";

/* Members told right, of 34. */
static int split_the_club(void) {
    static size_t pairs[2 * FRIENDSHIPS][2], first_edge[MEMBERS + 1], neighbours[2 * FRIENDSHIPS];
    rill_graph club;
    rill_error why;
    for (size_t e = 0; e < FRIENDSHIPS; e++) {
        memcpy(pairs[2 * e], friendships[e], sizeof friendships[e]);
        pairs[2 * e + 1][0] = friendships[e][1], pairs[2 * e + 1][1] = friendships[e][0];
    }
    if (rill_graph_from_edges(MEMBERS, MEMBERS, 2 * FRIENDSHIPS, (const size_t(*)[2])pairs, first_edge,
                              neighbours, NULL, &club, &why) != RILL_OK) {
        fprintf(stderr, "%s\n", why.message);
        exit(1);
    }
    const rill_softmax_shape shape = {.heads = 1, .query_heads = 1, .key_dim = 1, .value_dim = 1, .scale = 2};
    float belief[MEMBERS] = {0}, next[MEMBERS], weights[2 * FRIENDSHIPS]; /* +1 the instructor, −1 … */
    rill_graph_input input = {.queries = belief, .keys = belief, .values = belief, .weights = weights};
    for (int round = 0; round < 30; round++) {
        belief[0] = 1, belief[MEMBERS - 1] = -1;
        rill_graph_attention(&shape, &club, &input, next);
        memcpy(belief, next, sizeof belief);
    }
    int right = 0;
    for (size_t i = 0; i < MEMBERS; i++) right += (belief[i] > 0) == (went_with[i] == 'i');
    printf("karate club: told 2 of %d, attention to friends tells the side of %d rightly\n"
           "whom each looks at (row: who; dark: much), instructor's side first:\n",
           MEMBERS, right);
    for (size_t row = 0; row < 2 * MEMBERS; row++) {
        size_t i = row % MEMBERS;
        if ((went_with[i] == 'i') != (row < MEMBERS)) continue;
        printf("%3zu %c ", i, belief[i] > 0 ? 'i' : 'p');
        for (size_t column = 0; column < 2 * MEMBERS; column++) {
            size_t j = column % MEMBERS;
            float weight = 0;
            if ((went_with[j] == 'i') != (column < MEMBERS)) continue;
            for (size_t e = first_edge[i]; e < first_edge[i + 1]; e++)
                if (neighbours[e] == j) weight = weights[e];
            putchar(" .:-=+*#@"[weight > 0 ? 1 + (int)(7.99f * sqrtf(weight)) : 0]);
        }
        putchar('\n');
    }
    return right;
}

static double seconds(void) {
    return (double)clock() / CLOCKS_PER_SEC; /* of this processor, whatever else runs */
}

static float *random_rows(size_t count) {
    float *rows = malloc(count * sizeof *rows);
    if (!rows) abort();
    for (size_t i = 0; i < count; i++) rows[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return rows;
}

/* A random graph of DEGREE edges a node; under a mask as well while the pairs are not too many. */
static double cost(size_t nodes) {
    const rill_softmax_shape shape = {
        .heads = HEADS, .query_heads = HEADS, .key_dim = DIM, .value_dim = DIM, .scale = 0.25f};
    size_t edges = nodes * DEGREE, width = (size_t)HEADS * DIM;
    size_t *first_edge = malloc((nodes + 1) * sizeof *first_edge), *to = malloc(edges * sizeof *to);
    bool *mask = nodes <= 2048 ? calloc(nodes, nodes) : NULL;
    float *x = random_rows(nodes * width), *y = random_rows(nodes * width), *z = random_rows(nodes * width);
    if (!first_edge || !to) abort();
    for (size_t i = 0; i <= nodes; i++) first_edge[i] = i * DEGREE;
    for (size_t e = 0; e < edges; e++) { /* spread over all nodes, none twice */
        to[e] = (e / DEGREE + e % DEGREE * (nodes / DEGREE)) % nodes;
        if (mask) mask[e / DEGREE * nodes + to[e]] = true;
    }
    rill_graph graph = {nodes, nodes, edges, first_edge, to};
    double start = seconds(), worst = 0;
    rill_graph_attention(&shape, &graph, &(rill_graph_input){.queries = x, .keys = x, .values = x}, y);
    double by_edge = seconds() - start;
    printf("%8zu %9zu %10.2f ms %7.0f ns", nodes, edges, 1e3 * by_edge, 1e9 * by_edge / (double)edges);
    if (mask) {
        rill_softmax_input input = {.queries_length = nodes,
                                    .keys_length = nodes,
                                    .queries = x,
                                    .keys = x,
                                    .values = x,
                                    .mask = mask,
                                    .mask_query_stride = nodes};
        start = seconds();
        rill_softmax_attention(&shape, &input, z);
        printf(" %10.2f ms", 1e3 * (seconds() - start));
        for (size_t i = 0; i < nodes * width; i++) worst = fmax(worst, fabs((double)(y[i] - z[i])));
        printf("   differ by %.1e", worst);
    }
    putchar('\n');
    free(first_edge), free(to), free(mask), free(x), free(y), free(z);
    return worst;
}

int main(void) {
    int right = split_the_club();
    double worst = 0;
    printf("\n   nodes     edges  along edges   an edge  under a mask   (%d heads of %d)\n", HEADS, DIM);
    for (size_t nodes = 256; nodes <= 65536; nodes *= 2) worst = fmax(worst, cost(nodes));
    return right >= 32 && worst < 1e-5 ? 0 : 1;
}
