/* SPDX-License-Identifier: MIT */
/* libsndfile reads a pipe only where it opens it itself, and then cannot be told what the first bytes are. So
 * it reads through this: the head of the stream is kept while headers are read, and going beyond the data,
 * where it looks for more chunks, finds the end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio_source.h"
#include "failure.h"

#define LARGEST_HEAD ((size_t)64 << 20) /* FLAC may carry pictures, and a WAV anything before its data */
#define LARGEST_SKIP ((int64_t)1 << 20) /* of a chunk in a pipe that the reader jumps over */

#define ENDLESS_MPEG ((int64_t)1 << 40) /* libmpg123 multiplies the size and overflows with more; a year */

/* A WAV that was written to a pipe has 0, 2^32 − 1 (ffmpeg), 2^31 − 4096 (sox) or 2^31 (arecord) for the
 * length nobody knew. */
#define SHORTEST_UNKNOWN 0x7FFF0000u

static bool grow_head(rill_audio_source *source, size_t size) {
    if (size <= source->head_capacity) return true;
    size_t capacity = source->head_capacity ? source->head_capacity : 4096;
    while (capacity < size) capacity *= 2;
    unsigned char *head = capacity <= LARGEST_HEAD ? realloc(source->head, capacity) : NULL;
    if (!head) {
        source->error = ENOMEM;
        return false;
    }
    source->head = head;
    source->head_capacity = capacity;
    return true;
}

/* Until there is something to read of a pipe; false when the one who is asked wants no more. Waits in pieces:
 * a signal between the question and the wait would be slept through. */
static bool wait_for_more(rill_audio_source *source) {
    enum { PIECE_MILLISECONDS = 100 };
    struct pollfd pipe = {.fd = source->descriptor, .events = POLLIN};
    int ready;
    do {
        if (source->stop && source->stop(source->asked)) {
            source->error = ECANCELED;
            return false;
        }
        ready = poll(&pipe, 1, source->stop ? PIECE_MILLISECONDS : -1);
    } while (ready == 0 || (ready < 0 && errno == EINTR));
    return true; /* what else there may be, read says */
}

static ssize_t read_some(rill_audio_source *source, void *bytes, size_t count, int64_t place) {
    ssize_t got;
    if (!source->seekable && !wait_for_more(source)) return -1;
    do
        got = source->seekable ? pread(source->descriptor, bytes, count, (off_t)place)
                               : read(source->descriptor, bytes, count);
    while (got < 0 && errno == EINTR);
    if (got < 0) source->error = errno;
    if (got > 0) source->fetched += got;
    return got;
}

/* Reads on until the head has least bytes, and as many up to most as come with them; false when there are
 * fewer. */
static bool fetch_head_to(rill_audio_source *source, size_t least, size_t most) {
    if (most > source->head_size && !grow_head(source, most)) return false;
    while (source->head_size < least) {
        const ssize_t got = read_some(source, source->head + source->head_size, most - source->head_size,
                                      (int64_t)source->head_size);
        if (got <= 0) return false;
        source->head_size += (size_t)got;
    }
    return true;
}

static bool fetch_head(rill_audio_source *source, size_t size) {
    return fetch_head_to(source, size, size);
}

size_t rill_audio_source_read(rill_audio_source *source, void *bytes, size_t count) {
    unsigned char *out = bytes;
    size_t done = 0;
    if (source->size == ENDLESS_MPEG && source->position >= source->size - LARGEST_SKIP) {
        memset(out, 0, count); /* libmpg123 looks for a tag at the end first, and wants to read something */
        return count;
    }
    const int64_t kept_to = (int64_t)source->head_size;
    if (source->keeping && source->position + (int64_t)count - kept_to <= LARGEST_SKIP &&
        (source->position <= kept_to || !source->samples_at)) /* samples are not waited for to see beyond */
        fetch_head_to(source, (size_t)source->position + (source->in_pieces ? 1 : count),
                      (size_t)source->position + count);
    if (source->position < (int64_t)source->head_size) {
        const size_t kept = source->head_size - (size_t)source->position;
        done = count < kept ? count : kept;
        memcpy(out, source->head + source->position, done);
        source->position += (int64_t)done;
    }
    while (done < count && !(source->in_pieces && done) && !source->keeping &&
           (source->seekable || source->position == source->fetched)) {
        const ssize_t got = read_some(source, out + done, count - done, source->position);
        if (got <= 0) break;
        done += (size_t)got;
        source->position += got;
    }
    return done;
}

void rill_audio_source_keep_no_more(rill_audio_source *source) {
    source->keeping = false;
}

static uint32_t little_endian(const unsigned char *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint32_t big_endian(const unsigned char *bytes) {
    return bytes[3] | (uint32_t)bytes[2] << 8 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[0] << 24;
}

/* Formats of chunks (Microsoft, Multimedia Programming Interface, 1991; EBU Tech 3306; Apple, AIFF, 1989). */
typedef struct chunked_format {
    const char *container, *kind;      /* the first bytes, and those from 8 on */
    const char *description, *samples; /* chunks */
    uint32_t (*number)(const unsigned char *bytes);
} chunked_format;

enum { WAV, RF64, AIFF, FORMATS };
static const chunked_format formats[FORMATS] = {{"RIFF", "WAVE", "fmt ", "data", little_endian},
                                                {"RF64", "WAVE", "fmt ", "data", little_endian},
                                                {"FORM", "AIF", "COMM", "SSND", big_endian}};

/* The one the source begins like, or NULL. */
static const chunked_format *format_of(rill_audio_source *source) {
    for (size_t i = 0; i < FORMATS && fetch_head(source, 12); i++)
        if (memcmp(source->head, formats[i].container, 4) == 0 &&
            memcmp(source->head + 8, formats[i].kind, strlen(formats[i].kind)) == 0)
            return &formats[i];
    return NULL;
}

/* Where the chunk of the samples begins and, before it, that of their description; 0 for what does not come.
 * format NULL: there are none. */
typedef struct chunks {
    const chunked_format *format;
    size_t description, samples;
} chunks;

static chunks find_chunks(rill_audio_source *source) {
    chunks found = {.format = format_of(source)};
    for (size_t chunk = 12;
         found.format && !found.samples && chunk < LARGEST_HEAD - 10 && fetch_head(source, chunk + 10);) {
        const uint32_t length = found.format->number(source->head + chunk + 4);
        if (memcmp(source->head + chunk, found.format->description, 4) == 0) found.description = chunk;
        if (memcmp(source->head + chunk, found.format->samples, 4) == 0) found.samples = chunk;
        chunk += 8 + (size_t)length + length % 2;
    }
    return found;
}

/* libsndfile takes a data length of 0 in a RIFF of 8 bytes for "up to the end". */
static void correct_length(rill_audio_source *source, size_t data_chunk) {
    memcpy(source->head + 4, "\x08\0\0\0", 4);
    memset(source->head + data_chunk + 4, 0, 4);
}

/* Are a WAV's samples stored one by one (PCM, float, A-law, μ-law, extensible)? */
static bool stores_samples(uint16_t format) {
    return format == 1 || format == 3 || format == 6 || format == 7 || format == 0xFFFE;
}

/* Is that a length of what begins there that a header tells which does not know it? */
static bool is_unknown(const rill_audio_source *source, uint32_t length, int64_t begin) {
    return length >= SHORTEST_UNKNOWN && (!source->seekable || source->size - begin < length);
}

/* Of a WAV whose samples begin there, if its header does not know the length. */
static bool settle_unknown_length(rill_audio_source *source, size_t data) {
    const uint32_t length = little_endian(source->head + data + 4);
    if (length != 0 && !is_unknown(source, length, (int64_t)data + 8)) return false;
    correct_length(source, data);
    return true;
}

/* An AU says by 2³² − 1 that it does not know its length (Sun, The Au audio file format); by others as large
 * libsndfile reads nothing. */
static void settle_au_length(rill_audio_source *source) {
    if (!fetch_head(source, 12) || memcmp(source->head, ".snd", 4) != 0) return;
    const uint32_t begin = big_endian(source->head + 4), length = big_endian(source->head + 8);
    if (is_unknown(source, length, begin)) memset(source->head + 8, 0xFF, 4);
}

/* Are an AU's samples stored one by one: μ-law, PCM, float, A-law, and not G.721 or G.723? */
static bool is_au_of_samples(rill_audio_source *source) {
    if (!fetch_head(source, 16) || memcmp(source->head, ".snd", 4) != 0) return false;
    const uint32_t encoding = big_endian(source->head + 12);
    return (encoding >= 1 && encoding <= 7) || encoding == 27;
}

/* Do chunks that are described hold blocks of a codec? */
static bool stores_blocks(const rill_audio_source *source, const chunks *found) {
    static const char codecs[][5] = {"GSM ", "ima4", "DWVW"}; /* of AIFF-C */
    const unsigned char *code = source->head + found->description + 8;
    if (found->format != &formats[AIFF]) return !stores_samples((uint16_t)(code[0] | code[1] << 8));
    if (memcmp(source->head + 8, "AIFC", 4) != 0 || source->head_size < found->description + 30) return false;
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (memcmp(code + 18, codecs[i], 4) == 0) return true;
    return false;
}

/* The size that a W64 tells of itself, 0 for what is none; 2⁶⁴ − 1 where it does not know it. (Sonic Foundry,
 * Wave 64: names of 16 bytes, lengths of 8) */
static uint64_t told_size_of_w64(rill_audio_source *source) {
    if (memcmp(source->head, "riff", 4) != 0 || !fetch_head(source, 24)) return 0;
    return little_endian(source->head + 16) | (uint64_t)little_endian(source->head + 20) << 32;
}

/* "fmt " comes first. */
static bool is_w64_of_samples(rill_audio_source *source) {
    return fetch_head(source, 66) && memcmp(source->head + 40, "fmt ", 4) == 0 &&
           stores_samples((uint16_t)(source->head[64] | source->head[65] << 8));
}

/* Where the first block of a VOC ends, if it is one of sound; most files have no other. (Creative Labs:
 * types 1 and 9, lengths of 3 bytes) */
static int64_t told_end_of_voc(rill_audio_source *source) {
    if (!fetch_head(source, 22)) return 0;
    const size_t block = source->head[20] | (size_t)source->head[21] << 8;
    if (!fetch_head(source, block + 4) || (source->head[block] != 1 && source->head[block] != 9)) return 0;
    return (int64_t)(block + 4 + (little_endian(source->head + block) >> 8));
}

/* Where the last page that begins in an Ogg ends. (RFC 3533, 6: 27 bytes, the last of which counts those that
 * follow, and they the rest.) */
static int64_t told_end_of_ogg(rill_audio_source *source) {
    enum { HEADER = 27, LARGEST_PAGE = HEADER + 255 + 255 * 255 };
    unsigned char bytes[LARGEST_PAGE];
    const int64_t from = source->size > LARGEST_PAGE ? source->size - LARGEST_PAGE : 0;
    const ssize_t got = read_some(source, bytes, sizeof bytes, from);
    for (ssize_t page = got - 4; page >= 0; page--) {
        if (memcmp(bytes + page, "OggS", 4) != 0) continue;
        ssize_t end = page + HEADER;
        if (end <= got) end += bytes[end - 1];
        if (end <= got)
            for (ssize_t part = page + HEADER, parts = end; part < parts; part++) end += bytes[part];
        return from + end;
    }
    return 0;
}

static bool begins_container(const unsigned char bytes[4]) {
    static const char beginnings[][5] = {"RIFF", "RF64", "FORM", ".snd"};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (memcmp(bytes, beginnings[i], 4) == 0) return true;
    return false;
}

static bool begins_flac(const unsigned char bytes[4]) {
    return memcmp(bytes, "fLaC", 4) == 0;
}

static bool begins_mpeg(const unsigned char bytes[4]) {
    return memcmp(bytes, "ID3", 3) == 0 || (bytes[0] == 0xFF && bytes[1] >= 0xE0);
}

/* Has a tagger put an ID3 before something else than an MP3 or a FLAC? libsndfile then takes the tag for
 * samples. (ID3 tag version 2.4.0, 3.1: four times 7 bits of length) */
static bool is_wrongly_tagged(rill_audio_source *source) {
    if (!fetch_head(source, 10) || memcmp(source->head, "ID3", 3) != 0) return false;
    size_t size = 0;
    for (size_t i = 6; i < 10; i++) size = size << 7 | (source->head[i] & 0x7F);
    size += source->head[5] & 0x10 ? 20 : 10;
    return size + 4 <= LARGEST_HEAD && fetch_head(source, size + 4) && begins_container(source->head + size);
}

/* Samples one by one, all of their description before them, or a codec that finds its end. Blocks do not: a
 * decoder fills up what a pipe lacks, or makes nothing of it where the length is not known. */
static bool can_be_read_from_begin_to_end(rill_audio_source *source, const chunks *found) {
    if (found->format) return found->samples && found->description && !stores_blocks(source, found);
    return is_au_of_samples(source) ||
           (fetch_head(source, 4) && (begins_flac(source->head) || begins_mpeg(source->head)));
}

/* libsndfile quietly shortens what a header promises to what a file holds, and an MP3 whose header promises
 * nothing to what it guesses from the size. In a file without an end it takes the header's word and reads on,
 * and we can tell whether the file breaks off. Not for FLAC, which tells it anyway and needs the size to
 * seek; of blocks we compare the promise ourselves. */
void rill_audio_source_settle(rill_audio_source *source) {
    if (!fetch_head(source, 4)) return;
    const chunks found = find_chunks(source);
    const bool in_order = can_be_read_from_begin_to_end(source, &found), flac = begins_flac(source->head);
    if (found.description) source->samples_at = (int64_t)found.samples;
    const bool unknown =
        found.samples && found.format == &formats[WAV] && settle_unknown_length(source, found.samples);
    settle_au_length(source);
    if (source->seekable && flac) return;
    source->in_pieces = flac; /* minutes of silence fit into the bytes that libFLAC asks for */
    if (in_order && !unknown)
        source->size = begins_mpeg(source->head) ? ENDLESS_MPEG : RILL_AUDIO_SOURCE_ENDLESS;
    if (!in_order && found.samples) {
        const uint32_t length = found.format->number(source->head + found.samples + 4);
        if (length < SHORTEST_UNKNOWN) source->promised = (int64_t)found.samples + 8 + length;
    }
    const uint64_t told = told_size_of_w64(source); /* libsndfile goes by the file's size alone */
    if (told > (uint64_t)source->size && told < RILL_AUDIO_SOURCE_ENDLESS)
        *(is_w64_of_samples(source) ? &source->size : &source->promised) = (int64_t)told;
    if (memcmp(source->head, "Crea", 4) == 0) source->promised = told_end_of_voc(source);
    if (memcmp(source->head, "OggS", 4) == 0) source->promised = told_end_of_ogg(source);
}

static bool copy_to(FILE *copy, rill_audio_source *source) {
    char block[65536];
    size_t got;
    source->keeping = false;
    while ((got = rill_audio_source_read(source, block, sizeof block)))
        if (fwrite(block, 1, got, copy) != got) return false;
    return !source->error && fflush(copy) == 0;
}

/* Without a name, so that it goes when it is closed. */
static FILE *temporary_file(const char *folder) {
    char path[4096];
    if (snprintf(path, sizeof path, "%s/rill-XXXXXX", folder) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    const int descriptor = mkstemp(path);
    if (descriptor < 0) return NULL;
    unlink(path);
    FILE *file = fdopen(descriptor, "wb");
    if (!file) close(descriptor);
    return file;
}

rill_status rill_audio_source_spool(rill_audio_source *source, const char *name, rill_error *why) {
    const char *const chosen = getenv("TMPDIR"), *const folder = chosen && *chosen ? chosen : "/tmp";
    FILE *copy = temporary_file(folder);
    struct stat about;
    if (!copy || !copy_to(copy, source) || fstat(fileno(copy), &about) != 0 ||
        dup2(fileno(copy), source->descriptor) < 0) {
        const int error = source->error ? source->error : errno;
        if (copy) fclose(copy);
        return rill_fail(why, RILL_IO_ERROR,
                         "%s: this format must be read back and forth, and copying it to a temporary file "
                         "in %s failed: %s",
                         name, folder, strerror(error));
    }
    fclose(copy);
    source->seekable = true;
    source->keeping = false;
    source->position = 0;
    source->size = about.st_size;
    return RILL_OK;
}

static rill_status open_descriptor(const char *path, const char *name, rill_audio_source *source,
                                   rill_error *why) {
    /* a copy, so that closing it leaves standard input open */
    source->descriptor = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                                : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat about;
    if (source->descriptor < 0 || fstat(source->descriptor, &about) != 0)
        return rill_fail(why, errno == ENOENT || errno == ENOTDIR ? RILL_NOT_FOUND : RILL_IO_ERROR, "%s: %s",
                         name, strerror(errno));
    if (S_ISDIR(about.st_mode)) return rill_fail(why, RILL_BAD_FORMAT, "%s: is a directory", name);
    if (isatty(source->descriptor))
        return rill_fail(why, RILL_UNSUPPORTED, "%s: is a terminal; redirect or pipe a recording into it",
                         name);
    if (S_ISCHR(about.st_mode) || S_ISBLK(about.st_mode))
        return rill_fail(why, RILL_UNSUPPORTED, "%s: is a device, not a recording", name);
    source->seekable = S_ISREG(about.st_mode);
    source->keeping = !source->seekable;
    source->size = source->seekable ? about.st_size : RILL_AUDIO_SOURCE_ENDLESS;
    return RILL_OK;
}

rill_status rill_audio_source_open(const char *path, bool (*stop)(void *asked), void *asked,
                                   rill_audio_source *source, rill_error *why) {
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    *source = (rill_audio_source){.descriptor = -1, .stop = stop, .asked = asked};
    rill_status status = open_descriptor(path, name, source, why);
    if (status == RILL_OK && !fetch_head(source, 1))
        status = source->error ? rill_fail(why, RILL_IO_ERROR, "%s: %s", name, strerror(source->error))
                               : rill_fail(why, RILL_BAD_FORMAT, "%s: is empty", name);
    if (status == RILL_OK && is_wrongly_tagged(source))
        status = rill_fail(why, RILL_UNSUPPORTED,
                           "%s: an ID3 tag stands where the recording should begin; leave it out: "
                           "ffmpeg -i %s out.wav",
                           name, path);
    if (status != RILL_OK) rill_audio_source_close(source);
    return status;
}

bool rill_audio_source_must_come_whole(rill_audio_source *source) {
    fetch_head(source, RILL_AUDIO_SOURCE_KIND);
    if (source->seekable) return false;
    const chunks found = find_chunks(source);
    return !can_be_read_from_begin_to_end(source, &found);
}

static bool contains(const unsigned char *bytes, ssize_t count, const char *part, size_t size) {
    for (ssize_t i = 0; i + (ssize_t)size <= count; i++)
        if (memcmp(bytes + i, part, size) == 0) return true;
    return false;
}

int64_t rill_audio_source_left(const rill_audio_source *source) {
    struct stat about;
    if (!source->seekable || fstat(source->descriptor, &about) != 0) return 0;
    return about.st_size - source->position;
}

bool rill_audio_source_breaks_off(const rill_audio_source *source) {
    struct stat about;
    return source->promised && fstat(source->descriptor, &about) == 0 && about.st_size < source->promised;
}

bool rill_audio_source_goes_on(const rill_audio_source *source, int64_t least) {
    enum { AROUND = 1 << 15, FIRST_PAGES = 4096 };
    unsigned char bytes[2 * AROUND];
    if (!source->seekable || rill_audio_source_left(source) < least || source->head_size < 4) return false;
    const bool ogg = memcmp(source->head, "OggS", 4) == 0, flac = begins_flac(source->head);
    int64_t from = source->position;
    if (ogg || flac) from = from > AROUND + FIRST_PAGES ? from - AROUND : FIRST_PAGES;
    const ssize_t got = pread(source->descriptor, bytes, sizeof bytes, (off_t)from);
    if (ogg) return contains(bytes, got, "OggS\0\2", 6); /* the first page of a stream */
    if (flac) return contains(bytes, got, "fLaC", 4);
    return got >= 4 && begins_mpeg(bytes);
}

void rill_audio_source_close(rill_audio_source *source) {
    if (source->descriptor >= 0) close(source->descriptor);
    source->descriptor = -1;
    free(source->head);
    source->head = NULL;
}
