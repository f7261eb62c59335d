/* SPDX-License-Identifier: MIT */
/* The audio callback, called directly: what live.sh cannot provoke with a device. */
#define _DEFAULT_SOURCE /* syscall */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/live.h>
#include <rill/stream/resampler.h>

#include "count_allocations.h"
#include "front_end_parameters.h"
#include "live_callback.h"
#include "no_system_calls.h"
#include "random_numbers.h"

static const PaStreamCallbackTimeInfo no_time;

static void capture_into(rill_capture *capture, size_t room, unsigned channels, unsigned channel) {
    memset(capture, 0, sizeof *capture);
    cr_assert_eq(rill_ring_init(&capture->ring, room, NULL), RILL_OK);
    capture->channels = channels;
    capture->channel = channel;
}

Test(live, callback_keeps_the_channel_or_the_mean_in_blocks_of_any_size) {
    random_seed(2);
    float *interleaved = malloc(8 * 3000 * sizeof *interleaved), heard[3000];
    for (size_t trial = 0; trial < 60; trial++) {
        const unsigned channels = 1 + (unsigned)random_below(8),
                       channel = (unsigned)random_below(channels + 1);
        const size_t frames = random_below(3000);
        rill_capture capture;
        capture_into(&capture, 3000, channels, channel);
        for (size_t i = 0; i < frames * channels; i++) interleaved[i] = (float)(random_uniform() - 0.5);
        if (frames) interleaved[0] = -0.0f;
        uint64_t callbacks = 0;
        for (size_t done = 0, block; done < frames; done += block, callbacks++) {
            block = random_below(frames - done + 1);
            cr_assert_eq(
                rill_live_callback(interleaved + done * channels, NULL, block, &no_time, 0, &capture),
                paContinue);
        }
        cr_assert_eq(rill_ring_read(&capture.ring, 3000, heard), frames);
        cr_assert_eq(atomic_load(&capture.callbacks), callbacks);
        cr_assert_eq(rill_ring_lost(&capture.ring), 0u);
        for (size_t i = 0; i < frames; i++) {
            const float *frame = interleaved + i * channels;
            double mean = 0, size = 0;
            for (unsigned c = 0; c < channels; c++)
                mean += (double)frame[c] / channels, size += fabs((double)frame[c]);
            if (channel || channels == 1)
                cr_assert_eq(memcmp(heard + i, frame + (channel ? channel - 1 : 0), sizeof *heard), 0);
            else
                cr_assert_float_eq(heard[i], mean, 0x1p-23 * size);
        }
        rill_ring_release(&capture.ring);
    }
    free(interleaved);
}

Test(live, callback_counts_every_lost_sample) {
    float block[480], heard[2000];
    rill_capture capture;
    capture_into(&capture, 1024, 1, 0);
    for (size_t i = 0; i < 480; i++) block[i] = (float)i;
    for (size_t k = 0; k < 5; k++) rill_live_callback(block, NULL, 480, &no_time, 0, &capture);
    cr_assert_eq(rill_ring_lost(&capture.ring), 5 * 480 - 1024u);
    cr_assert_eq(rill_ring_read(&capture.ring, 2000, heard), 1024u);
    for (size_t i = 0; i < 1024; i++) cr_assert_float_eq(heard[i], (float)(i % 480), 0);
    rill_live_callback(block, NULL, 480, &no_time, paInputOverflow, &capture);
    cr_assert_eq(rill_ring_lost(&capture.ring), 6 * 480 - 1024u, "the device lost a block before this one");
    cr_assert_eq(rill_ring_read(&capture.ring, 2000, heard), 480u, "which is kept");
    rill_live_callback(NULL, NULL, 480, &no_time, 0, &capture);
    cr_assert_eq(rill_ring_lost(&capture.ring), 7 * 480 - 1024u, "no buffer came");
    cr_assert_eq(rill_ring_read(&capture.ring, 2000, heard), 0u);
    cr_assert_eq(atomic_load(&capture.callbacks), 7u);
    rill_ring_release(&capture.ring);
}

Test(live, silence_is_the_devices_only_while_somebody_looks) {
    rill_heartbeat heartbeat = {7, 100, 0};
    double now = 100;
    uint64_t callbacks = 7;
    for (size_t k = 0; k < 300; k++) /* a callback in every third look */
        cr_assert_not(rill_heartbeat_is_lost(&heartbeat, callbacks += k % 3 == 0, now += 0.01));
    cr_assert_not(rill_heartbeat_is_lost(&heartbeat, callbacks, now += 3600), "the process was stopped");
    for (size_t k = 0; k < 100; k++)
        cr_assert_not(rill_heartbeat_is_lost(&heartbeat, callbacks, now += 0.01));
    cr_assert_not(rill_heartbeat_is_lost(&heartbeat, ++callbacks, now += 0.01));
    size_t looks = 1;
    while (!rill_heartbeat_is_lost(&heartbeat, callbacks, now += 0.01)) looks++;
    cr_assert(looks >= 199 && looks <= 201, "%zu looks", looks);
    heartbeat = (rill_heartbeat){7, 100, 0};
    for (looks = 1, now = 105; !rill_heartbeat_is_lost(&heartbeat, 7, now); looks++) now += 5;
    cr_assert_eq(looks, 4, "rare looks find it out too");
}

typedef struct audio_path {
    rill_capture capture;
    rill_resampler *resampler;
    rill_front_end *front_end;
    void *resampler_state, *front_end_state;
    float block[2 * 480], mono[480], samples[160], log_mel[80];
} audio_path;

/* One second, from the callback to the frames, with the ring overflowing now and then. */
static bool one_second(void *with) {
    audio_path *path = with;
    size_t frames = 0, consumed, taken;
    for (size_t k = 0; k < 100; k++) {
        rill_live_callback(path->block, NULL, 480, &no_time, k % 7 ? 0 : paInputOverflow, &path->capture);
        if (k % 10 == 3) continue; /* the reader is late */
        for (size_t came; (came = rill_ring_read(&path->capture.ring, 480, path->mono));)
            for (size_t used = 0; used < came; used += consumed) {
                const size_t made = rill_resampler_step(path->resampler, path->resampler_state, came - used,
                                                        path->mono + used, &consumed, 160, path->samples);
                for (size_t done = 0; done < made; done += taken)
                    frames += rill_front_end_step(path->front_end, path->front_end_state, made - done,
                                                  path->samples + done, &taken, path->log_mel);
            }
    }
    return frames > 80;
}

Test(live, from_callback_to_frame_nothing_allocates_and_nothing_calls_the_system) {
    const rill_front_end_parameters shipped = {
        16000, 400, 160, 512, 80, 20, 7600, 1e-6, -8.0, 0.25, 5, "hann_periodic", "htk"};
    audio_path *path = calloc(1, sizeof *path);
    capture_into(&path->capture, 600, 2, 0);
    cr_assert_eq(rill_resampler_create(48000, 16000, &path->resampler, NULL), RILL_OK);
    cr_assert_eq(rill_front_end_create_from(&shipped, &path->front_end, NULL), RILL_OK);
    path->resampler_state = malloc(rill_resampler_size(path->resampler));
    path->front_end_state = malloc(rill_front_end_size(path->front_end));
    rill_resampler_init(path->resampler, path->resampler_state);
    rill_front_end_init(path->front_end, path->front_end_state);

    cr_assert(works_without_system_calls(one_second, path));
    const size_t before = atomic_load(&allocations);
    const bool worked = one_second(path);
    const size_t after = atomic_load(&allocations);
    cr_assert(worked);
    cr_assert_eq(after, before, "%zu calls of the heap", after - before);
    cr_assert(!COUNTS_ALLOCATIONS || before > 0, "the counter counts");

    rill_ring_release(&path->capture.ring);
    rill_resampler_destroy(path->resampler);
    rill_front_end_destroy(path->front_end);
    free(path->resampler_state);
    free(path->front_end_state);
    free(path);
}

static bool call_the_system(void *unused) {
    (void)unused;
    return getppid() > 0;
}

static bool call_nobody(void *answer) {
    return answer != NULL;
}

Test(live, the_watch_for_system_calls_watches) {
    int something = 0;
    cr_assert_not(works_without_system_calls(call_the_system, NULL));
    cr_assert_not(works_without_system_calls(call_nobody, NULL));
    cr_assert(works_without_system_calls(call_nobody, &something));
}

Test(live, refuses_settings_before_it_looks_for_a_device) {
    const double seconds[] = {-1, NAN, INFINITY, 1e6};
    rill_live *live = NULL;
    rill_error why = {""};
    for (size_t k = 0; k < 4; k++) {
        const rill_live_settings settings = {.ring_seconds = seconds[k]};
        cr_assert_eq(rill_live_open(&settings, &live, &why), RILL_BAD_ARGUMENT);
        cr_assert_not_null(strstr(why.message, "seconds"));
    }
    cr_assert_null(live);
    rill_live_close(NULL);
}
