/* SPDX-License-Identifier: MIT */
/* The names that others give to the weights of transformers. */
#include <rill/transformer.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "transformer/weight_finder.h"

enum { prefix_size = 256 };

static float or_usual(float epsilon, float usual) {
    return epsilon == 0 ? usual : epsilon; /* a negative one or NaN is for the check to refuse */
}

/* The first of the scopes that has weights of attention; NULL when none does. */
static const char *attention_scope(const rill_weight_finder *in, const char *const *scopes) {
    static const char *const parts[] = {"in_proj_weight", "q_proj_weight", "query_projection.weight"};
    for (; *scopes; scopes++)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            if (rill_weight_is_there(in, *scopes, parts[i])) return *scopes;
    return NULL;
}

static void read_multihead(rill_weight_finder *in, const char *const *scopes, rill_multihead_kind kind,
                           const rill_transformer_settings *settings, rill_multihead *multihead) {
    char prefix[prefix_size];
    const char *scope = attention_scope(in, scopes);
    if (in->status != RILL_OK) return;
    if (!scope) {
        rill_weight_fail(in, RILL_BAD_FORMAT, "no attention %s%s… or %s%s…", in->prefix, scopes[0],
                         in->prefix, scopes[1]);
        return;
    }
    snprintf(prefix, sizeof prefix, "%s%s", in->prefix, scope);
    in->status = rill_multihead_read(in->weights, prefix, kind, settings->heads, multihead, in->why);
    multihead->epsilon = settings->attention_epsilon;
}

rill_status rill_transformer_layer_read(const rill_weights *weights, const char *prefix,
                                        const rill_transformer_settings *settings,
                                        rill_transformer_layer *layer, rill_error *why) {
    static const char *const self_scopes[] = {"self_attn.", "self_attention.", "attention.", NULL};
    static const char *const cross_scopes[] = {"multihead_attn.", "cross_attention.", NULL};
    rill_weight_finder in = {weights, prefix, RILL_OK, why};
    const bool has_cross =
        rill_weight_is_there(&in, "norm3", ".weight") || attention_scope(&in, cross_scopes);
    *layer = (rill_transformer_layer){.has_cross = has_cross,
                                      .activation = settings->activation,
                                      .norm_first = settings->norm_first,
                                      .norm_epsilon = or_usual(settings->norm_epsilon, 1e-5f)};
    read_multihead(&in, self_scopes, settings->self_kind, settings, &layer->self);
    if (layer->has_cross) read_multihead(&in, cross_scopes, settings->cross_kind, settings, &layer->cross);
    const size_t dim = layer->self.query.inputs;
    layer->self_norm = rill_weight_find_norm(&in, "norm1", dim);
    if (layer->has_cross) layer->cross_norm = rill_weight_find_norm(&in, "norm2", dim);
    layer->feed_forward_norm = rill_weight_find_norm(&in, layer->has_cross ? "norm3" : "norm2", dim);
    layer->expand = rill_weight_find_dense(&in, "linear1", dim, 0);
    layer->project = rill_weight_find_dense(&in, "linear2", layer->expand.outputs, dim);
    return in.status == RILL_OK ? rill_transformer_layer_check(layer, why) : in.status;
}

/* One more than the highest layer that any tensor is of: one that lacks something is then refused, not taken
 * for the end. No more than there are tensors: so many cannot all be whole. */
static size_t count_layers(const rill_weights *weights, const char *prefix) {
    char start[prefix_size];
    const int length = snprintf(start, sizeof start, "%slayers.", prefix);
    size_t count = 0;
    if (length >= prefix_size) return 0;
    for (size_t i = 0; i < rill_weights_count(weights); i++) {
        const char *name = rill_weights_at(weights, i).name;
        if (strncmp(name, start, (size_t)length) != 0) continue;
        const char *digits = name + length;
        const size_t size = strspn(digits, "0123456789");
        if (size == 0 || digits[size] != '.') continue;
        const unsigned long long index = strtoull(digits, NULL, 10);
        if (index >= count)
            count = index < rill_weights_count(weights) ? (size_t)index + 1 : rill_weights_count(weights);
    }
    return count;
}

static rill_status read_layers(rill_weight_finder *in, const rill_transformer_settings *settings,
                               rill_transformer *transformer) {
    char prefix[prefix_size];
    for (size_t i = 0; i < transformer->layers_count; i++) {
        snprintf(prefix, sizeof prefix, "%slayers.%zu.", in->prefix, i);
        rill_status status =
            rill_transformer_layer_read(in->weights, prefix, settings, transformer->layers + i, in->why);
        if (status != RILL_OK) return status;
    }
    if (rill_weight_is_there(in, "norm", ".weight") || rill_weight_is_there(in, "norm", ".bias"))
        transformer->norm = rill_weight_find_norm(in, "norm", transformer->layers->self.query.inputs);
    transformer->norm_epsilon = or_usual(settings->norm_epsilon, 1e-5f);
    return in->status == RILL_OK ? rill_transformer_check(transformer, in->why) : in->status;
}

rill_status rill_transformer_read(const rill_weights *weights, const char *prefix,
                                  const rill_transformer_settings *settings, rill_transformer **transformer,
                                  rill_error *why) {
    rill_weight_finder in = {weights, prefix, RILL_OK, why};
    const size_t count = count_layers(weights, prefix);
    *transformer = NULL;
    if (count == 0) return rill_fail(why, RILL_BAD_FORMAT, "weights: there is no %slayers.0.…", prefix);
    rill_transformer *made = calloc(1, sizeof *made);
    if (made) made->layers = calloc(count, sizeof *made->layers);
    if (!made || !made->layers) {
        free(made);
        return rill_fail(why, RILL_OUT_OF_MEMORY, "transformer: out of memory");
    }
    made->layers_count = count;
    rill_status status = read_layers(&in, settings, made);
    if (status == RILL_OK)
        *transformer = made;
    else
        rill_transformer_free(made);
    return status;
}

void rill_transformer_free(rill_transformer *transformer) {
    if (!transformer) return;
    free(transformer->layers);
    free(transformer);
}
