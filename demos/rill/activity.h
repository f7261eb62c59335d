/* SPDX-License-Identifier: MIT */
/* Who spoke when, as strips of cells for the display: the last minutes in fine cells that slide, and the
 * whole recording in cells that grow. Constant size. */
#ifndef ACTIVITY_H
#define ACTIVITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/stream/event.h>
#include <rill/stream/tracker.h>

enum { ACTIVITY_CELLS = 1024 };
#define ACTIVITY_CELL_SECONDS 0.5

struct activity {
    double seconds;            /* decided so far */
    long newest;               /* the fine cell of that moment */
    double whole_cell_seconds; /* of the cells of whole, from the start */
    struct activity_strip {
        uint32_t speaker;                                    /* 0: free */
        bool open;                                           /* a turn is running */
        double told_to;                                      /* of the running turn */
        float recent[ACTIVITY_CELLS], whole[ACTIVITY_CELLS]; /* fraction of the cell spoken */
    } strips[RILL_TRACKER_MAX_SPEAKERS];
};

void activity_begin(struct activity *activity);
void activity_event(struct activity *activity, const rill_event *event);
/* Everything up to seconds is decided: running turns go on to there. */
void activity_advance(struct activity *activity, double seconds);

/* The fraction spoken in the fine cell that lies back cells before the newest. */
float activity_recent(const struct activity *activity, uint32_t speaker, size_t back);
/* The fraction spoken in part column of columns of the whole. */
float activity_whole(const struct activity *activity, uint32_t speaker, size_t column, size_t columns);

#endif
