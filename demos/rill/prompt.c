/* SPDX-License-Identifier: MIT */
#include "prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_ESCAPE = 0x1b, KEY_BACKSPACE = 0x08, KEY_DELETE = 0x7f, KEY_RETURN = '\r', KEY_NEWLINE = '\n' };

/* "S2" or "2"; 0 for anything else. */
static uint32_t typed_speaker(const char *typed) {
    if (*typed == 'S' || *typed == 's') typed++;
    char *end;
    long number = *typed >= '0' && *typed <= '9' ? strtol(typed, &end, 10) : 0;
    return number > 0 && !*end && number <= INT32_MAX ? (uint32_t)number : 0;
}

static void ask(struct prompt *prompt, enum prompt_state state) {
    prompt->state = state;
    prompt->typed[0] = 0;
}

static void rename_speaker(struct prompt *prompt, rill_listener *listener) {
    char speaker[TEXT_SPEAKER_SIZE], name[RILL_NAME_SIZE];
    text_clean(name, sizeof name, prompt->typed);
    text_speaker(speaker, prompt->speaker, name);
    bool known = rill_listener_rename(listener, prompt->speaker, name);
    snprintf(prompt->notice, sizeof prompt->notice, known ? "%s from now on" : "no such speaker: %s",
             speaker);
}

static void merge_speakers(struct prompt *prompt, uint32_t into, rill_listener *listener) {
    if (!rill_listener_merge(listener, prompt->speaker, into))
        snprintf(prompt->notice, sizeof prompt->notice, "S%u and S%u cannot be merged", prompt->speaker,
                 into);
}

static void answer(struct prompt *prompt, rill_listener *listener) {
    enum prompt_state state = prompt->state;
    uint32_t number = typed_speaker(prompt->typed);
    prompt->state = PROMPT_IDLE;
    if (state == PROMPT_NAME_TEXT)
        rename_speaker(prompt, listener);
    else if (!prompt->typed[0])
        return;
    else if (!number)
        snprintf(prompt->notice, sizeof prompt->notice, "\"%s\" is no speaker's number", prompt->typed);
    else if (state == PROMPT_MERGE_INTO)
        merge_speakers(prompt, number, listener);
    else {
        prompt->speaker = number;
        ask(prompt, state == PROMPT_NAME_WHO ? PROMPT_NAME_TEXT : PROMPT_MERGE_INTO);
    }
}

static void type(struct prompt *prompt, unsigned char key) {
    size_t length = strlen(prompt->typed);
    if (key < ' ' || length + 1 >= sizeof prompt->typed) return;
    prompt->typed[length] = (char)key;
    prompt->typed[length + 1] = 0;
}

static bool command_key(struct prompt *prompt, unsigned char key) {
    prompt->state = PROMPT_IDLE;
    if (key == 'q' || key == 'Q') return false;
    if (key == 'n') ask(prompt, PROMPT_NAME_WHO);
    if (key == 'm') ask(prompt, PROMPT_MERGE_FROM);
    if (key == '?' || key == 'h') prompt->state = PROMPT_HELP;
    return true;
}

bool prompt_key(struct prompt *prompt, unsigned char key, rill_listener *listener) {
    prompt->notice[0] = 0;
    /* the keys that the help names work while it is shown */
    if (prompt->state == PROMPT_IDLE || prompt->state == PROMPT_HELP) return command_key(prompt, key);
    if (key == KEY_ESCAPE)
        prompt->state = PROMPT_IDLE;
    else if (key == KEY_RETURN || key == KEY_NEWLINE)
        answer(prompt, listener);
    else if (key == KEY_BACKSPACE || key == KEY_DELETE)
        text_drop_last(prompt->typed);
    else
        type(prompt, key);
    return true;
}

bool prompt_line(const struct prompt *prompt, char line[PROMPT_LINE_SIZE]) {
    char typed[3 * RILL_NAME_SIZE];
    text_clean(typed, sizeof typed, prompt->typed);
    switch (prompt->state) {
    case PROMPT_HELP:
        snprintf(line, PROMPT_LINE_SIZE, "n name a speaker   m merge two   q quit   Esc back");
        break;
    case PROMPT_NAME_WHO:
        snprintf(line, PROMPT_LINE_SIZE, "Name which speaker? Number: %s_", typed);
        break;
    case PROMPT_NAME_TEXT:
        snprintf(line, PROMPT_LINE_SIZE, "Name of S%u? %s_", prompt->speaker, typed);
        break;
    case PROMPT_MERGE_FROM:
        snprintf(line, PROMPT_LINE_SIZE, "Which speaker is another one really? Number: %s_", typed);
        break;
    case PROMPT_MERGE_INTO:
        snprintf(line, PROMPT_LINE_SIZE, "S%u is really which speaker? Number: %s_", prompt->speaker, typed);
        break;
    case PROMPT_IDLE:
        return false;
    }
    return true;
}
