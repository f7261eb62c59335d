/* SPDX-License-Identifier: MIT */
/* Voices as the tracker sees them: a linear view of an embedding in which one speaker's steps scatter with
 * variance 1 in every direction, and the evidence that steps are of one speaker. Immutable.
 *
 * The model (a Gaussian PLDA, diagonal after the projection):
 *   x = projection · (embedding − mean)      one step
 *   x = room + speaker + noise               noise ~ N(0, 1), speaker ~ N(0, between), room ~ N(0, room)
 * room is shared by all speakers of a recording. Neighbouring steps are far from independent: a step counts
 * as evidence_scale of an observation. */
#ifndef RILL_VOICES_H
#define RILL_VOICES_H

#include <stddef.h>

#include <rill/stream/tracker.h>

#define RILL_VOICE_MAX_DIM      512
#define RILL_TRACKER_MAX_STEADY 25   /* steps */
#define RILL_EVIDENCE_TABLE     1024 /* entries of the logarithm table */
#define RILL_EVIDENCE_OCTAVE    32   /* entries for each doubling of 1 + count */

struct rill_voice_model {
    const float *projection; /* [dim][embedding_dim] */
    const float *mean;       /* [embedding_dim] */
    const float *between;    /* [dim], > 0 */
    const float *room;       /* [dim], ≥ 0 */
    size_t embedding_dim, dim;
    double step_seconds;

    /* Speech: the clipped logits' mean over 2 · speech_reach + 1 steps against speech_threshold. */
    size_t speech_reach;
    float speech_clip, speech_threshold;
    float speech_hold; /* the threshold while speech runs */
    /* Two at once: the overlap logits' mean over 2 · overlap_reach + 1 steps against overlap_threshold, or
     * against overlap_hold while two are told. */
    size_t overlap_reach;
    float overlap_threshold, overlap_hold;
    float overlap_voice; /* power of a voice's likelihood when the second speaker is chosen */

    /* Deciding (units: natural logarithms, or steps). */
    size_t embedding_delay;               /* steps by which the embedding lags the speech it is about */
    float evidence_scale;                 /* of a step when voices are learned and compared */
    float decision_scale;                 /* of a step when it is decided who speaks */
    float voice_drift;                    /* 1 / (steps from which on more of a voice teaches little) */
    float change_rate, pause_change_rate; /* chance a step of a change of speaker, in speech and in a pause */
    float change_odds;                    /* how much likelier another must be than who holds the turn */
    size_t steady;       /* and over so many steps more; speech begins and ends in the mean of so many more */
    float newcomer_cost; /* of a change to an unknown voice, against one to a known voice */
    float recognition_evidence; /* that an unknown voice is a known one's: from so much on it is */
    float recognition_hold;     /* and from so much less if it holds the turn */
    size_t lookahead;   /* steps that are looked ahead at most: further on others speak, and a newcomer's
                           evidence is of all that is ahead */
    size_t birth_steps; /* of unknown speech until it is a speaker */

    /* Learning. */
    float learning_confidence;       /* least posterior of a step that teaches */
    size_t chunk_steps, chunk_least; /* the memory's grain: at most, and at least, so many steps */
    size_t memory_chunks;
    size_t regroup_chunks;         /* new chunks until the memory is grouped afresh */
    float merge_cost;              /* evidence against which two groups are still put together */
    float same_label, other_label; /* what an earlier decision counts when groups are put together */
    float adjacency;               /* what an unbroken voice counts between neighbouring chunks */
    float group_least;             /* steps a group must have to be a speaker */
    float threshold;               /* what the user's threshold is compared with */
    float enrolled_seconds;        /* an enrolled voice counts as so much speech at most */
    float pooled_length;           /* usual length of a mean of embeddings, before it is made 1 */

    size_t pause_steps;     /* a pause so long ends a run of pending speech */
    size_t chunk_gap_steps; /* and so long ends a chunk */

    /* Calibration: probability = 1 / (1 + exp(−(…))). */
    float score_offset, score_posterior, score_age, score_new; /* of a decision */
    float voice_offset, voice_cosine; /* that two voices are one, from their cosine */

    float least_log[RILL_EVIDENCE_TABLE +
                    1]; /* ½ Σ log(1 + count · evidence_scale · between), by log2(1 + count) */
    float decision_log[RILL_EVIDENCE_TABLE + 1]; /* the same for decision_scale */
};

/* x [dim] = projection · (embedding − mean) */
void rill_voice_project(const rill_voice_model *voices, const float *embedding, float *x);

/* The same of a pooled embedding: embedding · factor has length 1, a mean of steps has pooled_length. */
void rill_voice_project_pooled(const rill_voice_model *voices, const float *embedding, double factor,
                               float *x);

/* How much better count steps with the sum x [dim] are explained by one speaker than by none in particular,
 * natural logarithm, the speaker integrated out, a step counting scale:
 *   ½ Σ_d [ between_d (scale x_d)² / (1 + count · scale · between_d) − log(1 + count · scale · between_d) ]
 * logs is the table for that scale. */
float rill_voice_evidence(const rill_voice_model *voices, float scale, const float *logs, float count,
                          const float *x);

/* What part of count steps of a voice counts. Their mean differs from the speaker's by noise, of variance
 * 1 / (scale · count), and by how the voice was at that time, of variance voice_drift / scale: no count of
 * steps makes it smaller. */
float rill_voice_counted(const rill_voice_model *voices, float count);

/* rill_voice_evidence of what counts of one sum of steps, or of two that are taken for one speaker's. */
float rill_voice_evidence_of(const rill_voice_model *voices, float count, const float *sums);
float rill_voice_evidence_of_both(const rill_voice_model *voices, float count_a, const float *a,
                                  float count_b, const float *b);

/* How much better two sums of steps, [dim] of count each, are explained by one speaker than by two. */
float rill_voice_likeness(const rill_voice_model *voices, float count_a, const float *a, float count_b,
                          const float *b);

#endif
