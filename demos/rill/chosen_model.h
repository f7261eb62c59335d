/* SPDX-License-Identifier: MIT */
/* The model a command works with: --model FILE, or the one built into the program. */
#ifndef CHOSEN_MODEL_H
#define CHOSEN_MODEL_H

#include <rill/encoder.h>

/* NULL after saying why. The caller closes it. */
rill_model *chosen_model_open(const char *path);

#endif
