/* SPDX-License-Identifier: MIT */
/* Threads that ask for the kernels at once, before anybody else has, all get the same table. */
#include <pthread.h>
#include <stdio.h>

#include "kernels/kernels.h"

enum { threads = 8 };

static pthread_barrier_t start;

static void *ask(void *answer) {
    pthread_barrier_wait(&start);
    *(const rill_kernels **)answer = rill_kernels_get();
    return NULL;
}

int main(void) {
    pthread_t thread[threads];
    const rill_kernels *answer[threads];
    pthread_barrier_init(&start, NULL, threads);
    for (size_t i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, ask, &answer[i]) != 0) return 1;
    for (size_t i = 0; i < threads; i++) pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&start);
    for (size_t i = 0; i < threads; i++)
        if (!answer[i] || answer[i] != answer[0]) return 1;
    printf("%d threads got the kernels %s\n", threads, answer[0]->name);
    return 0;
}
