/* SPDX-License-Identifier: MIT */
/* Each vector has a label: speech or not, for every step of a recording.
 *
 *     speech_or_not MODEL.safetensors [RECORDING [REFERENCE.rttm]]
 *
 * The shipped model is a causal encoder of linear self-attention (2006.16236): from a state of constant size
 * it says at every step of 40 ms how likely it is that someone speaks, having heard only what came before.
 * Without a recording, half a minute of artificial talk with pauses is made, of which every label is known.
 *
 * Recordings are heard up to their tenth minute. Two rows are drawn, twenty seconds a line: what the model
 * says (the fuller, the likelier), and what is right. */
#include <stdio.h>
#include <string.h>

#include <rill/stream/diarization.h>

#include "heard.h"
#include "made_voice.h"

enum { MADE_SECONDS = 30, MOST_SECONDS = 600, COLUMNS = 100 };

typedef struct recording {
    unsigned rate_hz;
    size_t count;
    float *samples;
    bool *speech; /* [count]; NULL: not known */
} recording;

static recording make(void) {
    recording r = {MADE_RATE_HZ, MADE_SECONDS * MADE_RATE_HZ, NULL, NULL};
    r.samples = heard_memory(r.count * sizeof *r.samples);
    r.speech = heard_memory(r.count * sizeof *r.speech);
    for (size_t part = 0; part < 3; part++) { /* a voice after the other */
        const made_voice voice = made_voice_draw();
        const size_t begin = part * r.count / 3, end = (part + 1) * r.count / 3;
        made_voice_speak(&voice, 0.25, end - begin, r.samples + begin, r.speech + begin);
    }
    return r;
}

static rill_status read_recording(const char *path, const char *reference, recording *r, rill_error *why) {
    rill_turns *turns;
    r->samples = heard_read(path, 0, MOST_SECONDS, &r->rate_hz, &r->count, why);
    if (!r->samples) return RILL_IO_ERROR;
    if (!reference) return RILL_OK;
    const rill_status status = rill_rttm_read(reference, &turns, why);
    if (status != RILL_OK) return status;
    r->speech = heard_memory(r->count * sizeof *r->speech);
    memset(r->speech, 0, r->count * sizeof *r->speech);
    for (size_t i = 0; i < rill_turns_count(turns); i++) {
        const rill_turn turn = rill_turns_at(turns, i);
        const double end = (turn.start + turn.duration) * r->rate_hz;
        for (size_t n = (size_t)(turn.start * r->rate_hz); n < r->count && (double)n < end; n++)
            r->speech[n] = true;
    }
    rill_turns_destroy(turns);
    return RILL_OK;
}

/* Whether someone speaks in most of a step. */
static bool is_speech(const recording *r, size_t step, double steps_per_second) {
    const double width = r->rate_hz / steps_per_second;
    size_t speech = 0, all = 0;
    for (size_t n = (size_t)((double)step * width); n < r->count && (double)n < (double)(step + 1) * width;
         n++, all++)
        speech += r->speech[n];
    return 2 * speech > all;
}

static void draw(const recording *r, const heard *h, double steps_per_second) {
    static const char *const shades[] = {" ", "░", "▒", "▓", "█"};
    const size_t each = (size_t)(20 * steps_per_second / COLUMNS);
    for (size_t line = 0; line < h->steps && line < 10 * COLUMNS * each; line += COLUMNS * each)
        for (int row = 0; row < (r->speech ? 2 : 1); row++) {
            printf(row ? "right  " : "%5.0f s", (double)line / steps_per_second);
            for (size_t column = 0; column < COLUMNS; column++) {
                double sum = 0;
                for (size_t i = 0; i < each; i++) {
                    const size_t step = line + column * each + i;
                    if (step >= h->steps) continue;
                    sum += row ? is_speech(r, step, steps_per_second)
                               : 1 / (1 + exp(-(double)h->speech_logits[step]));
                }
                printf("%s", shades[(int)(4 * sum / (double)each + 0.5)]);
            }
            printf("\n");
        }
}

int main(int count, char **arguments) {
    if (count < 2 || count > 4)
        return fprintf(stderr, "usage: %s MODEL.safetensors [RECORDING [REFERENCE.rttm]]\n", arguments[0]), 2;
    rill_model *model = NULL;
    rill_error why;
    recording r = {0};
    heard h = {0};
    rill_status status = rill_model_open(arguments[1], &model, &why);
    if (status == RILL_OK && count == 2) r = make();
    if (status == RILL_OK && count > 2)
        status = read_recording(arguments[2], count > 3 ? arguments[3] : NULL, &r, &why);
    if (status == RILL_OK) status = heard_make(model, r.rate_hz, r.count, r.samples, &h, &why);
    if (status == RILL_OK) {
        const double steps_per_second = rill_model_get_info(model)->steps_per_second;
        size_t right = 0, speech = 0, said = 0;
        draw(&r, &h, steps_per_second);
        for (size_t step = 0; step < h.steps; step++) {
            const bool label = h.speech_logits[step] > 0,
                       truth = r.speech && is_speech(&r, step, steps_per_second);
            said += label;
            speech += truth;
            right += label == truth;
        }
        const double all = h.steps ? (double)h.steps : 1, share = (double)speech / all;
        printf("steps of speech: %zu of %zu\n", said, h.steps);
        if (r.speech) printf("always the same label: %.4f\n", fmax(share, 1 - share));
        if (r.speech) printf("labels right: %.4f\n", (double)right / all);
    } else {
        fprintf(stderr, "%s\n", why.message);
    }
    free(r.samples), free(r.speech), free(h.embeddings), free(h.speech_logits);
    rill_model_close(model);
    return status == RILL_OK ? 0 : 1;
}
