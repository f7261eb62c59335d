/* SPDX-License-Identifier: MIT */
/* Enrolled voices as a file:
 *
 *     {"format": "rill-speakers-1", "model": fingerprint, "model_id": text,
 *      "speakers": [{"name": text, "seconds": number, "embedding": [numbers]}, …]}
 *
 * An unknown key is an error: the next write would lose it. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "failure.h"
#include "enrolled_voices.h"
#include "whole_file.h"

#define FORMAT "rill-speakers-1"

enum { FILE_SIZE_LIMIT = 1 << 26 };
static const double UNIT_TOLERANCE = 1e-3; /* of an embedding's length: a file may be written by hand */

/* Has object no other keys than these? */
static rill_status check_keys(const char *file, json_t *object, const char *const keys[], size_t count,
                              rill_error *why) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        size_t i = 0;
        while (i < count && strcmp(key, keys[i]) != 0) i++;
        if (i == count) return rill_fail(why, RILL_BAD_FORMAT, "%s: unknown key \"%.80s\"", file, key);
    }
    return RILL_OK;
}

static rill_status parse_embedding(const char *file, size_t dim, const json_t *array, float *embedding,
                                   rill_error *why) {
    if (!json_is_array(array) || json_array_size(array) != dim)
        return rill_fail(why, RILL_BAD_FORMAT, "%s: an embedding is an array of %zu numbers", file, dim);
    double square = 0;
    for (size_t i = 0; i < dim; i++) {
        const json_t *number = json_array_get(array, i);
        double value = json_number_value(number);
        if (!json_is_number(number) || !(fabs(value) <= 2))
            return rill_fail(why, RILL_BAD_FORMAT, "%s: value %zu of an embedding is no number of −1 … 1",
                             file, i);
        embedding[i] = (float)value;
        square += value * value;
    }
    if (!(fabs(sqrt(square) - 1) <= UNIT_TOLERANCE))
        return rill_fail(why, RILL_BAD_FORMAT, "%s: an embedding has length %g instead of 1", file,
                         sqrt(square));
    return RILL_OK;
}

static rill_status parse_speaker(const char *file, json_t *object, rill_speakers *speakers, float *embedding,
                                 rill_error *why) {
    static const char *const keys[] = {"name", "seconds", "embedding"};
    if (!json_is_object(object)) return rill_fail(why, RILL_BAD_FORMAT, "%s: a speaker is an object", file);
    rill_status status = check_keys(file, object, keys, sizeof keys / sizeof *keys, why);
    if (status != RILL_OK) return status;
    const char *name = json_string_value(json_object_get(object, "name"));
    const json_t *seconds = json_object_get(object, "seconds");
    if (!name) return rill_fail(why, RILL_BAD_FORMAT, "%s: a speaker without a name", file);
    if (!json_is_number(seconds))
        return rill_fail(why, RILL_BAD_FORMAT, "%s: \"%.80s\" has no number of seconds", file, name);
    if (rill_speakers_find(speakers, name))
        return rill_fail(why, RILL_BAD_FORMAT, "%s: two speakers are called \"%.80s\"", file, name);
    status = parse_embedding(file, speakers->dim, json_object_get(object, "embedding"), embedding, why);
    if (status != RILL_OK) return status;
    rill_error what = {""};
    status = rill_speakers_enroll(speakers, name, embedding, json_number_value(seconds), &what);
    if (status == RILL_OK) return RILL_OK;
    if (status == RILL_BAD_ARGUMENT) status = RILL_BAD_FORMAT;
    return rill_fail(why, status, "%.200s: %.300s", file, what.message);
}

static rill_status check_model(const char *file, const json_t *root, const rill_speakers *speakers,
                               rill_error *why) {
    const char *model = json_string_value(json_object_get(root, "model"));
    const json_t *model_id = json_object_get(root, "model_id");
    if (!model || strlen(model) + 1 != sizeof speakers->fingerprint)
        return rill_fail(why, RILL_BAD_FORMAT, "%s: \"model\" is a fingerprint of 16 digits", file);
    if (model_id && !json_is_string(model_id))
        return rill_fail(why, RILL_BAD_FORMAT, "%s: \"model_id\" is text", file);
    if (strcmp(model, speakers->fingerprint) == 0) return RILL_OK;
    const char *id = model_id && *json_string_value(model_id) ? json_string_value(model_id) : "another model";
    return rill_fail(
        why, RILL_WRONG_MODEL,
        "%.150s: these voices were learned with %.40s (%s), not with %.40s (%s): use that model, or "
        "move the file away and enrol each speaker again with \"rill enroll NAME FILE...\"",
        file, id, model, speakers->model_id, speakers->fingerprint);
}

static rill_status parse_root(const char *file, json_t *root, rill_speakers *speakers, rill_error *why) {
    static const char *const keys[] = {"format", "model", "model_id", "speakers"};
    const char *format = json_string_value(json_object_get(root, "format"));
    if (!format || strncmp(format, "rill-speakers-", 14) != 0)
        return rill_fail(why, RILL_BAD_FORMAT, "%s: this is no speaker file", file);
    if (strcmp(format, FORMAT) != 0)
        return rill_fail(why, RILL_UNSUPPORTED, "%s: format \"%.40s\" is not known here, only \"%s\"", file,
                         format, FORMAT);
    rill_status status = check_keys(file, root, keys, sizeof keys / sizeof *keys, why);
    if (status == RILL_OK) status = check_model(file, root, speakers, why);
    if (status != RILL_OK) return status;
    const json_t *list = json_object_get(root, "speakers");
    if (!json_is_array(list)) return rill_fail(why, RILL_BAD_FORMAT, "%s: \"speakers\" is an array", file);
    float *embedding = malloc(speakers->dim * sizeof *embedding);
    if (!embedding) return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: no memory for an embedding", file);
    for (size_t i = 0; i < json_array_size(list) && status == RILL_OK; i++)
        status = parse_speaker(file, json_array_get(list, i), speakers, embedding, why);
    free(embedding);
    return status;
}

rill_status rill_speakers_parse(const rill_model *model, const char *name, const char *bytes, size_t size,
                                rill_speakers **speakers, rill_error *why) {
    *speakers = NULL;
    json_error_t place;
    json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &place);
    if (!root)
        return rill_fail(why, RILL_BAD_FORMAT, "%s: line %d, column %d: %s", name, place.line, place.column,
                         place.text);
    rill_status status = rill_speakers_create(model, speakers, why);
    if (status == RILL_OK) status = parse_root(name, root, *speakers, why);
    json_decref(root);
    if (status != RILL_OK) {
        rill_speakers_destroy(*speakers);
        *speakers = NULL;
    }
    return status;
}

rill_status rill_speakers_read(const rill_model *model, const char *path, rill_speakers **speakers,
                               rill_error *why) {
    char *bytes;
    size_t size;
    *speakers = NULL;
    rill_status status = rill_whole_file_read(path, FILE_SIZE_LIMIT, &bytes, &size, why);
    if (status != RILL_OK) return status;
    status = rill_speakers_parse(model, path, bytes, size, speakers, why);
    free(bytes);
    return status;
}

/* New reference, NULL when memory is short. */
static json_t *speaker_json(const rill_enrolled_voice *voice, size_t dim) {
    json_t *embedding = json_array(), *speaker = NULL;
    bool whole = embedding != NULL;
    for (size_t i = 0; i < dim && whole; i++)
        whole = json_array_append_new(embedding, json_real((double)voice->embedding[i])) == 0;
    if (whole)
        speaker = json_pack("{s:s, s:f, s:O}", "name", voice->name, "seconds", voice->seconds, "embedding",
                            embedding);
    json_decref(embedding);
    return speaker;
}

/* The file's text, the caller's to free; NULL when memory is short. */
static char *speakers_text(const rill_speakers *speakers) {
    json_t *list = json_array();
    bool whole = list != NULL;
    for (size_t i = 0; i < speakers->count && whole; i++)
        whole = json_array_append_new(list, speaker_json(&speakers->voices[i], speakers->dim)) == 0;
    json_t *root = whole ? json_pack("{s:s, s:s, s:s, s:O}", "format", FORMAT, "model", speakers->fingerprint,
                                     "model_id", speakers->model_id, "speakers", list)
                         : NULL;
    json_decref(list);
    /* Nine digits give a float back exactly. */
    char *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    return text;
}

static rill_status system_error(const char *path, rill_error *why) {
    return rill_fail(why, RILL_IO_ERROR, "%s: %s", path, strerror(errno));
}

/* Makes the folders above path, for the user alone. */
static rill_status make_folders(char *path, rill_error *why) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        rill_status status = mkdir(path, 0700) != 0 && errno != EEXIST ? system_error(path, why) : RILL_OK;
        *slash = '/';
        if (status != RILL_OK) return status;
    }
    return RILL_OK;
}

/* A device, a link or a file set read-only is not replaced behind the user's back. */
static rill_status check_replaceable(const char *path, rill_error *why) {
    struct stat there;
    if (lstat(path, &there) != 0) return errno == ENOENT ? RILL_OK : system_error(path, why);
    if (S_ISLNK(there.st_mode))
        return rill_fail(why, RILL_IO_ERROR, "%s: a symbolic link; give the file that it points to", path);
    if (!S_ISREG(there.st_mode)) return rill_fail(why, RILL_IO_ERROR, "%s: no regular file", path);
    return access(path, W_OK) == 0 ? RILL_OK : system_error(path, why);
}

static bool write_all(int file, const char *text, size_t size) {
    while (size) {
        ssize_t count = write(file, text, size);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        text += count;
        size -= (size_t)count;
    }
    return true;
}

/* So that the new name survives a power failure too; not every file system can, so no error. */
static void sync_folder(char *path) {
    char *slash = strrchr(path, '/');
    if (slash && slash != path) *slash = 0;
    int folder = open(slash ? (slash == path ? "/" : path) : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (slash && slash != path) *slash = '/';
    if (folder < 0) return;
    (void)fsync(folder);
    close(folder);
}

/* temporary: path + ".XXXXXX" */
static rill_status replace(const char *path, char *temporary, const char *text, rill_error *why) {
    int file = mkstemp(temporary); /* never follows a link, mode 0600 */
    if (file < 0) return system_error(path, why);
    bool written = fchmod(file, 0600) == 0 && write_all(file, text, strlen(text)) &&
                   write_all(file, "\n", 1) && fsync(file) == 0;
    int reason = errno;
    if (close(file) != 0 && written) written = false, reason = errno;
    if (written && rename(temporary, path) == 0) return RILL_OK;
    if (!written) errno = reason;
    rill_status status = system_error(path, why);
    unlink(temporary);
    return status;
}

/* *draft receives path + ".XXXXXX", in a folder that is there, the caller's to free. */
static rill_status prepare(const char *path, char **draft, rill_error *why) {
    *draft = NULL;
    if (!*path) return rill_fail(why, RILL_BAD_ARGUMENT, "a speaker file needs a name");
    const size_t size = strlen(path) + sizeof ".XXXXXX";
    *draft = malloc(size);
    if (!*draft) return rill_fail(why, RILL_OUT_OF_MEMORY, "%s: no memory to write it", path);
    snprintf(*draft, size, "%s.XXXXXX", path);
    rill_status status = make_folders(*draft, why);
    return status == RILL_OK ? check_replaceable(path, why) : status;
}

rill_status rill_speakers_can_write(const char *path, rill_error *why) {
    char *draft;
    rill_status status = prepare(path, &draft, why);
    const int file = status == RILL_OK ? mkstemp(draft) : -1;
    if (status == RILL_OK && file < 0) status = system_error(path, why);
    if (file >= 0) {
        close(file);
        unlink(draft);
    }
    free(draft);
    return status;
}

rill_status rill_speakers_write(const rill_speakers *speakers, const char *path, rill_error *why) {
    char *draft, *text = NULL;
    rill_status status = prepare(path, &draft, why);
    if (status == RILL_OK && !(text = speakers_text(speakers)))
        status = rill_fail(why, RILL_OUT_OF_MEMORY, "%s: no memory to write it", path);
    if (status == RILL_OK) status = replace(path, draft, text, why);
    if (status == RILL_OK) sync_folder(draft);
    free(text);
    free(draft);
    return status;
}
