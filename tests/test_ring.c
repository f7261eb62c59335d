/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <string.h>

#include "random_numbers.h"
#include "ring.h"

Test(ring, gives_back_what_fitted_in_order_and_counts_the_rest) {
    random_seed(7);
    for (size_t trial = 0; trial < 50; trial++) {
        rill_ring ring;
        const size_t asked = 1 + random_below(300);
        cr_assert_eq(rill_ring_init(&ring, asked, NULL), RILL_OK);
        /* as after a very long time: the counters are about to wrap */
        if (trial % 2) {
            atomic_store(&ring.written, SIZE_MAX - random_below(1000));
            atomic_store(&ring.taken, atomic_load(&ring.written));
        }
        float block[700], next_in = 0, next_out = 0;
        size_t inside = 0;
        uint64_t lost = 0;
        for (size_t turn = 0; turn < 500; turn++) {
            size_t count = random_below(700);
            for (size_t i = 0; i < count; i++) block[i] = next_in + (float)i;
            const size_t fits = rill_ring_write(&ring, count, block);
            inside += fits;
            lost += count - fits;
            next_in += (float)fits; /* the lost ones are offered again, so that the order shows */
            cr_assert(fits == count || inside == ring.mask + 1, "a sample lost with room left");
            count = rill_ring_read(&ring, random_below(700), block);
            cr_assert_leq(count, inside);
            for (size_t i = 0; i < count; i++) cr_assert_float_eq(block[i], next_out + (float)i, 0);
            next_out += (float)count;
            inside -= count;
        }
        cr_assert_geq(ring.mask + 1, asked);
        cr_assert_eq(rill_ring_lost(&ring), lost);
        rill_ring_lose(&ring, 5);
        cr_assert_eq(rill_ring_lost(&ring), lost + 5);
        cr_assert_eq(rill_ring_read(&ring, 0, block) + rill_ring_write(&ring, 0, block), 0u);
        rill_ring_release(&ring);
        rill_ring_release(&ring);
    }
}

Test(ring, refuses_sizes_that_are_none) {
    rill_ring ring;
    rill_error why = {""};
    cr_assert_eq(rill_ring_init(&ring, 0, &why), RILL_BAD_ARGUMENT);
    cr_assert_eq(rill_ring_init(&ring, SIZE_MAX, &why), RILL_BAD_ARGUMENT);
    cr_assert_str_neq(why.message, "");
}
