/* SPDX-License-Identifier: MIT */
/* The shipped model, opened for every test of a suite: TestSuite(name, .init = open_the_model, .fini =
 * close_the_model). */
#ifndef RILL_TEST_THE_MODEL_H
#define RILL_TEST_THE_MODEL_H

#include <criterion/criterion.h>

#include <rill/encoder.h>

static rill_model *model;
static const rill_model_info *info;

static void open_the_model(void) {
    rill_error why = {""};
    cr_assert_eq(rill_model_open(RILL_MODEL, &model, &why), RILL_OK, "%s", why.message);
    info = rill_model_get_info(model);
}

static void close_the_model(void) {
    rill_model_close(model);
}

#endif
