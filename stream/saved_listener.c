/* SPDX-License-Identifier: MIT */
/* A listener as bytes: a header, then its memory as it is. The numbers are this machine's own; its byte order
 * is part of the header, and so is everything else that the meaning of the memory depends on. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "failure.h"
#include "listener_memory.h"

enum { LAYOUT = 3 }; /* to be raised when the meaning of any state changes */

typedef struct saved_header {
    char magic[8];
    uint32_t byte_order; /* 0x01020304 */
    uint32_t layout;
    char version[16];     /* RILL_VERSION */
    char fingerprint[24]; /* of the model */
    uint64_t sample_rate_hz, max_speakers;
    double latency_seconds, threshold;
    uint64_t state_size; /* bytes that follow */
    uint64_t checksum;   /* of the header with 0 here and of what follows */
} saved_header;

_Static_assert(sizeof(saved_header) == 104, "the header has no padding");

static uint64_t checksum_of(const saved_header *header, const void *state) {
    saved_header unsealed = *header;
    unsealed.checksum = 0;
    uint64_t hash = rill_checksum(RILL_CHECKSUM_START, &unsealed, sizeof unsealed);
    return rill_checksum(hash, state, header->state_size);
}

void rill_saved_listener_seal(void *bytes, size_t size) {
    saved_header header;
    memcpy(&header, bytes, sizeof header);
    header.state_size = size - sizeof header;
    header.checksum = checksum_of(&header, (unsigned char *)bytes + sizeof header);
    memcpy(bytes, &header, sizeof header);
}

static saved_header blank_header(const rill_model *model) {
    saved_header header = {.magic = "rillear", .byte_order = 0x01020304, .layout = LAYOUT};
    strncpy(header.version, RILL_VERSION, sizeof header.version - 1);
    memcpy(header.fingerprint, rill_model_get_info(model)->fingerprint, 17);
    return header;
}

size_t rill_listener_saved_size(const rill_listener *listener) {
    return sizeof(saved_header) + rill_listener_state_size(listener);
}

void rill_listener_save(const rill_listener *listener, void *bytes) {
    saved_header header = blank_header(listener->chain.model);
    header.sample_rate_hz = listener->settings.sample_rate_hz;
    header.max_speakers = listener->settings.max_speakers;
    header.latency_seconds = listener->settings.latency_seconds;
    header.threshold = listener->settings.threshold;
    memcpy(bytes, &header, sizeof header);
    memcpy((unsigned char *)bytes + sizeof header, listener->memory, rill_listener_state_size(listener));
    rill_saved_listener_seal(bytes, rill_listener_saved_size(listener));
}

static rill_status check_header(const rill_model *model, const char *name, const saved_header *header,
                                const void *state, size_t state_size, rill_error *why) {
    saved_header own = blank_header(model);
    if (memcmp(header->magic, own.magic, sizeof own.magic) != 0)
        return rill_fail(why, RILL_BAD_FORMAT, "%s: this is no saved listening state", name);
    if (header->byte_order != own.byte_order || header->layout != own.layout ||
        memcmp(header->version, own.version, sizeof own.version) != 0)
        return rill_fail(
            why, RILL_BAD_FORMAT,
            "%s: saved by another version of rill or on another kind of machine; this is " RILL_VERSION
            ": start anew without it",
            name);
    if (header->state_size != state_size)
        return rill_fail(why, RILL_BAD_FORMAT, "%s: truncated, or something was added", name);
    if (header->checksum != checksum_of(header, state))
        return rill_fail(why, RILL_BAD_FORMAT, "%s: damaged: the checksum is wrong", name);
    if (memcmp(header->fingerprint, own.fingerprint, sizeof own.fingerprint) != 0)
        return rill_fail(
            why, RILL_WRONG_MODEL,
            "%s: saved with model %.16s, not with %s (%s): use that model, or start anew and enrol "
            "the speakers again",
            name, header->fingerprint, rill_model_get_info(model)->id, own.fingerprint);
    return RILL_OK;
}

/* A right checksum says nothing about who wrote it: what is used as an index is checked. */
static bool is_valid(const rill_listener *listener) {
    const rill_listener_state *head = rill_listener_head(listener);
    return head->next_bin < RILL_LEVEL_BINS && head->bin_samples < UINT32_MAX && !head->finishing &&
           head->samples <= UINT64_MAX >> 11 && /* exact as a double */
           rill_chain_valid(&listener->chain, rill_listener_chain(listener)) &&
           rill_tracker_valid(listener->voices, &listener->tracker_settings, rill_listener_tracker(listener));
}

rill_status rill_listener_load(const rill_model *model, const char *name, const void *bytes, size_t size,
                               rill_listener **listener, rill_error *why) {
    *listener = NULL;
    saved_header header;
    if (size < sizeof header)
        return rill_fail(why, RILL_BAD_FORMAT, "%s: too short for a saved listening state", name);
    memcpy(&header, bytes, sizeof header);
    const unsigned char *state = (const unsigned char *)bytes + sizeof header;
    rill_status status = check_header(model, name, &header, state, size - sizeof header, why);
    if (status != RILL_OK) return status;
    if (header.sample_rate_hz > UINT32_MAX || header.max_speakers > RILL_TRACKER_MAX_SPEAKERS)
        return rill_fail(why, RILL_BAD_FORMAT, "%s: settings out of range", name);
    rill_listener_settings settings = {(unsigned)header.sample_rate_hz, header.latency_seconds,
                                       header.threshold, (size_t)header.max_speakers};
    rill_error what = {""};
    status = rill_listener_open(model, &settings, NULL, listener, &what);
    if (status != RILL_OK) {
        if (status == RILL_BAD_ARGUMENT) status = RILL_BAD_FORMAT;
        return rill_fail(why, status, "%.200s: %.300s", name, what.message);
    }
    bool fits = rill_listener_state_size(*listener) == header.state_size;
    if (fits) memcpy((*listener)->memory, state, header.state_size);
    if (fits && is_valid(*listener)) return RILL_OK;
    rill_listener_close(*listener);
    *listener = NULL;
    return rill_fail(why, RILL_BAD_FORMAT, "%s: not a state that listening can have left", name);
}
