/* SPDX-License-Identifier: MIT */
#include "frame.h"

#include <math.h>
#include <string.h>

#include "text.h"

static void add(struct frame *frame, const char *bytes, size_t count) {
    if (count > FRAME_BYTES - frame->used) return;
    memcpy(frame->bytes + frame->used, bytes, count);
    frame->used += count;
}

void frame_begin(struct frame *frame, size_t columns) {
    frame->columns = columns;
    frame->column = frame->used = 0;
}

void frame_text(struct frame *frame, const char *clean) {
    size_t width, count = text_fit(clean, frame->columns - frame->column, &width);
    add(frame, clean, count);
    frame->column += width;
}

void frame_style(struct frame *frame, const char *sequence) {
    add(frame, sequence, strlen(sequence));
}

void frame_pad(struct frame *frame, size_t column) {
    while (frame->column < column && frame->column < frame->columns) frame_text(frame, " ");
}

void frame_end_line(struct frame *frame, const char *ending) {
    frame_style(frame, "\x1b[0m");
    /* A full line has nothing to erase, and the cursor may still stand on its last column. */
    if (frame->column < frame->columns) frame_style(frame, "\x1b[K");
    frame_style(frame, ending);
    frame->column = 0;
}

const char *frame_block(double fraction) {
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double eighths = ceil(fmin(fmax(fraction, 0), 1) * 8 - 0.5);
    return blocks[(size_t)fmax(eighths, 0)];
}

void frame_bar(struct frame *frame, size_t columns, double fraction) {
    static const char *const parts[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
    size_t eighths = (size_t)lround(fmin(fmax(fraction, 0), 1) * 8 * (double)columns);
    for (size_t i = 0; i < columns; i++) {
        size_t left = eighths > 8 * i ? eighths - 8 * i : 0;
        frame_text(frame, parts[left > 8 ? 8 : left]);
    }
}
