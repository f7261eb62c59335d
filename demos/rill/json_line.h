/* SPDX-License-Identifier: MIT */
/* One JSON object a line on standard output, flushed, so that a reader sees it at once. */
#ifndef JSON_LINE_H
#define JSON_LINE_H

#include <jansson.h>
#include <stdbool.h>

/* Prints the object and takes it over. False when it could not be written (output_flush has said so). */
bool json_line(json_t *object);

/* Text from outside: bytes that are no UTF-8 become U+FFFD. */
json_t *json_text(const char *text);

/* Numbers to a number of decimals; null when not finite. */
json_t *json_decimal(double number, int decimals);

/* A number or a text of an object of ours: NAN and "" when absent. */
double json_member(const json_t *object, const char *key);
const char *json_member_text(const json_t *object, const char *key);

#endif
