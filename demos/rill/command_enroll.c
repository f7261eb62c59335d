/* SPDX-License-Identifier: MIT */
/* rill enroll: learn a voice by name. */
#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rill/stream/tracker.h>

#include "chosen_model.h"
#include "chosen_speakers.h"
#include "clock.h"
#include "command.h"
#include "frame.h"
#include "json_line.h"
#include "message.h"
#include "microphone.h"
#include "options.h"
#include "segment.h"
#include "terminal.h"
#include "text.h"

/* Seconds of speech: below the first a voice is refused, from the second on it is enough. */
static const double least_speech = 2, enough_speech = 10;

/* Judged as it is told, to a tenth of a second: 2.0 s are not less than 2. */
static bool reaches(double seconds, double limit) {
    return seconds > limit - 0.05;
}

struct arguments {
    struct options shared;
    const char *name;
    double listen;
    bool force;
};

enum { KEY_FORCE = 0x1000 };

static const struct argp_child children[] = {{&options_output, 0, NULL, 0},   {&options_model, 0, NULL, 0},
                                             {&options_speakers, 0, NULL, 0}, {&options_channel, 0, NULL, 0},
                                             {&options_device, 0, NULL, 0},   {0}};

static const struct argp_option own[] = {
    {"listen", 'l', "SECONDS", 0, "Learn from the microphone, for so long", 0},
    {"force", KEY_FORCE, NULL, 0, "Keep the voice even with less than 2 s of speech", 0},
    {0},
};

static void check(struct argp_state *state, struct arguments *arguments) {
    if (arguments->shared.count == 0) argp_error(state, "no name given");
    arguments->name = *arguments->shared.words++;
    arguments->shared.count--;
    if (!*arguments->name || strlen(arguments->name) >= RILL_NAME_SIZE)
        argp_error(state, "a name has 1 to %d bytes", RILL_NAME_SIZE - 1);
    if (arguments->listen > 0 && arguments->shared.count > 0)
        argp_error(state, "learn from recordings or from the microphone, one at a time");
    if (!(arguments->listen > 0) && arguments->shared.count == 0)
        argp_error(state, "nothing to learn %s's voice from: give recordings, or --listen 30",
                   arguments->name);
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        options_share(state, children, &arguments->shared);
        break;
    case 'l':
        arguments->listen = options_number(state, "--listen", text, 1, 3600);
        break;
    case KEY_FORCE:
        arguments->force = true;
        break;
    case ARGP_KEY_END:
        check(state, arguments);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char doc[] =
    "Learns a voice from recordings of one speaker, or from the microphone, and keeps it in the speaker file."
    "\v10 seconds of speech are enough, less than 2 are refused. The same name again adds to what is known. "
    "listen and track take a file of up to 64 voices, identify one of up to 4096. The file is yours alone "
    "(mode 0600): a voice is personal data.\n\n"
    "Examples:\n"
    "  rill enroll Anna anna.wav\n"
    "  rill enroll Anna --listen 30\n\n"
    "Exit codes: 0 learned; 1 too little speech, or an input is broken; 2 wrong usage; 3 no such microphone; "
    "4 the microphone vanished (what was heard is kept where it is enough); 5 the speaker file could not be "
    "written.";

/* A voice being put together: Σ seconds · embedding. */
struct learned {
    size_t dim;
    float *sum, *one;
    double seconds;
};

static void add(struct learned *learned, double seconds) {
    for (size_t i = 0; i < learned->dim; i++) learned->sum[i] += (float)seconds * learned->one[i];
    learned->seconds += seconds;
}

static void show_progress(const char *name, double seconds, const char *ending) {
    struct frame frame;
    char text[3 * RILL_NAME_SIZE + 96], clean[3 * RILL_NAME_SIZE];
    size_t columns, rows;
    terminal_size(&columns, &rows);
    text_clean(clean, sizeof clean, name);
    frame_begin(&frame, columns - 1);
    snprintf(text, sizeof text, "%s: ", clean);
    frame_text(&frame, text);
    frame_style(&frame, "\x1b[7m");
    frame_bar(&frame, 20, 1 - seconds / enough_speech);
    frame_style(&frame, "\x1b[0m");
    snprintf(text, sizeof text, " %.1f of %.0f s of speech%s", seconds, enough_speech,
             reaches(seconds, enough_speech) ? ": enough" : "");
    frame_text(&frame, text);
    frame_end_line(&frame, ending);
    fputs("\r", stderr);
    fwrite(frame.bytes, 1, frame.used, stderr);
}

static int learn_from_files(struct learned *learned, const struct arguments *arguments,
                            const rill_model *model) {
    for (size_t i = 0; i < arguments->shared.count; i++) {
        double seconds;
        rill_error why;
        rill_status status = segment_embed_file(model, arguments->shared.words[i], arguments->shared.channel,
                                                &seconds, learned->one, &why);
        if (status != RILL_OK) {
            complain("%s", why.message);
            return EXIT_INPUT;
        }
        add(learned, seconds);
        if (!arguments->shared.quiet && !arguments->shared.json)
            remark("%s: %.1f s of speech, %.1f of %.0f s in all", arguments->shared.words[i], seconds,
                   learned->seconds, enough_speech);
    }
    return EXIT_DONE;
}

struct listening {
    const char *name;
    rill_embedder *embedder;
    bool show;
    double shown;
};

static bool on_block(void *receiver, size_t count, const float *samples) {
    struct listening *listening = receiver;
    rill_embedder_push(listening->embedder, count, samples);
    return true;
}

static bool on_tick(void *receiver) {
    struct listening *listening = receiver;
    double now = clock_now();
    if (!listening->show || now - listening->shown < 0.1) return true;
    listening->shown = now;
    show_progress(listening->name, rill_embedder_speech_seconds(listening->embedder), "");
    return true;
}

static int learn_from(struct learned *learned, const struct arguments *arguments, const rill_model *model,
                      rill_live *live) {
    struct listening listening = {.name = arguments->name,
                                  .show = isatty(STDERR_FILENO) && !arguments->shared.quiet};
    rill_error why;
    unsigned rate = rill_live_sample_rate_hz(live);
    if (rill_embedder_open(model, rate, &listening.embedder, &why) != RILL_OK) {
        complain("%s", why.message);
        return EXIT_INPUT;
    }
    if (!arguments->shared.quiet)
        remark("listening on %s for %.0f s: let %s talk; Ctrl-C ends sooner", rill_live_device_name(live),
               arguments->listen, arguments->name);
    stop_watch();
    rill_status status = microphone_listen(live, arguments->listen, on_block, on_tick, &listening, &why);
    double seconds = rill_embedder_finish(listening.embedder, learned->one);
    if (listening.show) show_progress(arguments->name, seconds, "\r\n");
    add(learned, seconds);
    rill_embedder_close(listening.embedder);
    if (status != RILL_OK) complain("%s", why.message);
    return microphone_exit_code(status);
}

static int learn_from_microphone(struct learned *learned, const struct arguments *arguments,
                                 const rill_model *model) {
    rill_live *live = NULL;
    unsigned wished = rill_model_get_info(model)->sample_rate_hz;
    rill_status status = microphone_open(arguments->shared.device, arguments->shared.channel, wished, &live);
    if (status != RILL_OK) return microphone_exit_code(status);
    int code = learn_from(learned, arguments, model, live);
    rill_live_close(live);
    return code;
}

/* What the speaker file has to say of a voice before it is added to it. */
struct likeness {
    bool known;   /* there is one of that name */
    double score; /* with it */
    bool another; /* one of another name is that alike, though that one is not */
    char other[RILL_NAME_SIZE];
    double other_score;
};

static struct likeness compare(const struct learned *learned, const rill_voice_model *voices,
                               const rill_speakers *speakers, const char *name) {
    struct likeness found = {0};
    for (size_t i = 0; i < rill_speakers_count(speakers); i++) {
        const rill_enrolled enrolled = rill_speakers_at(speakers, i);
        const double score = (double)rill_voice_score(voices, learned->sum, learned->seconds,
                                                      enrolled.embedding, enrolled.seconds, NULL);
        if (strcmp(enrolled.name, name) == 0) {
            found.known = true;
            found.score = score;
        } else if (score > found.other_score) {
            snprintf(found.other, sizeof found.other, "%s", enrolled.name);
            found.other_score = score;
        }
    }
    found.another = found.known && found.score < SPEAKERS_ALIKE && found.other_score >= SPEAKERS_ALIKE;
    return found;
}

static void warn_of_another_voice(const struct likeness *likeness, const char *name) {
    char other[RILL_NAME_SIZE + 32] = "";
    if (!likeness->known || likeness->score >= SPEAKERS_ALIKE) return;
    if (likeness->another)
        snprintf(other, sizeof other, ", but like %s (%.2f)", likeness->other, likeness->other_score);
    complain(
        "%s: this does not sound like the voice known by that name (score %.2f)%s; it is added all the "
        "same. If it is somebody else's: rill speakers remove \"%s\", then enroll each by a name of its own",
        name, likeness->score, other, name);
}

static bool tell(const struct arguments *arguments, const rill_speakers *speakers, double heard,
                 const struct likeness *likeness, const char *path) {
    double seconds = heard;
    for (size_t i = 0; i < rill_speakers_count(speakers); i++)
        if (!strcmp(rill_speakers_at(speakers, i).name, arguments->name))
            seconds = rill_speakers_at(speakers, i).seconds;
    if (!arguments->shared.quiet) warn_of_another_voice(likeness, arguments->name);
    if (arguments->shared.json) {
        json_t *made = json_object();
        json_object_set_new(made, "name", json_text(arguments->name));
        json_object_set_new(made, "speech_seconds", json_decimal(heard, 3));
        json_object_set_new(made, "total_seconds", json_decimal(seconds, 3));
        json_object_set_new(made, "score", likeness->known ? json_decimal(likeness->score, 4) : json_null());
        json_object_set_new(made, "sounds_like",
                            likeness->another ? json_text(likeness->other) : json_null());
        json_object_set_new(made, "speakers", json_text(path));
        return json_line(made);
    }
    char name[3 * RILL_NAME_SIZE], file[SPEAKERS_PATH_SIZE];
    text_clean(name, sizeof name, arguments->name);
    text_clean(file, sizeof file, path);
    if (arguments->shared.quiet) return true;
    printf("%s is known now, from %.1f s of speech, in %s\n", name, seconds, file);
    if (!reaches(seconds, enough_speech))
        printf("%.1f s more would make it safer: enroll %s again with another recording\n",
               enough_speech - seconds, name);
    return output_flush();
}

/* Asked before anybody talks for a minute: is the name one, and the file one that voices can be added to? An
 * exit code. */
static int can_keep(struct learned *learned, const struct arguments *arguments, const rill_model *model) {
    char path[SPEAKERS_PATH_SIZE];
    rill_error why;
    if (!chosen_speakers_path(path, arguments->shared.speakers)) return EXIT_INPUT;
    rill_speakers *speakers = chosen_speakers_open(model, arguments->shared.speakers, MISSING_IS_EMPTY);
    if (!speakers) return EXIT_INPUT;
    int code = EXIT_DONE;
    learned->one[0] = 1; /* any voice */
    if (rill_speakers_enroll(speakers, arguments->name, learned->one, 1, &why) != RILL_OK)
        code = EXIT_INPUT;
    else if (rill_speakers_can_write(path, &why) != RILL_OK)
        code = EXIT_OUTPUT;
    if (code != EXIT_DONE) complain("%s", why.message);
    rill_speakers_destroy(speakers);
    return code;
}

static int keep(const struct learned *learned, const struct arguments *arguments, const rill_model *model,
                const rill_voice_model *voices) {
    if (!reaches(learned->seconds, least_speech) && !arguments->force) {
        complain(
            "%s: only %.1f s of speech were heard, and at least %.0f are needed: %.1f s are missing (--force "
            "keeps it all the same)",
            arguments->name, learned->seconds, least_speech, least_speech - learned->seconds);
        return EXIT_INPUT;
    }
    char path[SPEAKERS_PATH_SIZE];
    rill_error why;
    if (!chosen_speakers_path(path, arguments->shared.speakers)) return EXIT_INPUT;
    chosen_speakers_lock(path);
    rill_speakers *speakers = chosen_speakers_open(model, arguments->shared.speakers, MISSING_IS_EMPTY);
    if (!speakers) return EXIT_INPUT;
    const struct likeness likeness = compare(learned, voices, speakers, arguments->name);
    int code = EXIT_DONE;
    if (rill_speakers_enroll(speakers, arguments->name, learned->sum, learned->seconds, &why) != RILL_OK)
        code = EXIT_INPUT;
    else if (rill_speakers_write(speakers, path, &why) != RILL_OK)
        code = EXIT_OUTPUT;
    if (code != EXIT_DONE)
        complain("%s", why.message);
    else if (!tell(arguments, speakers, learned->seconds, &likeness, path))
        code = EXIT_OUTPUT;
    rill_speakers_destroy(speakers);
    return code;
}

static void make_unit(float *vector, size_t dim) {
    double square = 0;
    for (size_t i = 0; i < dim; i++) square += (double)vector[i] * (double)vector[i];
    for (size_t i = 0; square > 0 && i < dim; i++) vector[i] = (float)((double)vector[i] / sqrt(square));
}

int command_enroll(int count, char **arguments_given) {
    struct arguments arguments = {.shared = options_defaults()};
    const struct argp argp = {own, parse, "NAME FILE...\nNAME --listen SECONDS", doc, children, NULL, NULL};
    options_parse(&argp, count, arguments_given, &arguments);
    if (arguments.shared.speakers && !*arguments.shared.speakers) {
        complain("--speakers names no file to keep the voice in");
        return EXIT_USAGE;
    }
    rill_model *model = chosen_model_open(arguments.shared.model);
    if (!model) return EXIT_INPUT;
    size_t dim = rill_model_get_info(model)->embedding_dim;
    struct learned learned = {dim, calloc(dim, sizeof(float)), calloc(dim, sizeof(float)), 0};
    rill_voice_model *voices;
    rill_error why;
    int code = EXIT_INPUT;
    if (rill_voice_model_create(model, &voices, &why) != RILL_OK)
        complain("%s", why.message);
    else if (!learned.sum || !learned.one)
        complain("out of memory for a voice");
    else
        code = can_keep(&learned, &arguments, model);
    if (code == EXIT_DONE)
        code = arguments.listen > 0 ? learn_from_microphone(&learned, &arguments, model)
                                    : learn_from_files(&learned, &arguments, model);
    /* What came before the microphone vanished is as good as what comes before a Ctrl-C. */
    if (code == EXIT_DONE || code == EXIT_DEVICE_LOST) {
        make_unit(learned.sum, dim);
        const int kept = keep(&learned, &arguments, model, voices);
        if (code == EXIT_DONE || kept == EXIT_OUTPUT) code = kept;
    }
    free(learned.sum);
    free(learned.one);
    rill_voice_model_destroy(voices);
    rill_model_close(model);
    return code;
}
