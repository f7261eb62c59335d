/* SPDX-License-Identifier: MIT */
/* States as bytes: a header, the numbers, a checksum; little-endian whatever the machine. */
#include <rill/saved_state.h>

#include <assert.h>
#include <string.h>

#include <rill/steady_state.h>

#include "attention/state_parts.h"
#include "checksum.h"
#include "failure.h"

enum { version = 2, header_size = 72, checksum_size = 8 };

static const char magic[8] = "rillatt";

_Static_assert(RILL_RULE_LINEAR == 0 && RILL_RULE_GATED == 1 && RILL_RULE_DELTA == 2 &&
                   RILL_RULE_GATED_DELTA == 3 && RILL_RULE_RANK_ONE == 4 && RILL_DECAY_NONE == 0 &&
                   RILL_DECAY_HEAD == 1 && RILL_DECAY_STEP_HEAD == 2 && RILL_DECAY_STEP_KEY == 3,
               "saved states hold these numbers");

static void write_number(unsigned char *bytes, size_t size, uint64_t number) {
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(number >> 8 * i);
}

static uint64_t read_number(const unsigned char *bytes, size_t size) {
    uint64_t number = 0;
    for (size_t i = size; i-- > 0;) number = number << 8 | bytes[i];
    return number;
}

static void write_float(unsigned char *bytes, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    write_number(bytes, sizeof bits, bits);
}

static float read_float(const unsigned char *bytes) {
    uint32_t bits = (uint32_t)read_number(bytes, sizeof bits);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

size_t rill_state_floats(const rill_attention_shape *shape) {
    return shape->heads * shape->key_dim * (shape->value_dim + shape->normalize);
}

/* Each is saved by the first version that knew it. */
rill_saved_kind rill_saved_kind_of(const rill_attention_shape *shape, bool steady) {
    return steady ? (rill_saved_kind){2, RILL_STEADY_PARTS, rill_steady_kept(shape)}
                  : (rill_saved_kind){1, 1, 0};
}

static void write_header(const rill_attention_shape *shape, const rill_saved_kind *kind, uint32_t steps,
                         unsigned char *bytes) {
    memcpy(bytes, magic, sizeof magic);
    const uint64_t small[] = {kind->version,         kind->states,           steps,
                              (uint64_t)shape->rule, (uint64_t)shape->decay, shape->normalize};
    const uint64_t large[] = {shape->heads, shape->query_heads, shape->key_dim, shape->value_dim};
    for (size_t i = 0; i < 6; i++) write_number(bytes + 8 + 4 * i, 4, small[i]);
    for (size_t i = 0; i < 4; i++) write_number(bytes + 32 + 8 * i, 8, large[i]);
    write_float(bytes + 64, shape->normalize ? shape->epsilon : 0);
    write_float(bytes + 68, shape->normalize ? 0 : shape->scale);
}

size_t rill_state_parts_saved_size(const rill_attention_shape *shape, const rill_saved_kind *kind) {
    const size_t floats = kind->states * rill_state_floats(shape) + kind->more;
    return header_size + floats * sizeof(float) + checksum_size;
}

static unsigned char *write_floats(size_t count, const float *from, unsigned char *to) {
    for (size_t i = 0; i < count; i++, to += sizeof(float)) write_float(to, from[i]);
    return to;
}

void rill_state_parts_save(const rill_attention_shape *shape, const rill_saved_kind *kind, uint32_t steps,
                           const void *states, void *bytes) {
    unsigned char *to = bytes;
    write_header(shape, kind, steps, to);
    to += header_size;
    const float *from = states;
    for (uint32_t i = 0; i < kind->states; i++, from += rill_attention_size(shape) / sizeof(float))
        to = write_floats(rill_state_floats(shape), from, to);
    to = write_floats(kind->more, from, to);
    uint64_t sum = rill_checksum(RILL_CHECKSUM_START, bytes, (size_t)(to - (unsigned char *)bytes));
    write_number(to, checksum_size, sum);
}

/* What the header says, once the checksum has spoken for the bytes. */
typedef struct saved_header {
    rill_saved_kind kind;
    uint32_t steps;
    rill_attention_shape shape;
} saved_header;

static rill_status check_bytes(const char *name, const unsigned char *bytes, size_t size, rill_error *why) {
    if (size < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0)
        return rill_fail(why, RILL_BAD_FORMAT, "%s: this is no saved attention state", name);
    if (size < header_size + checksum_size ||
        rill_checksum(RILL_CHECKSUM_START, bytes, size - checksum_size) !=
            read_number(bytes + size - checksum_size, checksum_size))
        return rill_fail(why, RILL_BAD_FORMAT, "%s: damaged or truncated: the checksum is wrong", name);
    uint64_t saved_by = read_number(bytes + 8, 4);
    if (saved_by == 0 || saved_by > version)
        return rill_fail(why, RILL_UNSUPPORTED,
                         "%s: a saved state of layout %u; this version of rill knows 1 to %d", name,
                         (unsigned)saved_by, version);
    return RILL_OK;
}

static bool read_sizes(const unsigned char *bytes, rill_attention_shape *shape) {
    size_t *sizes[] = {&shape->heads, &shape->query_heads, &shape->key_dim, &shape->value_dim};
    for (size_t i = 0; i < 4; i++) {
        uint64_t number = read_number(bytes + 32 + 8 * i, 8);
        if (number > SIZE_MAX) return false;
        *sizes[i] = (size_t)number;
    }
    return true;
}

rill_status rill_state_parts_overflowed(const char *name, rill_error *why) {
    return rill_fail(why, RILL_BAD_FORMAT,
                     "%s: a number is not finite: what was heard had overflowed; start anew", name);
}

static bool all_finite(const unsigned char *floats, size_t size) {
    for (size_t i = 0; i < size; i += sizeof(float))
        if ((read_number(floats + i, 4) & 0x7f800000) == 0x7f800000) return false;
    return true;
}

enum { version_1_parts = 4, version_1_steps = 16 }; /* of a steady state */

/* A plain state, or a steady one of a shape that can be one; tells how many floats are behind its states. */
static bool is_kind(saved_header *header, rill_error *why) {
    const rill_saved_kind plain = rill_saved_kind_of(&header->shape, false);
    rill_saved_kind *kind = &header->kind;
    kind->more = 0;
    if (kind->version == plain.version && kind->states == plain.states && header->steps == 0)
        return rill_attention_check(&header->shape, why) == RILL_OK;
    if (rill_steady_check(&header->shape, why) != RILL_OK) return false;
    if (kind->version == 1) return kind->states == version_1_parts && header->steps < version_1_steps;
    kind->more = rill_saved_kind_of(&header->shape, true).more;
    return kind->states == RILL_STEADY_PARTS && header->steps < RILL_STEADY_BLOCK_STEPS;
}

/* Without a product that might not fit. */
static bool has_size(const saved_header *header, size_t floats) {
    if (floats < header->kind.more) return false;
    const size_t of_states = floats - header->kind.more;
    return of_states % header->kind.states == 0 &&
           of_states / header->kind.states == rill_state_floats(&header->shape);
}

static rill_status read_header(const char *name, const unsigned char *bytes, size_t size,
                               saved_header *header, rill_error *why) {
    rill_status status = check_bytes(name, bytes, size, why);
    if (status != RILL_OK) return status;
    const uint64_t rule = read_number(bytes + 20, 4), decay = read_number(bytes + 24, 4);
    const uint64_t normalize = read_number(bytes + 28, 4);
    header->kind.version = (uint32_t)read_number(bytes + 8, 4);
    header->kind.states = (uint32_t)read_number(bytes + 12, 4);
    header->steps = (uint32_t)read_number(bytes + 16, 4);
    rill_attention_shape *shape = &header->shape;
    *shape = (rill_attention_shape){.rule = (rill_update_rule)rule,
                                    .decay = (rill_decay)decay,
                                    .normalize = normalize != 0,
                                    .epsilon = read_float(bytes + 64),
                                    .scale = read_float(bytes + 68)};
    const bool unused_is_zero = read_number(bytes + (normalize ? 68 : 64), 4) == 0;
    rill_error what = {"a number is out of range"};
    if (normalize > 1 || !unused_is_zero || !read_sizes(bytes, shape) || !is_kind(header, &what))
        return rill_fail(why, RILL_BAD_FORMAT, "%s: no state has this header: %.300s", name, what.message);
    const size_t data = size - header_size - checksum_size;
    if (data % sizeof(float) != 0 || !has_size(header, data / sizeof(float)))
        return rill_fail(why, RILL_BAD_FORMAT, "%s: %zu bytes, which are not those of its shape", name, size);
    return all_finite(bytes + header_size, data) ? RILL_OK : rill_state_parts_overflowed(name, why);
}

rill_status rill_saved_state_shape(const char *name, const void *bytes, size_t size,
                                   rill_attention_shape *shape, rill_error *why) {
    saved_header header;
    rill_status status = read_header(name, bytes, size, &header, why);
    if (status == RILL_OK) *shape = header.shape;
    return status;
}

/* The first thing in which they differ, or NULL. */
static const char *difference(const rill_attention_shape *a, const rill_attention_shape *b) {
    if (a->rule != b->rule) return "update rule";
    if (a->decay != b->decay) return "kind of decay";
    if (a->heads != b->heads) return "number of heads";
    if (a->query_heads != b->query_heads) return "number of query heads";
    if (a->key_dim != b->key_dim) return "key dimension";
    if (a->value_dim != b->value_dim) return "value dimension";
    if (a->normalize != b->normalize) return "normalizer";
    if (a->normalize ? a->epsilon < b->epsilon || a->epsilon > b->epsilon
                     : a->scale < b->scale || a->scale > b->scale)
        return a->normalize ? "epsilon" : "scale";
    return NULL;
}

rill_status rill_state_parts_check(const rill_attention_shape *shape, bool steady, const char *name,
                                   const void *bytes, size_t size, rill_saved_kind *kind, uint32_t *steps,
                                   rill_error *why) {
    assert(rill_attention_check(shape, NULL) == RILL_OK);
    saved_header header;
    rill_status status = read_header(name, bytes, size, &header, why);
    if (status != RILL_OK) return status;
    const char *other =
        (header.kind.states > 1) != steady ? "kind of state" : difference(shape, &header.shape);
    if (other)
        return rill_fail(why, RILL_WRONG_MODEL, "%s: saved with another %s: use the shape it was saved with",
                         name, other);
    *kind = header.kind;
    *steps = header.steps;
    return RILL_OK;
}

void rill_state_parts_read(const void *bytes, size_t first, size_t count, float *to) {
    const unsigned char *from = (const unsigned char *)bytes + header_size + first * sizeof(float);
    for (size_t i = 0; i < count; i++, from += sizeof(float)) to[i] = read_float(from);
}

size_t rill_attention_saved_size(const rill_attention_shape *shape) {
    const rill_saved_kind kind = rill_saved_kind_of(shape, false);
    return rill_state_parts_saved_size(shape, &kind);
}

void rill_attention_save(const rill_attention_shape *shape, const void *state, void *bytes) {
    const rill_saved_kind kind = rill_saved_kind_of(shape, false);
    rill_state_parts_save(shape, &kind, 0, state, bytes);
}

rill_status rill_attention_load(const rill_attention_shape *shape, const char *name, const void *bytes,
                                size_t size, void *state, rill_error *why) {
    rill_saved_kind kind;
    uint32_t steps;
    const rill_status status = rill_state_parts_check(shape, false, name, bytes, size, &kind, &steps, why);
    if (status != RILL_OK) return status;
    rill_attention_init(shape, state);
    rill_state_parts_read(bytes, 0, rill_state_floats(shape), state);
    return RILL_OK;
}
