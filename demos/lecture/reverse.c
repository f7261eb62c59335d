/* SPDX-License-Identifier: MIT */
/* Sequence to sequence, and the model decides how many: reverse [copy|reverse] [linear|softmax] [UPDATES]
 *
 * A word of 1 to 16 letters is read; then it is written backwards (or copied, the task of 2006.16236,
 * section 4.1), and how long the answer is, is the model's to say: it writes END. One causal transformer does
 * both. With linear attention it is a recurrent network: what it has read lies in a state of constant size,
 * and every letter is written from that state alone.
 *
 *     input     c    a    b   TURN  b    a    c
 *     target                  b     a    c    END          targets count from TURN on
 *
 * Each step is told a symbol and its place, in reading or in writing. Trained here, in seconds, on words
 * drawn by chance; then tested on words drawn afresh, step by step. */
#include <stdbool.h>
#include <time.h>

#include "dice.h"
#include "learner.h"

enum {
    LETTERS = 10,
    LONGEST = 16,
    END = LETTERS,
    CLASSES,
    TURN = CLASSES,
    READING,
    WRITING = READING + LONGEST + 1
};
enum { SYMBOLS = WRITING + LONGEST + 1, STEPS = 2 * LONGEST + 1, BATCH = 16, TESTED = 1000 };

typedef struct word {
    uint32_t length, letters[LONGEST], answer[LONGEST + 1]; /* the answer ends with END */
} word;

static word draw_word(bool reverse) {
    word w = {.length = 1 + dice_below(LONGEST)};
    for (uint32_t i = 0; i < w.length; i++) w.letters[i] = dice_below(LETTERS);
    for (uint32_t i = 0; i < w.length; i++) w.answer[i] = w.letters[reverse ? w.length - 1 - i : i];
    w.answer[w.length] = END;
    return w;
}

/* Step i of the reading, or i steps after it, when the last letter written was `last`. */
static void tell(const word *w, uint32_t i, uint32_t last, uint32_t symbols[2]) {
    symbols[0] = i < w->length ? w->letters[i] : i == w->length ? TURN : last;
    symbols[1] = i <= w->length ? READING + i : WRITING + i - w->length - 1;
}

static double train_on(learner *l, const word *w) {
    uint32_t symbols[STEPS][2], targets[STEPS];
    for (uint32_t i = 0; i <= 2 * w->length; i++) {
        targets[i] = i < w->length ? RILL_NO_TARGET : w->answer[i - w->length];
        tell(w, i, i > w->length ? targets[i - 1] : 0, symbols[i]);
    }
    return learner_take(l, 2 * w->length + 1, symbols[0], targets);
}

/* Reads the word, then writes until END, each step from the memory alone. Returns how many symbols came, END
 * too. */
static uint32_t answer(const learner *l, const word *w, void *memory, uint32_t written[LONGEST + 1]) {
    uint32_t count = 0;
    rill_symbol_model_init(&l->shape, STEPS, memory);
    for (uint32_t i = 0; count <= LONGEST && (count == 0 || written[count - 1] != END); i++) {
        uint32_t symbols[2], best = 0;
        float logits[CLASSES];
        tell(w, i, count ? written[count - 1] : 0, symbols);
        rill_symbol_model_step(&l->shape, l->parameters, STEPS, memory, 1, symbols, logits, l->workspace);
        for (uint32_t c = 1; c < CLASSES; c++) best = logits[c] > logits[best] ? c : best;
        if (i >= w->length) written[count++] = best;
    }
    return count;
}

static void print_word(const char *before, uint32_t count, const uint32_t *letters) {
    printf("%s", before);
    for (uint32_t i = 0; i < count; i++) putchar(letters[i] == END ? '.' : (int)('a' + letters[i]));
}

static void test(const learner *l, bool reverse) {
    size_t symbols = 0, symbols_right = 0, words_right = 0, lengths_right = 0, steps = 0;
    void *memory = learner_memory(rill_symbol_model_size(&l->shape, STEPS));
    const clock_t begin = clock();
    for (int n = 0; n < TESTED; n++) {
        const word w = draw_word(reverse);
        uint32_t written[LONGEST + 1], right = 0;
        const uint32_t count = answer(l, &w, memory, written);
        for (uint32_t i = 0; i < count && i <= w.length; i++) right += written[i] == w.answer[i];
        symbols += w.length + 1;
        symbols_right += right;
        words_right += right == w.length + 1 && count == w.length + 1;
        lengths_right += count == w.length + 1;
        steps += w.length + count;
        if (n >= 5) continue;
        print_word("  ", w.length, w.letters);
        print_word(" → ", count, written);
        printf("\n");
    }
    printf("memory of a stream: %zu bytes%s\n", rill_symbol_model_size(&l->shape, STEPS),
           l->shape.similarity == RILL_SIMILARITY_PRODUCT ? ", whatever the length"
                                                          : ", a cache of every step");
    printf("steps a second: %.0f\n", (double)steps * CLOCKS_PER_SEC / (double)(clock() - begin));
    printf("symbols right: %.4f\n", (double)symbols_right / (double)symbols);
    printf("lengths right: %.4f\n", (double)lengths_right / TESTED);
    printf("words right: %.4f\n", (double)words_right / TESTED);
    free(memory);
}

int main(int count, char **arguments) {
    bool reverse = true, softmax = false;
    size_t updates = 3000;
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "copy") || !strcmp(arguments[i], "reverse"))
            reverse = arguments[i][0] == 'r';
        else if (!strcmp(arguments[i], "linear") || !strcmp(arguments[i], "softmax"))
            softmax = arguments[i][0] == 's';
        else if ((updates = strtoul(arguments[i], NULL, 10)) == 0 || updates > 1000000)
            return fprintf(stderr, "usage: %s [copy|reverse] [linear|softmax] [UPDATES]\n", arguments[0]), 2;
    }
    const rill_symbol_model_shape shape = {.similarity =
                                               softmax ? RILL_SIMILARITY_SOFTMAX : RILL_SIMILARITY_PRODUCT,
                                           .symbols = SYMBOLS,
                                           .symbols_per_step = 2,
                                           .classes = CLASSES,
                                           .layers = 2,
                                           .dim = 48,
                                           .heads = 2,
                                           .feed_forward_dim = 96};
    learner l = learner_open(shape, STEPS, 1);
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    printf("%s, %s attention, %zu parameters, %zu updates of %d words\n", reverse ? "reverse" : "copy",
           softmax ? "softmax" : "linear", l.count, updates, BATCH);
    double loss = 0, symbols = 0;
    const clock_t begin = clock();
    for (size_t update = 0; update < updates; update++) {
        for (int n = 0; n < BATCH; n++) {
            const word w = draw_word(reverse);
            loss += train_on(&l, &w);
            symbols += w.length + 1;
        }
        learner_update(&l, 0.004, update, updates);
        if ((update + 1) % (updates / 6 + 1) && update + 1 < updates) continue;
        printf("update %6zu: %.4f nats a symbol (by chance %.2f), %.1f s\n", update + 1, loss / symbols,
               log(CLASSES), (double)(clock() - begin) / CLOCKS_PER_SEC);
        loss = symbols = 0;
    }
    test(&l, reverse);
    learner_close(&l);
    return 0;
}
