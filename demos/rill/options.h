/* SPDX-License-Identifier: MIT */
/* The options that commands share, as argp children a command takes what it needs of. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

struct options {
    bool json, quiet;
    const char *model;                 /* NULL: the embedded one */
    const char *speakers;              /* NULL: the default file; "": none */
    const char *device;                /* NULL: the default one */
    unsigned channel;                  /* 1 …, RILL_CHANNEL_MIX */
    double latency;                    /* NAN: the model's */
    double threshold;                  /* NAN: the model's */
    size_t max_speakers;               /* 0: the model's */
    const char *rttm, *rttm_corrected; /* "-": standard output */
    char **words;                      /* what is no option */
    size_t count;
};

struct options options_defaults(void);

extern const struct argp options_output;   /* --json --quiet */
extern const struct argp options_model;    /* --model */
extern const struct argp options_speakers; /* --speakers */
extern const struct argp options_device;   /* --device */
extern const struct argp options_channel;  /* --channel */
extern const struct argp options_tracking; /* --latency --threshold --max-speakers --rttm --rttm-corrected */

/* Parses a command line and leaves with EXIT_USAGE and a hint when it makes no sense. */
void options_parse(const struct argp *argp, int count, char **arguments, void *input);

/* For ARGP_KEY_INIT: every child of a command writes to shared. */
void options_share(struct argp_state *state, const struct argp_child *children, struct options *shared);

/* argp_error with a name of a file in it, which a terminal might obey. */
void options_refuse(struct argp_state *state, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A number within least … greatest; ends the program through argp_error otherwise. */
double options_number(struct argp_state *state, const char *option, const char *text, double least,
                      double greatest);
/* The same of whole numbers. */
size_t options_whole_number(struct argp_state *state, const char *option, const char *text, double least,
                            double greatest);

/* Whether the turns go to standard output as RTTM: then nothing else does. */
bool options_rttm_is_output(const struct options *options);

/* Whether both names are given and mean one file: what is read must not be written over. */
bool options_same_file(const char *a, const char *b);

#endif
