/* SPDX-License-Identifier: MIT */
/* The words for a status. */
#include <rill/status.h>

const char *rill_version(void) {
    return RILL_VERSION;
}

const char *rill_status_text(rill_status status) {
    switch (status) {
    case RILL_OK:
        return "ok";
    case RILL_BAD_ARGUMENT:
        return "bad argument";
    case RILL_OUT_OF_MEMORY:
        return "out of memory";
    case RILL_NOT_FOUND:
        return "not found";
    case RILL_IO_ERROR:
        return "input/output error";
    case RILL_BAD_FORMAT:
        return "bad format";
    case RILL_UNSUPPORTED:
        return "unsupported";
    case RILL_WRONG_MODEL:
        return "wrong model";
    case RILL_DEVICE_LOST:
        return "device lost";
    }
    return "unknown status";
}
