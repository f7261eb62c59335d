/* SPDX-License-Identifier: MIT */
/* Makes the Nth allocation fail, libraries included, and counts what is live, by standing in front of glibc's
 * functions. Included by one file of a program, for one thread. FAILS_ALLOCATIONS is 0 under a sanitizer,
 * which stands there itself. */
#ifndef RILL_TEST_FAIL_ALLOCATION_H
#define RILL_TEST_FAIL_ALLOCATION_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FAILS_ALLOCATIONS 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define FAILS_ALLOCATIONS 0
#endif
#ifndef FAILS_ALLOCATIONS
#define FAILS_ALLOCATIONS 1
#endif

#if FAILS_ALLOCATIONS
static volatile size_t allocations_until_failure; /* 1: the next one fails; 0: none will, or it has failed */
static volatile size_t allocations_live;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

static bool allocation_fails(void) {
    if (allocations_until_failure == 0 || --allocations_until_failure > 0) return false;
    errno = ENOMEM;
    return true;
}

static void *allocation_counted(void *memory) {
    if (memory) allocations_live++;
    return memory;
}

#define STANDS_IN_FRONT __attribute__((visibility("default")))

STANDS_IN_FRONT void *malloc(size_t size) {
    return allocation_fails() ? NULL : allocation_counted(__libc_malloc(size));
}
STANDS_IN_FRONT void *calloc(size_t count, size_t size) {
    return allocation_fails() ? NULL : allocation_counted(__libc_calloc(count, size));
}
STANDS_IN_FRONT void *aligned_alloc(size_t alignment, size_t size) {
    return allocation_fails() ? NULL : allocation_counted(__libc_memalign(alignment, size));
}
STANDS_IN_FRONT void free(void *memory) {
    if (memory) allocations_live--;
    __libc_free(memory);
}
#endif

#endif
