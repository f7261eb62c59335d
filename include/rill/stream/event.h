/* SPDX-License-Identifier: MIT */
/* What the tracker tells. */
#ifndef RILL_STREAM_EVENT_H
#define RILL_STREAM_EVENT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rill_event_kind {
    RILL_EVENT_START,     /* somebody's turn has begun; the label of the whole turn is fixed by this */
    RILL_EVENT_TURN,      /* a turn is over: speaker spoke from start to end */
    RILL_EVENT_CORRECTION /* turns already told of from_speaker within [start, end) belong to speaker: two
                             labels were one voice, or a provisional one turned out to be somebody's */
} rill_event_kind;

#define RILL_NAME_SIZE 64 /* bytes of a speaker's name, UTF-8, with its terminator */

typedef struct rill_event {
    rill_event_kind kind;
    double start;              /* seconds since the first sample */
    double end;                /* seconds; of a START the moment up to which it is decided */
    double decided_at;         /* seconds of audio that had been heard when this was decided */
    uint32_t speaker;          /* 1, 2, 3 … in order of appearance: "S1" */
    uint32_t from_speaker;     /* of a CORRECTION: the label that was told before; else 0 */
    char name[RILL_NAME_SIZE]; /* from the speaker file or given while it ran; "" when none */
    float score;  /* calibrated probability that the label is right, 0 … 1; of a CORRECTION that the voice
                     heard there is the speaker's (rill_voice_score) */
    float cosine; /* of the voice heard with the speaker's voice, −1 … 1; 0 when either is not known yet */
} rill_event;

#ifdef __cplusplus
}
#endif
#endif
