/* SPDX-License-Identifier: MIT */
/* How large a core's second-level cache is. */
#include "kernels/kernels.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#define RILL_HAS_CPUID
#endif

static size_t size = 2 << 20; /* where nothing tells */

#ifdef RILL_HAS_CPUID
/* Asked when the library is loaded: in a virtual machine an answer takes as long as many steps. */
__attribute__((constructor)) static void ask_for_size(void) {
    const unsigned caches = 0x80000006; /* of AMD's and Intel's: KiB in the upper half of ECX */
    unsigned a, b, c = 0, d;
    if (__get_cpuid(caches, &a, &b, &c, &d) && c >> 16 > 0) size = (size_t)(c >> 16) << 10;
}
#endif

size_t rill_second_level_size(void) {
    return size;
}
