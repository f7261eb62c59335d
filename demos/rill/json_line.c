/* SPDX-License-Identifier: MIT */
#include "json_line.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "text.h"

bool json_line(json_t *object) {
    /* 9 digits bring every float back; times in milliseconds fit for eleven days. */
    int failed = json_dumpf(object, stdout, JSON_REAL_PRECISION(9));
    json_decref(object);
    putchar('\n');
    bool written = output_flush();
    return failed == 0 && written;
}

json_t *json_text(const char *text) {
    json_t *string = json_string(text);
    if (string) return string;
    size_t capacity = 3 * strlen(text) + 1;
    char *clean = malloc(capacity);
    if (!clean) return json_null();
    text_clean(clean, capacity, text);
    string = json_string(clean);
    free(clean);
    return string;
}

json_t *json_decimal(double number, int decimals) {
    if (!isfinite(number)) return json_null();
    double unit = pow(10, decimals);
    return json_real(round(number * unit) / unit);
}

double json_member(const json_t *object, const char *key) {
    const json_t *member = json_object_get(object, key);
    return json_is_number(member) ? json_number_value(member) : NAN;
}

const char *json_member_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}
