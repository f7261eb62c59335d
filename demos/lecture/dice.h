/* SPDX-License-Identifier: MIT */
/* Chance, the same on every machine: Knuth's linear congruential generator (MMIX), its upper half. */
#ifndef DICE_H
#define DICE_H

#include <stdint.h>

static uint64_t dice_state = 1;

/* 0 … bound − 1 */
static inline uint32_t dice_below(uint32_t bound) {
    dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((dice_state >> 33) * bound >> 31);
}

/* [low, high) */
static inline double dice_between(double low, double high) {
    return low + (high - low) * dice_below(1u << 24) / (1u << 24);
}

#endif
