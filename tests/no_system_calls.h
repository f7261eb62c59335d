/* SPDX-License-Identifier: MIT */
/* Runs work in a child that the kernel kills at its first system call (seccomp, strict mode). A program that
 * includes this defines _DEFAULT_SOURCE before its first header. Linux. */
#ifndef RILL_TEST_NO_SYSTEM_CALLS_H
#define RILL_TEST_NO_SYSTEM_CALLS_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* True when work returned true and made no system call, so took no contended lock and no memory from the
 * system either. Pages are touched in the parent's copy. */
static inline bool works_without_system_calls(bool (*work)(void *), void *with) {
    const pid_t child = fork();
    if (child == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) _exit(2);
        const bool right = work(with);
        syscall(SYS_exit, right ? 0 : 1); /* _exit would call exit_group, which is forbidden */
    }
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#endif
