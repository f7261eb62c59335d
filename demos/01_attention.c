/* SPDX-License-Identifier: MIT */
/* Linear attention by hand: a sequence is read in chunks (prefill), then continued step by step with the same
 * state; the plain recurrence over the whole gives the same outputs. A copy of the state is a fork. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/rill.h>

enum { LENGTH = 200, PREFIX = 150, HEADS = 4, KEY = 32, VALUE = 32 };

static float queries[LENGTH][HEADS][KEY], keys[LENGTH][HEADS][KEY], values[LENGTH][HEADS][VALUE];
static float mixed[LENGTH][HEADS][VALUE], plain[LENGTH][HEADS][VALUE];

static void fill(size_t count, float *numbers) {
    for (size_t i = 0; i < count; i++) numbers[i] = 2 * (float)rand() / (float)RAND_MAX - 1;
}

/* Steps [from, to) of the sequence. */
static rill_sequence part(size_t from, size_t to, const float *log_decay) {
    return (rill_sequence){.length = to - from,
                           .queries = &queries[from][0][0],
                           .keys = &keys[from][0][0],
                           .values = &values[from][0][0],
                           .log_decay = log_decay};
}

int main(void) {
    const rill_attention_shape shape = {.rule = RILL_RULE_GATED,
                                        .decay = RILL_DECAY_HEAD,
                                        .heads = HEADS,
                                        .query_heads = HEADS,
                                        .key_dim = KEY,
                                        .value_dim = VALUE,
                                        .normalize = true,
                                        .epsilon = 1e-6f};
    const float log_decay[HEADS] = {-0.07f, -0.03f, -0.01f, -0.005f};
    rill_error why;
    if (rill_attention_check(&shape, &why) != RILL_OK) {
        fprintf(stderr, "%s\n", why.message);
        return 1;
    }
    fill(sizeof queries / sizeof(float), &queries[0][0][0]);
    fill(sizeof keys / sizeof(float), &keys[0][0][0]);
    fill(sizeof values / sizeof(float), &values[0][0][0]);
    rill_feature_map_elu1(sizeof queries / sizeof(float), &queries[0][0][0], &queries[0][0][0]);
    rill_feature_map_elu1(sizeof keys / sizeof(float), &keys[0][0][0], &keys[0][0][0]);

    void *state = malloc(rill_attention_size(&shape)), *other = malloc(rill_attention_size(&shape));
    if (!state || !other) return 1;
    rill_attention_init(&shape, state);
    rill_sequence prefix = part(0, PREFIX, log_decay);
    rill_attention_chunkwise(&shape, state, &prefix, &mixed[0][0][0]);
    for (size_t t = PREFIX; t < LENGTH; t++) {
        rill_sequence step = part(t, t + 1, log_decay);
        rill_attention_recurrent(&shape, state, &step, &mixed[t][0][0]);
    }

    rill_attention_init(&shape, other);
    rill_sequence whole = part(0, LENGTH, log_decay);
    rill_attention_recurrent(&shape, other, &whole, &plain[0][0][0]);

    double worst = 0;
    for (size_t i = 0; i < sizeof plain / sizeof(float); i++)
        worst = fmax(worst, fabs((double)((&mixed[0][0][0])[i] - (&plain[0][0][0])[i])));
    printf("kernels: %s\nstate: %zu bytes, whatever the length\n", rill_kernels_name(),
           rill_attention_size(&shape));
    printf("prefill of %d and %d steps, against %d steps: outputs differ by at most %.1e\n", PREFIX,
           LENGTH - PREFIX, LENGTH, worst);
    free(state);
    free(other);
    return worst < 1e-4 ? 0 : 1;
}
