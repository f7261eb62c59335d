/* SPDX-License-Identifier: MIT */
/* rill bench machine. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "bench_machine.h"

#include <argp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <rill/attention.h>
#include <rill/status.h>

#include "bench.h"
#include "command.h"
#include "json_line.h"
#include "message.h"
#include "options.h"

size_t machine_processors(void) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
    return (size_t)CPU_COUNT(&allowed);
}

/* The first line of a file that starts with key, from its value on; "" when there is none. */
static void read_value(const char *path, const char *key, size_t size, char *value) {
    char text[512];
    FILE *file = fopen(path, "r");
    *value = 0;
    if (!file) return;
    while (*value == 0 && fgets(text, sizeof text, file)) {
        if (strncmp(text, key, strlen(key)) != 0) continue;
        const char *at = text + strlen(key);
        at += strspn(at, " \t:");
        snprintf(value, size, "%.*s", (int)strcspn(at, "\n"), at);
    }
    fclose(file);
}

static void tell_processor(json_t *row) {
    char name[128], vendor[64], family[32], model[32], told[288];
    read_value("/proc/cpuinfo", "model name", sizeof name, name);
    read_value("/proc/cpuinfo", "vendor_id", sizeof vendor, vendor);
    read_value("/proc/cpuinfo", "cpu family", sizeof family, family);
    read_value("/proc/cpuinfo", "model\t", sizeof model, model);
    if (*family)
        snprintf(told, sizeof told, "%s (%s family %s model %s)", name, vendor, family, model);
    else
        snprintf(told, sizeof told, "%s", name);
    json_object_set_new(row, "processor", json_text(told));
}

static void tell_caches(json_t *row) {
    char told[256] = "";
    for (int i = 0; i < 6; i++) {
        static const char folder[] = "/sys/devices/system/cpu/cpu0/cache/index";
        char path[128], level[16], type[32], size[32];
        snprintf(path, sizeof path, "%s%d/level", folder, i);
        read_value(path, "", sizeof level, level);
        snprintf(path, sizeof path, "%s%d/type", folder, i);
        read_value(path, "", sizeof type, type);
        snprintf(path, sizeof path, "%s%d/size", folder, i);
        read_value(path, "", sizeof size, size);
        if (!*size || strcmp(type, "Instruction") == 0) continue;
        const size_t used = strlen(told);
        snprintf(told + used, sizeof told - used, "%sL%s %s", used ? ", " : "", level, size);
    }
    if (*told) json_object_set_new(row, "caches", json_text(told));
}

json_t *machine_describe(void) {
    json_t *row = json_object();
    struct utsname system;
    char release[128];
    json_object_set_new(row, "bench", json_string("machine"));
    tell_processor(row);
    tell_caches(row);
    json_object_set_new(row, "processors", json_integer((json_int_t)machine_processors()));
    json_object_set_new(
        row, "memory_gb",
        json_decimal((double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 1e9, 1));
    read_value("/etc/os-release", "PRETTY_NAME=\"", sizeof release, release);
    release[strcspn(release, "\"")] = 0;
    if (uname(&system) == 0) {
        char told[512];
        snprintf(told, sizeof told, "%s, %s %s", *release ? release : "unknown", system.sysname,
                 system.machine);
        json_object_set_new(row, "system", json_text(told));
    }
    json_object_set_new(row, "compiler",
                        json_string(
#ifdef __clang__
                            __VERSION__
#else
                            "gcc " __VERSION__
#endif
                            ));
    json_object_set_new(row, "kernels", json_string(rill_kernels_name()));
    json_object_set_new(row, "version", json_string(rill_version()));
    return row;
}

static const struct argp_child children[] = {{&options_output, 0, NULL, 0}, {0}};

static error_t parse(int key, char *text, struct argp_state *state) {
    (void)text;
    if (key == ARGP_KEY_INIT)
        options_share(state, children, state->input);
    else if (key == ARGP_KEY_ARG)
        argp_usage(state);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

int bench_machine(int count, char **arguments) {
    struct options shared = options_defaults();
    const struct argp argp = {NULL, parse, NULL, "Tells what figures are measured on.", children, NULL, NULL};
    options_parse(&argp, count, arguments, &shared);
    json_t *row = machine_describe();
    if (shared.json) return json_line(row) ? EXIT_DONE : EXIT_OUTPUT;
    const char *key;
    json_t *value;
    json_object_foreach(row, key, value) {
        if (json_is_string(value) && strcmp(key, "bench") != 0)
            printf("%-11s %s\n", key, json_string_value(value));
        else if (json_is_number(value))
            printf("%-11s %g\n", key, json_number_value(value));
    }
    json_decref(row);
    return output_flush() ? EXIT_DONE : EXIT_OUTPUT;
}
