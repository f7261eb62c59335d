/* SPDX-License-Identifier: MIT */
/* Any bytes as a speaker file. What is read has names that are names and voices of unit length. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/stream/speakers.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int law) {
    if (!law) abort();
}

static const rill_model *the_model(void) {
    static rill_model *model;
    rill_error why;
    if (!model && rill_model_open(RILL_MODEL, &model, &why) != RILL_OK)
        fprintf(stderr, "%s\n", why.message), abort();
    return model;
}

static void check_voice(const rill_speakers *speakers, size_t index, size_t dim) {
    rill_enrolled voice = rill_speakers_at(speakers, index);
    double square = 0;
    for (size_t i = 0; i < dim; i++) square += (double)voice.embedding[i] * (double)voice.embedding[i];
    check(fabs(square - 1) < 1e-5);
    check(voice.seconds > 0 && voice.seconds < INFINITY);
    check(strlen(voice.name) > 0 && strlen(voice.name) < RILL_NAME_SIZE);
    for (const char *c = voice.name; *c; c++) check((unsigned char)*c >= ' ');
}

/* The corpus is of fingerprint FINGERPRINT-HERE and of vectors [1,0*]: put in here, so that it outlives a
 * model. */
static char *filled_in(const uint8_t *data, size_t size, size_t *filled_size) {
    const rill_model_info *info = rill_model_get_info(the_model());
    char *text = malloc(size + 32 * (2 * info->embedding_dim + 32));
    size_t count = 0, zeros_left = 16;
    for (size_t i = 0; i < size; i++) {
        if (size - i >= 16 && memcmp(data + i, "FINGERPRINT-HERE", 16) == 0) {
            memcpy(text + count, info->fingerprint, 16);
            count += 16;
            i += 15;
        } else if (size - i >= 3 && memcmp(data + i, ",0*", 3) == 0 && zeros_left) {
            for (size_t k = 1; k < info->embedding_dim; k++) memcpy(text + count, ",0", 2), count += 2;
            i += 2;
            zeros_left--;
        } else {
            text[count++] = (char)data[i];
        }
    }
    *filled_size = count;
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const rill_model *model = the_model();
    rill_speakers *speakers;
    rill_error why = {""};
    char *text = filled_in(data, size, &size);
    rill_status status = rill_speakers_parse(model, "fuzz", text, size, &speakers, &why);
    check((status == RILL_OK) == (speakers != NULL));
    if (speakers)
        for (size_t i = 0; i < rill_speakers_count(speakers); i++)
            check_voice(speakers, i, rill_model_get_info(model)->embedding_dim);
    for (const char *c = why.message; *c; c++) check((unsigned char)*c >= ' ');
    rill_speakers_destroy(speakers);
    free(text);
    return 0;
}
