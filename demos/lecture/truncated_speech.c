/* SPDX-License-Identifier: MIT */
/* Self-attention over speech is too long; truncated self-attention looks at the last seconds only. Four ways
 * through one recording, frame by frame, each against its definition over all pairs in sight:
 *
 *     softmax, everything    a cache that grows for ever, and time with it
 *     softmax, a window      the last frames in a ring: constant
 *     linear, everything     a state of constant size (2006.16236), which never forgets
 *     linear, a window       constant, and exact: sums of blocks are added up anew, never subtracted
 *
 * and how not to do the last: add what comes, subtract what leaves. What float rounded away at a loud sound
 * stays in that state for ever.
 *
 * truncated_speech [RECORDING]: without one, a minute of made vowels in which a door slams. Frames are 16
 * amplitudes, 100 a second; they are the values, and their logarithms the queries and keys. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rill/rill.h>
#include <rill/stream/audio_file.h>

enum { BANDS = 16, WINDOW = 300, MOST_FRAMES = 30000 };

static const rill_sliding_window_shape ring = {
    {RILL_SIMILARITY_SOFTMAX, 1, 1, BANDS, BANDS, 0.25f, 0, false, 0}, 0, WINDOW};
static const rill_linear_window_shape linear = {
    {RILL_RULE_LINEAR, RILL_DECAY_NONE, 1, 1, BANDS, BANDS, true, 1e-6f, 1}, WINDOW};
static float x[MOST_FRAMES * BANDS], keys[MOST_FRAMES * BANDS];
static size_t frames, now; /* how many, and which comes */

typedef void step_form(void *state, const rill_sequence *frame, float *output);

static void softmax_everything(void *state, const rill_sequence *frame, float *output) {
    rill_key_value_cache_step(&ring.softmax, state, frame, output);
}
static void softmax_window(void *state, const rill_sequence *frame, float *output) {
    rill_sliding_window_step(&ring, state, frame, output);
}
static void linear_everything(void *state, const rill_sequence *frame, float *output) {
    rill_attention_recurrent(&linear.attention, state, frame, output);
}
static void linear_window(void *state, const rill_sequence *frame, float *output) {
    rill_linear_window_step(&linear, state, frame, output);
}
static void linear_subtracting(void *state, const rill_sequence *frame, float *output) {
    float minus[BANDS]; /* S += (−k) v and z += −k, of the frame that leaves */
    if (now >= WINDOW) {
        rill_sequence gone = {.length = 1, .keys = minus, .values = frame->values - WINDOW * BANDS};
        for (size_t d = 0; d < BANDS; d++) minus[d] = -(frame->keys - WINDOW * BANDS)[d];
        rill_attention_write(&linear.attention, state, &gone);
    }
    rill_attention_recurrent(&linear.attention, state, frame, output);
}

/* Vowels of 0.3 s by their formants, with pauses; after a third a slam, ten thousand times as loud. */
static void make_vowels(size_t count, float *samples) {
    static const double formants[4][3] = {
        {730, 1090, 2440}, {270, 2290, 3010}, {300, 870, 2240}, {530, 1840, 2480}};
    for (size_t i = 0; i < count; i++) {
        double t = (double)i / 16000;
        samples[i] = 1e-3f * ((float)rand() / (float)RAND_MAX - 0.5f);
        for (size_t f = 0; f < 3 && (size_t)(t / 0.3) % 5 != 4; f++)
            samples[i] += (float)(0.1 * sin(6.283185 * formants[(size_t)(t / 0.3) % 4][f] * t));
        if (i > count / 3 && i < count / 3 + 800) samples[i] *= 1e4f;
    }
}

/* Amplitudes at 200, 400 … 3200 Hz over 25 ms (Goertzel 1958). */
static void make_frames(size_t count, const float *samples, double rate) {
    size_t hop = (size_t)(rate / 100), width = (size_t)(rate / 40);
    for (frames = 0; frames < MOST_FRAMES && frames * hop + width <= count; frames++)
        for (size_t band = 0; band < BANDS; band++) {
            double turn = 2 * cos(6.283185 * 200 * (double)(1 + band) / rate), a = 0, b = 0;
            for (size_t n = 0; n < width; n++) {
                double next = (double)samples[frames * hop + n] + turn * a - b;
                b = a, a = next;
            }
            double amplitude = sqrt(fabs(a * a + b * b - turn * a * b)) / (double)width;
            x[frames * BANDS + band] = (float)amplitude;
            keys[frames * BANDS + band] = (float)log(1 + 1000 * amplitude) / 4;
        }
}

/* Pushes all frames through a state; how far the last third is from attention over all pairs in sight,
 * relative to the largest output there. */
static double run(const char *name, step_form *step, size_t size, bool windowed) {
    float *y = malloc(2 * frames * BANDS * sizeof *y), *want = y + frames * BANDS;
    void *state = calloc(1, size);
    clock_t times[4] = {clock()}; /* around the first and the last tenth */
    double worst = 0, most = 0, tenth = (double)CLOCKS_PER_SEC * (double)(frames / 10) / 1e9;
    if (!y || !state) abort();
    if (step == softmax_everything) rill_key_value_cache_init(&ring.softmax, state, frames);
    if (step == softmax_window) rill_sliding_window_init(&ring, state);
    if (step == linear_window) rill_linear_window_init(&linear, state);
    for (now = 0; now < frames; now++) {
        const float *k = keys + now * BANDS;
        rill_sequence frame = {.length = 1, .queries = k, .keys = k, .values = x + now * BANDS};
        if (now == frames - frames / 10) times[2] = clock();
        step(state, &frame, y + now * BANDS);
        if (now + 1 == frames / 10) times[1] = clock();
    }
    times[3] = clock();
    rill_softmax_shape shape = ring.softmax;
    if (step != softmax_everything && step != softmax_window)
        shape = (rill_softmax_shape){RILL_SIMILARITY_PRODUCT, 1, 1, BANDS, BANDS, 1, 0, true, 1e-6f};
    rill_softmax_input input = {
        .queries_length = frames, .keys_length = frames, .queries = keys, .keys = keys};
    input.values = x, input.causal = true, input.windowed = windowed, input.window_before = WINDOW - 1;
    rill_softmax_attention(&shape, &input, want);
    for (size_t i = frames * 2 / 3 * BANDS; i < frames * BANDS; i++) {
        worst = fmax(worst, fabs((double)(y[i] - want[i])));
        most = fmax(most, fabs((double)want[i]));
    }
    printf("%-20s %7.0f %7.0f ns %9zu bytes   %.1e\n", name, (double)(times[1] - times[0]) / tenth,
           (double)(times[3] - times[2]) / tenth, size, worst / most);
    free(y), free(state);
    return worst / most;
}

int main(int count, char **arguments) {
    double rate = 16000;
    rill_audio_file *file = NULL;
    rill_error why;
    if (count > 1 && rill_audio_file_open(arguments[1], RILL_CHANNEL_MIX, &file, &why) != RILL_OK)
        return fprintf(stderr, "%s\n", why.message), 1;
    if (file) rate = rill_audio_file_sample_rate_hz(file);
    size_t length = (size_t)((file ? 300 : 60) * rate), held = 0;
    float *samples = calloc(length, sizeof *samples);
    for (size_t got = 1; file && samples && got > 0 && held < length; held += got)
        if (rill_audio_file_read(file, length - held, samples + held, &got, &why) != RILL_OK) break;
    if (samples && !file) make_vowels(held = length, samples);
    if (samples) make_frames(held, samples, rate);
    free(samples), rill_audio_file_close(file);
    if (frames < 2 * WINDOW) return fprintf(stderr, "six seconds of sound are needed\n"), 1;
    printf("%zu frames, a window of %d                                      off the definition\n"
           "                     first and last tenth    memory in the end  in the last third\n",
           frames, WINDOW);
    size_t state = rill_attention_size(&linear.attention);
    run("softmax, everything", softmax_everything, rill_key_value_cache_size(&ring.softmax, frames), false);
    double ring_off = run("softmax, a window", softmax_window, rill_sliding_window_size(&ring), true);
    run("linear, everything", linear_everything, state, false);
    double blocks_off = run("linear, a window", linear_window, rill_linear_window_size(&linear), true);
    double naive_off = run("linear, subtracting", linear_subtracting, state, true);
    return ring_off < 1e-5 && blocks_off < 1e-5 && (count > 1 || naive_off > 1e-4) ? 0 : 1;
}
