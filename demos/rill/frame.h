/* SPDX-License-Identifier: MIT */
/* One picture for a terminal, put together line by line and cut to the width, then written at once. */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stddef.h>

enum { FRAME_BYTES = 1 << 17 };

struct frame {
    size_t columns, column; /* of the terminal; used in this line */
    size_t used;
    char bytes[FRAME_BYTES];
};

void frame_begin(struct frame *frame, size_t columns);
/* Clean UTF-8 (text_clean), as much as fits. */
void frame_text(struct frame *frame, const char *clean);
/* Takes no room: a control sequence of our own. */
void frame_style(struct frame *frame, const char *sequence);
/* Blanks up to a column. */
void frame_pad(struct frame *frame, size_t column);
/* Ends a line; the rest of it is erased. */
void frame_end_line(struct frame *frame, const char *ending);
/* A bar of columns, filled to fraction 0 … 1 by eighths. */
void frame_bar(struct frame *frame, size_t columns, double fraction);

/* A block as high as fraction 0 … 1: " ▁▂▃▄▅▆▇█". */
const char *frame_block(double fraction);

#endif
