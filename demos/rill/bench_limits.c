/* SPDX-License-Identifier: MIT */
#include "bench_limits.h"

enum { UNROLL = 4 };

/* The loops for one instruction set: registers of `bytes`, `accumulators` sums at once. The product of
 * latency and units is 8 to 16 on today's cores. A view may lie anywhere. */
#define DEFINE_LIMITS(set, target, bytes, accumulators)                                                      \
    typedef float set##_vector __attribute__((vector_size(bytes)));                                          \
    typedef float set##_view __attribute__((vector_size(bytes), may_alias, aligned(4)));                     \
    enum { set##_lanes = (bytes) / sizeof(float) };                                                          \
    target static float set##_multiply_add(size_t rounds) {                                                  \
        static volatile float factor = 0.999f, addend = 0.001f;                                              \
        set##_vector sum[accumulators], x = {0}, y = {0};                                                    \
        x += factor;                                                                                         \
        y += addend;                                                                                         \
        for (size_t i = 0; i < (accumulators); i++) sum[i] = y * (float)i;                                   \
        for (size_t r = 0; r < rounds; r++)                                                                  \
            for (size_t i = 0; i < (accumulators); i++) sum[i] = sum[i] * x + y;                             \
        for (size_t i = 1; i < (accumulators); i++) sum[0] += sum[i];                                        \
        float total = 0;                                                                                     \
        for (size_t i = 0; i < set##_lanes; i++) total += sum[0][i];                                         \
        return total;                                                                                        \
    }                                                                                                        \
    target static void set##_read_write(size_t count, float *x) {                                            \
        set##_view *at = (set##_view *)x;                                                                    \
        for (size_t i = 0; i < count / set##_lanes; i += UNROLL)                                             \
            for (size_t j = 0; j < UNROLL; j++) at[i + j] += 1.0f;                                           \
    }                                                                                                        \
    target static float set##_read(size_t count, const float *x) {                                           \
        const set##_view *at = (const set##_view *)x;                                                        \
        set##_vector sum[UNROLL] = {{0}};                                                                    \
        for (size_t i = 0; i < count / set##_lanes; i += UNROLL)                                             \
            for (size_t j = 0; j < UNROLL; j++) sum[j] += at[i + j];                                         \
        float total = 0;                                                                                     \
        for (size_t j = 0; j < UNROLL; j++)                                                                  \
            for (size_t i = 0; i < set##_lanes; i++) total += sum[j][i];                                     \
        return total;                                                                                        \
    }                                                                                                        \
    target static void set##_stream(size_t count, const float *a, const float *b, const float *c,            \
                                    float *restrict out) {                                                   \
        const set##_view *p = (const set##_view *)a, *q = (const set##_view *)b, *r = (const set##_view *)c; \
        set##_view *to = (set##_view *)out;                                                                  \
        for (size_t i = 0; i < count / set##_lanes; i++) to[i] = p[i] * q[i] + r[i];                         \
    }                                                                                                        \
    static const struct limits set##_limits = {                                                              \
        #set,       set##_lanes, set##_multiply_add, 2 * (accumulators)*set##_lanes, set##_read_write,       \
        set##_read, set##_stream};

#ifdef __x86_64__
DEFINE_LIMITS(avx512, __attribute__((target("avx512f,avx512vl,fma"))), 64, 12)
DEFINE_LIMITS(avx2, __attribute__((target("avx2,fma"))), 32, 12)
DEFINE_LIMITS(sse2, , 16, 12)
#else
DEFINE_LIMITS(baseline, , 16, 16)
#endif

const struct limits *limits_get(void) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) return &avx512_limits;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &avx2_limits;
    return &sse2_limits;
#else
    return &baseline_limits;
#endif
}
