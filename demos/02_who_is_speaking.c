/* SPDX-License-Identifier: MIT */
/* Who is speaking: push samples, poll events. 02_who_is_speaking MODEL.safetensors RECORDING */
#include <stdio.h>

#include <rill/stream/audio_file.h>
#include <rill/stream/listener.h>

static void print_turns(rill_listener *listener) {
    rill_event event;
    while (rill_listener_poll(listener, &event))
        if (event.kind == RILL_EVENT_TURN)
            printf("%7.2f – %7.2f s  S%u  %.2f\n", event.start, event.end, event.speaker,
                   (double)event.score);
}

static rill_status listen(const rill_model *model, rill_audio_file *file, rill_error *why) {
    rill_listener_settings settings = rill_listener_defaults(model);
    settings.sample_rate_hz = rill_audio_file_sample_rate_hz(file);
    rill_listener *listener;
    rill_status status = rill_listener_open(model, &settings, NULL, &listener, why);
    if (status != RILL_OK) return status;

    float samples[1024]; /* blocks of any size give the same turns */
    for (size_t count = 1; count > 0 && status == RILL_OK;) {
        count = 0;
        status = rill_audio_file_read(file, 1024, samples, &count, why);
        for (size_t done = 0; done < count;) {
            done += rill_listener_push(listener, count - done, samples + done);
            print_turns(listener);
        }
    }
    rill_listener_finish(listener);
    print_turns(listener);
    rill_listener_close(listener);
    return status;
}

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: %s MODEL.safetensors RECORDING\n", arguments[0]);
        return 2;
    }
    rill_model *model = NULL;
    rill_audio_file *file = NULL;
    rill_error why;
    rill_status status = rill_model_open(arguments[1], &model, &why);
    if (status == RILL_OK) status = rill_audio_file_open(arguments[2], RILL_CHANNEL_MIX, &file, &why);
    if (status == RILL_OK) status = listen(model, file, &why);
    if (status != RILL_OK) fprintf(stderr, "%s\n", why.message);
    if (file) rill_audio_file_close(file);
    rill_model_close(model);
    return status == RILL_OK ? 0 : 1;
}
