/* SPDX-License-Identifier: MIT */
/* Keeps what others print away from the terminal. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "standard_error.h"

/* Of all threads: whoever is first puts it aside, the last puts it back. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned calls;
static int kept;

static void put_aside(void) {
    fflush(stderr);
    kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    const int nowhere = kept < 0 ? -1 : open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0) {
        dup2(nowhere, STDERR_FILENO);
        close(nowhere);
    }
}

static void put_back(void) {
    if (kept < 0) return;
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
}

void rill_standard_error_put_aside(void) {
    pthread_mutex_lock(&lock);
    if (calls++ == 0) put_aside();
    pthread_mutex_unlock(&lock);
}

void rill_standard_error_put_back(void) {
    pthread_mutex_lock(&lock);
    if (--calls == 0) put_back();
    pthread_mutex_unlock(&lock);
}
