/* SPDX-License-Identifier: MIT */
/* Threads have small stacks (128 KiB with musl): what <rill/attention.h> says is the most that any form takes
 * of one, with every kernel table that runs here, is measured on a painted stack. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <rill/steady_state.h>

#include "count_allocations.h"
#include "kernels/kernels.h"
#include "random_sequence.h"

enum { stated = 96 << 10, stack_size = 1 << 20, paint = 0xa5, steps = 70 };

#if defined(__OPTIMIZE__) && COUNTS_ALLOCATIONS
static const bool bounded = true;
#else
static const bool bounded = false;
#endif

typedef struct forms_case {
    rill_attention_shape shape;
    random_sequence random;
    void *state, *workspace;
} forms_case;

static void *take_nothing(void *unused) {
    return unused;
}

static void *take_all(void *of) {
    forms_case *c = of;
    rill_sequence *sequence = &c->random.sequence;
    float *output = c->random.output;
    rill_attention_init(&c->shape, c->state);
    rill_attention_recurrent(&c->shape, c->state, sequence, output);
    rill_attention_chunkwise(&c->shape, c->state, sequence, output);
    rill_attention_parallel(&c->shape, c->state, sequence, output, c->workspace);
    rill_attention_write(&c->shape, c->state, sequence);
    rill_attention_read(&c->shape, c->state, steps, sequence->queries, output);
    rill_attention_noncausal(&c->shape, c->state, sequence, output);
    if (rill_steady_check(&c->shape, NULL) == RILL_OK) {
        rill_steady_init(&c->shape, c->state);
        rill_steady_attention(&c->shape, c->state, sequence, output);
        sequence->length = 1;
        rill_steady_attention(&c->shape, c->state, sequence, output);
    }
    return NULL;
}

/* Bytes of its stack that a thread has written to. */
static size_t taken_by(void *(*run)(void *), void *of) {
    static unsigned char *stack;
    if (!stack)
        stack =
            mmap(NULL, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) abort();
    memset(stack, paint, stack_size);
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0 || pthread_attr_setstack(&attributes, stack, stack_size) != 0 ||
        pthread_create(&thread, &attributes, run, of) != 0)
        abort();
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    size_t untouched = 0;
    while (untouched < stack_size && stack[untouched] == paint) untouched++;
    return stack_size - untouched;
}

static size_t taken_by_case(const rill_attention_shape *shape) {
    const bool steady = rill_steady_check(shape, NULL) == RILL_OK;
    forms_case c = {.shape = *shape, .random = random_sequence_make(shape, steps, 0)};
    rill_sequence *sequence = &c.random.sequence;
    if (shape->rule == RILL_RULE_DELTA || shape->rule == RILL_RULE_GATED_DELTA)
        sequence->beta = sequence->values;
    if (shape->rule == RILL_RULE_RANK_ONE)
        sequence->transition_read = sequence->transition_write = sequence->keys;
    c.state = malloc(steady ? rill_steady_size(shape) : rill_attention_size(shape));
    c.workspace = malloc(rill_attention_parallel_size(shape, steps));
    if (!c.state || !c.workspace) abort();
    const size_t taken = taken_by(take_all, &c);
    free(c.random.memory);
    free(c.state);
    free(c.workspace);
    return taken;
}

int main(void) {
    if (!bounded) {
        printf("SKIPPED: the bound is not of builds for debugging or with a sanitizer\n");
        return 0;
    }
    static const size_t dims[] = {16, 64, 100, 128, 200};
    const size_t thread_alone = taken_by(take_nothing, NULL);
    const rill_kernels *table;
    bool runs_here, within = true;
    for (size_t i = 0; (table = rill_kernels_at(i, &runs_here)); i++) {
        if (!runs_here) continue;
        rill_kernels_use(table);
        size_t most = 0;
        for (int rule = RILL_RULE_LINEAR; rule <= RILL_RULE_RANK_ONE; rule++)
            for (int decay = RILL_DECAY_NONE; decay <= RILL_DECAY_STEP_KEY; decay++)
                for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
                    const rill_attention_shape shape = {.rule = (rill_update_rule)rule,
                                                        .decay = (rill_decay)decay,
                                                        .heads = 2,
                                                        .query_heads = 4,
                                                        .key_dim = dims[d],
                                                        .value_dim = dims[d],
                                                        .scale = 1};
                    if (rill_attention_check(&shape, NULL) != RILL_OK) continue;
                    const size_t taken = taken_by_case(&shape) - thread_alone;
                    if (taken > most) most = taken;
                }
        printf("%s: %zu bytes of stack, %d stated\n", table->name, most, stated);
        within &= most <= stated;
    }
    return within ? 0 : 1;
}
