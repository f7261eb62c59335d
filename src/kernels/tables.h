/* SPDX-License-Identifier: MIT */
/* The tables dispatch.c may choose from; src/CMakeLists.txt compiles vector_*.c once for each but
 * the reference. */
#ifndef RILL_TABLES_H
#define RILL_TABLES_H

#include "kernels/kernels.h"

extern const rill_kernels rill_kernels_reference;
extern const rill_kernels
    rill_kernels_portable;                   /* vectors of 16 bytes, nothing beyond the target's baseline */
extern const rill_kernels rill_kernels_neon; /* of 64-bit ARM, where it is the baseline: 32 registers */
extern const rill_kernels rill_kernels_avx2; /* with FMA */
extern const rill_kernels rill_kernels_avxvnni;    /* the same, and VNNI in registers of 32 bytes */
extern const rill_kernels rill_kernels_avx512;     /* F, BW, DQ, VL */
extern const rill_kernels rill_kernels_avx512vnni; /* the same, and VNNI */
extern const rill_kernels rill_kernels_zen4;       /* of instructions the same: see vector_chunk.c */
extern const rill_kernels rill_kernels_zen5;       /* likewise: see vector_step.c */
extern const rill_kernels rill_kernels_amx;        /* the same, and AMX-INT8 */

#endif
