/* SPDX-License-Identifier: MIT */
/* What was captured is kept bit for bit, whatever happens to the program or the disk. */
#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rill/stream/audio_file.h>

#include "random_numbers.h"

static char directory[64], file_name[128];

static void make_directory(void) {
    strcpy(directory, "/tmp/rill-recording-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
}

static void remove_directory(void) {
    unlink(file_name);
    rmdir(directory);
}

TestSuite(recording, .init = make_directory, .fini = remove_directory);

static rill_recording *record(const char *name, unsigned rate_hz) {
    rill_recording *recording = NULL;
    rill_error why = {""};
    snprintf(file_name, sizeof file_name, "%s/%s", directory, name);
    cr_assert_eq(rill_recording_create(file_name, rate_hz, &recording, &why), RILL_OK, "%s", why.message);
    return recording;
}

/* Wants the file to begin with samples, at least `least` of `count` of them and no other; returns how many.
 */
static size_t expect_recorded(const float *samples, size_t least, size_t count, unsigned rate_hz) {
    rill_audio_file *file;
    rill_error why = {""};
    float *heard = malloc((count + 1) * sizeof *heard);
    size_t came;
    cr_assert_eq(rill_audio_file_open(file_name, 0, &file, &why), RILL_OK, "%s", why.message);
    cr_assert_eq(rill_audio_file_sample_rate_hz(file), rate_hz);
    cr_assert_eq(rill_audio_file_channels(file), 1u);
    rill_audio_file_read(file, count + 1, heard, &came, &why);
    cr_assert(came >= least && came <= count, "%zu of %zu to %zu samples", came, least, count);
    cr_assert_eq(memcmp(heard, samples, came * sizeof *heard), 0, "the bits differ");
    rill_audio_file_close(file);
    free(heard);
    return came;
}

static float *noise(size_t count) {
    float *samples = malloc((count + 1) * sizeof *samples);
    for (size_t i = 0; i < count; i++) samples[i] = (float)(4 * random_uniform() - 2);
    if (count > 5) samples[2] = NAN, samples[3] = INFINITY, samples[4] = -0.0f, samples[5] = 1e-42f;
    return samples;
}

Test(recording, keeps_every_bit) {
    const char *names[] = {"a.wav", "b.W64", "plain", "c.d.wav"};
    const unsigned rates[] = {16000, 44100, 48000, 192000};
    random_seed(9);
    for (size_t k = 0; k < 4; k++) {
        const size_t count = k == 2 ? 0 : 100000;
        float *samples = noise(count);
        rill_recording *recording = record(names[k], rates[k]);
        for (size_t done = 0, block; done < count; done += block) {
            block = random_below(9000);
            if (block > count - done) block = count - done;
            cr_assert_eq(rill_recording_write(recording, block, samples + done, NULL), RILL_OK);
        }
        cr_assert_eq(rill_recording_close(recording, NULL), RILL_OK);
        cr_assert_eq(expect_recorded(samples, count, count, rates[k]), count);
        unlink(file_name);
        free(samples);
    }
    cr_assert_eq(rill_recording_close(NULL, NULL), RILL_OK);
}

/* libsndfile would add a chunk with the time of day and the loudest sample. */
Test(recording, holds_the_sound_and_nothing_else) {
    float samples[10] = {0.5f};
    char bytes[200];
    rill_recording *recording = record("a.wav", 16000);
    rill_recording_write(recording, 10, samples, NULL);
    rill_recording_close(recording, NULL);
    FILE *file = fopen(file_name, "rb");
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    cr_assert(size > 40 && size < sizeof bytes);
    for (size_t i = 0; i + 4 <= size; i++) cr_assert_neq(memcmp(bytes + i, "PEAK", 4), 0);
}

Test(recording, a_crash_loses_at_most_the_last_second) {
    const char *names[] = {"crash.wav", "crash.w64"};
    random_seed(10);
    float *samples = noise(40000);
    for (size_t k = 0; k < 2; k++) {
        snprintf(file_name, sizeof file_name, "%s/%s", directory, names[k]);
        const pid_t child = fork();
        if (child == 0) {
            rill_recording *recording = record(names[k], 16000);
            for (size_t done = 0; done < 40000; done += 160)
                rill_recording_write(recording, 160, samples + done, NULL);
            kill(getpid(), SIGKILL);
        }
        int status;
        waitpid(child, &status, 0);
        cr_assert(WIFSIGNALED(status));
        expect_recorded(samples, 40000 - 16000, 40000, 16000);
        unlink(file_name);
    }
    free(samples);
}

Test(recording, a_full_disk_is_told_and_what_was_written_stays) {
    const char *names[] = {"full.wav", "full.w64"};
    random_seed(12);
    float *samples = noise(50000);
    signal(SIGXFSZ, SIG_IGN);
    for (size_t k = 0; k < 2; k++) {
        struct rlimit before;
        getrlimit(RLIMIT_FSIZE, &before);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){100000, before.rlim_max});
        rill_recording *recording = record(names[k], 8000);
        rill_status status = RILL_OK;
        rill_error why = {""};
        for (size_t done = 0; done < 50000 && status == RILL_OK; done += 1000)
            status = rill_recording_write(recording, 1000, samples + done, &why);
        cr_assert_eq(status, RILL_IO_ERROR);
        cr_assert_not_null(strstr(why.message, "File too large"), "%s", why.message);
        cr_assert_not_null(strstr(why.message, file_name));
        rill_recording_close(recording, &why);
        setrlimit(RLIMIT_FSIZE, &before);
        expect_recorded(samples, 24000, 25000, 8000);
        unlink(file_name);
    }
    free(samples);
    rill_recording *recording;
    rill_error why = {""};
    cr_assert_eq(rill_recording_create("/dev/full", 8000, &recording, &why), RILL_IO_ERROR);
    cr_assert_not_null(strstr(why.message, "No space left"), "%s", why.message);
}

Test(recording, a_wav_beyond_4_gib_is_refused_and_what_was_written_stays) {
    float samples[4] = {1, 2, 3, 4};
    rill_error why = {""};
    rill_recording *recording = record("long.wav", 48000);
    cr_assert_eq(rill_recording_write(recording, 4, samples, &why), RILL_OK);
    cr_assert_eq(rill_recording_write(recording, (size_t)1 << 30, samples, &why), RILL_UNSUPPORTED);
    cr_assert_not_null(strstr(why.message, ".w64"), "%s", why.message);
    cr_assert_eq(rill_recording_write(recording, 0, NULL, &why), RILL_OK);
    cr_assert_eq(rill_recording_close(recording, &why), RILL_OK);
    expect_recorded(samples, 4, 4, 48000);
}

Test(recording, refuses_names_and_rates_it_cannot_do) {
    rill_recording *recording = NULL;
    rill_error why = {""};
    char path[160];
    snprintf(path, sizeof path, "%s/a.mp3", directory);
    cr_assert_eq(rill_recording_create(path, 16000, &recording, &why), RILL_UNSUPPORTED);
    cr_assert_not_null(strstr(why.message, ".wav"), "%s", why.message);
    cr_assert_neq(access(path, F_OK), 0);
    snprintf(path, sizeof path, "%s/none/a.wav", directory);
    cr_assert_eq(rill_recording_create(path, 16000, &recording, &why), RILL_NOT_FOUND);
    cr_assert_eq(rill_recording_create(directory, 16000, &recording, &why), RILL_IO_ERROR);
    snprintf(path, sizeof path, "%s/a.wav", directory);
    cr_assert_eq(rill_recording_create(path, 0, &recording, &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_recording_create(path, 4000000000u, &recording, &why), RILL_BAD_ARGUMENT);
    cr_assert_null(recording);
}
