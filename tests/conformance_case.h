/* SPDX-License-Identifier: MIT */
/* A case as the program sees it; the families see <conformance.h> only. */
#ifndef RILL_CONFORMANCE_CASE_H
#define RILL_CONFORMANCE_CASE_H

#include "conformance.h"

typedef struct conformance_result {
    size_t expectations; /* values compared with something */
    bool failed, skipped;
    double worst;      /* the largest |got − want| / max(1, |want|) of all expectations */
    char message[256]; /* the first failure, or why it was skipped */
} conformance_result;

/* NULL, and the reason in message, when the file cannot be read. */
conformance_case *conformance_case_open(const char *path, char *message, size_t message_size);
void conformance_case_close(conformance_case *c);
/* What was found since the last call. */
conformance_result conformance_case_take_result(conformance_case *c);

#endif
