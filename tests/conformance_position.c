/* SPDX-License-Identifier: MIT */
/* Positional encodings: the annotated transformer's sinusoids, DETR's of images. */
#include "conformance.h"

#include <string.h>

#include <rill/position.h>

/* Theirs takes frequencies as float32 exponentials, a few units off in the last place, and multiplies by the
 * position: an angle that is off by so much of itself. */
static void run_sinusoidal(conformance_case *c) {
    const conformance_tensor *x, *table;
    if (!conformance_need(c, "in.x", &x) || !conformance_need(c, "out.table", &table)) return;
    const size_t length = table->shape[0], dim = table->shape[1];
    const double tolerance = (double)length * 0x1p-23 + 0x1p-22;
    float *ours = conformance_floats(c, table->count), *y = conformance_floats(c, x->count);
    rill_position_sinusoidal(0, length, dim, RILL_POSITION_BASE, ours);
    for (size_t i = 0; i < x->count; i++) y[i] = x->values[i] + ours[i % table->count];
    conformance_expect(c, "out.table", ours, tolerance);
    conformance_expect(c, "out.y", y, tolerance);
}

/* rows [height][width][dim] to image n of the channels-first tensor */
static void put_image(const conformance_tensor *like, size_t n, const float *rows, float *out) {
    const size_t dim = like->shape[1], pixels = like->shape[2] * like->shape[3];
    for (size_t p = 0; p < pixels; p++)
        for (size_t j = 0; j < dim; j++) out[(n * dim + j) * pixels + p] = rows[p * dim + j];
}

static void run_image(conformance_case *c) {
    const conformance_tensor *out, *mask = conformance_find(c, "in.mask"),
                                   *columns = conformance_find(c, "weight.col_embed.weight"),
                                   *rows = conformance_find(c, "weight.row_embed.weight");
    if (!conformance_need(c, "out.pos", &out)) return;
    const size_t height = out->shape[2], width = out->shape[3], features = out->shape[1] / 2;
    float *all = conformance_floats(c, out->count),
          *table = conformance_floats(c, height * width * 2 * features);
    bool *seen = conformance_memory(c, height * width);
    for (size_t n = 0; n < out->shape[0]; n++) {
        if (mask) {
            const rill_sine_2d sine = {.height = height,
                                       .width = width,
                                       .features = features,
                                       .normalize = strcmp(conformance_text(c, "normalize"), "true") == 0,
                                       .scale = conformance_number(c, "scale", 0),
                                       .temperature = conformance_number(c, "temperature", 0)};
            for (size_t i = 0; i < height * width; i++)
                seen[i] = mask->values[n * height * width + i] == 0; /* true there is padding */
            rill_position_sine_2d(&sine, seen, table);
        } else if (columns && rows) {
            rill_position_learned_2d(height, width, features, columns->shape[0], columns->values,
                                     rows->shape[0], rows->values, table);
        }
        put_image(out, n, table, all);
    }
    conformance_expect(c, "out.pos", all, 1e-6); /* angles up to 7, in float32 there */
}

static void run(conformance_case *c) {
    if (conformance_file_starts(c, "sinusoidal_"))
        run_sinusoidal(c);
    else
        run_image(c);
}

static bool knows(const conformance_case *c) {
    return strcmp(conformance_folder(c), "positional") == 0 ||
           (strcmp(conformance_folder(c), "detr") == 0 && conformance_file_starts(c, "pos_"));
}

const conformance_family conformance_position = {"positional encodings", knows, run};
