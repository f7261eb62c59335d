/* SPDX-License-Identifier: MIT */
/* The whole sequence has one label: who speaks. who_is_it MODEL.safetensors [LIST]
 *
 * The shipped model gives an embedding h_t every 40 ms; how they become one vector is learned. Self-attention
 * pooling (2008.01077):
 *
 *     w = softmax(H W),  e = Σ_t w_t h_t        W [dim] is learned
 *
 * is softmax attention of a single query W, whose keys and values are the h_t; its gradient is the library's.
 * A dense layer on e tells the speaker. Both are trained here; beside them the same with W held at 0, which
 * is the plain mean. Every third utterance of a speaker is kept for testing.
 *
 * LIST (scripts/list-prompts makes one of real voices): lines of speaker, path and, when wanted, start and
 * seconds, tabs between. Without a list, eight artificial voices say a dozen utterances each, a good part of
 * them pauses: the weights learn to look away from these. */
#include <rill/gradient.h>
#include <rill/learning.h>

#include "utterances.h"

enum { ROUNDS = 150 };

static rill_softmax_shape pooling(void) {
    return (rill_softmax_shape){
        .heads = 1, .query_heads = 1, .key_dim = dim, .value_dim = dim, .scale = 1 / sqrtf((float)dim)};
}

/* parameters: W [dim], weight [speakers][dim], bias [speakers]. w goes to weights [steps] unless NULL, e to
 * pooled [dim]. */
static void tell(const utterance *u, const float *parameters, float *weights, float *pooled, float *logits) {
    const rill_softmax_shape shape = pooling();
    const rill_softmax_input input = {.queries_length = 1,
                                      .keys_length = u->steps,
                                      .queries = parameters,
                                      .keys = u->rows,
                                      .values = u->rows,
                                      .scores = weights,
                                      .scores_kind = RILL_SCORES_NORMALIZED};
    rill_softmax_attention(&shape, &input, pooled);
    rill_dense(1, dim, speakers, pooled, parameters + dim, parameters + dim + speakers * dim, logits);
}

/* Returns the share of tested utterances that are told right. */
static double train(bool attend, float *parameters) {
    const rill_softmax_shape shape = pooling();
    const size_t count = dim + speakers * (dim + 1), rows = longest * dim;
    float *memory = heard_memory((count + 3 * dim + speakers + 2 * rows) * sizeof(float));
    float *gradient = memory, *query = gradient + count, *pooled = query + dim, *logits = pooled + dim;
    float *pooled_gradient = logits + speakers, *rest = pooled_gradient + dim;
    void *adam_state = heard_memory(rill_adam_size(count));
    void *workspace = heard_memory(rill_softmax_gradient_size(&shape, longest));
    const rill_adam adam = rill_adam_defaults(0.01f);
    size_t right = 0, tested = 0;
    memset(parameters, 0, count * sizeof *parameters);
    rill_adam_init(count, adam_state);
    for (int round = 0; round < ROUNDS; round++) {
        memset(gradient, 0, count * sizeof *gradient);
        for (const utterance *u = utterances; u < utterances + utterances_count; u++) {
            if (u->tested) continue;
            tell(u, parameters, NULL, pooled, logits);
            rill_cross_entropy(1, speakers, logits, &u->speaker, logits);
            memset(pooled_gradient, 0, dim * sizeof *pooled_gradient);
            rill_dense_gradient(1, dim, speakers, pooled, parameters + dim, logits, pooled_gradient,
                                gradient + dim, gradient + dim + speakers * dim);
            const rill_softmax_input input = {.queries_length = 1,
                                              .keys_length = u->steps,
                                              .queries = parameters,
                                              .keys = u->rows,
                                              .values = u->rows};
            const rill_sequence_gradient to = {query, rest, rest + rows, NULL};
            if (attend) rill_softmax_gradient(&shape, &input, pooled_gradient, &to, workspace);
            for (size_t d = 0; d < dim && attend; d++) gradient[d] += query[d];
        }
        rill_adam_step(&adam, count, adam_state, gradient, parameters);
    }
    for (const utterance *u = utterances; u < utterances + utterances_count; u++) {
        uint32_t best = 0;
        if (!u->tested) continue;
        tell(u, parameters, NULL, pooled, logits);
        for (uint32_t s = 1; s < speakers; s++) best = logits[s] > logits[best] ? s : best;
        right += best == u->speaker;
        tested++;
    }
    free(memory), free(adam_state), free(workspace);
    return tested ? (double)right / (double)tested : 0;
}

/* The weights of an utterance over time, and where speech is; then how much of the weight lies on speech, of
 * all. */
static void show(const float *parameters) {
    static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    float *weights = heard_memory((longest + dim + speakers) * sizeof(float));
    double on_speech = 0, speech = 0;
    for (const utterance *u = utterances; u < utterances + utterances_count; u++) {
        float most = 0;
        double share = 0;
        tell(u, parameters, weights, weights + longest, weights + longest + dim);
        for (size_t t = 0; t < u->steps; t++) {
            most = fmaxf(most, weights[t]);
            share += (double)u->speech[t] / (double)u->steps;
            on_speech += (double)(weights[t] * u->speech[t]) / (double)utterances_count;
        }
        speech += share / (double)utterances_count;
        for (int row = 0; row < 2 && u == utterances; row++, printf("\n"))
            for (size_t t = 0, i = (printf(row ? "speech   " : "weights  "), 0); t < u->steps && i < 100;
                 t++, i++)
                printf("%s", bars[(int)(8 * (row ? u->speech[t] : weights[t] / most) + 0.5f)]);
    }
    printf("time that is speech: %.4f\nweight on speech: %.4f\n", speech, on_speech);
    free(weights);
}

int main(int count, char **arguments) {
    rill_model *model = NULL;
    rill_error why;
    if (count < 2 || count > 3)
        return fprintf(stderr, "usage: %s MODEL.safetensors [LIST]\n", arguments[0]), 2;
    if (rill_model_open(arguments[1], &model, &why) != RILL_OK)
        return fprintf(stderr, "%s\n", why.message), 1;
    dim = rill_model_get_info(model)->embedding_dim;
    bool good = count > 2 ? utterances_read(model, arguments[2]) : utterances_make(model);
    rill_model_close(model);
    if (good && speakers < 2) good = fprintf(stderr, "two speakers at least are needed\n") < 0;
    if (good) {
        float *parameters = heard_memory((dim + speakers * (dim + 1)) * sizeof(float));
        const double mean = train(false, parameters), attending = train(true, parameters);
        printf("%zu utterances of %zu speakers\n", utterances_count, speakers);
        show(parameters);
        printf("chance: %.4f\n", 1 / (double)speakers);
        printf("right, plain mean: %.4f\nright, self-attention pooling: %.4f\n", mean, attending);
        free(parameters);
    }
    for (size_t i = 0; i < utterances_count; i++) free(utterances[i].rows), free(utterances[i].speech);
    return good ? 0 : 1;
}
