/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <string.h>

#include <rill/status.h>

Test(status, every_value_has_its_own_words) {
    for (int a = RILL_OK; a <= RILL_DEVICE_LOST; a++) {
        cr_assert_str_neq(rill_status_text((rill_status)a), "unknown status");
        for (int b = RILL_OK; b < a; b++)
            cr_assert_str_neq(rill_status_text((rill_status)a), rill_status_text((rill_status)b));
    }
    cr_assert_str_eq(rill_status_text((rill_status)99), "unknown status");
}

Test(status, version_is_the_header_s) {
    cr_assert_str_eq(rill_version(), RILL_VERSION);
}
