/* SPDX-License-Identifier: MIT */
/* 64 bits that tell bytes apart by accident, not by malice: FNV-1a (Fowler, Noll, Vo;
 * http://www.isthe.com/chongo/tech/comp/fnv/). A step is a bijection of the hash for a given byte, and of the
 * byte for a given hash: two inputs that differ in one byte never have the same checksum. */
#ifndef RILL_CHECKSUM_H
#define RILL_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define RILL_CHECKSUM_START UINT64_C(0xcbf29ce484222325)

/* the checksum of what gave hash, followed by these bytes */
static inline uint64_t rill_checksum(uint64_t hash, const void *bytes, size_t size) {
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < size; i++) hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    return hash;
}

#endif
