/* SPDX-License-Identifier: MIT */
/* transformer_is_an_rnn [WEIGHTS.safetensors HEADS [gelu]]: a whole transformer encoder as a function of a
 * sequence, then as a recurrent network (Katharopoulos et al., 2006.16236, section 3.4).
 *
 *     x = norm(x + attention(x)),  x = norm(x + W_2 act(W_1 x))       layer by layer
 *     attention_i = φ(q_i)·S_i / φ(q_i)·z_i,  S_i = S_{i−1} + φ(k_i) v_iᵀ,  z_i = z_{i−1} + φ(k_i)
 *
 * With linear attention, each layer's memory is S and z, however long the sequence; with softmax, the same
 * weights need every key and value so far. Both are run whole and step by step and must agree; then the time
 * of a step is told after few and after many of them.
 *
 * WEIGHTS is the state_dict of a fast-transformers encoder (TransformerEncoderBuilder), a PyTorch
 * nn.TransformerEncoder, or any part of a file under its own names; checkpoint_to_safetensors.py makes one
 * from a checkpoint. Without it, weights are drawn. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rill/transformer.h>

enum { LAYERS = 2, DIM = 64, HEADS = 4, WIDE = 128, COMPARED = 256, LONG = 2048 };

/* uniform in ±size, always the same */
static float *draw(size_t count, float middle, float size) {
    static unsigned long long state = 1;
    float *numbers = malloc(count * sizeof *numbers);
    if (!numbers) exit(1);
    for (size_t i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        numbers[i] = middle + size * ((float)(state >> 40) * 0x1p-23f - 1);
    }
    return numbers;
}

static rill_dense_weights draw_dense(size_t inputs, size_t outputs) {
    return (rill_dense_weights){inputs, outputs, draw(inputs * outputs, 0, sqrtf(3 / (float)inputs)),
                                draw(outputs, 0, 0.1f)};
}

static rill_transformer *draw_transformer(void) {
    static rill_transformer_layer layers[LAYERS];
    static rill_transformer transformer = {.layers_count = LAYERS, .layers = layers};
    for (size_t i = 0; i < LAYERS; i++)
        layers[i] = (rill_transformer_layer){.self = {.heads = HEADS,
                                                      .query = draw_dense(DIM, DIM),
                                                      .key = draw_dense(DIM, DIM),
                                                      .value = draw_dense(DIM, DIM),
                                                      .output = draw_dense(DIM, DIM)},
                                             .self_norm = {draw(DIM, 1, 0.1f), draw(DIM, 0, 0.1f)},
                                             .feed_forward_norm = {draw(DIM, 1, 0.1f), draw(DIM, 0, 0.1f)},
                                             .expand = draw_dense(DIM, WIDE),
                                             .project = draw_dense(WIDE, DIM),
                                             .activation = RILL_ACTIVATION_GELU,
                                             .norm_epsilon = 1e-5f};
    return &transformer;
}

static double seconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double milliseconds_since(double start) {
    return (seconds() - start) * 1e3;
}

/* The largest difference between the causal whole and the steps, over the largest output. */
static double compare(const rill_transformer *transformer, size_t dim, const float *x) {
    const rill_transformer_input input = {.length = COMPARED, .x = x, .sight = {.causal = true}};
    float *whole = malloc(COMPARED * dim * sizeof *whole), *steps = malloc(COMPARED * dim * sizeof *steps);
    void *workspace = malloc(rill_transformer_workspace_size(transformer, COMPARED, 0));
    void *stream = malloc(rill_transformer_size(transformer, COMPARED, 0));
    double apart = 0, largest = 0;
    if (!whole || !steps || !workspace || !stream) exit(1);
    rill_transformer_apply(transformer, &input, whole, workspace);
    rill_transformer_init(transformer, stream, COMPARED, 0);
    for (size_t t = 0; t < COMPARED; t++)
        rill_transformer_step(transformer, stream, 1, x + t * dim, steps + t * dim);
    for (size_t i = 0; i < COMPARED * dim; i++) {
        apart = fmax(apart, fabs((double)whole[i] - (double)steps[i]));
        largest = fmax(largest, fabs((double)whole[i]));
    }
    free(whole), free(steps), free(workspace), free(stream);
    return apart / largest;
}

/* Steps the whole of x, and prints what a step costs at its beginning and at its end. */
static void run_long(const rill_transformer *transformer, size_t dim, const float *x) {
    const size_t size = rill_transformer_size(transformer, LONG, 0), few = 256;
    void *stream = malloc(size);
    float *y = malloc(dim * sizeof *y);
    double first = 0;
    if (!stream || !y) exit(1);
    rill_transformer_init(transformer, stream, LONG, 0);
    double start = seconds();
    for (size_t t = 0; t < LONG; t++) {
        if (t == few) first = milliseconds_since(start) / (double)few;
        if (t == LONG - few) start = seconds();
        rill_transformer_step(transformer, stream, 1, x + t * dim, y);
    }
    printf("  memory %8.1f kB    a step %7.2f µs among the first %zu, %7.2f µs among the last of %d\n",
           (double)size / 1e3, first * 1e3, few, milliseconds_since(start) / (double)few * 1e3, LONG);
    free(stream), free(y);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"softmax", "linear"};
    rill_transformer *transformer = NULL;
    rill_weights *weights = NULL;
    rill_error why;
    if (argc > 2) {
        const rill_transformer_settings settings = {.heads = strtoul(argv[2], NULL, 10),
                                                    .activation = argc > 3 && strcmp(argv[3], "gelu") == 0};
        if (rill_weights_open(argv[1], &weights, &why) != RILL_OK ||
            rill_transformer_read(weights, "", &settings, &transformer, &why) != RILL_OK) {
            fprintf(stderr, "%s\n", why.message);
            rill_weights_close(weights);
            return 1;
        }
    }
    rill_transformer *used = transformer ? transformer : draw_transformer();
    const size_t dim = used->layers->self.query.inputs;
    float *x = draw(LONG * dim, 0, 1);
    double worst = 0;
    for (size_t kind = 0; kind < 2; kind++) {
        for (size_t i = 0; i < used->layers_count; i++) used->layers[i].self.kind = (rill_multihead_kind)kind;
        const double apart = compare(used, dim, x);
        printf("%s attention, %zu layers of %zu: whole and step by step differ by %.1e\n", names[kind],
               used->layers_count, dim, apart);
        run_long(used, dim, x);
        worst = fmax(worst, apart);
    }
    free(x);
    rill_transformer_free(transformer);
    rill_weights_close(weights);
    return worst < 1e-4 ? 0 : 1;
}
