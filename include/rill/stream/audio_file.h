/* SPDX-License-Identifier: MIT */
/* Recordings: anything libsndfile reads, as mono float at the file's own rate; and a recording being written.
 * One belongs to one thread at a time; many threads may each have their own. */
#ifndef RILL_STREAM_AUDIO_FILE_H
#define RILL_STREAM_AUDIO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_audio_file rill_audio_file;

#define RILL_CHANNEL_MIX 0 /* the mean of all channels */

/* path "-" is standard input. A pipe of WAV, FLAC, MP3, AU or AIFF is read as it comes; of another format, or
 * of ADPCM or GSM, it is copied to a temporary file without a name first, unless its first bytes are of none.
 * channel: 1 … or RILL_CHANNEL_MIX. RILL_NOT_FOUND, RILL_IO_ERROR, RILL_BAD_FORMAT and RILL_UNSUPPORTED (with
 * what libsndfile says and the remedy), RILL_BAD_ARGUMENT for a channel that is not there. Standard error is
 * put aside while a file is opened, and while an MP3 is read or sought in, for the whole process: a library
 * below prints there. */
RILL_API rill_status rill_audio_file_open(const char *path, unsigned channel, rill_audio_file **file,
                                          rill_error *why);
/* The same, for a program that must not wait for a silent pipe for ever: stop(asked) is called before every
 * wait, after every signal that is handled, and ten times a second in between. Once it returns true, opening
 * or reading fails with RILL_IO_ERROR, after the samples before have been given. A file that is no pipe is
 * read to its end. stop NULL: never. */
RILL_API rill_status rill_audio_file_open_until(const char *path, unsigned channel, bool (*stop)(void *asked),
                                                void *asked, rill_audio_file **file, rill_error *why);
/* Frees; NULL is allowed. */
RILL_API void rill_audio_file_close(rill_audio_file *file);

/* Of the file, whatever channel is read. */
RILL_API unsigned rill_audio_file_sample_rate_hz(const rill_audio_file *file);
RILL_API unsigned rill_audio_file_channels(const rill_audio_file *file);
/* Samples a channel, as the file says; 0 when it does not know before the end (a pipe, an MP3). */
RILL_API uint64_t rill_audio_file_length(const rill_audio_file *file);

/* Reads up to capacity samples; *count receives how many, 0 at the end. Floats come as they are, NaN and
 * values beyond ±1 too; integers in [−1, 1). RILL_BAD_FORMAT with *count 0 when the file breaks off, is
 * damaged, or is several MP3, Ogg or FLAC one after the other of which the first is read, RILL_IO_ERROR when
 * it cannot be read on: the samples before have been given. What the format itself mends or cannot tell (the
 * end of an Ogg, a W64 of unknown length, a WAV of ADPCM) ends early without a word. */
RILL_API rill_status rill_audio_file_read(rill_audio_file *file, size_t capacity, float *samples,
                                          size_t *count, rill_error *why);
/* Continues at a sample counted from the start. RILL_UNSUPPORTED on a pipe. */
RILL_API rill_status rill_audio_file_seek(rill_audio_file *file, uint64_t sample, rill_error *why);

/* A recording being written: mono 32-bit float, so that what was captured is kept bit for bit. WAV, or W64
 * when the name ends in .w64; the header is kept valid all along, so a crash loses at most the last second.
 */
typedef struct rill_recording rill_recording;
/* Replaces a file of that name. RILL_UNSUPPORTED for another ending, RILL_NOT_FOUND for a directory that is
 * not there, RILL_IO_ERROR, RILL_BAD_ARGUMENT for a rate beyond 1,000,000 Hz. */
RILL_API rill_status rill_recording_create(const char *path, unsigned sample_rate_hz,
                                           rill_recording **recording, rill_error *why);
/* RILL_IO_ERROR: disk full, for instance. RILL_UNSUPPORTED: a WAV would grow beyond 4 GiB. What was written
 * before stays readable in either case; close. A size limit (RLIMIT_FSIZE) kills unless SIGXFSZ is ignored.
 */
RILL_API rill_status rill_recording_write(rill_recording *recording, size_t count, const float *samples,
                                          rill_error *why);
/* Closes; RILL_IO_ERROR when the last bytes could not be written. Frees in every case. */
RILL_API rill_status rill_recording_close(rill_recording *recording, rill_error *why);

#ifdef __cplusplus
}
#endif
#endif
