/* SPDX-License-Identifier: MIT */
/* Counts what a test program asks of the heap, libraries included, by standing in front of glibc's functions.
 * Included by one file of a program. Under a sanitizer, which stands there itself, nothing is counted and
 * COUNTS_ALLOCATIONS is 0. */
#ifndef RILL_TEST_COUNT_ALLOCATIONS_H
#define RILL_TEST_COUNT_ALLOCATIONS_H

#include <stdatomic.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTS_ALLOCATIONS 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define COUNTS_ALLOCATIONS 0
#endif
#ifndef COUNTS_ALLOCATIONS
#define COUNTS_ALLOCATIONS 1
#endif

static atomic_size_t allocations; /* calls of malloc, calloc, realloc and free so far */

#if COUNTS_ALLOCATIONS
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *memory);

void *malloc(size_t size) {
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(old, size);
}
void free(void *memory) {
    atomic_fetch_add(&allocations, 1);
    __libc_free(memory);
}
#endif

#endif
