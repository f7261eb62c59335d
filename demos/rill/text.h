/* SPDX-License-Identifier: MIT */
/* Text from outside (names, paths, tags), made safe to print, and its width on a terminal. */
#ifndef TEXT_H
#define TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* Copies text as valid UTF-8 that no terminal obeys: control characters, direction overrides and broken bytes
 * become U+FFFD. Needs three bytes a byte at most; what does not fit is cut between characters. */
void text_clean(char *clean, size_t capacity, const char *text);

/* The same of what printf would make of format; what is longer is cut. */
enum { TEXT_MESSAGE_SIZE = 3 * 2048 };
void text_message(char clean[TEXT_MESSAGE_SIZE], const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/* The bytes of the first characters of clean UTF-8 that fit into columns; *used (or NULL) receives their
 * width. */
size_t text_fit(const char *clean, size_t columns, size_t *used);

/* Takes the last character of clean UTF-8 away. */
void text_drop_last(char *clean);

/* "01:02.34", or "1:01:02.34" from an hour on; decimals 0 … 3. */
enum { TEXT_TIME_SIZE = 32 };
void text_time(char time[TEXT_TIME_SIZE], double seconds, int decimals);

/* "S1", or "S1 (Anna)" when the speaker has a name; clean. */
enum { TEXT_SPEAKER_SIZE = 256 };
void text_speaker(char text[TEXT_SPEAKER_SIZE], unsigned speaker, const char *name);

#endif
