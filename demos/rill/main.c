/* SPDX-License-Identifier: MIT */
/* rill: who is speaking now. Finds the command and runs it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rill/attention.h>
#include <rill/status.h>

#include "command.h"
#include "message.h"

static const struct {
    const char *name;
    const char *summary;
    int (*run)(int count, char **arguments);
} commands[] = {
    {"listen", "who is speaking now, on a live microphone", command_listen},
    {"track", "who spoke when, in recordings", command_track},
    {"devices", "list the microphones", command_devices},
    {"enroll", "learn a voice by name", command_enroll},
    {"identify", "which enrolled speaker a recording sounds like", command_identify},
    {"speakers", "list, rename or remove enrolled speakers", command_speakers},
    {"embed", "the voice embedding of a recording or of many segments, as JSON", command_embed},
    {"eval", "diarization error rate of RTTM files", command_eval},
    {"model", "what is in a model file", command_model},
    {"bench", "what following a conversation costs on this machine", command_bench},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *to) {
    fputs("rill tells who is speaking now: on a live microphone, and in recordings.\n\n"
          "Usage: rill COMMAND [OPTION...] [ARGUMENT...]\n\n",
          to);
    for (size_t i = 0; i < COMMANDS; i++) fprintf(to, "  %-9s  %s\n", commands[i].name, commands[i].summary);
    fputs(
        "\nTry first:\n"
        "  rill listen                     talk; Ctrl-C ends\n"
        "  rill track meeting.wav          who spoke when in a recording\n"
        "  rill enroll Anna anna.wav       from now on, Anna is called by her name\n\n"
        "rill help COMMAND, or rill COMMAND --help, tells more; man rill tells all.\n\n"
        "Exit codes: 0 done; 1 an input is missing, broken or refused; 2 wrong usage; 3 no such microphone;\n"
        "4 the microphone vanished; 5 output could not be written.\n",
        to);
}

static int run(const char *name, int count, char **arguments) {
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i].name) != 0) continue;
        char full_name[32];
        snprintf(full_name, sizeof full_name, "rill %s", name);
        arguments[0] = full_name;
        return commands[i].run(count, arguments);
    }
    complain("there is no command \"%s\"; rill --help lists them", name);
    return EXIT_USAGE;
}

/* A file opened later must not become standard output because the caller had closed it. */
static void hold_standard_streams(void) {
    for (int stream = 0; stream <= 2; stream++)
        if (fcntl(stream, F_GETFD) < 0 && open("/dev/null", stream == 0 ? O_WRONLY : O_RDONLY) < 0) abort();
}

static void leave_with_output_written(void) {
    if (!output_flush()) _exit(EXIT_OUTPUT);
}

int main(int count, char **arguments) {
    hold_standard_streams();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is told by write, like a full disk, */
    signal(SIGXFSZ, SIG_IGN); /* and so is a limit of file sizes */
    atexit(leave_with_output_written);
    const char *name = count > 1 ? arguments[1] : NULL;
    if (!name) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
        printf("rill %s (kernels: %s)\n", rill_version(), rill_kernels_name());
        return EXIT_DONE;
    }
    bool help = !strcmp(name, "help");
    if (help && count > 2 && arguments[2][0] != '-') {
        char ask[] = "--help";
        char *arguments_of_help[] = {arguments[2], ask, NULL};
        return run(arguments[2], 2, arguments_of_help);
    }
    if (help || !strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "-?")) {
        print_help(stdout);
        return EXIT_DONE;
    }
    return run(name, count - 1, arguments + 1);
}
