/* SPDX-License-Identifier: MIT */
/* `track --reference`: the error rate of what was tracked, at its end. */
#ifndef REFERENCE_TURNS_H
#define REFERENCE_TURNS_H

#include <stdbool.h>
#include <stddef.h>

#include <rill/stream/diarization.h>

/* The turns an RTTM has of these recordings, under their file ids; a single recording takes a reference with
 * a single id whatever it is called. NULL after saying why. The caller destroys them. */
rill_turns *reference_read(const char *path, char *const *recordings, size_t count);

/* Prints rows and total; an exit code. */
int reference_score(const rill_turns *reference, const rill_turns *hypothesis, double collar, bool json);

#endif
