/* SPDX-License-Identifier: MIT */
/* The diarization error rate: what share of the speech was given to nobody, or to somebody else.
 *
 * With n_ref and n_hyp speakers at a moment, of whom n_correct are mapped to each other (NIST RT-09):
 *     missed = max(0, n_ref − n_hyp), false alarm = max(0, n_hyp − n_ref), confusion = min(n_ref, n_hyp) −
 * n_correct each integrated over the scored time. Nothing is quantised: the sums go from boundary to
 * boundary. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rill/assignment.h>
#include <rill/stream/diarization.h>

#include "failure.h"

enum { SPEAKERS_MAX = 1024 }; /* in a file, a side: the matrix of time spent together is their square */
static const double COUNTED_SECONDS = 1; /* of label make a speaker of the hypothesis */

static const double TOUCHING_SECONDS = 1e-6; /* start + duration is not exact */

/* The list's turns in another order: by file, then speaker, then start. */
typedef struct piece {
    const char *file, *speaker;
    double start, end;
    size_t position; /* in the list */
} piece;

typedef struct pieces {
    size_t count;
    piece *piece;
} pieces;

typedef enum edge_kind { EDGE_REFERENCE, EDGE_HYPOTHESIS, EDGE_REGION, EDGE_COLLAR } edge_kind;

/* A moment at which something begins (+1) or ends (−1). */
typedef struct edge {
    double time;
    edge_kind kind;
    int change;
    size_t speaker;
} edge;

/* Who speaks at the moment the sweep has come to. */
typedef struct voices {
    size_t speakers;
    size_t active_count;
    size_t *active;  /* [speakers] */
    size_t *place;   /* [speakers] in active, SIZE_MAX when silent */
    double *seconds; /* [speakers] in the regions */
    size_t *mapped;  /* [speakers] of the reference: the speaker of the hypothesis, SIZE_MAX for none */
} voices;

/* One file. */
typedef struct scene {
    edge *edges;
    size_t edge_count;
    voices reference, hypothesis;
    double *together; /* [reference.speakers][hypothesis.speakers] seconds */
    rill_diarization_error error;
} scene;

static int compare_pieces(const void *a, const void *b) {
    const piece *x = a, *y = b;
    int order = strcmp(x->file, y->file);
    if (!order) order = strcmp(x->speaker, y->speaker);
    return order ? order : (x->start > y->start) - (x->start < y->start);
}

static rill_status sort_turns(const rill_turns *turns, pieces *sorted, rill_error *why) {
    sorted->count = turns ? rill_turns_count(turns) : 0;
    sorted->piece = calloc(sorted->count + 1, sizeof *sorted->piece);
    if (!sorted->piece)
        return rill_fail(why, RILL_OUT_OF_MEMORY, "no memory to sort %zu turns", sorted->count);
    for (size_t i = 0; i < sorted->count; i++) {
        rill_turn turn = rill_turns_at(turns, i);
        sorted->piece[i] = (piece){turn.file, turn.speaker, turn.start, turn.start + turn.duration, i};
    }
    qsort(sorted->piece, sorted->count, sizeof *sorted->piece, compare_pieces);
    return RILL_OK;
}

/* The pieces of the file that begins at first. */
static pieces file_at(const pieces *sorted, size_t first) {
    size_t end = first + 1;
    while (end < sorted->count && strcmp(sorted->piece[end].file, sorted->piece[first].file) == 0) end++;
    return (pieces){end - first, sorted->piece + first};
}

static pieces file_named(const pieces *sorted, const char *file) {
    size_t low = 0, high = sorted->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(sorted->piece[middle].file, file) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < sorted->count && strcmp(sorted->piece[low].file, file) == 0;
    return found ? file_at(sorted, low) : (pieces){0, NULL};
}

/* Joins a speaker's turns that overlap or touch and drops those without length: a voice is there or not, and
 * how its time was cut into turns says nothing. */
static void merge_turns(pieces *file) {
    size_t kept = 0;
    for (size_t i = 0; i < file->count; i++) {
        piece *next = &file->piece[i], *last = kept ? &file->piece[kept - 1] : NULL;
        if (!(next->end > next->start)) continue;
        if (last && strcmp(last->speaker, next->speaker) == 0 && next->start <= last->end + TOUCHING_SECONDS)
            last->end = fmax(last->end, next->end);
        else
            file->piece[kept++] = *next;
    }
    file->count = kept;
}

static size_t count_speakers(const pieces *file) {
    size_t count = file->count > 0;
    for (size_t i = 1; i < file->count; i++)
        count += strcmp(file->piece[i].speaker, file->piece[i - 1].speaker) != 0;
    return count;
}

static double last_end(const pieces *file) {
    double end = 0;
    for (size_t i = 0; i < file->count; i++) end = fmax(end, file->piece[i].end);
    return end;
}

static void add_span(scene *s, edge_kind kind, size_t speaker, double start, double end) {
    s->edges[s->edge_count++] = (edge){start, kind, +1, speaker};
    s->edges[s->edge_count++] = (edge){end, kind, -1, speaker};
}

static void add_turns(scene *s, edge_kind kind, const pieces *file) {
    size_t speaker = 0;
    for (size_t i = 0; i < file->count; i++) {
        const piece *turn = &file->piece[i];
        speaker += i && strcmp(turn->speaker, turn[-1].speaker) != 0;
        add_span(s, kind, speaker, turn->start, turn->end);
    }
}

static int compare_edges(const void *a, const void *b) {
    double x = ((const edge *)a)->time, y = ((const edge *)b)->time;
    return (x > y) - (x < y);
}

static bool voices_open(voices *v, size_t speakers) {
    v->speakers = speakers;
    v->active = calloc(speakers + 1, sizeof *v->active);
    v->place = calloc(speakers + 1, sizeof *v->place);
    v->seconds = calloc(speakers + 1, sizeof *v->seconds);
    v->mapped = calloc(speakers + 1, sizeof *v->mapped);
    return v->active && v->place && v->seconds && v->mapped;
}

static void voices_close(voices *v) {
    free(v->active);
    free(v->place);
    free(v->seconds);
    free(v->mapped);
}

static void voices_change(voices *v, size_t speaker, int change) {
    if (change > 0) {
        v->place[speaker] = v->active_count;
        v->active[v->active_count++] = speaker;
    } else {
        size_t last = v->active[--v->active_count];
        v->active[v->place[speaker]] = last;
        v->place[last] = v->place[speaker];
        v->place[speaker] = SIZE_MAX;
    }
}

typedef void visit_span(scene *s, double seconds, bool scored);

/* Calls visit for every span between two edges that lies in a region; scored says that no collar covers it.
 */
static void sweep(scene *s, visit_span *visit) {
    long regions = 0, collars = 0;
    for (size_t i = 0; i < s->edge_count; i++) {
        const edge *now = &s->edges[i];
        if (i && regions > 0 && now->time > now[-1].time) visit(s, now->time - now[-1].time, collars <= 0);
        switch (now->kind) {
        case EDGE_REFERENCE:
            voices_change(&s->reference, now->speaker, now->change);
            break;
        case EDGE_HYPOTHESIS:
            voices_change(&s->hypothesis, now->speaker, now->change);
            break;
        case EDGE_REGION:
            regions += now->change;
            break;
        case EDGE_COLLAR:
            collars += now->change;
            break;
        }
    }
}

static void add_seconds(voices *v, double seconds) {
    for (size_t i = 0; i < v->active_count; i++) v->seconds[v->active[i]] += seconds;
}

static void visit_together(scene *s, double seconds, bool scored) {
    add_seconds(&s->reference, seconds);
    add_seconds(&s->hypothesis, seconds);
    if (!scored) return;
    for (size_t i = 0; i < s->reference.active_count; i++) {
        double *row = s->together + s->reference.active[i] * s->hypothesis.speakers;
        for (size_t j = 0; j < s->hypothesis.active_count; j++) row[s->hypothesis.active[j]] += seconds;
    }
}

static void visit_error(scene *s, double seconds, bool scored) {
    if (!scored) return;
    const voices *reference = &s->reference, *hypothesis = &s->hypothesis;
    size_t n_reference = reference->active_count, n_hypothesis = hypothesis->active_count, n_correct = 0;
    for (size_t i = 0; i < n_reference; i++) {
        size_t mapped = reference->mapped[reference->active[i]];
        n_correct += mapped != SIZE_MAX && hypothesis->place[mapped] != SIZE_MAX;
    }
    size_t n_both = n_reference < n_hypothesis ? n_reference : n_hypothesis;
    s->error.scored += seconds;
    s->error.reference += (double)n_reference * seconds;
    s->error.missed += (double)(n_reference - n_both) * seconds;
    s->error.false_alarm += (double)(n_hypothesis - n_both) * seconds;
    s->error.confusion += (double)(n_both - n_correct) * seconds;
}

static size_t count_voices(const voices *v, double least_seconds) {
    size_t count = 0;
    for (size_t i = 0; i < v->speakers; i++) count += v->seconds[i] > 0 && v->seconds[i] >= least_seconds;
    return count;
}

static rill_status scene_open(scene *s, const pieces *reference, const pieces *hypothesis,
                              const pieces *regions, double collar) {
    size_t spans = 3 * reference->count + hypothesis->count + regions->count + 1;
    s->edges = calloc(spans, 2 * sizeof *s->edges);
    if (!s->edges || !voices_open(&s->reference, count_speakers(reference)) ||
        !voices_open(&s->hypothesis, count_speakers(hypothesis)))
        return RILL_OUT_OF_MEMORY;
    if (s->reference.speakers > SPEAKERS_MAX || s->hypothesis.speakers > SPEAKERS_MAX)
        return RILL_UNSUPPORTED;
    s->together = calloc(s->reference.speakers * s->hypothesis.speakers + 1, sizeof *s->together);
    if (!s->together) return RILL_OUT_OF_MEMORY;
    for (size_t i = 0; i < s->reference.speakers; i++) s->reference.place[i] = SIZE_MAX;
    for (size_t i = 0; i < s->hypothesis.speakers; i++) s->hypothesis.place[i] = SIZE_MAX;
    add_turns(s, EDGE_REFERENCE, reference);
    add_turns(s, EDGE_HYPOTHESIS, hypothesis);
    for (size_t i = 0; i < regions->count; i++)
        add_span(s, EDGE_REGION, 0, regions->piece[i].start, regions->piece[i].end);
    if (!regions->count) add_span(s, EDGE_REGION, 0, 0, fmax(last_end(reference), last_end(hypothesis)));
    for (size_t i = 0; i < reference->count && collar > 0; i++) {
        const piece *turn = &reference->piece[i];
        add_span(s, EDGE_COLLAR, 0, turn->start - collar, turn->start + collar);
        add_span(s, EDGE_COLLAR, 0, turn->end - collar, turn->end + collar);
    }
    qsort(s->edges, s->edge_count, sizeof *s->edges, compare_edges);
    return RILL_OK;
}

static void scene_close(scene *s) {
    free(s->edges);
    free(s->together);
    voices_close(&s->reference);
    voices_close(&s->hypothesis);
}

static rill_status score_file(const char *name, pieces reference, pieces hypothesis, pieces regions,
                              double collar, rill_diarization_error *error, rill_error *why) {
    scene s = {0};
    strncpy(s.error.file, name, sizeof s.error.file - 1);
    merge_turns(&reference);
    merge_turns(&hypothesis);
    rill_status status = scene_open(&s, &reference, &hypothesis, &regions, collar);
    if (status == RILL_OK) {
        sweep(&s, visit_together);
        status = rill_assign(s.reference.speakers, s.hypothesis.speakers, s.together, s.reference.mapped);
    }
    if (status == RILL_OK) {
        sweep(&s, visit_error);
        s.error.reference_speakers = count_voices(&s.reference, 0);
        s.error.hypothesis_speakers = count_voices(&s.hypothesis, COUNTED_SECONDS);
        *error = s.error;
    }
    scene_close(&s);
    if (status == RILL_UNSUPPORTED)
        return rill_fail(why, status, "%.200s: more than %d speakers in one file", name, SPEAKERS_MAX);
    return status == RILL_OK ? RILL_OK : rill_fail(why, status, "%.200s: no memory to score it", name);
}

static size_t count_files(const pieces *sorted) {
    size_t count = 0;
    for (size_t i = 0; i < sorted->count; i += file_at(sorted, i).count) count++;
    return count;
}

static size_t first_position(const pieces *file) {
    size_t first = SIZE_MAX;
    for (size_t i = 0; i < file->count; i++)
        if (file->piece[i].position < first) first = file->piece[i].position;
    return first;
}

static int compare_files(const void *a, const void *b) {
    size_t x = first_position(a), y = first_position(b);
    return (x > y) - (x < y);
}

static void add_to_total(rill_diarization_error *total, const rill_diarization_error *error) {
    total->reference += error->reference;
    total->missed += error->missed;
    total->false_alarm += error->false_alarm;
    total->confusion += error->confusion;
    total->scored += error->scored;
    total->reference_speakers += error->reference_speakers;
    total->hypothesis_speakers += error->hypothesis_speakers;
}

static size_t count_left_out(const pieces *hypothesis, const pieces *reference) {
    size_t count = 0;
    for (size_t i = 0; i < hypothesis->count; i += file_at(hypothesis, i).count)
        count += file_named(reference, hypothesis->piece[i].file).count == 0;
    return count;
}

/* One row a file of the reference, in its order, and the total. */
static rill_status score_files(const pieces *reference, const pieces *hypothesis, const pieces *uem,
                               double collar, rill_diarization_error *errors, pieces *files,
                               rill_error *why) {
    size_t count = 0;
    for (size_t i = 0; i < reference->count; i += files[count++].count) files[count] = file_at(reference, i);
    qsort(files, count, sizeof *files, compare_files);
    rill_diarization_error *total = &errors[count];
    strcpy(total->file, "TOTAL");
    total->left_out_files = count_left_out(hypothesis, reference);
    for (size_t i = 0; i < count; i++) {
        const char *name = files[i].piece->file;
        rill_status status = score_file(name, files[i], file_named(hypothesis, name), file_named(uem, name),
                                        collar, &errors[i], why);
        if (status != RILL_OK) return status;
        add_to_total(total, &errors[i]);
    }
    return RILL_OK;
}

rill_status rill_diarization_score(const rill_turns *reference, const rill_turns *hypothesis,
                                   const rill_turns *uem, double collar, rill_diarization_error **errors,
                                   size_t *count, rill_error *why) {
    *errors = NULL;
    *count = 0;
    if (!(collar >= 0 && collar <= RILL_TURN_SECONDS_MAX))
        return rill_fail(why, RILL_BAD_ARGUMENT, "a collar of %g s: it must be 0 or more", collar);
    pieces sorted[3] = {{0}};
    pieces *files = NULL;
    rill_status status = sort_turns(reference, &sorted[0], why);
    if (status == RILL_OK) status = sort_turns(hypothesis, &sorted[1], why);
    if (status == RILL_OK) status = sort_turns(uem, &sorted[2], why);
    if (status == RILL_OK) {
        size_t rows = count_files(&sorted[0]) + 1;
        files = calloc(rows, sizeof *files);
        *errors = calloc(rows, sizeof **errors);
        status = files && *errors
                     ? score_files(&sorted[0], &sorted[1], &sorted[2], collar, *errors, files, why)
                     : rill_fail(why, RILL_OUT_OF_MEMORY, "no memory for the errors of %zu files", rows - 1);
        *count = rows;
    }
    if (status != RILL_OK) {
        free(*errors);
        *errors = NULL;
        *count = 0;
    }
    free(files);
    for (size_t i = 0; i < 3; i++) free(sorted[i].piece);
    return status;
}

void rill_diarization_errors_destroy(rill_diarization_error *errors) {
    free(errors);
}
