/* SPDX-License-Identifier: MIT */
/* Which table runs here. */
#ifdef __linux__
#define _DEFAULT_SOURCE /* syscall */
#endif
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <rill/attention.h>

#include "kernels/kernels.h"
#include "kernels/tables.h"

#ifdef RILL_HAS_AVX2
#include <cpuid.h>
#endif
#if defined(RILL_HAS_AVX512) && defined(__linux__)
#define RILL_HAS_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

static bool always(void) {
    return true;
}

#ifdef RILL_HAS_AVX2
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* No name of the compilers' (gcc 12, clang 14). */
static bool has_avxvnni(void) {
    enum { avx_vnni = 1 << 4 };
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & avx_vnni);
}
#endif

#ifdef RILL_HAS_AVX512
static bool has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("fma");
}

static bool has_avx512vnni(void) {
    return has_avx512() && __builtin_cpu_supports("avx512vnni");
}

/* Zen 4 and what comes after it: AMD's with AVX-512. */
static bool has_zen4(void) {
    return has_avx512vnni() && __builtin_cpu_is("amd");
}

/* Zen 5 and what comes after it: the first of AMD's with AVX-VNNI. (That its registers of 512 bits are
 * computed whole is a bit of its own, 8000_001A, which virtual machines hide.) */
static bool has_zen5(void) {
    return has_zen4() && has_avxvnni();
}
#endif

#ifdef RILL_HAS_AMX
/* The registers of tiles are 8 KiB, which Linux keeps for the threads of a process once it has asked
 * (Documentation/arch/x86/xstate.rst). It asks when the library is loaded: a first step makes no system
 * call. */
static bool amx_is_allowed;

__attribute__((constructor)) static void ask_for_amx(void) {
    enum { request_permission = 0x1023, tile_data = 18, amx_tile = 1 << 24, amx_int8 = 1 << 25 };
    unsigned a, b, c, d;
    amx_is_allowed = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & amx_tile) && (d & amx_int8) &&
                     syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

static bool has_amx(void) {
    return amx_is_allowed && has_avx512vnni();
}
#endif

/* From slow to fast: the last one that runs here is the best. */
static const struct {
    const rill_kernels *table;
    bool (*runs_here)(void);
} known[] = {
    {&rill_kernels_reference, always},  {&rill_kernels_portable, always},
#ifdef RILL_HAS_NEON
    {&rill_kernels_neon, always},
#endif
#ifdef RILL_HAS_AVX2
    {&rill_kernels_avx2, has_avx2},     {&rill_kernels_avxvnni, has_avxvnni},
#endif
#ifdef RILL_HAS_AVX512
    {&rill_kernels_avx512, has_avx512}, {&rill_kernels_avx512vnni, has_avx512vnni},
    {&rill_kernels_zen4, has_zen4},     {&rill_kernels_zen5, has_zen5},
#endif
#ifdef RILL_HAS_AMX
    {&rill_kernels_amx, has_amx},
#endif
};

enum { known_count = sizeof known / sizeof *known };

static const rill_kernels *choose(const char *forced) {
    const rill_kernels *best = &rill_kernels_reference;
    for (size_t i = 0; i < known_count; i++) {
        if (!known[i].runs_here()) continue;
        best = known[i].table;
        if (forced && strcmp(forced, best->name) == 0) return best;
    }
    return best;
}

static const rill_kernels *_Atomic chosen;

void rill_kernels_use(const rill_kernels *table) {
    atomic_store_explicit(&chosen, table, memory_order_release);
}

/* Threads that arrive together choose the same table twice. */
const rill_kernels *rill_kernels_get(void) {
    const rill_kernels *table = atomic_load_explicit(&chosen, memory_order_acquire);
    if (!table) {
        table = choose(getenv("RILL_KERNELS"));
        atomic_store_explicit(&chosen, table, memory_order_release);
    }
    return table;
}

const rill_kernels *rill_kernels_at(size_t index, bool *runs_here) {
    if (index >= known_count) return NULL;
    *runs_here = known[index].runs_here();
    return known[index].table;
}

const char *rill_kernels_name(void) {
    return rill_kernels_get()->name;
}
