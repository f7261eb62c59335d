/* SPDX-License-Identifier: MIT */
/* The law of the audio path: between start and stop nothing allocates, locks, touches a file or makes any
 * other system call. The heap, locks, read and write are counted by standing in front of glibc's functions;
 * all else is forbidden by the kernel: seccomp's strict mode lets a process read, write and exit, and kills
 * it otherwise. */
#define _GNU_SOURCE    /* RTLD_NEXT, syscall */
#undef _FORTIFY_SOURCE /* makes read and write inline, and they are stood in front of here */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include <rill/stream/front_end.h>
#include <rill/stream/listener.h>
#include <rill/stream/resampler.h>

#include "count_allocations.h"
#include "kernels/kernels.h"
#include "live_callback.h"
#include "synthetic_voice.h"

/* ---- what is counted beside the heap ---- */

static atomic_size_t locks, reads, writes;

#if COUNTS_ALLOCATIONS
static int (*real_lock)(pthread_mutex_t *);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_write)(int, const void *, size_t);

static void find(void *function, size_t size, const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, size);
}

int pthread_mutex_lock(pthread_mutex_t *mutex) {
    atomic_fetch_add(&locks, 1);
    if (!real_lock) find(&real_lock, sizeof real_lock, "pthread_mutex_lock");
    return real_lock(mutex);
}
ssize_t read(int file, void *bytes, size_t size) {
    atomic_fetch_add(&reads, 1);
    if (!real_read) find(&real_read, sizeof real_read, "read");
    return real_read(file, bytes, size);
}
ssize_t write(int file, const void *bytes, size_t size) {
    atomic_fetch_add(&writes, 1);
    if (!real_write) find(&real_write, sizeof real_write, "write");
    return real_write(file, bytes, size);
}
#endif

static size_t counted(void) {
    return atomic_load(&allocations) + atomic_load(&locks) + atomic_load(&reads) + atomic_load(&writes);
}

/* ---- the audio path, verb by verb ---- */

enum { RATE_HZ = 48000, BLOCK = RATE_HZ / 100, SAMPLES = 6 * RATE_HZ };

typedef struct path {
    rill_model *model;
    float *samples; /* [SAMPLES] */
    rill_capture capture;
    rill_resampler *resampler;
    void *resampler_state;
    rill_front_end *front_end;
    void *front_end_state;
    void *encoder;
    float *log_mel, *embedding, logit;
    rill_voice_model *voices;
    void *tracker;
    rill_listener *listener;
    rill_embedder *embedder;
    size_t events, steps;
} path;

static void run_callback(path *p) {
    float taken[BLOCK];
    for (size_t done = 0; done < SAMPLES; done += BLOCK) {
        rill_live_callback(p->samples + done, NULL, BLOCK, NULL, done ? 0 : paInputOverflow, &p->capture);
        rill_ring_read(&p->capture.ring, done % (3 * BLOCK) ? BLOCK : BLOCK / 2, taken);
    }
    for (int i = 0; i < 200; i++) /* nobody reads: the ring overflows */
        rill_live_callback(p->samples, NULL, BLOCK, NULL, 0, &p->capture);
}

static void run_resampler(path *p) {
    float made[BLOCK];
    for (size_t done = 0, consumed; done < SAMPLES; done += consumed)
        rill_resampler_step(p->resampler, p->resampler_state, BLOCK < SAMPLES - done ? BLOCK : SAMPLES - done,
                            p->samples + done, &consumed, BLOCK, made);
    while (rill_resampler_finish(p->resampler, p->resampler_state, BLOCK, made)) {
    }
}

static void run_front_end(path *p) {
    for (size_t done = 0, consumed; done < SAMPLES / 3; done += consumed)
        rill_front_end_step(p->front_end, p->front_end_state, SAMPLES / 3 - done, p->samples + done,
                            &consumed, p->log_mel);
}

static void run_encoder(path *p) {
    for (int i = 0; i < 50; i++)
        rill_encoder_step(p->model, p->encoder, p->log_mel, p->embedding, &p->logit, NULL);
}

static void run_tracker(path *p) {
    rill_event event;
    for (int i = 0; i < 400; i++) { /* two voices and silence */
        p->embedding[0] = i % 50 < 25 ? 1 : 0;
        p->embedding[1] = i % 50 < 25 ? 0 : 1;
        rill_tracker_step(p->voices, p->tracker, p->embedding, i % 100 < 80 ? 4 : -4, i % 20 < 9 ? 3 : -3);
        while (rill_tracker_poll(p->tracker, &event)) p->events++;
    }
    rill_tracker_finish(p->voices, p->tracker, 16);
}

static void run_listener(path *p) {
    rill_event event;
    for (size_t done = 0; done < SAMPLES;) {
        size_t block = BLOCK < SAMPLES - done ? BLOCK : SAMPLES - done;
        done += rill_listener_push(p->listener, block, p->samples + done);
        while (rill_listener_poll(p->listener, &event)) p->events++;
    }
}

static void run_views(path *p) {
    rill_speaker_view views[8];
    (void)rill_listener_look(p->listener);
    (void)rill_listener_speakers(p->listener, 8, views);
    rill_listener_rename(p->listener, 1, "Anna");
    rill_listener_merge(p->listener, 2, 1);
}

static void run_finish(path *p) {
    rill_event event;
    rill_listener_finish(p->listener);
    while (rill_listener_poll(p->listener, &event)) p->events++;
}

static void run_embedder(path *p) {
    rill_embedder_push(p->embedder, SAMPLES / 2, p->samples);
    rill_embedder_finish(p->embedder, p->embedding);
    rill_embedder_reset(p->embedder);
}

static const struct {
    const char *name;
    void (*run)(path *p);
} verbs[] = {
    {"audio callback and ring", run_callback},
    {"resampler", run_resampler},
    {"front end", run_front_end},
    {"encoder", run_encoder},
    {"tracker", run_tracker},
    {"listener push and poll", run_listener},
    {"listener look, speakers, rename, merge", run_views},
    {"listener finish", run_finish},
    {"embedder", run_embedder},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static void *aligned_memory(size_t size) {
    return aligned_alloc(RILL_STATE_ALIGNMENT,
                         (size + RILL_STATE_ALIGNMENT) / RILL_STATE_ALIGNMENT * RILL_STATE_ALIGNMENT);
}

static void fine(rill_status status, const rill_error *why) {
    cr_assert_eq(status, RILL_OK, "%s", why->message);
}

static path open_path(void) {
    path p = {.capture = {.channels = 1, .channel = 0}};
    rill_error why = {""};
    fine(rill_model_open(RILL_MODEL, &p.model, &why), &why);
    const rill_model_info *info = rill_model_get_info(p.model);
    p.samples = malloc(SAMPLES * sizeof *p.samples);
    for (size_t i = 0; i < SAMPLES; i++) {
        double t = (double)i / RATE_HZ;
        p.samples[i] = t < 2 || t > 3 ? synthetic_voice(t, t < 2 ? 1 : 1.6) : 0;
    }
    p.samples[7] = NAN;
    fine(rill_ring_init(&p.capture.ring, 4 * BLOCK, &why), &why);
    fine(rill_resampler_create(RATE_HZ, info->sample_rate_hz, &p.resampler, &why), &why);
    p.resampler_state = aligned_memory(rill_resampler_size(p.resampler));
    rill_resampler_init(p.resampler, p.resampler_state);
    fine(rill_front_end_create(p.model, &p.front_end, &why), &why);
    p.front_end_state = aligned_memory(rill_front_end_size(p.front_end));
    rill_front_end_init(p.front_end, p.front_end_state);
    p.encoder = aligned_memory(rill_encoder_size(p.model));
    rill_encoder_init(p.model, p.encoder);
    p.log_mel = calloc(info->frames_per_step * info->mel_bands, sizeof *p.log_mel);
    p.embedding = calloc(info->embedding_dim, sizeof *p.embedding);
    rill_tracker_settings settings = {1, 0.1, NAN, 8};
    fine(rill_voice_model_create(p.model, &p.voices, &why), &why);
    p.tracker = aligned_memory(rill_tracker_size(p.voices, &settings));
    rill_tracker_init(p.voices, &settings, p.tracker);
    rill_listener_settings listening = rill_listener_defaults(p.model);
    listening.sample_rate_hz = RATE_HZ;
    fine(rill_listener_open(p.model, &listening, NULL, &p.listener, &why), &why);
    fine(rill_embedder_open(p.model, RATE_HZ, &p.embedder, &why), &why);
    return p;
}

static void close_path(path *p) {
    rill_listener_close(p->listener);
    rill_embedder_close(p->embedder);
    rill_voice_model_destroy(p->voices);
    rill_front_end_destroy(p->front_end);
    rill_resampler_destroy(p->resampler);
    rill_ring_release(&p->capture.ring);
    rill_model_close(p->model);
    free(p->samples);
    free(p->resampler_state);
    free(p->front_end_state);
    free(p->encoder);
    free(p->log_mel);
    free(p->embedding);
    free(p->tracker);
}

Test(real_time, every_verb_runs) { /* under every sanitizer too */
    path p = open_path();
    for (size_t i = 0; i < VERBS; i++) verbs[i].run(&p);
    cr_assert_gt(p.events, 4, "something was heard");
    close_path(&p);
}

Test(real_time, nothing_is_allocated_locked_read_or_written) {
    if (!COUNTS_ALLOCATIONS) cr_skip_test("a sanitizer stands in front of the heap");
    path p = open_path();
    size_t calls[VERBS];
    for (size_t i = 0; i < VERBS; i++) {
        size_t before = counted();
        verbs[i].run(&p);
        calls[i] = counted() - before;
    }
    for (size_t i = 0; i < VERBS; i++) cr_expect_eq(calls[i], 0, "%s: %zu calls", verbs[i].name, calls[i]);
    close_path(&p);
}

Test(real_time, the_counters_count) {
    if (!COUNTS_ALLOCATIONS) cr_skip_test("a sanitizer stands in front of the heap");
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    int ends[2];
    char byte = 0;
    cr_assert_eq(pipe(ends), 0);
    size_t before = counted();
    void *volatile memory = malloc(10);
    free(memory);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    cr_assert_eq(write(ends[1], &byte, 1), 1);
    cr_assert_eq(read(ends[0], &byte, 1), 1);
    size_t calls = counted() - before;
    cr_assert_eq(calls, 5);
}

#if defined(__linux__)
/* In a child that may only read, write and exit: which verb it began last comes through the pipe. */
static void run_confined(path *p, int report, bool forbidden) {
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) syscall(SYS_exit, 77);
    rill_kernels_use(NULL); /* chosen anew, as in a program's first step */
    for (unsigned char i = 0; i < VERBS; i++) {
        if (write(report, &i, 1) != 1) syscall(SYS_exit, 1);
        verbs[i].run(p);
        if (forbidden) (void)getppid();
    }
    syscall(SYS_exit, 0); /* _exit would call exit_group, which is not allowed */
}

/* The child's wait status; *last is the verb it was in. */
static int confine(path *p, bool forbidden, unsigned char *last) {
    int ends[2], status = 0;
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) run_confined(p, ends[1], forbidden);
    close(ends[1]);
    while (read(ends[0], last, 1) == 1) {
    }
    close(ends[0]);
    waitpid(child, &status, 0);
    return status;
}

Test(real_time, no_system_call_is_made) {
    if (!COUNTS_ALLOCATIONS) cr_skip_test("a sanitizer makes system calls of its own");
    path p = open_path();
    unsigned char last = 0;
    int status = confine(&p, true, &last);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) cr_skip_test("this machine has no seccomp");
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "a forbidden call is noticed");
    status = confine(&p, false, &last);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: killed for a system call",
              verbs[last].name);
    cr_assert_eq(last, VERBS - 1);
    close_path(&p);
}
#endif
