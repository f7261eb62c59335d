/* SPDX-License-Identifier: MIT */
#include "error_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_line.h"
#include "message.h"
#include "text.h"

static const double counted_seconds = 1;

static double rate(double seconds, double reference) {
    if (reference > 0) return seconds / reference;
    return seconds > 0 ? NAN : 0;
}

struct error_rates error_rates(const rill_diarization_error *error) {
    double all = error->missed + error->false_alarm + error->confusion;
    return (struct error_rates){rate(error->missed, error->reference),
                                rate(error->false_alarm, error->reference),
                                rate(error->confusion, error->reference), rate(all, error->reference)};
}

void error_add(rill_diarization_error *total, const rill_diarization_error *error) {
    total->reference += error->reference;
    total->missed += error->missed;
    total->false_alarm += error->false_alarm;
    total->confusion += error->confusion;
    total->scored += error->scored;
}

struct heard {
    const char *speaker;
    double seconds;
};

/* Adds a turn to the speaker's time; false when out of memory. */
static bool add_turn(struct heard **heard, size_t *count, const rill_turn *turn) {
    for (size_t i = 0; i < *count; i++)
        if (!strcmp((*heard)[i].speaker, turn->speaker)) {
            (*heard)[i].seconds += turn->duration;
            return true;
        }
    struct heard *grown = realloc(*heard, (*count + 1) * sizeof *grown);
    if (!grown) return false;
    *heard = grown;
    grown[(*count)++] = (struct heard){turn->speaker, turn->duration};
    return true;
}

size_t error_count_speakers(const rill_turns *turns, const char *file) {
    struct heard *heard = NULL;
    size_t count = 0, speakers = 0;
    for (size_t i = 0; i < rill_turns_count(turns); i++) {
        rill_turn turn = rill_turns_at(turns, i);
        if (!strcmp(turn.file, file) && !add_turn(&heard, &count, &turn)) break;
    }
    for (size_t i = 0; i < count; i++) speakers += heard[i].seconds >= counted_seconds;
    free(heard);
    return speakers;
}

bool error_table_head(void) {
    printf("%-24s %8s %8s %8s %8s %9s %9s\n", "file", "missed", "false", "confused", "total", "scored s",
           "speakers");
    return output_flush();
}

static void print_rate(double fraction) {
    if (isfinite(fraction))
        printf(" %7.2f%%", 100 * fraction);
    else
        printf(" %8s", "-");
}

bool error_table_row(const struct error_row *row) {
    struct error_rates rates = error_rates(&row->error);
    char file[3 * sizeof row->error.file], speakers[48];
    text_clean(file, sizeof file, row->error.file);
    snprintf(speakers, sizeof speakers, "%zu of %zu", row->speakers_found, row->speakers_true);
    printf("%-24s", file);
    print_rate(rates.missed);
    print_rate(rates.false_alarm);
    print_rate(rates.confusion);
    print_rate(rates.total);
    printf(" %9.2f %9s\n", row->error.scored, speakers);
    return output_flush();
}

bool error_json_row(const char *event, const rill_diarization_error *error) {
    struct error_rates rates = error_rates(error);
    json_t *made = json_object();
    if (event) json_object_set_new(made, "event", json_string(event));
    json_object_set_new(made, "file", json_text(error->file));
    json_object_set_new(made, "missed", json_decimal(rates.missed, 6));
    json_object_set_new(made, "false_alarm", json_decimal(rates.false_alarm, 6));
    json_object_set_new(made, "confusion", json_decimal(rates.confusion, 6));
    json_object_set_new(made, "total", json_decimal(rates.total, 6));
    json_object_set_new(made, "scored_seconds", json_decimal(error->scored, 3));
    return json_line(made);
}
