/* SPDX-License-Identifier: MIT */
#include "display.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activity.h"
#include "clock.h"
#include "event_output.h"
#include "frame.h"
#include "message.h"
#include "prompt.h"
#include "terminal.h"
#include "text.h"

enum { NOTICES = 3, DRAWN_A_SECOND = 15 };
static const double silence_db = -60;

struct display {
    char title[512];
    const rill_listener *listener;
    double latency;
    bool keys;
    double drawn_at;
    struct display_figures figures;
    rill_listener_view audio;
    size_t speakers;
    rill_speaker_view views[RILL_TRACKER_MAX_SPEAKERS];
    struct activity activity;
    struct prompt prompt;
    char notices[NOTICES][CORRECTION_TEXT_SIZE + 16]; /* the newest last */
    struct frame frame;
};

struct display *display_open(const char *title, const rill_listener *listener, bool keys) {
    struct display *display = calloc(1, sizeof *display);
    if (!display) {
        complain("out of memory for the display");
        return NULL;
    }
    text_clean(display->title, sizeof display->title, title);
    display->listener = listener;
    display->latency = rill_listener_get_settings(listener)->latency_seconds;
    display->keys = keys;
    activity_begin(&display->activity);
    messages_hold();
    terminal_enter(keys);
    return display;
}

void display_notice(struct display *display, const char *text) {
    memmove(display->notices[0], display->notices[1], sizeof display->notices - sizeof display->notices[0]);
    text_clean(display->notices[NOTICES - 1], sizeof display->notices[0], text);
}

void display_event(struct display *display, const rill_event *event) {
    activity_event(&display->activity, event);
    if (event->kind != RILL_EVENT_CORRECTION) return;
    char text[CORRECTION_TEXT_SIZE], notice[CORRECTION_TEXT_SIZE + 16];
    correction_text(text, event);
    snprintf(notice, sizeof notice, "correction: %s", text);
    display_notice(display, notice);
}

static const char *color_of(uint32_t speaker) {
    static const char *const colors[] = {"\x1b[36m", "\x1b[33m", "\x1b[35m",
                                         "\x1b[32m", "\x1b[34m", "\x1b[31m"};
    return colors[(speaker - 1) % (sizeof colors / sizeof *colors)];
}

/* Columns of a row: speaker, strip, score, talk time. A narrow terminal loses them from the right. */
struct row_layout {
    size_t speaker, strip, score, talk;
};

static struct row_layout lay_row(size_t columns) {
    struct row_layout row = {.speaker = columns / 5, .score = 6, .talk = 9};
    if (row.speaker < 10) row.speaker = 10;
    if (row.speaker > 24) row.speaker = 24;
    if (columns < row.speaker + row.score + row.talk + 10) row.talk = 0;
    if (columns < row.speaker + row.score + 10) row.score = 0;
    size_t rest = row.speaker + row.score + row.talk;
    row.strip = columns > rest ? columns - rest : 0;
    return row;
}

static void draw_speaker(struct display *display, const rill_speaker_view *view, bool whole) {
    struct frame *frame = &display->frame;
    struct row_layout row = lay_row(frame->columns);
    char text[TEXT_SPEAKER_SIZE], time[TEXT_TIME_SIZE], clean[3 * RILL_NAME_SIZE];
    text_clean(clean, sizeof clean, view->name);
    snprintf(text, sizeof text, "S%u %s", view->speaker, clean);
    frame_style(frame, color_of(view->speaker));
    if (view->speaking && !whole) frame_style(frame, "\x1b[1m");
    size_t width = frame->columns;
    frame->columns =
        row.speaker - 1 < width ? row.speaker - 1 : width; /* a long name is cut, not the strip */
    frame_text(frame, text);
    frame->columns = width;
    frame_pad(frame, row.speaker);
    for (size_t i = 0; i < row.strip; i++)
        frame_text(frame, frame_block(
                              (double)(whole ? activity_whole(&display->activity, view->speaker, i, row.strip)
                                             : activity_recent(&display->activity, view->speaker,
                                                               row.strip - 1 - i))));
    frame_style(frame, "\x1b[0m");
    text_time(time, view->talk_seconds, 0);
    snprintf(text, sizeof text, "  %.2f", (double)view->score);
    if (row.score) frame_text(frame, text);
    snprintf(text, sizeof text, " %8s", time);
    if (row.talk) frame_text(frame, text);
}

/* Who speaks now and who has spoken most, as many as fit, in order of appearance: bit i says whether view i
 * is shown.
 */
static uint64_t choose_rows(const struct display *display, size_t rows) {
    uint64_t shown = 0;
    for (size_t n = 0; n < rows && n < display->speakers; n++) {
        size_t best = display->speakers;
        double best_talk = -1;
        for (size_t i = 0; i < display->speakers; i++) {
            double talk = display->views[i].talk_seconds + (display->views[i].speaking ? 1e9 : 0);
            if (!(shown >> i & 1) && talk > best_talk) {
                best = i;
                best_talk = talk;
            }
        }
        shown |= (uint64_t)1 << best;
    }
    return shown;
}

static void draw_title(struct display *display) {
    struct frame *frame = &display->frame;
    char now[TEXT_TIME_SIZE], whole[TEXT_TIME_SIZE], time[2 * TEXT_TIME_SIZE + 8];
    text_time(now, display->audio.seconds, 0);
    text_time(whole, display->figures.whole_seconds, 0);
    snprintf(time, sizeof time, display->figures.whole_seconds > 0 ? "  %s of %s" : "  %s", now, whole);
    frame_style(frame, "\x1b[1m");
    size_t width = frame->columns, right = strlen(time);
    frame->columns = width > right ? width - right : 0;
    frame_text(frame, "rill · ");
    frame_text(frame, display->title);
    frame_pad(frame, frame->columns);
    frame->columns = width;
    frame_text(frame, time);
    frame_end_line(frame, "\r\n");
}

static void draw_now(struct display *display) {
    struct frame *frame = &display->frame;
    bool anybody = false;
    frame_text(frame, "now:   ");
    for (size_t i = 0; i < display->speakers; i++) {
        const rill_speaker_view *view = &display->views[i];
        if (!view->speaking) continue;
        char speaker[TEXT_SPEAKER_SIZE], text[TEXT_SPEAKER_SIZE + 32];
        text_speaker(speaker, view->speaker, view->name);
        snprintf(text, sizeof text, "%s%s %.2f", anybody ? ", " : "", speaker, (double)view->score);
        frame_style(frame, color_of(view->speaker));
        frame_style(frame, "\x1b[1m");
        frame_text(frame, text);
        frame_style(frame, "\x1b[0m");
        anybody = true;
    }
    if (!anybody) frame_text(frame, "nobody");
    frame_end_line(frame, "\r\n");
}

static void draw_level(struct display *display) {
    struct frame *frame = &display->frame;
    char text[64];
    double level = display->audio.level > 0 ? 20 * log10((double)display->audio.level) : -INFINITY;
    frame_text(frame, "level: ");
    size_t width = frame->columns > 60 ? 30 : frame->columns / 3;
    frame_style(frame, level > -3 ? "\x1b[31m" : "\x1b[32m");
    frame_bar(frame, width, 1 - fmax(level, silence_db) / silence_db);
    frame_style(frame, "\x1b[0m");
    if (level < silence_db)
        snprintf(text, sizeof text, "  below %.0f dB", silence_db);
    else
        snprintf(text, sizeof text, "  %.0f dB", level);
    frame_text(frame, text);
    snprintf(text, sizeof text, "   speech %.0f %%", 100 * (double)display->audio.speech);
    frame_text(frame, text);
    frame_end_line(frame, "\r\n");
}

static void draw_footer(struct display *display) {
    struct frame *frame = &display->frame;
    char line[PROMPT_LINE_SIZE], latency[48];
    frame_style(frame, "\x1b[J"); /* before: on a full line the cursor stands on its last column */
    if (prompt_line(&display->prompt, line)) {
        frame_style(frame, "\x1b[1m");
    } else {
        if (display->figures.device_latency > 0)
            snprintf(latency, sizeof latency, "%.2f + %.2f s", display->latency,
                     display->figures.device_latency);
        else
            snprintf(latency, sizeof latency, "%.2f s", display->latency);
        double factor = display->figures.busy_seconds / fmax(display->audio.seconds, 1e-3);
        snprintf(line, sizeof line, "latency %s · real-time factor %.4f · lost %" PRIu64 " samples%s",
                 latency, factor, display->figures.lost_samples, display->keys ? " · ? keys" : "");
        frame_style(frame, "\x1b[2m");
    }
    frame_text(frame, line);
    frame_end_line(frame, "");
}

static bool draw(struct display *display) {
    size_t columns, rows;
    terminal_size(&columns, &rows);
    struct frame *frame = &display->frame;
    frame_begin(frame, columns);
    frame_style(frame, "\x1b[H");
    size_t blanks = rows >= 12 ? 2 : 0, notices = rows >= 12 ? NOTICES : rows >= 7 ? 1 : 0;
    size_t fixed = 4 + blanks + notices, speaker_rows = rows > fixed ? rows - fixed : 0;
    draw_title(display);
    if (blanks) frame_end_line(frame, "\r\n");
    uint64_t shown = choose_rows(display, speaker_rows);
    size_t drawn = 0;
    for (size_t i = 0; i < display->speakers; i++) {
        if (!(shown >> i & 1)) continue;
        draw_speaker(display, &display->views[i], false);
        frame_end_line(frame, "\r\n");
        drawn++;
    }
    for (; drawn < speaker_rows; drawn++) frame_end_line(frame, "\r\n");
    if (blanks) frame_end_line(frame, "\r\n");
    if (rows >= 3) draw_now(display);
    if (rows >= 4) draw_level(display);
    for (size_t i = NOTICES - notices; i < NOTICES; i++) {
        frame_text(frame, display->notices[i]);
        frame_end_line(frame, "\r\n");
    }
    if (rows >= 2) draw_footer(display);
    return terminal_write(frame->bytes, frame->used);
}

static void look(struct display *display) {
    display->audio = rill_listener_look(display->listener);
    display->speakers = rill_listener_speakers(display->listener, RILL_TRACKER_MAX_SPEAKERS, display->views);
    if (display->speakers > RILL_TRACKER_MAX_SPEAKERS) display->speakers = RILL_TRACKER_MAX_SPEAKERS;
    activity_advance(&display->activity, display->audio.seconds - display->latency);
}

bool display_update(struct display *display, const struct display_figures *figures, bool at_once) {
    double now = clock_now();
    if (!at_once && now - display->drawn_at < 1.0 / DRAWN_A_SECOND) return true;
    display->drawn_at = now;
    display->figures = *figures;
    look(display);
    return draw(display);
}

bool display_keys(struct display *display, rill_listener *listener) {
    for (unsigned char key; (key = terminal_key()) != 0;) {
        if (!prompt_key(&display->prompt, key, listener)) return false;
        if (display->prompt.notice[0]) display_notice(display, display->prompt.notice);
    }
    return true;
}

/* The whole recording at a glance, on the ordinary screen. */
static void print_summary(struct display *display) {
    size_t columns, rows;
    terminal_size(&columns, &rows);
    struct frame *frame = &display->frame;
    look(display);
    frame_begin(frame, columns);
    draw_title(display);
    for (size_t i = 0; i < display->speakers; i++) {
        if (display->views[i].talk_seconds <= 0) continue; /* enrolled, but not heard */
        draw_speaker(display, &display->views[i], true);
        frame_end_line(frame, "\r\n");
    }
    display->keys = false;
    display->prompt.state = PROMPT_IDLE;
    draw_footer(display);
    frame_style(frame, "\r\n");
    terminal_write(frame->bytes, frame->used);
}

void display_close(struct display *display, bool summary) {
    if (!display) return;
    terminal_leave();
    if (summary) print_summary(display);
    messages_tell();
    free(display);
}
