/* SPDX-License-Identifier: MIT */
/* The tracker on conversations that were encoded once, so that its numbers can be tuned in minutes:
 *   cached_tracker encode MODEL FOLDER            writes NAME.steps beside every NAME.wav or NAME.flac,
 *       but where they are newer than MODEL
 *   cached_tracker track MODEL LATENCY FOLDER     a line a NAME.steps with NAME.rttm beside it:
 *       file NAME missed false confusion reference missed false confusion reference found true
 *     in seconds, labels as first told, then as corrected (collar 0.25 s, overlap counted); speakers with a
 *     second or more. With --turns also a line a turn: turn NAME start end speaker score
 * NAME.steps: 24 bytes, "rillstep", embedding_dim (64 bits), seconds (double), then float32 rows of the
 * embedding, the speech logit and the overlap logit, native byte order. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <rill/stream/audio_file.h>
#include <rill/stream/diarization.h>
#include <rill/stream/tracker.h>

#include "chain.h"
#include "turn_log.h"

static const char magic[8] = "rillstep";
static const double collar = 0.25;

struct steps_head {
    char magic[8];
    uint64_t embedding_dim;
    double seconds;
};

static void give_up(const char *what, const char *why) {
    fprintf(stderr, "cached_tracker: %s: %s\n", what, why);
    exit(1);
}

static void check(rill_status status, const rill_error *why) {
    if (status != RILL_OK) give_up("failed", why->message);
}

static void *allocate(size_t size) {
    void *bytes = aligned_alloc(RILL_STATE_ALIGNMENT, rill_aligned(size));
    if (!bytes) give_up("failed", "out of memory");
    return bytes;
}

/* Steps of the chain as a listener makes them. The file appears under its name when it is whole. */
static void encode(const rill_model *model, const char *audio, const char *steps) {
    char part[4104];
    snprintf(part, sizeof part, "%s.new", steps);
    rill_error why;
    rill_audio_file *file;
    rill_chain chain;
    check(rill_audio_file_open(audio, RILL_CHANNEL_MIX, &file, &why), &why);
    unsigned rate = rill_audio_file_sample_rate_hz(file);
    check(rill_chain_open(model, rate, &chain, &why), &why);
    void *state = allocate(rill_chain_size(&chain));
    rill_chain_init(&chain, state);
    FILE *out = fopen(part, "wb");
    if (!out) give_up(part, "cannot be written");
    size_t dim = rill_model_get_info(model)->embedding_dim;
    float *row = allocate((dim + 2) * sizeof *row);
    struct steps_head head = {.embedding_dim = dim};
    memcpy(head.magic, magic, sizeof magic);
    fwrite(&head, sizeof head, 1, out);
    float samples[4096];
    uint64_t heard = 0;
    for (size_t count = 1; count > 0; heard += count) {
        check(rill_audio_file_read(file, 4096, samples, &count, &why), &why);
        for (size_t done = 0, consumed; done < count; done += consumed)
            if (rill_chain_step(&chain, state, count - done, samples + done, &consumed, row, row + dim,
                                row + dim + 1))
                fwrite(row, sizeof *row, dim + 2, out);
    }
    while (rill_chain_finish(&chain, state, true, row, row + dim, row + dim + 1))
        fwrite(row, sizeof *row, dim + 2, out);
    head.seconds = (double)heard / rate;
    rewind(out);
    fwrite(&head, sizeof head, 1, out);
    const bool written = !ferror(out);
    if (fclose(out) != 0 || !written || rename(part, steps) != 0) give_up(steps, "cannot be written");
    free(row);
    free(state);
    rill_chain_close(&chain);
    rill_audio_file_close(file);
}

static float *read_steps(const char *path, size_t dim, size_t *count, double *seconds) {
    struct steps_head head;
    FILE *file = fopen(path, "rb");
    if (!file) give_up(path, "cannot be read");
    if (fread(&head, sizeof head, 1, file) != 1 || memcmp(head.magic, magic, sizeof magic) != 0 ||
        head.embedding_dim != dim)
        give_up(path, "holds no steps of this model");
    fseek(file, 0, SEEK_END);
    long size = ftell(file) - (long)sizeof head;
    float *rows = allocate((size_t)size + 1);
    fseek(file, sizeof head, SEEK_SET);
    if (size < 0 || fread(rows, 1, (size_t)size, file) != (size_t)size) give_up(path, "cannot be read");
    fclose(file);
    *count = (size_t)size / sizeof *rows / (dim + 2);
    *seconds = head.seconds;
    return rows;
}

static void take_events(void *tracker, double seconds, const char *name, bool tell, struct turn_log *log) {
    for (rill_event event; rill_tracker_poll(tracker, &event);) {
        event.end = fmin(event.end, seconds);
        event.start = fmin(event.start, event.end);
        turn_log_event(log, name, &event);
        if (tell && event.kind == RILL_EVENT_TURN)
            printf("turn %s %.3f %.3f S%u %.5f\n", name, event.start, event.end, event.speaker,
                   (double)event.score);
    }
}

/* seconds[4]: missed, false alarm, confusion, reference speech; speakers found and true */
static void score(const rill_turns *reference, struct turn_log *log, const char *name, bool corrected,
                  double seconds[4], size_t speakers[2]) {
    rill_error why;
    rill_turns *told;
    rill_diarization_error *errors;
    size_t count;
    check(rill_turns_create(&told, &why), &why);
    if (rill_turns_count(reference))
        name = rill_turns_at(reference, 0).file; /* a link may be named otherwise */
    if (!turn_log_collect(log, name, corrected, told)) exit(1);
    check(rill_diarization_score(reference, told, NULL, collar, &errors, &count, &why), &why);
    const rill_diarization_error *total = &errors[count - 1];
    const double parts[4] = {total->missed, total->false_alarm, total->confusion, total->reference};
    memcpy(seconds, parts, sizeof parts);
    speakers[0] = total->hypothesis_speakers;
    speakers[1] = total->reference_speakers;
    rill_diarization_errors_destroy(errors);
    rill_turns_destroy(told);
}

static void track(const rill_model *model, const rill_voice_model *voices, double latency, const char *steps,
                  const char *rttm, const char *name, bool tell) {
    rill_error why;
    rill_chain chain;
    check(rill_chain_open(model, rill_model_get_info(model)->sample_rate_hz, &chain, &why), &why);
    const rill_tracker_settings settings = {.latency_seconds = latency,
                                            .overhead_seconds = rill_chain_lag_seconds(&chain),
                                            .threshold = NAN,
                                            .max_speakers = RILL_TRACKER_MAX_SPEAKERS};
    check(rill_tracker_check(voices, &settings, &why), &why);
    void *tracker = allocate(rill_tracker_size(voices, &settings));
    rill_tracker_init(voices, &settings, tracker);
    size_t dim = rill_model_get_info(model)->embedding_dim, count;
    double seconds;
    float *rows = read_steps(steps, dim, &count, &seconds);
    struct turn_log log = {.keep = true};
    for (size_t i = 0; i < count; i++) {
        const float *row = rows + i * (dim + 2);
        rill_tracker_step(voices, tracker, row, row[dim], row[dim + 1]);
        take_events(tracker, seconds, name, tell, &log);
    }
    rill_tracker_finish(voices, tracker, seconds);
    take_events(tracker, seconds, name, tell, &log);
    rill_turns *reference;
    check(rill_rttm_read(rttm, &reference, &why), &why);
    double first[4], corrected[4];
    size_t speakers[2], unused[2];
    score(reference, &log, name, false, first, speakers);
    score(reference, &log, name, true, corrected, unused);
    printf("file %s %.3f %.3f %.3f %.3f %.3f %.3f %.3f %.3f %zu %zu\n", name, first[0], first[1], first[2],
           first[3], corrected[0], corrected[1], corrected[2], corrected[3], speakers[0], speakers[1]);
    rill_turns_destroy(reference);
    turn_log_clear(&log);
    free(rows);
    free(tracker);
    rill_chain_close(&chain);
}

static bool exists(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file) fclose(file);
    return file != NULL;
}

static bool newer(const char *path, const char *other) {
    struct stat a, b;
    if (stat(path, &a) != 0 || stat(other, &b) != 0) return false;
    return a.st_mtim.tv_sec != b.st_mtim.tv_sec ? a.st_mtim.tv_sec > b.st_mtim.tv_sec
                                                : a.st_mtim.tv_nsec >= b.st_mtim.tv_nsec;
}

int main(int count, char **arguments) {
    const bool tell = count > 1 && strcmp(arguments[count - 1], "--turns") == 0;
    count -= tell;
    const bool encodes = count == 4 && strcmp(arguments[1], "encode") == 0;
    if (!encodes && !(count == 5 && strcmp(arguments[1], "track") == 0))
        give_up("usage", "encode MODEL FOLDER, or track MODEL LATENCY FOLDER [--turns]");
    const char *folder = arguments[count - 1];
    rill_error why;
    rill_model *model;
    rill_voice_model *voices = NULL;
    check(rill_model_open(arguments[2], &model, &why), &why);
    if (!encodes) check(rill_voice_model_create(model, &voices, &why), &why);
    struct dirent **entries;
    int found = scandir(folder, &entries, NULL, alphasort);
    if (found < 0) give_up(folder, "cannot be read");
    for (int i = 0; i < found; i++) {
        char path[4096], steps[4096], rttm[4096], name[FILE_ID_SIZE];
        const char *ending = strrchr(entries[i]->d_name, '.');
        turn_file_id(name, entries[i]->d_name);
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        snprintf(steps, sizeof steps, "%s/%s.steps", folder, name);
        snprintf(rttm, sizeof rttm, "%s/%s.rttm", folder, name);
        bool audio = ending && (strcmp(ending, ".wav") == 0 || strcmp(ending, ".flac") == 0);
        if (encodes && audio && !newer(steps, arguments[2])) encode(model, path, steps);
        if (!encodes && ending && strcmp(ending, ".steps") == 0 && exists(rttm))
            track(model, voices, strtod(arguments[3], NULL), steps, rttm, name, tell);
        free(entries[i]);
    }
    free(entries);
    rill_voice_model_destroy(voices);
    rill_model_close(model);
    return fflush(stdout) == 0 ? 0 : 1;
}
