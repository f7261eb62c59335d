/* SPDX-License-Identifier: MIT */
/* Model files in memory, opened or refused. */
#ifndef RILL_TEST_MODEL_OPENED_H
#define RILL_TEST_MODEL_OPENED_H

#include <criterion/criterion.h>

#include <rill/encoder.h>

#include "model_bytes.h"

static inline rill_model *open_bytes(file_bytes file) {
    rill_model *model;
    rill_error why = {""};
    cr_assert_eq(rill_model_from_memory("x", file.data, file.size, &model, &why), RILL_OK, "%s", why.message);
    return model;
}

static inline void expect_refused(file_bytes file, rill_status status, const char *reason) {
    rill_model *model = (rill_model *)file.data;
    rill_error why = {""};
    cr_expect_eq(rill_model_from_memory("x.file", file.data, file.size, &model, &why), status, "%s: %s",
                 reason, why.message);
    cr_expect_null(model);
    cr_expect(strstr(why.message, "x.file: ") == why.message && strstr(why.message, reason), "%s: %s", reason,
              why.message);
    for (const char *c = why.message; *c; c++) cr_expect((unsigned char)*c >= ' ', "%s", why.message);
}

/* The place of the data of the first tensor whose name ends like this. */
static inline unsigned char *data_of(file_bytes file, const char *name) {
    const char *place = strstr((const char *)file.data + 8, name);
    cr_assert(place, "%s", name);
    return file.data + 8 + header_size_of(file) +
           strtoul(strchr(strstr(place, "data_offsets"), '[') + 1, NULL, 10);
}

#endif
