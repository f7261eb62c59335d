/* SPDX-License-Identifier: MIT */
/* The shipped model file, byte for byte, as read-only data of the program. */
#ifdef __CET__
#include <cet.h> /* the mark that lets the linker keep -fcf-protection for the whole program */
#endif
    .section .rodata
    .balign 64
    .globl embedded_model
    .hidden embedded_model
    .type embedded_model, %object
embedded_model:
    .incbin RILL_EMBEDDED_MODEL
    .size embedded_model, . - embedded_model
    .globl embedded_model_end
    .hidden embedded_model_end
embedded_model_end:
    .byte 0

    .section .note.GNU-stack, "", %progbits
