/* SPDX-License-Identifier: MIT */
/* The ways to attend that rill bench attention compares, on one sequence: the whole of it, and one token
 * more. Linear ones include their feature map. */
#ifndef BENCH_FORM_H
#define BENCH_FORM_H

#include <stdbool.h>
#include <stddef.h>

enum form_kind {
    FORM_SOFTMAX_QUADRATIC, /* every query looks at every key before it; nothing is kept between tokens */
    FORM_SOFTMAX_CACHED,    /* token by token, keys and values kept */
    FORM_SLIDING_WINDOW,    /* the same over the last FORM_WINDOW tokens */
    FORM_LINEAR_PARALLEL,   /* the masked quadratic form of linear attention */
    FORM_LINEAR_CHUNKWISE,  /* several tokens for one pass over the state */
    FORM_LINEAR_RECURRENT,  /* token by token */
    FORMS
};

enum { FORM_WINDOW = 256 };

struct form {
    const char *name, *title; /* for rows, for pictures */
    bool steps;               /* keeps a memory and takes one token more; else all is computed anew */
};
extern const struct form forms[FORMS];

/* A sequence and what all forms need for it. */
struct field {
    size_t heads, dim, length;
    float *queries, *keys, *values; /* [length + 1][heads][dim]: the last row is the token more */
    float *features;                /* φ(q), φ(k) of as many rows as the form takes at once */
    float *output;                  /* [length + 1][heads][dim] */
    void *memories[FORMS];          /* states, caches, workspaces; NULL: none */
};

/* False when memory is short. */
bool field_make(size_t heads, size_t dim, size_t length, struct field *field);
void field_free(struct field *field);

/* The whole sequence from the empty history on → output. */
void form_whole(enum form_kind kind, struct field *field);
/* One token more, after form_whole or once more → the last row of output. Those with steps only. */
void form_next(enum form_kind kind, struct field *field);
/* Bytes that must be at hand to give the next token: states and caches, or else the whole sequence so far and
 * the workspace. */
size_t form_memory(enum form_kind kind, const struct field *field);

/* The greatest difference of the sequence's last row of output from the definition in double, over its
 * greatest magnitude; infinite when one is no number. */
double form_error(enum form_kind kind, const struct field *field);

#endif
