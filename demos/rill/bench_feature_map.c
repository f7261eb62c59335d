/* SPDX-License-Identifier: MIT */
/* The races of the feature maps, on rows that a second-level cache holds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rill/feature_map.h>

#include "bench_bounds.h"
#include "bench_figure.h"
#include "bench_inputs.h"
#include "bench_kernels.h"
#include "command.h"
#include "json_line.h"
#include "message.h"

enum { ROWS = 16 }; /* of heads × dim */

struct map_job {
    const rill_kernels *table;
    void (*map)(size_t count, const float *x, float *features);
    size_t count;
    float *x, *features, *expected; /* [count]; x and features are shared */
};

static void run(void *context) {
    struct map_job *job = context;
    job->map(job->count, job->x, job->features);
}

static void before(void *context) {
    struct map_job *job = context;
    rill_kernels_use(job->table);
    memset(job->features, 0xFF, job->count * sizeof *job->features); /* NaN */
}

static bool after(void *context) {
    struct map_job *job = context;
    return memcmp(job->features, job->expected, job->count * sizeof *job->features) == 0;
}

/* The greatest relative error. */
static double check(struct map_job *job, bool elu) {
    before(job);
    run(job);
    memcpy(job->expected, job->features, job->count * sizeof *job->features);
    double worst = 0;
    for (size_t i = 0; i < job->count; i++) {
        double x = (double)job->x[i], feature = elu && x > 0 ? x + 1 : exp(x);
        double error = fabs((double)job->features[i] - feature) / feature;
        if (!(error <= 1)) return INFINITY;
        worst = fmax(worst, error);
    }
    return worst;
}

static void tell(struct kernels_bench *bench, const struct planned_race *planned, const struct bounds *bounds,
                 const struct map_job *job, const struct contender *contender, double error) {
    const double floats = (double)job->count;
    json_t *row =
        figure_row(&(struct figure){.what = planned->what,
                                    .rule = planned->rule_name,
                                    .kernels = job->table->name,
                                    .heads = planned->heads,
                                    .key_dim = planned->dim,
                                    .value_dim = planned->dim,
                                    .length = ROWS,
                                    .threads = 1,
                                    .contender = contender,
                                    .token_heads = floats / (double)planned->dim,
                                    .limit = bounds->read_write ? "read_write" : "none",
                                    .least_seconds = bounds_read_write_seconds(bounds, (double)planned->dim)},
                   bounds);
    json_object_set_new(row, "error", json_real(error));
    json_object_set_new(row, "ns_per_float", json_decimal(1e9 * race_median(contender) / floats, 4));
    bench_output_row(&bench->output, row);
}

int race_feature_map(struct kernels_bench *bench, const struct planned_race *planned) {
    static const double tolerance = 1e-6; /* a few units in the last place */
    const bool elu = strcmp(planned->rule_name, "elu1") == 0;
    const size_t count = ROWS * planned->heads * planned->dim, tables = bench->tables_count;
    float *memory = aligned_memory((2 + tables) * count * sizeof *memory);
    if (!memory) {
        complain("out of memory");
        return EXIT_INPUT;
    }
    float *x = memory, *features = x + count;
    fill_random(count, -4, 4, x);
    struct bounds bounds = {.state = features, .state_floats = count};
    struct contender contenders[BOUNDS_MAX + TABLES_MAX];
    const size_t first = bounds_enter(&bounds, contenders);
    struct map_job jobs[TABLES_MAX];
    double errors[TABLES_MAX];
    int code = EXIT_DONE;
    for (size_t i = 0; i < tables; i++) {
        jobs[i] = (struct map_job){.table = bench->tables[i],
                                   .map = elu ? rill_feature_map_elu1 : rill_feature_map_exponential,
                                   .count = count,
                                   .x = x,
                                   .features = features,
                                   .expected = features + (i + 1) * count};
        errors[i] = check(&jobs[i], elu);
        if (!(errors[i] <= tolerance)) code = EXIT_INPUT;
        contenders[first + i] =
            (struct contender){.run = run, .before = before, .after = after, .context = &jobs[i]};
    }
    if (code != EXIT_DONE || !race(&bench->race_rules, first + tables, contenders)) {
        complain("%s: the features are wrong", planned->rule_name);
        code = EXIT_INPUT;
    }
    for (size_t i = 0; i < tables && code == EXIT_DONE; i++)
        tell(bench, planned, &bounds, &jobs[i], &contenders[first + i], errors[i]);
    free(memory);
    return code;
}
