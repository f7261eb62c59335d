/* SPDX-License-Identifier: MIT */
#include "error_table.h"

#include <math.h>
#include <stdio.h>

#include "json_line.h"
#include "message.h"
#include "text.h"

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
    total->reference_speakers += error->reference_speakers;
    total->hypothesis_speakers += error->hypothesis_speakers;
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

bool error_table_row(const rill_diarization_error *error) {
    struct error_rates rates = error_rates(error);
    char file[3 * sizeof error->file], speakers[48];
    text_clean(file, sizeof file, error->file);
    snprintf(speakers, sizeof speakers, "%zu of %zu", error->hypothesis_speakers, error->reference_speakers);
    printf("%-24s", file);
    print_rate(rates.missed);
    print_rate(rates.false_alarm);
    print_rate(rates.confusion);
    print_rate(rates.total);
    printf(" %9.2f %9s\n", error->scored, speakers);
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
