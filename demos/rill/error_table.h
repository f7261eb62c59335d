/* SPDX-License-Identifier: MIT */
/* Diarization errors as a table for people, or as JSON. */
#ifndef ERROR_TABLE_H
#define ERROR_TABLE_H

#include <stdbool.h>

#include <rill/stream/diarization.h>

/* The fractions of reference speech; 0 when there is neither reference nor error, NAN when there is only
 * error. */
struct error_rates {
    double missed, false_alarm, confusion, total;
};
struct error_rates error_rates(const rill_diarization_error *error);

/* Adds an error to a total. */
void error_add(rill_diarization_error *total, const rill_diarization_error *error);

/* All return false when standard output could not be written. */
bool error_table_head(void);
bool error_table_row(const rill_diarization_error *error);
/* event: told as "event" before the rest, or NULL. */
bool error_json_row(const char *event, const rill_diarization_error *error);

#endif
