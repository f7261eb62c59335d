/* SPDX-License-Identifier: MIT */
#include "bench_workshop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_inputs.h"
#include "message.h"

const char *const way_names[WAYS] = {"softmax_recomputed", "softmax_cached", "linear"};

static void make_by_steps(struct maker *maker) {
    uint64_t chance = 1;
    uint8_t before = 0;
    rill_transformer_reset(&maker->model->transformer, maker->stream);
    for (size_t t = 0; t < maker->length; t++) {
        image_embed(maker->model, t, before, maker->rows);
        rill_transformer_step(&maker->model->transformer, maker->stream, 1, maker->rows, maker->out);
        before = maker->image[t] = image_draw(maker->model, maker->out, &chance);
    }
}

static void pass(struct maker *maker, size_t length) {
    const rill_transformer_input input = {.length = length, .x = maker->rows, .sight = {.causal = true}};
    rill_transformer_apply(&maker->model->transformer, &input, maker->out, maker->workspace);
}

static void make_anew(struct maker *maker) {
    uint64_t chance = 1;
    uint8_t before = 0;
    for (size_t t = 0; t < maker->length; t++) {
        image_embed(maker->model, t, before, maker->rows + t * IMAGE_MODEL_DIM);
        pass(maker, t + 1);
        before = maker->image[t] = image_draw(maker->model, maker->out + t * IMAGE_MODEL_DIM, &chance);
    }
}

static void run(void *context) {
    struct maker *maker = context;
    if (maker->way != RECOMPUTED)
        make_by_steps(maker);
    else if (maker->prefix == 0)
        make_anew(maker);
    else
        pass(maker, maker->prefix);
}

static void before(void *context) {
    struct maker *maker = context;
    if (maker->way != RECOMPUTED || maker->prefix == 0) memset(maker->image, 0, maker->length);
}

/* The image is the same every time; random weights make one that is not empty. */
static bool after(void *context) {
    struct maker *maker = context;
    if (maker->way == RECOMPUTED && maker->prefix != 0)
        return isfinite(maker->out[(maker->prefix - 1) * IMAGE_MODEL_DIM]);
    return memcmp(maker->image, maker->expected, maker->length) == 0;
}

static size_t anew_length(const struct workshop *shop, size_t i) {
    return i == 0 ? 1 : shop->length * i / (ANEW - 1);
}

static bool make_maker(struct workshop *shop, enum way way) {
    struct maker *maker = &shop->makers[way];
    *maker = (struct maker){.model = &shop->models[way == LINEAR], .length = shop->length, .way = way};
    const rill_transformer *transformer = &maker->model->transformer;
    const size_t rows = shop->length * IMAGE_MODEL_DIM * sizeof(float);
    maker->rows = aligned_memory(rows);
    maker->out = aligned_memory(rows);
    maker->image = calloc(2, shop->length);
    maker->workspace = aligned_memory(rill_transformer_workspace_size(transformer, shop->length, 0));
    maker->stream = aligned_memory(rill_transformer_size(transformer, shop->length, 0));
    if (!maker->rows || !maker->out || !maker->image || !maker->workspace || !maker->stream) return false;
    maker->expected = maker->image + shop->length;
    rill_transformer_init(transformer, maker->stream, shop->length, 0);
    return true;
}

/* Do the steps give what one pass over the same values gives? Then makes the image that is expected. */
static double check(struct maker *maker) {
    enum { CHECKED = 32 };
    const size_t length = maker->length, checked = length < CHECKED ? length : CHECKED;
    float last[IMAGE_MODEL_DIM];
    maker->length = checked;
    make_by_steps(maker);
    memcpy(last, maker->out, sizeof last);
    for (size_t t = 0; t < checked; t++)
        image_embed(maker->model, t, t ? maker->image[t - 1] : 0, maker->rows + t * IMAGE_MODEL_DIM);
    pass(maker, checked);
    double worst = 0;
    for (size_t i = 0; i < IMAGE_MODEL_DIM; i++) {
        const double difference =
            fabs((double)last[i] - (double)maker->out[(checked - 1) * IMAGE_MODEL_DIM + i]);
        if (!(difference <= worst)) worst = isnan(difference) ? INFINITY : difference;
    }
    maker->length = length;
    return worst;
}

bool workshop_open(struct workshop *shop) {
    bool well =
        image_model_make(shop->data->layers, shop->length, RILL_MULTIHEAD_SOFTMAX, &shop->models[0]) &&
        image_model_make(shop->data->layers, shop->length, RILL_MULTIHEAD_LINEAR, &shop->models[1]);
    for (enum way way = 0; way < WAYS && well; way++) well = make_maker(shop, way);
    return well;
}

void workshop_close(struct workshop *shop) {
    for (size_t i = 0; i < WAYS; i++) {
        free(shop->makers[i].rows);
        free(shop->makers[i].out);
        free(shop->makers[i].image);
        free(shop->makers[i].workspace);
        free(shop->makers[i].stream);
    }
    for (size_t i = 0; i < 2; i++) image_model_free(&shop->models[i]);
}

static void enter(struct workshop *shop, struct maker *maker) {
    shop->contenders[shop->count++] =
        (struct contender){.run = run, .before = before, .after = after, .context = maker};
}

bool workshop_ready(struct workshop *shop, double errors[WAYS]) {
    static const double tolerance = 2e-4; /* rows are of length 16; rounding of 16 layers */
    for (enum way way = 0; way < WAYS; way++) {
        struct maker *maker = &shop->makers[way];
        errors[way] = check(maker);
        if (!(errors[way] <= tolerance)) {
            complain("%s, %s: steps and whole differ by %g", shop->data->name, way_names[way], errors[way]);
            return false;
        }
    }
    for (enum way way = CACHED; way < WAYS; way++) {
        make_by_steps(&shop->makers[way]);
        memcpy(shop->makers[way].expected, shop->makers[way].image, shop->length);
        enter(shop, &shop->makers[way]);
    }
    /* what is computed anew gives the cached image */
    memcpy(shop->makers[RECOMPUTED].expected, shop->makers[CACHED].image, shop->length);
    for (size_t t = 0; t < shop->length; t++)
        image_embed(shop->makers[RECOMPUTED].model, t, t ? shop->makers[CACHED].image[t - 1] : 0,
                    shop->makers[RECOMPUTED].rows + t * IMAGE_MODEL_DIM);
    if (shop->whole) enter(shop, &shop->makers[RECOMPUTED]);
    for (size_t i = 0; i < ANEW && !shop->whole; i++) {
        shop->anew[i] = shop->makers[RECOMPUTED];
        shop->anew[i].prefix = anew_length(shop, i);
        enter(shop, &shop->anew[i]);
    }
    return true;
}

double workshop_seconds_anew(const struct workshop *shop) {
    const struct contender *at = &shop->contenders[2];
    if (shop->whole) return race_median(at);
    double f[ANEW];
    for (size_t i = 0; i < ANEW; i++) f[i] = race_median(&at[i]);
    return (double)shop->length / (3 * (ANEW - 1)) * (f[0] + 4 * f[1] + 2 * f[2] + 4 * f[3] + f[4]);
}
