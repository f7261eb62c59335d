/* SPDX-License-Identifier: MIT */
/* Random numbers of the tests, the same on every machine: splitmix64 (Steele, Lea, Flood 2014). Others with
 * RILL_TEST_SEED=N in the environment, to look for what these do not find. */
#ifndef RILL_TEST_RANDOM_NUMBERS_H
#define RILL_TEST_RANDOM_NUMBERS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static uint64_t random_state;

static inline void random_seed(uint64_t seed) {
    const char *other = getenv("RILL_TEST_SEED");
    random_state = seed + (other ? strtoull(other, NULL, 10) << 32 : 0);
}

static inline uint64_t random_bits(void) {
    uint64_t z = random_state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* 0 … bound − 1 */
static inline size_t random_below(size_t bound) {
    return (size_t)(random_bits() % bound);
}

/* [0, 1) */
static inline double random_uniform(void) {
    return (double)(random_bits() >> 11) * 0x1p-53;
}

#endif
