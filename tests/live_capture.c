/* SPDX-License-Identifier: MIT */
/* The C half of live.sh: rill_live_* against a fake microphone.
 *
 *   live_capture make FILE RATE SECONDS   writes the signal that is to be played
 *   live_capture hear FILE          prints "listening", then wants every sample of FILE, bit for bit
 *   live_capture lose PID           listens, kills the server, wants RILL_DEVICE_LOST within 3 s
 *   live_capture stall PID          the same with a server that only stops answering
 *   live_capture wrong              wants a device that is not there, and the list of those that are
 *   live_capture none               runs where there is no device at all, and wants to be told what to do
 *
 * Exit code 0 when the law held, 77 when the machine cannot show it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rill/stream/audio_file.h>
#include <rill/stream/live.h>

#include "random_numbers.h"

static double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void wait_a_little(void) {
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static int failed(const char *what, const rill_error *why) {
    fprintf(stderr, "live_capture: %s: %s\n", what, why->message);
    return 1;
}

/* Noise that is never 0, so that its beginning is seen in silence; 24 bit, which survives any conversion of
 * floats and integers. */
static int make(const char *path, unsigned rate_hz, double seconds) {
    rill_recording *recording;
    rill_error why;
    random_seed(rate_hz);
    if (rill_recording_create(path, rate_hz, &recording, &why) != RILL_OK) return failed(path, &why);
    for (size_t left = (size_t)(seconds * rate_hz); left; left--) {
        const float sample = (float)((double)(1 + random_below(2000000)) / 8388608) * (left % 2 ? 1 : -1);
        if (rill_recording_write(recording, 1, &sample, &why) != RILL_OK) return failed(path, &why);
    }
    return rill_recording_close(recording, &why) == RILL_OK ? 0 : failed(path, &why);
}

static float *read_all(const char *path, size_t *count, unsigned *rate_hz) {
    rill_audio_file *file;
    rill_error why;
    if (rill_audio_file_open(path, RILL_CHANNEL_MIX, &file, &why) != RILL_OK) {
        failed(path, &why);
        exit(1);
    }
    *rate_hz = rill_audio_file_sample_rate_hz(file);
    const size_t length = (size_t)rill_audio_file_length(file);
    float *samples = malloc(length * sizeof *samples);
    if (rill_audio_file_read(file, length, samples, count, &why) != RILL_OK) exit(failed(path, &why));
    rill_audio_file_close(file);
    return samples;
}

static rill_live *listen_at(unsigned rate_hz) {
    const rill_live_settings settings = {.sample_rate_hz = rate_hz};
    rill_live *live;
    rill_error why;
    if (rill_live_open(&settings, &live, &why) != RILL_OK || rill_live_start(live, &why) != RILL_OK)
        exit(failed("listening", &why));
    fprintf(stderr, "live_capture: \"%s\" at %u Hz, input latency %.0f ms\n", rill_live_device_name(live),
            rill_live_sample_rate_hz(live), 1e3 * rill_live_input_latency(live));
    return live;
}

/* Reads until count samples from the first that is not 0 are there; returns how many came by the deadline. */
static size_t hear_signal(rill_live *live, size_t count, float *heard, double deadline,
                          double *longest_wait) {
    size_t came = 0;
    double last = now_seconds();
    while (came < count && now_seconds() < deadline && rill_live_state(live) == RILL_OK) {
        const size_t block = rill_live_read(live, count - came, heard + came);
        size_t silent = 0;
        if (block) {
            *longest_wait = now_seconds() - last > *longest_wait ? now_seconds() - last : *longest_wait;
            last = now_seconds();
        } else {
            wait_a_little();
        }
        while (!came && silent < block && heard[silent] == 0) silent++;
        if (silent) memmove(heard, heard + silent, (block - silent) * sizeof *heard);
        came += block - silent;
    }
    return came;
}

static int hear(const char *path) {
    size_t count;
    unsigned rate_hz;
    double longest_wait = 0;
    float *played = read_all(path, &count, &rate_hz), *heard = malloc(count * sizeof *heard);
    rill_live *live = listen_at(rate_hz);
    printf("listening\n");
    fflush(stdout);
    const size_t came = hear_signal(live, count, heard, now_seconds() + 90, &longest_wait);
    const uint64_t lost = rill_live_lost_samples(live);
    size_t same = 0;
    while (same < came && memcmp(played + same, heard + same, sizeof *heard) == 0) same++;
    fprintf(stderr,
            "live_capture: %zu of %zu samples came, the first %zu bit for bit, %llu lost; %.0f ms between "
            "blocks at most\n",
            came, count, same, (unsigned long long)lost, 1e3 * longest_wait);
    const int wrong = came != count || same != count || lost || rill_live_sample_rate_hz(live) != rate_hz;
    rill_live_close(live);
    free(played);
    free(heard);
    return wrong;
}

static int lose(pid_t server, int by_signal) {
    float samples[1600];
    static rill_live *live; /* one that hangs is not freed */
    live = listen_at(16000);
    const double begin = now_seconds();
    while (!rill_live_read(live, 1600, samples) && now_seconds() < begin + 30) wait_a_little();
    if (rill_live_state(live) != RILL_OK) return failed("the device was lost too early", &(rill_error){""});
    const double killed = now_seconds();
    kill(server, by_signal);
    while (rill_live_state(live) == RILL_OK && now_seconds() < killed + 10) wait_a_little();
    const double noticed = now_seconds();
    const rill_status state = rill_live_state(live);
    rill_live_close(live);
    fprintf(stderr, "live_capture: %s after %.2f s, closed after %.2f s more\n", rill_status_text(state),
            noticed - killed, now_seconds() - noticed);
    return state != RILL_DEVICE_LOST || noticed - killed > 3;
}

static int wrong(void) {
    rill_live *live = NULL;
    rill_error why = {""};
    const rill_live_settings nobody = {.device = "no such thing"}, part = {.device = "alsa: DEF"},
                             channel = {.channel = 5000}, ring = {.ring_seconds = -1};
    rill_device devices[1];
    size_t count = 0;
    if (rill_devices_list(1, devices, &count, &why) != RILL_OK || !count) return failed("listing", &why);
    char index[16];
    snprintf(index, sizeof index, "%d", devices[0].index);
    const rill_live_settings number = {.device = index};
    int failures = rill_live_open(&nobody, &live, &why) != RILL_NOT_FOUND ||
                   !strstr(why.message, devices[0].name) || !strstr(why.message, nobody.device);
    fprintf(stderr, "live_capture: %s\n", why.message);
    failures += rill_live_open(&channel, &live, &why) != RILL_BAD_ARGUMENT;
    failures += rill_live_open(&ring, &live, &why) != RILL_BAD_ARGUMENT;
    failures += live != NULL;
    failures += !devices[0].is_default || !devices[0].channels || strcmp(devices[0].host_api, "ALSA") != 0;
    for (const rill_live_settings *by = &part; by; by = by == &part ? &number : NULL) {
        if (rill_live_open(by, &live, &why) != RILL_OK) return failed(by->device, &why);
        failures += strcmp(rill_live_device_name(live), devices[0].name) != 0;
        failures += rill_live_state(live) != RILL_OK;
        rill_live_close(live);
    }
    return failures;
}

static int none(void) {
    rill_live *live = NULL;
    rill_error why = {""};
    size_t count = 1;
    if (rill_devices_list(0, NULL, &count, &why) != RILL_OK) return failed("listing", &why);
    if (count) return 77;
    const rill_status status = rill_live_open(&(rill_live_settings){.device = NULL}, &live, &why);
    fprintf(stderr, "live_capture: %s\n", why.message);
    return status != RILL_NOT_FOUND || live || !strstr(why.message, "PulseAudio");
}

int main(int count, char **words) {
    const char *verb = count > 1 ? words[1] : "";
    if (count == 5 && strcmp(verb, "make") == 0)
        return make(words[2], (unsigned)atoi(words[3]), atof(words[4]));
    if (count == 3 && strcmp(verb, "hear") == 0) return hear(words[2]);
    if (count == 3 && strcmp(verb, "lose") == 0) return lose((pid_t)atoi(words[2]), SIGKILL);
    if (count == 3 && strcmp(verb, "stall") == 0) return lose((pid_t)atoi(words[2]), SIGSTOP);
    if (count == 2 && strcmp(verb, "wrong") == 0) return wrong();
    if (count == 2 && strcmp(verb, "none") == 0) return none();
    fprintf(stderr,
            "usage: live_capture make FILE RATE SECONDS | hear FILE | lose PID | stall PID | wrong | none\n");
    return 2;
}
