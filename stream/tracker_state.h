/* SPDX-License-Identifier: MIT */
/* A tracker's memory, for the files that work on it:
 *   tracker.c            takes a step in, decides a step, calls the others for that
 *   forward_backward.c   who speaks at a step
 *   tracker_events.c     what is told of it
 *   tracker_voices.c     what is learned from it
 *   tracker_labels.c     numbers, and what a grouping of the memory makes of them
 *   tracker_speakers.c   speakers as the user sees and corrects them
 *   tracker_validity.c   whether bytes from outside are such a memory
 * None of them allocates. self is the memory, at says where its parts lie. */
#ifndef RILL_TRACKER_STATE_H
#define RILL_TRACKER_STATE_H

#include "voice_memory.h"

#define RILL_TRACKER_MAX_WAIT 250 /* steps */
#define RILL_TRACKER_QUEUE                                                                                   \
    1152                       /* events: MAX_WAIT steps may start and end two turns each, and 128 remain    \
                                */
#define RILL_TRACKER_AT_ONCE 2 /* speakers told at once */

typedef struct rill_known_speaker {
    uint32_t number;
    uint32_t enrolled, speaking;
    char name[RILL_NAME_SIZE];
    uint64_t talk_steps;
    float score, cosine;
    float count;  /* steps its voice stands on */
    float offset; /* ½ Σ (voice² + its variance): voice · x − offset is the log-likelihood of a step x */
    float belief; /* that it speaks now, given all up to the step decided last; sums to 1 with unknown's */
    float recent; /* how much it spoke of late, 0 … 1 */
} rill_known_speaker;

/* A turn that is being told. */
typedef struct rill_running_turn {
    uint32_t speaker; /* or RILL_NOBODY */
    uint64_t start;
    double score; /* sum over its steps */
} rill_running_turn;

/* Who is told for a step. */
typedef struct rill_told {
    uint32_t speaker; /* or RILL_NOBODY */
    float score;
} rill_told;

/* The beginning of a tracker's memory; floats and the memory of voices follow, see rill_tracker_carve. */
typedef struct rill_tracker_state {
    rill_tracker_settings settings;
    double step_seconds;
    float ease;        /* the user's threshold over the model's: known voices must be so much more alike */
    size_t wait, ring; /* steps */
    uint64_t heard, decided; /* steps */
    size_t speakers_count;
    uint32_t next_number, next_chunk;
    float unknown_belief;
    uint32_t provisional; /* the number lent to the unknown voice until it is a speaker, and to the next one
                             when it falls silent before; or RILL_NOBODY */
    uint32_t pending;     /* the same while the unknown voice is told, else RILL_NOBODY */
    size_t pending_steps; /* of speech */
    size_t pause;         /* steps since the last speech */
    uint32_t speaking;    /* whether the step decided last was speech */
    rill_running_turn turns[RILL_TRACKER_AT_ONCE]; /* the first is that of who is decided, the second of who
                                                      speaks at the same time */
    /* the chunk that is being filled */
    rill_chunk open;
    size_t open_steps;
    uint32_t link;       /* the chunk number that the next chunk goes on from */
    size_t fresh_chunks; /* since the last grouping */
    size_t chunks_count;
    size_t events_first, events_count;
    rill_event events[RILL_TRACKER_QUEUE];
    rill_known_speaker speakers[RILL_TRACKER_MAX_SPEAKERS];
} rill_tracker_state;

/* Where the parts lie that depend on the model's sizes. */
typedef struct rill_tracker_parts {
    float *embeddings; /* [ring][embedding_dim] */
    float *steps;      /* [ring][dim] projected */
    float *logits;     /* [ring] clipped */
    float *weights;    /* [ring] probability of speech */
    float *overlap;    /* [ring] clipped logits of two or more speaking */
    float *likelihood; /* [ring][RILL_TRACKER_MAX_SPEAKERS] log, a step as decision_scale */
    float *voices;     /* [RILL_TRACKER_MAX_SPEAKERS][dim] posterior mean of the speaker, room subtracted */
    float *sums;       /* [RILL_TRACKER_MAX_SPEAKERS][dim] */
    float *heard;      /* [RILL_TRACKER_MAX_SPEAKERS][embedding_dim] */
    float *room;       /* [dim] */
    float *turn_heard; /* [RILL_TRACKER_AT_ONCE][embedding_dim] */
    float *open_heard; /* [embedding_dim] */
    float *open_sums;  /* [dim] */
    rill_memory memory;
} rill_tracker_parts;

/* The parts of a tracker of ring steps; returns its size in bytes. bytes NULL: only the size is wanted. */
size_t rill_tracker_carve(const rill_voice_model *voices, size_t ring, void *bytes, rill_tracker_parts *to);

/* Steps that a decision waits; whole, and within size_t once the settings are checked. */
double rill_tracker_wait_steps(const rill_voice_model *voices, const rill_tracker_settings *settings);

/* Steps that are kept. */
size_t rill_tracker_ring_steps(const rill_voice_model *voices, const rill_tracker_settings *settings);

/* Whether a step can be taken for speech: embedding [count] finite and not zero, logit finite. */
bool rill_tracker_is_usable(size_t count, const float *embedding, float logit);

static inline double rill_tracker_seconds(const rill_voice_model *voices, uint64_t steps) {
    return (double)steps * voices->step_seconds;
}

/* --- tracker_labels.c --- */

/* NULL when nobody is known by that number. */
rill_known_speaker *rill_tracker_find(rill_tracker_state *self, uint32_t number);

/* The number a new label would get: the next one, then one that nothing remembered was told under;
 * RILL_NOBODY when all max_speakers are taken and at least one is known. However long it listens, no more
 * labels are told than the user asked for. */
uint32_t rill_tracker_free_number(rill_tracker_state *self, const rill_memory *memory);

/* The same, and it is given away. */
uint32_t rill_tracker_take_number(rill_tracker_state *self, const rill_memory *memory);

/* A speaker of that number, who takes over what the unknown voice was if it was told under it. There must be
 * room: fewer than max_speakers are known. */
rill_known_speaker *rill_tracker_add_speaker(rill_tracker_state *self, uint32_t number);

/* Groups the memory afresh and makes its groups the speakers. */
void rill_tracker_regroup(const rill_voice_model *voices, rill_tracker_state *self, rill_tracker_parts *at);

/* --- tracker_voices.c --- */

/* The log-likelihood of the step at slot under each speaker. */
void rill_tracker_find_likelihood(const rill_voice_model *voices, const rill_tracker_state *self,
                                  const rill_tracker_parts *at, size_t slot);

/* Speakers' voices from their chunks; then everything that follows from them. */
void rill_tracker_learn(const rill_voice_model *voices, rill_tracker_state *self,
                        const rill_tracker_parts *at);

/* Takes the step decided, at slot, told under number or RILL_NOBODY, into the memory. */
void rill_tracker_remember(const rill_voice_model *voices, rill_tracker_state *self, rill_tracker_parts *at,
                           uint64_t step, size_t slot, uint32_t number, float posterior);

/* The unknown voice becomes a speaker. */
void rill_tracker_give_birth(const rill_voice_model *voices, rill_tracker_state *self,
                             rill_tracker_parts *at);

/* --- forward_backward.c --- */

/* The slot of the step whose embedding tells of step: the embedding lags. */
size_t rill_tracker_slot(const rill_voice_model *voices, const rill_tracker_state *self, uint64_t step);

typedef struct rill_decision {
    size_t who; /* the speaker's index, or speakers_count for the unknown voice */
    float posterior;
    size_t second; /* whose voice it would be else: a known speaker's index, or SIZE_MAX when there is none */
    float second_posterior; /* among all but who */
} rill_decision;

/* Who speaks at step, as a forward-backward pass from the last decision to the last step heard sees it;
 * another than before only when that is change_odds times as likely, so that a turn is not cut to pieces by
 * doubt. */
rill_decision rill_tracker_decide(const rill_voice_model *voices, rill_tracker_state *self,
                                  const rill_tracker_parts *at, uint64_t step, bool speech);

/* --- tracker_events.c --- */

/* A new event at the end of the queue, to be filled in. */
rill_event *rill_tracker_tell(const rill_voice_model *voices, rill_tracker_state *self, rill_event_kind kind,
                              uint32_t number);

/* The running turn of that number, or NULL. */
const rill_running_turn *rill_tracker_running(const rill_tracker_state *self, uint32_t number);

/* Tells the running turns, if there are any. */
void rill_tracker_end_turns(const rill_voice_model *voices, rill_tracker_state *self,
                            const rill_tracker_parts *at, uint64_t end);

/* Tells what changes with the step decided, at slot: it is those speakers'. */
void rill_tracker_tell_step(const rill_voice_model *voices, rill_tracker_state *self,
                            const rill_tracker_parts *at, uint64_t step, size_t slot,
                            const rill_told told[RILL_TRACKER_AT_ONCE]);

/* Tells up to most corrections: chunks whose label has changed and stayed so over settled groupings. A label
 * given up altogether is one correction of everything; parts of a chunk fused from several cannot be told
 * apart any more. */
void rill_tracker_tell_corrections(const rill_voice_model *voices, rill_tracker_state *self,
                                   const rill_tracker_parts *at, size_t most, uint32_t settled);

#endif
