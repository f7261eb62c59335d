/* SPDX-License-Identifier: MIT */
/* As much of Criterion as tests of the kernels need, where there is none for the target: each Test runs in
 * turn, in a process of its own, and the first assertion that fails ends it. scripts/test-neon uses it. */
#ifndef RILL_PLAIN_CRITERION_H
#define RILL_PLAIN_CRITERION_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct plain_test {
    const char *name;
    void (*run)(void);
    struct plain_test *next;
} plain_test;

static plain_test *plain_tests;

#define Test(suite, title)                                                                                   \
    static void suite##_##title(void);                                                                       \
    static plain_test suite##_##title##_entry = {#suite "::" #title, suite##_##title, NULL};                 \
    __attribute__((constructor)) static void suite##_##title##_enters(void) {                                \
        suite##_##title##_entry.next = plain_tests;                                                          \
        plain_tests = &suite##_##title##_entry;                                                              \
    }                                                                                                        \
    static void suite##_##title(void)

__attribute__((format(printf, 4, 5), noreturn)) static void
plain_fail(const char *file, int line, const char *condition, const char *message, ...) {
    va_list values;
    printf("%s:%d: %s:", file, line, condition);
    va_start(values, message);
    vprintf(message, values);
    va_end(values);
    printf("\n");
    exit(1);
}

#define cr_assert(condition, ...)                                                                            \
    ((condition) ? (void)0 : plain_fail(__FILE__, __LINE__, #condition, " " __VA_ARGS__))
#define cr_assert_eq(a, b, ...)              cr_assert((a) == (b), __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)          cr_assert(strcmp(a, b) == 0, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, size, ...)    cr_assert((size) == 0 || memcmp(a, b, size) == 0, __VA_ARGS__)
#define cr_assert_float_eq(a, b, apart, ...) cr_assert(fabs((a) - (b)) <= (apart), __VA_ARGS__)

int main(void) {
    size_t count = 0, failed = 0;
    for (const plain_test *test = plain_tests; test; test = test->next, count++) {
        fflush(stdout);
        const pid_t child = fork();
        if (child == 0) {
            test->run();
            exit(0);
        }
        int status = -1;
        const bool passed = child > 0 && waitpid(child, &status, 0) == child && status == 0;
        printf("%s %s\n", passed ? "passed" : "FAILED", test->name);
        failed += !passed;
    }
    printf("%zu tests, %zu failed\n", count, failed);
    return count == 0 || failed > 0;
}

#endif
