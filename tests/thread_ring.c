/* SPDX-License-Identifier: MIT */
/* One thread writes ever larger numbers, another reads: none is missing unless counted, none comes twice. */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>

#include "random_numbers.h"
#include "ring.h"

#define TOTAL 2000000u /* every number up to it is exact in a float */

static rill_ring ring;
static atomic_bool finished;

static void *write_all(void *patient) {
    float block[480];
    for (size_t next = 0; next < TOTAL;) {
        size_t count = 480;
        if (count > TOTAL - next) count = TOTAL - next;
        for (size_t i = 0; i < count; i++) block[i] = (float)(next + i);
        const size_t fits = rill_ring_write(&ring, count, block);
        next += patient ? fits : count; /* a microphone is not patient */
        if (fits < count) sched_yield();
    }
    atomic_store(&finished, true);
    return NULL;
}

/* Returns how many samples came; -1 when one was not larger than the last. */
static long read_all(void) {
    float block[1000], last = -1;
    long came = 0;
    for (;;) {
        const bool over = atomic_load(&finished);
        const size_t count = rill_ring_read(&ring, 1 + random_below(1000), block);
        for (size_t i = 0; i < count; i++) {
            if (!(block[i] > last)) return -1;
            last = block[i];
        }
        came += (long)count;
        if (over && !count) return came;
        if (!count) sched_yield();
    }
}

int main(void) {
    int failures = 0;
    for (int patient = 0; patient < 2; patient++) {
        pthread_t writer;
        atomic_store(&finished, false);
        if (rill_ring_init(&ring, 1024, NULL) != RILL_OK) return 1;
        if (pthread_create(&writer, NULL, write_all, patient ? &ring : NULL) != 0) return 1;
        const long came = read_all();
        pthread_join(writer, NULL);
        const long lost = (long)rill_ring_lost(&ring);
        const bool right = came > 0 && (patient ? came == (long)TOTAL : came + lost == (long)TOTAL);
        printf("%s writer: %ld came, %ld found no room: %s\n", patient ? "patient" : "hasty", came, lost,
               right ? "right" : "WRONG");
        failures += !right;
        rill_ring_release(&ring);
    }
    return failures;
}
