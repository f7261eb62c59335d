/* SPDX-License-Identifier: MIT */
/* Events as plain lines. */
#include <inttypes.h>
#include <stdio.h>

#include "event_output.h"
#include "message.h"
#include "text.h"

void correction_text(char text[CORRECTION_TEXT_SIZE], const rill_event *event) {
    char start[TEXT_TIME_SIZE], end[TEXT_TIME_SIZE], speaker[TEXT_SPEAKER_SIZE];
    text_time(start, event->start, 2);
    text_time(end, event->end, 2);
    text_speaker(speaker, event->speaker, event->name);
    snprintf(text, CORRECTION_TEXT_SIZE, "S%u was %s from %s to %s", event->from_speaker, speaker, start,
             end);
}

static bool line_turn(const rill_event *event) {
    char start[TEXT_TIME_SIZE], end[TEXT_TIME_SIZE], decided[TEXT_TIME_SIZE], speaker[TEXT_SPEAKER_SIZE];
    text_time(start, event->start, 2);
    text_time(end, event->end, 2);
    text_time(decided, event->decided_at, 2);
    text_speaker(speaker, event->speaker, event->name);
    printf("[%s–%s] %s %.2f  (cosine %.2f, told at %s)\n", start, end, speaker, (double)event->score,
           (double)event->cosine, decided);
    return output_flush();
}

bool line_event(const rill_event *event) {
    if (event->kind == RILL_EVENT_START) return true;
    if (event->kind == RILL_EVENT_TURN) return line_turn(event);
    char decided[TEXT_TIME_SIZE], text[CORRECTION_TEXT_SIZE];
    text_time(decided, event->decided_at, 2);
    correction_text(text, event);
    printf("correction: %s %.2f  (cosine %.2f, told at %s)\n", text, (double)event->score,
           (double)event->cosine, decided);
    return output_flush();
}

bool line_end(double seconds, uint64_t lost_samples) {
    char time[TEXT_TIME_SIZE];
    text_time(time, seconds, 2);
    printf("end at %s, %" PRIu64 " samples lost\n", time, lost_samples);
    return output_flush();
}
