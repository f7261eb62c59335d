/* SPDX-License-Identifier: MIT */
/* What a state's shape may be, and what follows from it. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <rill/attention.h>

Test(state, its_size_is_that_of_its_shape) {
    rill_attention_shape shape = {RILL_RULE_LINEAR, RILL_DECAY_NONE, 4, 8, 32, 32, true, 1e-6f, 1};
    cr_assert_eq(rill_attention_size(&shape), 4 * 32 * 33 * sizeof(float));
    shape.normalize = false;
    cr_assert_eq(rill_attention_size(&shape), 4 * 32 * 32 * sizeof(float));
    shape.key_dim = 1, shape.value_dim = 1, shape.heads = 1;
    cr_assert_eq(rill_attention_size(&shape), 64);
}

static void refused(rill_attention_shape shape, const char *word) {
    rill_error why = {""};
    cr_assert_eq(rill_attention_check(&shape, &why), RILL_BAD_ARGUMENT);
    cr_assert(strstr(why.message, word), "\"%s\" should speak of %s", why.message, word);
    cr_assert_eq(rill_attention_check(&shape, NULL), RILL_BAD_ARGUMENT);
}

Test(shape, is_checked) {
    const rill_attention_shape good = {RILL_RULE_GATED, RILL_DECAY_HEAD, 4, 8, 32, 32, true, 1e-6f, 1};
    rill_error why = {"untouched"};
    cr_assert_eq(rill_attention_check(&good, &why), RILL_OK);
    cr_assert_str_eq(why.message, "untouched");
    rill_attention_shape shape;
    shape = good, shape.rule = (rill_update_rule)7, refused(shape, "rule 7");
    shape = good, shape.decay = (rill_decay)-1, refused(shape, "decay -1");
    shape = good, shape.decay = RILL_DECAY_NONE, refused(shape, "needs a decay");
    shape = good, shape.rule = RILL_RULE_LINEAR, refused(shape, "has no decay");
    shape = good, shape.heads = 0, refused(shape, "0 heads");
    shape = good, shape.key_dim = 0, refused(shape, "key dimension 0");
    shape = good, shape.value_dim = 0, refused(shape, "value dimension 0");
    shape = good, shape.query_heads = 0, refused(shape, "query heads");
    shape = good, shape.query_heads = 6, refused(shape, "6 query heads");
    shape = good, shape.epsilon = NAN, refused(shape, "epsilon");
    shape = good, shape.epsilon = -1, refused(shape, "epsilon");
    shape = good, shape.normalize = false, shape.scale = INFINITY, refused(shape, "scale");
    shape = good, shape.key_dim = SIZE_MAX / 64, refused(shape, "size");
    shape = good, shape.value_dim = SIZE_MAX, refused(shape, "size");
    shape = good, shape.key_dim = (size_t)1 << 30, shape.value_dim = ((size_t)1 << 30) - 1,
    refused(shape, "size");
    shape = good, shape.key_dim = 1, shape.value_dim = SIZE_MAX / 16 - 1, refused(shape, "size");
}
