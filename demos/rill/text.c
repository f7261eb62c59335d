/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Decodes one character; returns its bytes, or 0 for what is no UTF-8 (RFC 3629: no overlong forms, no
 * surrogates). */
static size_t decode(const unsigned char *text, uint32_t *character) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = text[0] < 0x80             ? 1
                    : (text[0] & 0xE0) == 0xC0 ? 2
                    : (text[0] & 0xF0) == 0xE0 ? 3
                    : (text[0] & 0xF8) == 0xF0 ? 4
                                               : 0;
    if (length <= 1) {
        *character = text[0];
        return length;
    }
    uint32_t value = text[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80) return 0;
        value = value << 6 | (text[i] & 0x3Fu);
    }
    *character = value;
    bool valid = value >= least[length] && value <= 0x10FFFF && !(value >= 0xD800 && value <= 0xDFFF);
    return valid ? length : 0;
}

static bool is_obeyed(uint32_t c) {
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 ||
           (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x200E || c == 0x200F;
}

void text_clean(char *clean, size_t capacity, const char *text) {
    static const char replacement[] = "\xEF\xBF\xBD";
    size_t used = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        uint32_t character = 0;
        size_t length = decode(at, &character);
        bool harmless = length && !is_obeyed(character);
        size_t width = harmless ? length : sizeof replacement - 1;
        if (used + width >= capacity) break;
        memcpy(clean + used, harmless ? (const char *)at : replacement, width);
        used += width;
        at += length ? length : 1;
    }
    clean[used] = 0;
}

void text_message(char clean[TEXT_MESSAGE_SIZE], const char *format, va_list arguments) {
    char raw[TEXT_MESSAGE_SIZE / 3];
    vsnprintf(raw, sizeof raw, format, arguments);
    text_clean(clean, TEXT_MESSAGE_SIZE, raw);
}

/* The main blocks of Unicode's East Asian Width W and F, and of its combining marks. */
static size_t width_of(uint32_t c) {
    if ((c >= 0x300 && c <= 0x36F) || (c >= 0x200B && c <= 0x200D) || (c >= 0xFE00 && c <= 0xFE0F) ||
        (c >= 0x1AB0 && c <= 0x1AFF) || (c >= 0x20D0 && c <= 0x20FF))
        return 0;
    bool wide =
        (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) || (c >= 0xAC00 && c <= 0xD7A3) ||
        (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
        (c >= 0xFFE0 && c <= 0xFFE6) || (c >= 0x1F300 && c <= 0x1FAFF) || (c >= 0x20000 && c <= 0x3FFFD);
    return wide ? 2 : 1;
}

size_t text_fit(const char *clean, size_t columns, size_t *used) {
    size_t bytes = 0, width = 0;
    while (clean[bytes]) {
        uint32_t character = 0;
        size_t length = decode((const unsigned char *)clean + bytes, &character);
        if (!length || width + width_of(character) > columns) break;
        width += width_of(character);
        bytes += length;
    }
    if (used) *used = width;
    return bytes;
}

void text_drop_last(char *clean) {
    size_t length = strlen(clean);
    while (length > 0 && ((unsigned char)clean[length - 1] & 0xC0) == 0x80) length--;
    if (length > 0) length--;
    clean[length] = 0;
}

void text_time(char time[TEXT_TIME_SIZE], double seconds, int decimals) {
    double unit = pow(10, -decimals);
    double rounded = round(fmax(seconds, 0) / unit) * unit;
    double hours = floor(rounded / 3600), minutes = floor((rounded - 3600 * hours) / 60);
    double rest = fmax(rounded - 3600 * hours - 60 * minutes, 0);
    int width = decimals ? 3 + decimals : 2;
    if (hours > 0)
        snprintf(time, TEXT_TIME_SIZE, "%.0f:%02.0f:%0*.*f", hours, minutes, width, decimals, rest);
    else
        snprintf(time, TEXT_TIME_SIZE, "%02.0f:%0*.*f", minutes, width, decimals, rest);
}

void text_speaker(char text[TEXT_SPEAKER_SIZE], unsigned speaker, const char *name) {
    char clean[TEXT_SPEAKER_SIZE - 32];
    text_clean(clean, sizeof clean, name);
    if (*clean)
        snprintf(text, TEXT_SPEAKER_SIZE, "S%u (%s)", speaker, clean);
    else
        snprintf(text, TEXT_SPEAKER_SIZE, "S%u", speaker);
}
