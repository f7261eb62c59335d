/* SPDX-License-Identifier: MIT */
/* What the vector sources stand on: the compilers' vector types of exactly one register, and what is done
 * with them. src/CMakeLists.txt compiles all vector_*.c as one unit, once per instruction set, and defines
 *
 *     RILL_VECTOR_TABLE, RILL_VECTOR_NAME   the table's symbol and name
 *     RILL_VECTOR_BYTES                     bytes of a register (a wider type is many times slower)
 *     RILL_VECTOR_REGISTERS                 how many of them there are
 *
 * Tiles are arrays of vectors with constant bounds, which the compilers unroll and keep in registers. Needs
 * __builtin_shufflevector: gcc 12, any clang. */
#ifndef RILL_VECTOR_H
#define RILL_VECTOR_H

#include <stdint.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "kernels/kernels.h"

#define INLINE static inline __attribute__((always_inline))

/* before a loop over a tile with constant bounds, which the compilers think too long to unroll, and before
 * one whose bound they do not know */
#ifdef __clang__
#define UNROLL      _Pragma("clang loop unroll(full)")
#define UNROLL_FOUR _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL      _Pragma("GCC unroll 16")
#define UNROLL_FOUR _Pragma("GCC unroll 4")
#endif

typedef float vector __attribute__((vector_size(RILL_VECTOR_BYTES)));
typedef float unaligned_vector __attribute__((vector_size(RILL_VECTOR_BYTES), aligned(sizeof(float))));
typedef int32_t integers __attribute__((vector_size(RILL_VECTOR_BYTES)));
typedef uint32_t bits __attribute__((vector_size(RILL_VECTOR_BYTES)));
typedef float quad __attribute__((vector_size(16)));
typedef float unaligned_quad __attribute__((vector_size(16), aligned(sizeof(float))));

enum {
    lanes = RILL_VECTOR_BYTES / sizeof(float),
    many_registers = RILL_VECTOR_REGISTERS >= 32,
    fetch_ahead = 512 /* floats: 2 KiB hide the way from a second-level cache */
};

/* Vectors alias the floats they are made of. memcpy would alias all there is, and may be a checked function.
 */
INLINE vector load(const float *from) {
    return *(const unaligned_vector *)from;
}

INLINE void store(float *to, vector v) {
    *(unaligned_vector *)to = v;
}

INLINE quad load_quad(const float *from) {
    return *(const unaligned_quad *)from;
}

INLINE void store_quad(float *to, quad v) {
    *(unaligned_quad *)to = v;
}

/* the first count < lanes values, zeros after them. A load waits until a store before it is in the cache that
 * touches it only in part, if by nothing but masked values, as where rows of 8 or 4 values lie side by side:
 * those have registers of their size. */
#ifdef __AVX512F__
INLINE vector load_part(const float *from, size_t count) {
    if (count == 8) return (vector)_mm512_zextps256_ps512(_mm256_loadu_ps(from));
    if (count == 4) return (vector)_mm512_zextps128_ps512(_mm_loadu_ps(from));
    return (vector)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), from);
}

INLINE void store_part(float *to, size_t count, vector from) {
    if (count == 8)
        _mm256_storeu_ps(to, _mm512_castps512_ps256((__m512)from));
    else if (count == 4)
        _mm_storeu_ps(to, _mm512_castps512_ps128((__m512)from));
    else
        _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), (__m512)from);
}
#else
static inline vector load_part(const float *from, size_t count) {
    float v[lanes] = {0};
    for (size_t i = 0; i < count; i++) v[i] = from[i];
    return load(v);
}

static inline void store_part(float *to, size_t count, vector from) {
    float v[lanes];
    store(v, from);
    for (size_t i = 0; i < count; i++) to[i] = v[i];
}
#endif

INLINE vector load_up_to(const float *from, size_t count) {
    return count >= lanes ? load(from) : load_part(from, count);
}

INLINE void store_up_to(float *to, size_t count, vector v) {
    if (count >= lanes)
        store(to, v);
    else
        store_part(to, count, v);
}

INLINE vector splat(float x) {
    return x - (vector){0};
}

/* The float at x in every lane. A broadcast of a float from memory takes part of what multiplies and adds
 * (Zen 4); one of an integer is a load. */
INLINE vector splat_at(const float *x) {
#ifdef __AVX512F__
    typedef int32_t aliasing __attribute__((may_alias));
    return (vector)_mm512_set1_epi32(*(const aliasing *)x);
#else
    return splat(*x);
#endif
}

/* v in a register: not loaded again by each that uses it, nor fused with what it is added to. */
INLINE vector apart(vector v) {
#ifdef __AVX512F__
    __asm__("" : "+v"(v));
#endif
    return v;
}

/* An address from which the compiler counts, instead of keeping each it comes to. */
INLINE const float *in_a_register(const float *at) {
    __asm__("" : "+r"(at));
    return at;
}

/* a · b + c, rounded once where the core can: compilers fuse what lies side by side, and clang may take it
 * apart where lanes are loaded by cases. */
INLINE vector fused(vector a, vector b, vector c) {
#if defined __AVX512F__
    return (vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined __AVX2__
    return (vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

/* a · b, not fused. Where a store and an FMA of whole registers share a port (Zen 5), or sums have ports of
 * their own (Zen 3), a product and a sum for each store are faster. */
INLINE vector product_of(vector a, vector b) {
    vector product = a * b;
#if defined __AVX512F__
    __asm__("" : "+v"(product));
#elif defined __AVX2__
    __asm__("" : "+x"(product));
#endif
    return product;
}

INLINE vector choose(integers mask, vector yes, vector no) {
    return (vector)(((integers)yes & mask) | ((integers)no & ~mask));
}

/* Of a NaN and another, the second is taken. */
INLINE vector lesser(vector a, vector b) {
#if defined __AVX512F__
    return (vector)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined __AVX2__
    return (vector)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return choose(a < b, a, b);
#endif
}

INLINE vector greater(vector a, vector b) {
#if defined __AVX512F__
    return (vector)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined __AVX2__
    return (vector)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return choose(a > b, a, b);
#endif
}

INLINE integers larger(integers a, integers b) {
#if defined __AVX512F__
    return (integers)_mm512_max_epi32((__m512i)a, (__m512i)b);
#elif defined __AVX2__
    return (integers)_mm256_max_epi32((__m256i)a, (__m256i)b);
#else
    return (integers)choose(a > b, (vector)a, (vector)b);
#endif
}

/* Is any lane of a mask set? */
INLINE bool any(integers mask) {
#if defined __AVX2__ && !defined __AVX512F__
    return _mm256_movemask_ps((__m256)mask) != 0;
#else
    int32_t set = 0;
    for (size_t lane = 0; lane < lanes; lane++) set |= mask[lane];
    return set != 0;
#endif
}

INLINE quad fold(vector v) {
    quad part[lanes / 4];
    memcpy(part, &v, sizeof v);
    for (size_t half = lanes / 8; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++) part[i] += part[i + half];
    return part[0];
}

/* the sums of four vectors, side by side, each the bits of its sum alone */
INLINE quad sums(vector a, vector b, vector c, vector d) {
#ifdef __AVX512F__
    /* halves, then quarters of all four in a register, which are summed at once */
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4((__m512)a, (__m512)b, 0x44),
                                    _mm512_shuffle_f32x4((__m512)a, (__m512)b, 0xee));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4((__m512)c, (__m512)d, 0x44),
                                    _mm512_shuffle_f32x4((__m512)c, (__m512)d, 0xee));
    __m512 four = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    four = _mm512_add_ps(four, _mm512_permute_ps(four, 0x4e));
    four = _mm512_add_ps(four, _mm512_permute_ps(four, 0xb1));
    const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    return (quad)_mm512_castps512_ps128(_mm512_permutexvar_ps(first, four));
#else
    quad fa = fold(a), fb = fold(b), fc = fold(c), fd = fold(d);
    quad ab = __builtin_shufflevector(fa, fb, 0, 4, 1, 5) + __builtin_shufflevector(fa, fb, 2, 6, 3, 7);
    quad cd = __builtin_shufflevector(fc, fd, 0, 4, 1, 5) + __builtin_shufflevector(fc, fd, 2, 6, 3, 7);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
#endif
}

INLINE float sum(vector v) {
    quad q = fold(v);
    return (q[0] + q[2]) + (q[1] + q[3]);
}

#endif
