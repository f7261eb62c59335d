/* SPDX-License-Identifier: MIT */
/* Which kernel table is in use. */
#include "kernel_tables.h"

Test(kernels, the_table_in_use_runs_here) {
    bool runs_here, found = false;
    const rill_kernels *kernels;
    for (size_t i = 0; (kernels = rill_kernels_at(i, &runs_here)); i++)
        if (kernels == rill_kernels_get()) found = runs_here;
    cr_assert(found);
    cr_assert_eq(rill_kernels_get(), rill_kernels_get());
}

static void forced(const char *name, const char *want) {
    setenv("RILL_KERNELS", name, 1);
    cr_assert_str_eq(rill_kernels_get()->name, want);
}

Test(kernels, the_environment_forces_a_table) {
    forced("portable", "portable");
}

Test(kernels, a_name_that_does_not_exist_is_as_if_unset) {
    const char *best = NULL;
    bool runs_here;
    const rill_kernels *kernels;
    for (size_t i = 0; (kernels = rill_kernels_at(i, &runs_here)); i++)
        if (runs_here) best = kernels->name;
    forced("abacus", best);
}
