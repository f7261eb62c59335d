/* SPDX-License-Identifier: MIT */
/* rill bench kernels, which is a list of races. A race measures every table at one shape, in turn with the
 * limits. */
#ifndef BENCH_KERNELS_H
#define BENCH_KERNELS_H

#include "bench_job.h"
#include "bench_output.h"
#include "bench_race.h"
#include "kernels/kernels.h"

enum { TABLES_MAX = 12 };

struct kernels_bench {
    struct bench_output output;
    struct race_rules race_rules;
    const rill_kernels *tables[TABLES_MAX]; /* from slow to fast; see order_tables */
    size_t tables_count;
    const char *model; /* NULL: the embedded one */
};

struct planned_race {
    int (*run)(struct kernels_bench *bench, const struct planned_race *planned); /* returns an exit code */
    const char *what, *rule_name;
    rill_update_rule rule;
    enum job_kind kind;
    bool decay_per_key;
    size_t heads, dim, length;
};

/* prefill, delta_prefill, step, step_folded */
int race_attention(struct kernels_bench *bench, const struct planned_race *planned);
/* feature_map: rule_name is elu1 or exp */
int race_feature_map(struct kernels_bench *bench, const struct planned_race *planned);
/* encoder_step, encoder_batch: length streams at once */
int race_encoder(struct kernels_bench *bench, const struct planned_race *planned);

#endif
