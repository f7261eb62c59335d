/* SPDX-License-Identifier: MIT */
/* The commands of the program, and what their exit codes mean. */
#ifndef COMMAND_H
#define COMMAND_H

enum exit_code {
    EXIT_DONE = 0,        /* all went well */
    EXIT_INPUT = 1,       /* a file, model, speaker or state was missing, broken or refused */
    EXIT_USAGE = 2,       /* the command line makes no sense */
    EXIT_NO_DEVICE = 3,   /* there is no such microphone, or it could not be started */
    EXIT_DEVICE_LOST = 4, /* the microphone vanished while in use */
    EXIT_OUTPUT = 5       /* standard output or a file could not be written: disk full, closed pipe */
};

/* Each takes its own name as arguments[0] and returns an exit code. */
int command_listen(int count, char **arguments);
int command_track(int count, char **arguments);
int command_devices(int count, char **arguments);
int command_enroll(int count, char **arguments);
int command_identify(int count, char **arguments);
int command_embed(int count, char **arguments);
int command_eval(int count, char **arguments);
int command_model(int count, char **arguments);
int command_speakers(int count, char **arguments);
int command_bench(int count, char **arguments);

#endif
