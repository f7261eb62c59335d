/* SPDX-License-Identifier: MIT */
#include "heat_map.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct range {
    float least, most;
} range;

/* Of what is finite. */
static range range_of(const heat_map *map) {
    range of = {INFINITY, -INFINITY};
    for (size_t i = 0; i < map->rows * map->columns; i++) {
        if (!isfinite(map->values[i])) continue;
        of.least = fminf(of.least, map->values[i]);
        of.most = fmaxf(of.most, map->values[i]);
    }
    return of;
}

/* 0 for the least of the map to 1 for the most; −1 for what is not finite */
static float level(const heat_map *map, range of, size_t row, size_t column) {
    const float value = map->values[row * map->columns + column];
    if (!isfinite(value)) return -1;
    return of.most > of.least ? (value - of.least) / (of.most - of.least) : 0;
}

/* text, then spaces up to width columns of the terminal: bytes that go on a UTF-8 character take none */
static void print_padded(const char *text, size_t width) {
    size_t used = 0;
    for (const char *c = text; *c; c++) used += ((unsigned char)*c & 0xC0) != 0x80;
    printf("%s%*s", text, used < width ? (int)(width - used) : 0, "");
}

static void print_row(const heat_map *map, range of, size_t row) {
    static const char *const shades[] = {"··", "░░", "▒▒", "▓▓", "██"};
    printf("  %c ", map->row_names ? map->row_names[row] : ' ');
    for (size_t j = 0; j < map->columns; j++) {
        const float at = level(map, of, row, j);
        printf("%s", at < 0 ? "  " : shades[(size_t)fminf(at * 5 + 1e-4f, 4)]);
    }
}

void heat_map_print(size_t count, const heat_map *maps) {
    for (size_t m = 0; m < count; m++) {
        printf("    ");
        print_padded(maps[m].title, 2 * maps[m].columns);
    }
    printf("\n");
    for (size_t m = 0; m < count && maps->column_names; m++) {
        printf("    ");
        for (size_t j = 0; j < maps[m].columns; j++) printf("%c ", maps[m].column_names[j]);
    }
    printf("%s", maps->column_names ? "\n" : "");
    for (size_t i = 0; i < maps->rows; i++, printf("\n"))
        for (size_t m = 0; m < count; m++) print_row(&maps[m], range_of(&maps[m]), i);
}

/* ---- PNG (ISO 15948): a signature, then chunks of length, name, data and CRC-32; the pixels go through zlib
 * (RFC 1950) in blocks that are stored, not compressed (RFC 1951, 3.2.4) ---- */

static uint32_t crc_of(uint32_t crc, size_t size, const unsigned char *bytes) {
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    }
    return crc;
}

static void put_number(unsigned char *to, size_t number) {
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(number >> (24 - 8 * i));
}

static bool write_chunk(FILE *file, const char *name, size_t size, const unsigned char *data) {
    unsigned char head[8], tail[4];
    put_number(head, size);
    memcpy(head + 4, name, 4);
    put_number(tail, ~crc_of(crc_of(0xFFFFFFFFu, 4, head + 4), size, data));
    return fwrite(head, 8, 1, file) == 1 && (size == 0 || fwrite(data, size, 1, file) == 1) &&
           fwrite(tail, 4, 1, file) == 1;
}

/* raw [size] as zlib's stored blocks; the caller frees */
static unsigned char *stored(size_t size, const unsigned char *raw, size_t *stored_size) {
    enum { block_size = 65535 };
    unsigned char *out = malloc(size + size / block_size * 5 + 16), *at = out;
    uint32_t low = 1, high = 0; /* Adler-32 */
    if (!out) return NULL;
    *at++ = 0x78, *at++ = 0x01;
    for (size_t done = 0; done < size;) {
        const size_t now = size - done < block_size ? size - done : block_size;
        *at++ = done + now == size; /* the last one */
        *at++ = (unsigned char)now, *at++ = (unsigned char)(now >> 8);
        *at++ = (unsigned char)~now, *at++ = (unsigned char)(~now >> 8);
        memcpy(at, raw + done, now);
        at += now;
        done += now;
    }
    for (size_t i = 0; i < size; i++) {
        low = (low + raw[i]) % 65521;
        high = (high + low) % 65521;
    }
    put_number(at, (size_t)high << 16 | low);
    *stored_size = (size_t)(at + 4 - out);
    return out;
}

/* One line of pixels, after the byte that says how it is filtered: not. */
static void fill_line(size_t count, const heat_map *maps, size_t cell, size_t y, unsigned char *line) {
    *line++ = 0;
    for (size_t m = 0; m < count; m++) {
        if (m > 0) line += cell; /* white between two */
        const range of = range_of(&maps[m]);
        for (size_t x = 0; x < maps[m].columns * cell; x++) {
            const float at = level(&maps[m], of, y / cell, x / cell);
            *line++ = (unsigned char)(at < 0 ? 255 : lrintf(255 * (1 - at)));
        }
    }
}

bool heat_map_write_png(const char *path, size_t count, const heat_map *maps, size_t cell) {
    static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    size_t width = (count - 1) * cell, size = 0;
    for (size_t m = 0; m < count; m++) width += maps[m].columns * cell;
    const size_t height = maps->rows * cell;
    unsigned char header[13] = {0}, *pixels = malloc(height * (width + 1)), *packed = NULL;
    FILE *file = pixels ? fopen(path, "wb") : NULL;
    if (file) {
        memset(pixels, 255, height * (width + 1));
        for (size_t y = 0; y < height; y++) fill_line(count, maps, cell, y, pixels + y * (width + 1));
        packed = stored(height * (width + 1), pixels, &size);
    }
    put_number(header, width);
    put_number(header + 4, height);
    header[8] = 8; /* bits of grey, which is colour type 0 */
    bool written = packed && fwrite(signature, 8, 1, file) == 1 && write_chunk(file, "IHDR", 13, header) &&
                   write_chunk(file, "IDAT", size, packed) && write_chunk(file, "IEND", 0, header);
    if (file && fclose(file) != 0) written = false;
    free(pixels);
    free(packed);
    return written;
}
