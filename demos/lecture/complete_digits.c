/* SPDX-License-Identifier: MIT */
/* Image completion, pixel by pixel (2006.16236, section 4.2): complete_digits [UPDATES]
 *
 * An image is a sequence of pixels; a causal transformer tells from all pixels before how likely each level
 * of the next is. It is trained here, in seconds, on digits drawn by chance, twice: with linear and with
 * softmax attention, all else equal. Then the upper half of digits drawn afresh is read, and the lower half
 * drawn from what the model says, a pixel at a time. Linear attention does that from a state of constant
 * size, in the same time for every pixel; softmax attention looks back at all pixels so far.
 *
 * At last, without an argument, the two race on larger images. Loss is in bits a pixel; uniform levels would
 * cost 2, and the levels of each place by themselves what is printed as "each pixel alone". */
#include <time.h>

#include "drawn_digit.h"
#include "learner.h"
#include "pixel_model.h"

enum { BATCH = 8, TESTED = 100, SHOWN = 5 };

static void tell_all(const digit pixels, uint32_t symbols[DIGIT_PIXELS][3], uint32_t targets[DIGIT_PIXELS]) {
    for (size_t i = 0; i < DIGIT_PIXELS; i++) {
        pixel_tell(DIGIT_SIDE, i, pixels, symbols[i]);
        targets[i] = pixels[i];
    }
}

static learner train(rill_similarity similarity, size_t updates) {
    learner l = learner_open(pixel_model_shape(similarity, DIGIT_SIDE), DIGIT_PIXELS, 1);
    const clock_t begin = clock();
    double loss = 0;
    size_t images = 0;
    dice_state = 1; /* the same digits for both */
    for (size_t update = 0; update < updates; update++) {
        uint32_t symbols[DIGIT_PIXELS][3], targets[DIGIT_PIXELS];
        digit pixels;
        for (int n = 0; n < BATCH; n++, images++) {
            digit_draw(pixels);
            tell_all(pixels, symbols, targets);
            loss += learner_take(&l, DIGIT_PIXELS, symbols[0], targets) / (DIGIT_PIXELS * log(2));
        }
        learner_update(&l, 0.005, update, updates);
        if ((update + 1) % (updates / 4 + 1) && update + 1 < updates) continue;
        printf("%s, update %5zu: %.3f bits a pixel, %.1f s\n", similarity ? "linear" : "softmax", update + 1,
               loss / (double)images, (double)(clock() - begin) / CLOCKS_PER_SEC);
        loss = 0, images = 0;
    }
    return l;
}

/* Of digits not trained on, all pixels at once. */
static double test(const learner *l) {
    void *memory = learner_memory(rill_symbol_model_size(&l->shape, DIGIT_PIXELS));
    double loss = 0;
    dice_state = 2;
    for (int n = 0; n < TESTED; n++) {
        uint32_t symbols[DIGIT_PIXELS][3], targets[DIGIT_PIXELS];
        float logits[DIGIT_PIXELS][DIGIT_LEVELS];
        digit pixels;
        digit_draw(pixels);
        tell_all(pixels, symbols, targets);
        rill_symbol_model_init(&l->shape, DIGIT_PIXELS, memory);
        rill_symbol_model_step(&l->shape, l->parameters, DIGIT_PIXELS, memory, DIGIT_PIXELS, symbols[0],
                               logits[0], l->workspace);
        loss += rill_cross_entropy(DIGIT_PIXELS, DIGIT_LEVELS, logits[0], targets, NULL);
    }
    free(memory);
    return loss / (TESTED * DIGIT_PIXELS * log(2));
}

static double each_pixel_alone(void) {
    enum { SEEN = 2000 };
    static double seen[DIGIT_PIXELS][DIGIT_LEVELS];
    double bits = 0;
    digit pixels;
    for (int n = 0; n < SEEN; n++) {
        digit_draw(pixels);
        for (size_t i = 0; i < DIGIT_PIXELS; i++) seen[i][pixels[i]] += 1. / SEEN;
    }
    for (size_t i = 0; i < DIGIT_PIXELS; i++)
        for (size_t level = 0; level < DIGIT_LEVELS; level++)
            if (seen[i][level] > 0) bits -= seen[i][level] * log2(seen[i][level]);
    return bits / DIGIT_PIXELS;
}

static void show(const learner models[2]) {
    static const char *const ink[DIGIT_LEVELS] = {"  ", "░░", "▒▒", "██"};
    dice_state = 3;
    printf("%-34s%-34s%-34s%s\n", "drawn", "upper half", "completed, linear", "completed, softmax");
    for (int n = 0; n < SHOWN; n++) {
        digit pictures[4];
        digit_draw(pictures[0]);
        for (int p = 1; p < 4; p++) memcpy(pictures[p], pictures[0], sizeof *pictures);
        memset(pictures[1] + DIGIT_PIXELS / 2, 0, DIGIT_PIXELS / 2);
        for (int m = 0; m < 2; m++)
            pixel_draw_on(&models[m].shape, models[m].parameters, DIGIT_SIDE, DIGIT_PIXELS / 2,
                          pictures[2 + m]);
        for (int row = 0; row < DIGIT_SIDE; row++, putchar('\n'))
            for (int p = 0; p < 4; p++, printf("│ "))
                for (int i = 0; i < DIGIT_SIDE; i++) printf("%s", ink[pictures[p][row * DIGIT_SIDE + i]]);
    }
}

/* Larger images take a model with more places: drawn by chance, for the time does not depend on its weights.
 */
static void race(void) {
    printf("pixels a second, drawn one by one:  linear   softmax\n");
    for (size_t side = 16; side <= 112; side = side * 7 / 4) { /* 28 as MNIST; 49; 85 */
        double rates[2];
        unsigned char *pixels = learner_memory(side * side);
        for (int m = 0; m < 2; m++) {
            const rill_symbol_model_shape shape =
                pixel_model_shape(m ? RILL_SIMILARITY_SOFTMAX : RILL_SIMILARITY_PRODUCT, side);
            float *parameters = learner_memory(rill_symbol_model_parameters(&shape) * sizeof(float));
            rill_symbol_model_draw(&shape, 1, parameters);
            rates[m] = (double)(side * side) / pixel_draw_on(&shape, parameters, side, 0, pixels);
            free(parameters);
        }
        printf("  %3zu x %3zu, %5zu pixels         %9.0f %9.0f\n", side, side, side * side, rates[0],
               rates[1]);
        free(pixels);
    }
}

int main(int count, char **arguments) {
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    const size_t updates = count > 1 ? strtoul(arguments[1], NULL, 10) : 1000;
    if (count > 2 || updates == 0 || updates > 1000000)
        return fprintf(stderr, "usage: %s [UPDATES]\n", arguments[0]), 2;
    learner models[2];
    models[0] = train(RILL_SIMILARITY_PRODUCT, updates);
    models[1] = train(RILL_SIMILARITY_SOFTMAX, updates);
    show(models);
    if (count == 1) race();
    printf("each pixel alone: %.4f\n", each_pixel_alone());
    printf("linear loss: %.4f\n", test(&models[0]));
    printf("softmax loss: %.4f\n", test(&models[1]));
    learner_close(&models[0]), learner_close(&models[1]);
    return 0;
}
