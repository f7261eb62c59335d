/* SPDX-License-Identifier: MIT */
/* A recording being written: every sample as it came. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <sndfile.h>

#include <rill/stream/audio_file.h>

#include "failure.h"

#define LARGEST_WAV_SAMPLES ((uint64_t)(0xFFFFFFFFu - 4096) / sizeof(float)) /* its lengths have 32 bits */

struct rill_recording {
    int descriptor;
    SNDFILE *sound;
    uint64_t samples, largest; /* written; that the format can hold */
    uint64_t since_header;     /* samples that the header does not yet tell of */
    unsigned sample_rate_hz;
    char name[256];
};

/* SF_FORMAT_WAV or SF_FORMAT_W64 by the name's ending, 0 for another ending. */
static int format_by_name(const char *path) {
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    if (!dot || strcasecmp(dot, ".wav") == 0) return SF_FORMAT_WAV;
    return strcasecmp(dot, ".w64") == 0 ? SF_FORMAT_W64 : 0;
}

static rill_status write_failed(const rill_recording *recording, int error, rill_error *why) {
    return rill_fail(why, RILL_IO_ERROR, "%s: writing failed after %.1f s: %s", recording->name,
                     (double)recording->samples / recording->sample_rate_hz,
                     error ? strerror(error) : sf_strerror(recording->sound));
}

static rill_status open_recording(const char *path, rill_recording *made, rill_error *why) {
    const int format = format_by_name(path);
    if (!format)
        return rill_fail(why, RILL_UNSUPPORTED, "%s: recordings are written as .wav or .w64", made->name);
    SF_INFO info = {
        .samplerate = (int)made->sample_rate_hz, .channels = 1, .format = format | SF_FORMAT_FLOAT};
    if (!made->sample_rate_hz || made->sample_rate_hz > 1000000 || !sf_format_check(&info))
        return rill_fail(why, RILL_BAD_ARGUMENT, "%s: cannot record at %u Hz", made->name,
                         made->sample_rate_hz);
    made->largest = format == SF_FORMAT_WAV ? LARGEST_WAV_SAMPLES : UINT64_MAX / 8;
    made->descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (made->descriptor < 0)
        return rill_fail(why, errno == ENOENT ? RILL_NOT_FOUND : RILL_IO_ERROR, "%s: %s", made->name,
                         strerror(errno));
    errno = 0;
    made->sound = sf_open_fd(made->descriptor, SFM_WRITE, &info, SF_FALSE);
    if (!made->sound)
        return rill_fail(why, RILL_IO_ERROR, "%s: %s", made->name,
                         errno ? strerror(errno) : sf_strerror(NULL));
    sf_command(made->sound, SFC_SET_ADD_PEAK_CHUNK, NULL, SF_FALSE); /* it holds the time of day */
    sf_command(made->sound, SFC_UPDATE_HEADER_NOW, NULL, 0);
    return sf_error(made->sound) ? write_failed(made, errno, why) : RILL_OK;
}

rill_status rill_recording_create(const char *path, unsigned sample_rate_hz, rill_recording **recording,
                                  rill_error *why) {
    rill_recording *made = calloc(1, sizeof *made);
    if (!made) return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: no memory", path);
    made->descriptor = -1;
    made->sample_rate_hz = sample_rate_hz;
    snprintf(made->name, sizeof made->name, "%s", path);
    const rill_status status = open_recording(path, made, why);
    if (status == RILL_OK)
        *recording = made;
    else
        rill_recording_close(made, NULL);
    return status;
}

rill_status rill_recording_write(rill_recording *recording, size_t count, const float *samples,
                                 rill_error *why) {
    if (count > recording->largest - recording->samples)
        return rill_fail(
            why, RILL_UNSUPPORTED,
            "%s: a WAV holds no more than 4 GiB (%.1f hours at %u Hz); what was written is kept, "
            "record to a name ending in .w64 for longer",
            recording->name, (double)recording->largest / recording->sample_rate_hz / 3600,
            recording->sample_rate_hz);
    if (!count) return RILL_OK;
    errno = 0;
    const sf_count_t written = sf_write_float(recording->sound, samples, (sf_count_t)count);
    if (written > 0) recording->samples += (uint64_t)written, recording->since_header += (uint64_t)written;
    if (written != (sf_count_t)count) return write_failed(recording, errno, why);
    if (recording->since_header >= recording->sample_rate_hz) {
        sf_command(recording->sound, SFC_UPDATE_HEADER_NOW, NULL, 0);
        if (sf_error(recording->sound)) return write_failed(recording, errno, why);
        recording->since_header = 0;
    }
    return RILL_OK;
}

rill_status rill_recording_close(rill_recording *recording, rill_error *why) {
    if (!recording) return RILL_OK;
    rill_status status = RILL_OK;
    errno = 0;
    if (recording->sound && sf_close(recording->sound) != 0) status = RILL_IO_ERROR;
    if (recording->descriptor >= 0 && close(recording->descriptor) != 0) status = RILL_IO_ERROR;
    if (status != RILL_OK)
        rill_fail(why, status, "%s: writing its end failed: %s", recording->name, strerror(errno));
    free(recording);
    return status;
}
