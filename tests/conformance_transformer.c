/* SPDX-License-Identifier: MIT */
/* Multi-head attention, layers and whole transformers of PyTorch, DETR and fast-transformers, their weights
 * read from the case's file by the names they have there; those that can are run step by step as well. */
#include "conformance.h"

#include <stdio.h>
#include <string.h>

#include <rill/transformer.h>

/* float32 sums of up to 130 products, two layers deep, on both sides */
static const double tolerance = 1e-5;

static bool is_true(const conformance_case *c, const char *key) {
    const char *text = conformance_text(c, key);
    return text && strcmp(text, "true") == 0;
}

static const float *values_of(const conformance_case *c, const char *name) {
    const conformance_tensor *tensor = conformance_find(c, name);
    return tensor ? tensor->values : NULL;
}

/* The file's weights; NULL and a failure when it has none. */
static rill_weights *weights_of(conformance_case *c) {
    rill_weights *weights;
    rill_error why;
    if (rill_weights_open(conformance_path(c), &weights, &why) != RILL_OK)
        conformance_fail(c, "%s", why.message);
    return weights;
}

/* true for each of count rows below the sequence's own length; NULL without lengths */
static const bool *mask_of(conformance_case *c, const char *lengths, size_t n, size_t count) {
    const float *values = values_of(c, lengths);
    if (!values) return NULL;
    bool *mask = conformance_memory(c, count);
    for (size_t i = 0; i < count; i++) mask[i] = (float)i < values[n];
    return mask;
}

static void run_multihead(conformance_case *c) {
    const conformance_tensor *query, *key, *value;
    rill_multihead multihead;
    rill_error why;
    if (!conformance_need(c, "in.query", &query)) return;
    key = conformance_find(c, "in.key") ? conformance_find(c, "in.key") : query;
    value = conformance_find(c, "in.value") ? conformance_find(c, "in.value") : query;
    rill_weights *weights = weights_of(c);
    if (!weights) return;
    const size_t heads = (size_t)conformance_number(c, "num_heads", 0), count = query->shape[0];
    if (rill_multihead_read(weights, "weight.", RILL_MULTIHEAD_SOFTMAX, heads, &multihead, &why) != RILL_OK) {
        conformance_fail(c, "%s", why.message);
        rill_weights_close(weights);
        return;
    }
    multihead.zero_key = is_true(c, "add_zero_attn");
    const size_t queries = query->shape[1], keys = key->shape[1], dim = query->shape[2],
                 seen = keys + (size_t)is_true(c, "add_bias_kv") + (size_t)is_true(c, "add_zero_attn");
    float *y = conformance_floats(c, count * queries * dim),
          *each = conformance_floats(c, count * heads * queries * seen),
          *average = conformance_floats(c, count * queries * seen);
    void *workspace = conformance_memory(c, rill_multihead_workspace_size(&multihead, queries, keys));
    for (size_t n = 0; n < count; n++) {
        const rill_multihead_input input = {
            .queries_length = queries,
            .keys_length = keys,
            .queries = query->values + n * queries * dim,
            .keys = key->values + n * keys * key->shape[2],
            .values = value->values + n * keys * value->shape[2],
            .sight = {.causal = strcmp(conformance_text(c, "attn_mask"), "causal") == 0,
                      .mask = mask_of(c, "in.key_lengths", n, keys),
                      .bias = values_of(c, "in.attn_mask_add"),
                      .bias_query_stride = keys},
            .weights = each + n * heads * queries * seen};
        rill_multihead_apply(&multihead, &input, y + n * queries * dim, workspace);
        for (size_t i = 0; i < heads * queries * seen; i++)
            average[n * queries * seen + i % (queries * seen)] += input.weights[i] / (float)heads;
    }
    conformance_expect(c, "out.y", y, tolerance);
    if (conformance_find(c, "out.weights_per_head"))
        conformance_expect(c, "out.weights_per_head", each, tolerance);
    if (conformance_find(c, "out.weights_avg")) conformance_expect(c, "out.weights_avg", average, tolerance);
    rill_weights_close(weights);
}

static rill_transformer_settings settings_of(const conformance_case *c) {
    const char *attention = strstr(conformance_file(c), "linear");
    const rill_multihead_kind kind = attention ? RILL_MULTIHEAD_LINEAR : RILL_MULTIHEAD_SOFTMAX;
    return (rill_transformer_settings){
        .heads = (size_t)conformance_number(c, "nhead", conformance_number(c, "n_heads", 0)),
        .self_kind = kind,
        .cross_kind = kind,
        .activation = strcmp(conformance_text(c, "activation"), "gelu") == 0 ? RILL_ACTIVATION_GELU
                                                                             : RILL_ACTIVATION_RELU,
        .norm_first = is_true(c, "norm_first"),
        .norm_epsilon = (float)conformance_number(c, "layer_norm_eps", 0),
        .attention_epsilon = (float)conformance_number(c, "attn_eps", 0)};
}

/* The file's transformer, or its one layer as a transformer; false after a failure. */
static bool read(conformance_case *c, const rill_weights *weights, rill_transformer_layer *layer,
                 rill_transformer *transformer, rill_transformer **owned) {
    const rill_transformer_settings settings = settings_of(c);
    rill_error why;
    rill_status status;
    if (conformance_find(c, "weight.norm1.weight")) {
        status = rill_transformer_layer_read(weights, "weight.", &settings, layer, &why);
        *transformer = (rill_transformer){.layers_count = 1, .layers = layer};
    } else {
        status = rill_transformer_read(weights, "weight.", &settings, owned, &why);
        if (status == RILL_OK) *transformer = **owned;
    }
    if (status != RILL_OK) conformance_fail(c, "%s", why.message);
    return status == RILL_OK;
}

/* Sequence n of x [count][length][dim] or, for DETR, [length][count][dim], as rows of its own. */
static float *sequence_of(conformance_case *c, const conformance_tensor *x, size_t n) {
    const bool length_first = strcmp(conformance_folder(c), "detr") == 0;
    const size_t count = x->shape[length_first], length = x->shape[!length_first], dim = x->shape[2];
    float *rows = conformance_floats(c, length * dim);
    for (size_t t = 0; t < length; t++)
        memcpy(rows + t * dim, x->values + (length_first ? t * count + n : n * length + t) * dim,
               dim * sizeof *rows);
    return rows;
}

/* The reverse. */
static void put_sequence(const conformance_case *c, const conformance_tensor *like, size_t n,
                         const float *rows, float *y) {
    const bool length_first = strcmp(conformance_folder(c), "detr") == 0;
    const size_t count = like->shape[length_first], length = like->shape[!length_first], dim = like->shape[2];
    for (size_t t = 0; t < length; t++)
        memcpy(y + (length_first ? t * count + n : n * length + t) * dim, rows + t * dim, dim * sizeof *rows);
}

/* What each layer's state is after the last step, as fast-transformers has it: S [heads][key_dim][value_dim]
 * of itself, [heads][value_dim][key_dim] of the memory; z. */
static void keep_state(conformance_case *c, const rill_transformer *transformer, const void *stream,
                       size_t layer, bool cross, size_t n, float *S, float *z) {
    const rill_multihead *multihead =
        cross ? &transformer->layers[layer].cross : &transformer->layers[layer].self;
    const size_t heads = multihead->heads, keys = multihead->query.outputs / heads,
                 values = multihead->value.outputs / heads;
    float *state = conformance_floats(c, heads * keys * (values + 1) + 16);
    rill_transformer_state(transformer, stream, layer, cross, state);
    S += n * heads * keys * values;
    for (size_t h = 0; h < heads; h++)
        for (size_t d = 0; d < keys; d++)
            for (size_t m = 0; m < values; m++)
                S[h * keys * values + (cross ? m * keys + d : d * values + m)] =
                    state[(h * keys + d) * values + m];
    memcpy(z + n * heads * keys, state + heads * keys * values, heads * keys * sizeof *z);
}

/* Step by step, then by five at a time from the start again: the outputs and states of RecurrentEncoder. */
static void run_steps(conformance_case *c, const rill_transformer *transformer, const conformance_tensor *x,
                      const conformance_tensor *memory) {
    const size_t length = x->shape[1], dim = x->shape[2], rows = memory ? memory->shape[1] : 0;
    const size_t chunks[] = {1, 5};
    void *stream = conformance_memory(c, rill_transformer_size(transformer, length, rows));
    void *workspace = conformance_memory(c, rill_transformer_workspace_size(transformer, 0, rows));
    const rill_multihead *self = &transformer->layers->self;
    size_t z_size = self->query.outputs, S_size = z_size * self->value.outputs / self->heads;
    for (size_t way = 0; way < sizeof chunks / sizeof *chunks; way++) {
        float *y = conformance_floats(c, x->count), *S[2][8], *z[2][8];
        for (size_t i = 0; i < transformer->layers_count; i++)
            for (size_t cross = 0; cross < 2; cross++) {
                S[cross][i] = conformance_floats(c, x->shape[0] * S_size);
                z[cross][i] = conformance_floats(c, x->shape[0] * z_size);
            }
        for (size_t n = 0; n < x->shape[0]; n++) {
            rill_transformer_init(transformer, stream, length, rows);
            if (memory)
                rill_transformer_remember(transformer, stream, rows, sequence_of(c, memory, n), NULL,
                                          mask_of(c, "in.memory_lengths", n, rows), workspace);
            for (size_t t = 0; t < length; t += chunks[way])
                rill_transformer_step(transformer, stream,
                                      length - t < chunks[way] ? length - t : chunks[way],
                                      x->values + (n * length + t) * dim, y + (n * length + t) * dim);
            for (size_t i = 0; i < transformer->layers_count; i++)
                for (size_t cross = 0; cross < (memory ? 2 : 1); cross++)
                    keep_state(c, transformer, stream, i, cross == 1, n, S[cross][i], z[cross][i]);
        }
        conformance_expect(c, "out.y_recurrent", y, tolerance);
        for (size_t i = 0; i < transformer->layers_count; i++) {
            char name[64];
            snprintf(name, sizeof name, memory ? "out.state%zu_self_S" : "out.state%zu_S", i);
            conformance_expect(c, name, S[0][i], tolerance);
            snprintf(name, sizeof name, memory ? "out.state%zu_self_Z" : "out.state%zu_Z", i);
            conformance_expect(c, name, z[0][i], tolerance);
            if (!memory) continue;
            snprintf(name, sizeof name, "out.state%zu_cross_S_MxE", i);
            conformance_expect(c, name, S[1][i], tolerance);
            snprintf(name, sizeof name, "out.state%zu_cross_Z", i);
            conformance_expect(c, name, z[1][i], tolerance);
        }
    }
}

/* The whole sequences of x, padding hidden; hide_padding: as PyTorch's nested tensors do, which never see it
 * and write zeros there. */
static float *run_whole(conformance_case *c, const rill_transformer *transformer, const conformance_tensor *x,
                        const conformance_tensor *memory, bool nested) {
    const bool length_first = strcmp(conformance_folder(c), "detr") == 0;
    const size_t count = x->shape[length_first], length = x->shape[!length_first];
    const conformance_tensor *position = conformance_find(c, "in.pos");
    const float *lengths = values_of(c, "in.lengths");
    float *y = conformance_floats(c, x->count);
    const bool decoder = memory != NULL;
    const size_t rows = decoder ? memory->shape[1] : 0;
    void *workspace = conformance_memory(c, rill_transformer_workspace_size(transformer, length, rows));
    for (size_t n = 0; n < count; n++) {
        float *sequence = sequence_of(c, x, n);
        const bool causal = is_true(c, "causal") || strstr(conformance_file(c), "causal") ||
                            decoder; /* decoders' targets are causal in all cases */
        const rill_transformer_input input = {
            .length = nested ? (size_t)lengths[n] : length,
            .x = sequence,
            .position = position ? sequence_of(c, position, n) : NULL,
            .sight = {.causal = causal, .mask = nested ? NULL : mask_of(c, "in.lengths", n, length)},
            .memory_length = rows,
            .memory = decoder ? sequence_of(c, memory, n) : NULL,
            .memory_sight = {.mask = mask_of(c, "in.memory_lengths", n, rows)}};
        rill_transformer_apply(transformer, &input, sequence, workspace);
        if (nested)
            memset(sequence + input.length * x->shape[2], 0,
                   (length - input.length) * x->shape[2] * sizeof *sequence);
        put_sequence(c, x, n, sequence, y);
    }
    return y;
}

static void run_transformer(conformance_case *c) {
    const conformance_tensor *x = NULL, *memory = conformance_find(c, "in.memory");
    const char *const names[] = {"in.x", "in.tgt", "in.src"};
    for (size_t i = 0; !x && i < sizeof names / sizeof *names; i++) x = conformance_find(c, names[i]);
    if (!x) {
        conformance_fail(c, "no input");
        return;
    }
    rill_transformer_layer layer;
    rill_transformer transformer, *owned = NULL;
    rill_weights *weights = weights_of(c);
    if (weights && read(c, weights, &layer, &transformer, &owned)) {
        if (conformance_find(c, "out.y"))
            conformance_expect(c, "out.y", run_whole(c, &transformer, x, memory, false), tolerance);
        if (conformance_find(c, "out.y_grad_path")) {
            conformance_expect(c, "out.y_grad_path", run_whole(c, &transformer, x, memory, false), tolerance);
            conformance_expect(c, "out.y_nograd_nested", run_whole(c, &transformer, x, memory, true),
                               tolerance);
        }
        if (conformance_find(c, "out.y_recurrent")) run_steps(c, &transformer, x, memory);
    }
    rill_transformer_free(owned);
    rill_weights_close(weights);
}

static void run(conformance_case *c) {
    if (conformance_file_starts(c, "mha_"))
        run_multihead(c);
    else
        run_transformer(c);
}

static bool knows(const conformance_case *c) {
    const char *folder = conformance_folder(c);
    if (strcmp(folder, "pytorch") == 0) return true;
    if (strcmp(folder, "detr") == 0) return conformance_file_starts(c, "encoder_layer");
    return strcmp(folder, "fast_transformers") == 0 &&
           (conformance_file_starts(c, "encoder_") || conformance_file_starts(c, "decoder_"));
}

const conformance_family conformance_transformer = {"transformers with their weights", knows, run};
