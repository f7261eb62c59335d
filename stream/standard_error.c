/* SPDX-License-Identifier: MIT */
/* Keeps what others print away from the terminal. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "standard_error.h"

int rill_standard_error_put_aside(void) {
    fflush(stderr);
    const int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    const int nowhere = kept < 0 ? -1 : open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0) {
        dup2(nowhere, STDERR_FILENO);
        close(nowhere);
    }
    return kept;
}

void rill_standard_error_put_back(int kept) {
    if (kept < 0) return;
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
}
