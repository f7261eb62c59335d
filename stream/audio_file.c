/* SPDX-License-Identifier: MIT */
/* Recordings through libsndfile, block by block, as one channel of floats. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sndfile.h>

#include <rill/stream/audio_file.h>

#include "audio_source.h"
#include "failure.h"
#include "mono.h"
#include "standard_error.h"

#define BLOCK_SAMPLES 8192               /* of all channels, read at a time */
#define UNKNOWN       ((int64_t)1 << 38) /* frames: more than any file has, fewer than an endless source */

struct rill_audio_file {
    rill_audio_source source;
    SNDFILE *sound;
    SF_INFO info;
    unsigned channel;
    uint64_t length;   /* in frames, 0: not known */
    uint64_t position; /* likewise */
    size_t block;      /* frames */
    float *interleaved;
    char path[256];
    const char *name; /* for messages */
};

static sf_count_t source_size(void *source) {
    return ((rill_audio_source *)source)->size;
}

static sf_count_t seek_source(sf_count_t offset, int whence, void *user) {
    rill_audio_source *source = user;
    const int64_t from = whence == SEEK_CUR ? source->position : whence == SEEK_END ? source->size : 0;
    if (offset < -from || offset > RILL_AUDIO_SOURCE_ENDLESS - from) return -1;
    return source->position = from + offset;
}

static sf_count_t read_source(void *bytes, sf_count_t count, void *source) {
    return count > 0 ? (sf_count_t)rill_audio_source_read(source, bytes, (size_t)count) : 0;
}

static sf_count_t write_nothing(const void *bytes, sf_count_t count, void *source) {
    (void)bytes;
    (void)count;
    (void)source;
    return 0;
}

static sf_count_t source_position(void *source) {
    return ((rill_audio_source *)source)->position;
}

/* The reason is the last that libsndfile had in any thread: where two fail at once it may be the other's. */
static rill_status not_read(const rill_audio_file *file, rill_error *why) {
    const rill_audio_source *source = &file->source;
    if (source->error) return rill_fail(why, RILL_IO_ERROR, "%s: %s", file->name, strerror(source->error));
    if (source->head_size >= 8 && memcmp(source->head + 4, "ftyp", 4) == 0)
        return rill_fail(why, RILL_UNSUPPORTED,
                         "%s: MPEG-4 (m4a, mp4) is not read; convert it: ffmpeg -i %s out.wav", file->name,
                         file->path);
    return rill_fail(why, RILL_BAD_FORMAT,
                     "%s: is no recording that libsndfile reads (%s); if it is one, convert it: "
                     "ffmpeg -i %s out.wav",
                     file->name, sf_strerror(NULL), file->path);
}

static SF_VIRTUAL_IO through_source = {source_size, seek_source, read_source, write_nothing, source_position};

/* Is there a format that begins like that? Asked before a pipe is copied that may never end, raw samples of a
 * microphone for instance. Of what it knows by its first bytes libsndfile reads more, which fails; sf_error
 * would be of the last open of any thread. An HTK is known to libsndfile by its size, and to us by its kind:
 * a waveform of 2 bytes. */
static bool is_recognised(const rill_audio_source *source) {
    const size_t size =
        source->head_size < RILL_AUDIO_SOURCE_KIND ? source->head_size : RILL_AUDIO_SOURCE_KIND;
    if (size == RILL_AUDIO_SOURCE_KIND && memcmp(source->head + 8, "\0\2\0", 4) == 0) return true;
    rill_audio_source begin = {
        .descriptor = -1, .seekable = true, .size = 4096, .head = source->head, .head_size = size};
    SF_INFO info = {0};
    SNDFILE *sound = sf_open_virtual(&through_source, SFM_READ, &info, &begin);
    if (sound) sf_close(sound);
    return begin.error != 0;
}

static rill_status open_sound(rill_audio_file *file, rill_error *why) {
    if (file->source.seekable) file->source.position = 0;
    rill_standard_error_put_aside(); /* libmpg123 warns of sizes */
    file->sound = sf_open_virtual(&through_source, SFM_READ, &file->info, &file->source);
    rill_standard_error_put_back();
    rill_audio_source_keep_no_more(&file->source);
    if (!file->sound) return not_read(file, why);
    if (file->channel > (unsigned)file->info.channels)
        return rill_fail(why, RILL_BAD_ARGUMENT, "%s: has %d channel%s, there is no channel %u", file->name,
                         file->info.channels, file->info.channels == 1 ? "" : "s", file->channel);
    file->length = file->info.frames > 0 && file->info.frames < UNKNOWN ? (uint64_t)file->info.frames : 0;
    file->block = 1 + BLOCK_SAMPLES / (size_t)file->info.channels;
    file->interleaved = malloc(file->block * (size_t)file->info.channels * sizeof(float));
    if (!file->interleaved) return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: no memory", file->name);
    return RILL_OK;
}

rill_status rill_audio_file_open(const char *path, unsigned channel, rill_audio_file **file,
                                 rill_error *why) {
    return rill_audio_file_open_until(path, channel, NULL, NULL, file, why);
}

rill_status rill_audio_file_open_until(const char *path, unsigned channel, bool (*stop)(void *asked),
                                       void *asked, rill_audio_file **file, rill_error *why) {
    rill_audio_file *made = calloc(1, sizeof *made);
    if (!made) return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: no memory", path);
    made->channel = channel;
    snprintf(made->path, sizeof made->path, "%s", path);
    made->name = strcmp(path, "-") == 0 ? "standard input" : made->path;
    rill_status status = rill_audio_source_open(path, stop, asked, &made->source, why);
    if (status == RILL_OK && rill_audio_source_must_come_whole(&made->source))
        status = is_recognised(&made->source) ? rill_audio_source_spool(&made->source, made->name, why)
                                              : not_read(made, why);
    if (status == RILL_OK) {
        rill_audio_source_settle(&made->source);
        status = open_sound(made, why);
    }
    if (status == RILL_OK)
        *file = made;
    else
        rill_audio_file_close(made);
    return status;
}

void rill_audio_file_close(rill_audio_file *file) {
    if (!file) return;
    if (file->sound) sf_close(file->sound);
    rill_audio_source_close(&file->source);
    free(file->interleaved);
    free(file);
}

unsigned rill_audio_file_sample_rate_hz(const rill_audio_file *file) {
    return (unsigned)file->info.samplerate;
}

unsigned rill_audio_file_channels(const rill_audio_file *file) {
    return (unsigned)file->info.channels;
}

uint64_t rill_audio_file_length(const rill_audio_file *file) {
    return file->length;
}

static int container(const rill_audio_file *file) {
    return file->info.format & SF_FORMAT_TYPEMASK;
}

/* libmpg123 tells the terminal of every frame that is damaged. */
static bool prints(const rill_audio_file *file) {
    return container(file) == SF_FORMAT_MPEG;
}

static sf_count_t read_frames(rill_audio_file *file, size_t count) {
    if (prints(file)) rill_standard_error_put_aside();
    const sf_count_t got = sf_readf_float(file->sound, file->interleaved, (sf_count_t)count);
    if (prints(file)) rill_standard_error_put_back();
    return got;
}

/* Where less came than the recording's length. An Ogg's length is that of its last page, so it lacks
 * something before; libFLAC and libmpg123 give up where they meet damage. */
static rill_status what_is_missing(const rill_audio_file *file, rill_error *why) {
    const double rate = file->info.samplerate;
    const double seconds = (double)file->position / rate, whole = (double)file->length / rate;
    if (container(file) == SF_FORMAT_OGG)
        return rill_fail(why, RILL_BAD_FORMAT, "%s: is damaged: %.1f s of its %.1f s are missing", file->name,
                         whole - seconds, whole);
    if (rill_audio_source_left(&file->source) > 0)
        return rill_fail(why, RILL_BAD_FORMAT,
                         "%s: is damaged at %.1f s of %.1f s, and what follows is not heard; ffmpeg may read "
                         "on: ffmpeg -i %s out.wav",
                         file->name, seconds, whole, file->path);
    return rill_fail(why, RILL_BAD_FORMAT, "%s: breaks off at %.1f s of %.1f s", file->name, seconds, whole);
}

/* Nothing more comes: was that the end? */
static rill_status how_it_ended(const rill_audio_file *file, rill_error *why) {
    const double seconds = (double)file->position / file->info.samplerate;
    if (file->source.error)
        return rill_fail(why, RILL_IO_ERROR, "%s: after %.1f s: %s", file->name, seconds,
                         strerror(file->source.error));
    if (file->length > file->position) return what_is_missing(file, why);
    const int format = container(file);
    if (!file->position && (format == SF_FORMAT_OGG || format == SF_FORMAT_MPEG))
        return rill_fail(why, RILL_BAD_FORMAT, "%s: breaks off before its first sample", file->name);
    if (sf_error(file->sound) != SF_ERR_NO_ERROR)
        return rill_fail(why, RILL_BAD_FORMAT, "%s: is damaged at %.1f s: %s", file->name, seconds,
                         sf_strerror(file->sound));
    if ((format == SF_FORMAT_OGG || format == SF_FORMAT_MPEG || format == SF_FORMAT_FLAC) && seconds >= 1 &&
        rill_audio_source_goes_on(&file->source, (int64_t)((double)file->source.position / seconds)))
        return rill_fail(why, RILL_BAD_FORMAT,
                         "%s: another recording follows at %.1f s, which is not heard; make one of them: "
                         "ffmpeg -i %s out.wav",
                         file->name, seconds, file->path);
    if (rill_audio_source_breaks_off(&file->source))
        return rill_fail(why, RILL_BAD_FORMAT, "%s: breaks off at %.1f s", file->name, seconds);
    return RILL_OK;
}

rill_status rill_audio_file_read(rill_audio_file *file, size_t capacity, float *samples, size_t *count,
                                 rill_error *why) {
    size_t done = 0;
    while (done < capacity) {
        const size_t wanted = capacity - done < file->block ? capacity - done : file->block;
        const sf_count_t got = read_frames(file, wanted);
        if (got <= 0) break;
        rill_keep_mono((size_t)got, (size_t)file->info.channels, file->channel, file->interleaved,
                       samples + done);
        done += (size_t)got;
        if ((size_t)got < wanted) break;
    }
    file->position += done;
    *count = done;
    return done || !capacity ? RILL_OK : how_it_ended(file, why);
}

rill_status rill_audio_file_seek(rill_audio_file *file, uint64_t sample, rill_error *why) {
    if (!file->source.seekable)
        return rill_fail(why, RILL_UNSUPPORTED, "%s: a pipe is heard from its beginning only", file->name);
    if (prints(file)) rill_standard_error_put_aside();
    const sf_count_t place = sample <= INT64_MAX ? sf_seek(file->sound, (sf_count_t)sample, SEEK_SET) : -1;
    if (prints(file)) rill_standard_error_put_back();
    if (place < 0)
        return rill_fail(why, RILL_BAD_ARGUMENT, "%s: has no sample %llu", file->name,
                         (unsigned long long)sample);
    file->position = sample;
    return RILL_OK;
}
