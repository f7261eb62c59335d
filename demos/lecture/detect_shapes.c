/* SPDX-License-Identifier: MIT */
/* Objects found by a transformer: DETR (Carion et al., 2005.12872), small enough to be trained here, on
 * pictures of one or two shapes.
 *
 *     patches → encoder: self-attention; the sine of a patch's place is added to queries and keys
 *     object queries → decoder: attention to each other and to what was seen. A query is a slot that asks.
 *     each slot → a class, or nothing, and a box
 *
 * Slots have no order. So the loss first finds the slot that each drawn shape belongs to (the Hungarian
 * method), then asks that slot for the shape and all others for nothing: two slots cannot both be right about
 * one shape, and no anchor, no suppression is needed.
 *
 * detect_shapes [STEPS]: trains from nothing, then tells what it finds in new pictures. */
#include <rill/box_matching.h>
#include <rill/position.h>

#include "drawn_shapes.h"
#include "tape.h"

enum {
    DIM = 32,
    HEADS = 4,
    SLOTS = 4,
    CLASSES = 3,
    NOTHING = 2,
    LAYERS = 2,
    BATCH = 16,
};

/* norm(x + attention of x to memory), positions on queries and keys */
static variable look(variable x, variable position, variable memory, variable memory_position) {
    variable q = layer(add(x, position), DIM), k = layer(add(memory, memory_position), DIM);
    return normed(add(x, layer(attend(q, k, layer(memory, DIM), HEADS), DIM)));
}

static variable think(variable x) {
    return normed(add(x, layer(silu(layer(x, 2 * DIM)), DIM)));
}

/* logits [SLOTS][CLASSES], boxes [SLOTS][4] within 0 … 1, whose gradient is that before the sigmoid */
static void detect(const picture *p, variable *logits, variable *boxes) {
    variable patches = tape_variable(TOKENS, PATCH * PATCH), place = tape_variable(TOKENS, DIM);
    const rill_sine_2d sine = {GRID, GRID, DIM / 2, true, 6.283185307179586, RILL_POSITION_BASE};
    rill_position_sine_2d(&sine, NULL, place.value);
    memcpy(patches.value, p->patches, sizeof p->patches);
    tape_parameters_count = 0;
    variable seen = layer(patches, DIM);
    seen = think(look(seen, place, seen, place));
    variable slots = tape_parameter(SLOTS, DIM, 0, 1), x = tape_variable(SLOTS, DIM);
    for (int i = 0; i < LAYERS; i++) {
        x = look(x, slots, x, slots);
        x = think(look(x, slots, seen, place));
    }
    *logits = layer(x, CLASSES);
    *boxes = layer(silu(layer(x, DIM)), 4);
    for (size_t i = 0; i < SLOTS * 4; i++) boxes->value[i] = 1 / (1 + expf(-boxes->value[i]));
    tape_begun = true;
}

/* −ln p of the classes, 5 |b − b_j| of the boxes; adds its gradient. */
static double learn(const picture *p) {
    variable logits, boxes;
    detect(p, &logits, &boxes);
    const rill_box_matching matching = rill_box_matching_defaults();
    const rill_predicted_boxes predicted = {SLOTS, CLASSES, logits.value, boxes.value};
    const rill_target_boxes targets = {p->count, p->labels, p->boxes[0]};
    double cost[SLOTS * MOST_SHAPES];
    size_t slot_of[MOST_SHAPES];
    uint32_t wanted[SLOTS] = {NOTHING, NOTHING, NOTHING, NOTHING};
    if (rill_match_boxes(&matching, &predicted, &targets, cost, slot_of, NULL) != RILL_OK) abort();
    for (size_t j = 0; j < p->count; j++) wanted[slot_of[j]] = (uint32_t)p->labels[j];
    double loss = rill_cross_entropy(SLOTS, CLASSES, logits.value, wanted, logits.gradient);
    for (size_t n = 0; n < 4 * p->count; n++) {
        size_t at = slot_of[n / 4] * 4 + n % 4;
        float b = boxes.value[at], off = b - p->boxes[n / 4][n % 4];
        loss += 5 * (double)fabsf(off);
        boxes.gradient[at] = (off > 0 ? 5 : -5) * b * (1 - b);
    }
    tape_back();
    return loss;
}

/* Shapes found, by class and a box of IoU above ½ or so; what is told beyond them are false alarms. */
static size_t find(const picture *p, bool print, size_t *false_alarms) {
    variable logits, boxes;
    size_t told = 0, found = 0, labels[SLOTS];
    float told_boxes[SLOTS][4];
    bool taken[MOST_SHAPES] = {false};
    detect(p, &logits, &boxes);
    for (size_t i = 0; i < SLOTS; i++) {
        const float *l = logits.value + i * CLASSES;
        labels[told] = l[SQUARE] > l[CROSS] ? SQUARE : CROSS;
        if (l[NOTHING] > l[labels[told]]) continue;
        memcpy(told_boxes[told], boxes.value + 4 * i, sizeof *told_boxes);
        for (size_t j = 0, before = found; j < p->count && found == before; j++)
            if (!taken[j] && labels[told] == p->labels[j] &&
                rill_box_generalized_iou(told_boxes[told], p->boxes[j]) > 0.5)
                taken[j] = true, found++;
        told++;
    }
    if (print) print_picture(p, told, labels, (const float(*)[4])told_boxes);
    *false_alarms += told - found;
    tape_forget();
    return found;
}

int main(int count, char **arguments) {
    const size_t steps = count > 1 ? strtoul(arguments[1], NULL, 10) : 1500;
    size_t shapes = 0, found = 0, false_alarms = 0;
    double loss = 0;
    picture p = draw_picture();
    find(&p, false, &false_alarms); /* counts the parameters */
    void *adam = malloc(rill_adam_size(tape_parameters_count));
    if (!adam) return 1;
    rill_adam_init(tape_parameters_count, adam);
    printf("%zu parameters\n", tape_parameters_count);
    for (size_t step = 1; step <= steps; step++) {
        const rill_adam rate = rill_adam_defaults(2e-3f * (1 - (float)step / (float)(steps + 1)));
        for (size_t i = 0; i < BATCH; i++) p = draw_picture(), loss += learn(&p) / BATCH;
        for (size_t i = 0; i < tape_parameters_count; i++) tape_gradients[i] /= BATCH;
        rill_adam_step(&rate, tape_parameters_count, adam, tape_gradients, tape_parameters);
        memset(tape_gradients, 0, sizeof tape_gradients);
        if (step % 100 == 0) printf("%6zu pictures: loss %.2f\n", step * BATCH, loss / 100), loss = 0;
    }
    false_alarms = 0;
    for (int n = 0; n < 500; n++, shapes += p.count) {
        p = draw_picture();
        found += find(&p, n < 2, &false_alarms);
        if (n < 2) putchar('\n');
    }
    printf("of %zu new shapes %zu found, %zu false alarms\n", shapes, found, false_alarms);
    free(adam);
    return steps < 1500 || (found * 10 > shapes * 9 && false_alarms * 10 < shapes) ? 0 : 1;
}
