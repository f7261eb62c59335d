/* SPDX-License-Identifier: MIT */
/* What went wrong, for every function that meets the world (files, bytes, devices, memory). */
#ifndef RILL_STATUS_H
#define RILL_STATUS_H

#if defined(_WIN32)
#define RILL_API
#elif defined(__GNUC__)
#define RILL_API __attribute__((visibility("default")))
#else
#define RILL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define RILL_VERSION_MAJOR 0
#define RILL_VERSION_MINOR 1
#define RILL_VERSION_PATCH 0
#define RILL_VERSION       "0.1.0"

/* The version of the library that is linked, "MAJOR.MINOR.PATCH"; compare with RILL_VERSION. Static text. */
RILL_API const char *rill_version(void);

typedef enum rill_status {
    RILL_OK = 0,
    RILL_BAD_ARGUMENT,  /* a value the caller gave is out of range */
    RILL_OUT_OF_MEMORY, /* an allocation failed; nothing was changed */
    RILL_NOT_FOUND,     /* no such file, device or name */
    RILL_IO_ERROR,      /* reading or writing failed part-way: disk full, closed pipe, permission */
    RILL_BAD_FORMAT,    /* the bytes are not what they claim to be: truncated, corrupt, hostile */
    RILL_UNSUPPORTED,   /* well-formed, but of a kind this version does not handle */
    RILL_WRONG_MODEL,   /* a speaker file or saved state made with another model */
    RILL_DEVICE_LOST    /* the audio device vanished while in use */
} rill_status;

/* A short lower-case description of a status, e.g. "bad format". Static text, never NULL. */
RILL_API const char *rill_status_text(rill_status status);

/* Filled by a function that fails, when the caller passes one: one line that names the file, the value and
 * the remedy, without a newline. Left alone on success. */
typedef struct rill_error {
    char message[512];
} rill_error;

#ifdef __cplusplus
}
#endif
#endif
