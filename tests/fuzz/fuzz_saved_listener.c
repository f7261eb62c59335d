/* SPDX-License-Identifier: MIT */
/* A saved listener changed by a stranger who knows the format: the input patches a good one and seals it
 * again with the right size and checksum. What is still accepted must be able to listen on. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../stream/listener_memory.h"
#include "../synthetic_voice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    RATE_HZ = 8000,
    SAMPLES = 3 * RATE_HZ,
    MORE = 3 * RATE_HZ / 10,
    REGIONS = 6,
    PATCH = 12,
    HEADER = 104
};

static rill_model *model;
static float samples[SAMPLES];
static unsigned char *good;
static size_t good_size, region[REGIONS];

static void check(int law) {
    if (!law) abort();
}

/* A state in the middle of a conversation, and where its parts lie. */
static void prepare(void) {
    rill_error why = {""};
    rill_listener *listener;
    if (rill_model_open(RILL_MODEL, &model, &why) != RILL_OK) fprintf(stderr, "%s\n", why.message), abort();
    rill_listener_settings settings = rill_listener_defaults(model);
    settings.sample_rate_hz = RATE_HZ;
    check(rill_listener_open(model, &settings, NULL, &listener, &why) == RILL_OK);
    for (size_t i = 0; i < SAMPLES; i++) {
        double t = (double)i / RATE_HZ;
        samples[i] = t < 1.3 || t > 1.8 ? synthetic_voice(t, t < 1.5 ? 1 : 1.6) : 0;
    }
    check(rill_listener_push(listener, SAMPLES, samples) == SAMPLES);
    good_size = rill_listener_saved_size(listener);
    check((good = malloc(good_size)) != NULL);
    rill_listener_save(listener, good);
    const size_t place[REGIONS] = {0,
                                   HEADER,
                                   HEADER + listener->tracker_offset,
                                   HEADER + listener->chain_offset,
                                   HEADER + listener->chain_offset + listener->chain.resampler_offset,
                                   HEADER + listener->chain_offset + listener->chain.front_end_offset};
    memcpy(region, place, sizeof region);
    rill_listener_close(listener);
}

/* Region and width, offset (3 bytes), value (8 bytes). */
static void patch(unsigned char *bytes, const uint8_t *data) {
    const size_t widths[] = {1, 4, 8, 2};
    size_t width = widths[data[0] >> 6], place = region[data[0] % 32 % REGIONS];
    place += ((size_t)data[1] << 16 | (size_t)data[2] << 8 | data[3]) % (good_size - place);
    if (place + width <= good_size) memcpy(bytes + place, data + 4, width);
}

static void listen_on(rill_listener *listener) {
    rill_event event;
    size_t stops = 0;
    for (size_t done = 0; done < MORE && stops < 2; stops++) {
        size_t taken = rill_listener_push(listener, MORE - done, samples + done);
        done += taken;
        if (taken) stops = 0;
        while (rill_listener_poll(listener, &event)) {
        }
    }
    check(stops < 2); /* it would wait for ever for events that do not come */
    (void)rill_listener_look(listener);
    rill_speaker_view views[8];
    rill_listener_speakers(listener, 8, views);
    rill_listener_rename(listener, 1, "Anna");
    rill_listener_merge(listener, 2, 1);
    rill_listener_finish(listener);
    while (rill_listener_poll(listener, &event)) check(memchr(event.name, 0, sizeof event.name) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!good) prepare();
    rill_listener *listener;
    rill_error why = {""};
    unsigned char *bytes = malloc(good_size);
    memcpy(bytes, good, good_size);
    for (size_t i = 0; i + PATCH <= size && i < 16 * PATCH; i += PATCH) patch(bytes, data + i);
    rill_saved_listener_seal(bytes, good_size);
    rill_status status = rill_listener_load(model, "fuzz", bytes, good_size, &listener, &why);
    check((status == RILL_OK) == (listener != NULL));
    if (size < PATCH) check(status == RILL_OK);
    if (listener) listen_on(listener);
    rill_listener_close(listener);
    free(bytes);
    return 0;
}
