/* SPDX-License-Identifier: MIT */
/* Gated slot attention (2409.07146): two gated recurrences over the slots, a softmax between them,
 *
 *     hk = hk diag(g) + k sᵀ,  hv = diag(g) hv + s vᵀ,  o = softmax(scale qᵀ hk)ᵀ hv
 *
 * The second is the gated rule. The first is its transpose: keys s and values k, read across, which is done
 * here, step by step. */
#include <math.h>
#include <string.h>

#include "conformance_forms.h"

static const double tolerance = 1e-5;

typedef struct gated_slots {
    const conformance_tensor *q, *k, *v, *s, *g; /* [B][T][H][dim] */
} gated_slots;

static recurrence recurrence_of(const gated_slots *a, const float *queries,
                                const conformance_tensor *values) {
    recurrence r = {.batches = a->s->shape[0]};
    r.shape = (rill_attention_shape){.rule = RILL_RULE_GATED,
                                     .decay = RILL_DECAY_STEP_KEY,
                                     .heads = a->s->shape[2],
                                     .query_heads = a->s->shape[2],
                                     .key_dim = a->s->shape[3],
                                     .value_dim = values->shape[3],
                                     .scale = 1};
    r.steps = (rill_sequence){.length = a->s->shape[1],
                              .queries = queries,
                              .keys = a->s->values,
                              .values = values->values,
                              .log_decay = a->g->values};
    return r;
}

static void softmax(size_t count, float *x) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += exp((double)x[i]);
    for (size_t i = 0; i < count; i++) x[i] = (float)(exp((double)x[i]) / sum);
}

/* softmax(scale S q) for the S [slots][key_dim] of one head */
static void choose_slots(const recurrence *r, const float *S, const float *query, float *slots) {
    size_t count = r->shape.key_dim, dim = r->shape.value_dim;
    for (size_t m = 0; m < count; m++) {
        double sum = 0;
        for (size_t d = 0; d < dim; d++) sum += (double)S[m * dim + d] * (double)query[d];
        slots[m] = (float)(sum / sqrt((double)dim));
    }
    softmax(count, slots);
}

/* What each step looks for in the slots: [B][T][H][slots]; hk is expected on the way. */
static float *look_for_slots(conformance_case *c, const gated_slots *a) {
    recurrence r = recurrence_of(a, NULL, a->k);
    size_t heads = r.shape.heads, count = r.shape.key_dim, dim = r.shape.value_dim, length = r.steps.length;
    float *slots = conformance_floats(c, a->s->count),
          *hk = conformance_floats(c, r.batches * heads * count * dim);
    float *state = conformance_memory(c, rill_attention_size(&r.shape));
    for (size_t b = 0; b < r.batches; b++) {
        rill_attention_init(&r.shape, state);
        for (size_t t = b * length; t < (b + 1) * length; t++) {
            rill_sequence step = {.length = 1,
                                  .keys = r.steps.keys + t * heads * count,
                                  .values = r.steps.values + t * heads * dim,
                                  .log_decay = r.steps.log_decay + t * heads * count};
            rill_attention_write(&r.shape, state, &step);
            for (size_t h = 0; h < heads; h++)
                choose_slots(&r, state + h * count * dim, a->q->values + (t * heads + h) * dim,
                             slots + (t * heads + h) * count);
        }
        memcpy(hk + b * heads * count * dim, state, heads * count * dim * sizeof *hk);
    }
    conformance_expect(c, "out.hk", recurrence_swap(c, hk, r.batches * heads, count, dim, 1), tolerance);
    return slots;
}

static void expect(conformance_case *c, const recurrence *r, const void *unused) {
    (void)unused;
    conformance_expect(c, "out.o", r->output, tolerance);
    conformance_expect(c, "out.hv", r->S, tolerance);
}

static void run(conformance_case *c) {
    gated_slots a;
    if (!conformance_need(c, "in.q", &a.q) || !conformance_need(c, "in.k", &a.k) ||
        !conformance_need(c, "in.v", &a.v) || !conformance_need(c, "in.s", &a.s) ||
        !conformance_need(c, "in.g_log", &a.g))
        return;
    recurrence r = recurrence_of(&a, look_for_slots(c, &a), a.v);
    recurrence_run_forms(c, &r, expect, NULL);
}

static bool knows(const conformance_case *c) {
    return strcmp(conformance_folder(c), "fla_naive") == 0 && conformance_file_starts(c, "gsa_");
}

const conformance_family conformance_gated_slots = {"gated slot attention", knows, run};
