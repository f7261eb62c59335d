/* SPDX-License-Identifier: MIT */
/* A collection of enrolled voices. Its file is speaker_file.c's business. */
#include "enrolled_voices.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

static const double SECONDS_MAX = 1e9;

/* Length of the UTF-8 sequence at text and its code point; 0 when there is none (RFC 3629). */
static size_t decode(const unsigned char *text, unsigned *code) {
    if (text[0] < 0x80) return *code = text[0], 1;
    size_t length = text[0] >= 0xF0 ? 4 : text[0] >= 0xE0 ? 3 : 2;
    if (text[0] < 0xC2 || text[0] > 0xF4) return 0;
    *code = text[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80) return 0;
        *code = *code << 6 | (text[i] & 0x3Fu);
    }
    const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    bool surrogate = *code >= 0xD800 && *code <= 0xDFFF;
    return *code < least[length] || *code > 0x10FFFF || surrogate ? 0 : length;
}

bool rill_is_name(const char *name) {
    size_t size = strlen(name);
    if (!size || size >= RILL_NAME_SIZE) return false;
    const unsigned char *text = (const unsigned char *)name;
    for (size_t length; *text; text += length) {
        unsigned code;
        length = decode(text, &code);
        if (!length || code < 0x20 || (code >= 0x7F && code < 0xA0)) return false;
    }
    return true;
}

static rill_status refuse_name(const char *name, rill_error *why) {
    return rill_fail(why, RILL_BAD_ARGUMENT,
                     "\"%.80s\" is no name: 1 to %d bytes of UTF-8 without control characters", name,
                     RILL_NAME_SIZE - 1);
}

bool rill_unit_vector(size_t dim, const float *x, float *unit) {
    double square = 0;
    for (size_t i = 0; i < dim; i++) square += (double)x[i] * (double)x[i];
    double norm = sqrt(square);
    if (!(norm > 1e-12 && norm < INFINITY)) return false;
    /* What already is of unit length to rounding keeps its bits. */
    bool is_unit = fabs(norm - 1) <= 1e-6;
    for (size_t i = 0; i < dim; i++) unit[i] = is_unit ? x[i] : (float)((double)x[i] / norm);
    return true;
}

rill_status rill_speakers_create(const rill_model *model, rill_speakers **speakers, rill_error *why) {
    const rill_model_info *info = rill_model_get_info(model);
    rill_speakers *s = *speakers = calloc(1, sizeof *s);
    if (!s) return rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for a collection of speakers");
    s->dim = info->embedding_dim;
    memcpy(s->fingerprint, info->fingerprint, sizeof s->fingerprint);
    if (rill_is_name(info->id)) memcpy(s->model_id, info->id, sizeof s->model_id);
    return RILL_OK;
}

void rill_speakers_destroy(rill_speakers *speakers) {
    if (!speakers) return;
    for (size_t i = 0; i < speakers->count; i++) free(speakers->voices[i].embedding);
    free(speakers->voices);
    free(speakers);
}

size_t rill_speakers_count(const rill_speakers *speakers) {
    return speakers->count;
}

rill_enrolled rill_speakers_at(const rill_speakers *speakers, size_t index) {
    const rill_enrolled_voice *voice = &speakers->voices[index];
    return (rill_enrolled){voice->name, voice->embedding, voice->seconds};
}

rill_enrolled_voice *rill_speakers_find(const rill_speakers *speakers, const char *name) {
    for (size_t i = 0; i < speakers->count; i++)
        if (strcmp(speakers->voices[i].name, name) == 0) return &speakers->voices[i];
    return NULL;
}

static rill_status add_voice(rill_speakers *speakers, const char *name, const float *unit, double seconds,
                             rill_error *why) {
    if (speakers->count == RILL_SPEAKERS_MAX)
        return rill_fail(why, RILL_BAD_ARGUMENT, "%s: there are %d speakers already", name,
                         RILL_SPEAKERS_MAX);
    rill_enrolled_voice *more = realloc(speakers->voices, (speakers->count + 1) * sizeof *more);
    if (more) speakers->voices = more;
    float *embedding = more ? malloc(speakers->dim * sizeof *embedding) : NULL;
    if (!embedding) return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: no memory for another speaker", name);
    memcpy(embedding, unit, speakers->dim * sizeof *embedding);
    rill_enrolled_voice *voice = &speakers->voices[speakers->count++];
    *voice = (rill_enrolled_voice){.seconds = seconds, .embedding = embedding};
    strcpy(voice->name, name);
    return RILL_OK;
}

/* The mean weighted by seconds, of unit length again. */
static rill_status combine(const rill_speakers *speakers, rill_enrolled_voice *voice, float *unit,
                           double seconds, rill_error *why) {
    double sum = voice->seconds + seconds;
    for (size_t i = 0; i < speakers->dim; i++)
        unit[i] = (float)(((double)voice->embedding[i] * voice->seconds + (double)unit[i] * seconds) / sum);
    if (!rill_unit_vector(speakers->dim, unit, unit))
        return rill_fail(why, RILL_BAD_ARGUMENT, "%s: this voice is the opposite of the one enrolled",
                         voice->name);
    memcpy(voice->embedding, unit, speakers->dim * sizeof *unit);
    voice->seconds = fmin(sum, SECONDS_MAX);
    return RILL_OK;
}

rill_status rill_speakers_enroll(rill_speakers *speakers, const char *name, const float *embedding,
                                 double seconds, rill_error *why) {
    if (!rill_is_name(name)) return refuse_name(name, why);
    if (!(seconds > 0 && seconds <= SECONDS_MAX))
        return rill_fail(why, RILL_BAD_ARGUMENT, "%s: a voice cannot be learned from %g s of speech", name,
                         seconds);
    float *unit = malloc(speakers->dim * sizeof *unit);
    if (!unit) return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: no memory for a voice", name);
    rill_enrolled_voice *known = rill_speakers_find(speakers, name);
    rill_status status;
    if (!rill_unit_vector(speakers->dim, embedding, unit))
        status = rill_fail(why, RILL_BAD_ARGUMENT, "%s: the embedding is zero or not finite", name);
    else if (known)
        status = combine(speakers, known, unit, seconds, why);
    else
        status = add_voice(speakers, name, unit, seconds, why);
    free(unit);
    return status;
}

static rill_status refuse_unknown(const char *name, rill_error *why) {
    return rill_fail(why, RILL_NOT_FOUND, "no speaker is called \"%.80s\"", name);
}

rill_status rill_speakers_rename(rill_speakers *speakers, const char *name, const char *new_name,
                                 rill_error *why) {
    rill_enrolled_voice *voice = rill_speakers_find(speakers, name);
    if (!voice) return refuse_unknown(name, why);
    if (!rill_is_name(new_name)) return refuse_name(new_name, why);
    rill_enrolled_voice *same = rill_speakers_find(speakers, new_name);
    if (same == voice) return RILL_OK;
    if (same) return rill_fail(why, RILL_BAD_ARGUMENT, "another speaker is called \"%s\"", new_name);
    memset(voice->name, 0, sizeof voice->name); /* new_name is not it: it would have been found */
    strcpy(voice->name, new_name);
    return RILL_OK;
}

rill_status rill_speakers_remove(rill_speakers *speakers, const char *name, rill_error *why) {
    rill_enrolled_voice *voice = rill_speakers_find(speakers, name);
    if (!voice) return refuse_unknown(name, why);
    free(voice->embedding);
    size_t after = speakers->count - (size_t)(voice - speakers->voices) - 1;
    memmove(voice, voice + 1, after * sizeof *voice);
    speakers->count--;
    return RILL_OK;
}
