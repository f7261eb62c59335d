/* SPDX-License-Identifier: MIT */
/* A causal linear-attention encoder that runs models trained elsewhere, one step at a time, in constant
 * memory.
 *
 * A model is immutable and may be shared by any number of threads and streams; what a stream has heard lives
 * in an encoder state of constant size. The file format is described in docs/model-format.md. */
#ifndef RILL_ENCODER_H
#define RILL_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rill/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_model rill_model;

/* What stands in a model file, beside the weights. Text fields are always terminated. */
typedef struct rill_model_info {
    char id[64];          /* model.id: a name for people */
    char licence[128];    /* model.licence */
    char fingerprint[17]; /* 16 hex digits over weights and metadata: two models differ here when their
                             embeddings may */
    /* front end */
    unsigned sample_rate_hz;
    size_t window_samples, hop_samples, fft_size, mel_bands;
    double mel_hz_min, mel_hz_max;
    double log_floor, feature_mean, feature_scale;
    double high_pass_hz; /* below which samples are held back, by 6 dB an octave; 0: none */
    /* network */
    size_t frames_per_step, layers, model_dim, heads, feed_forward_dim, convolution_kernel, embedding_dim;
    size_t shared_layers; /* so many of the first layers are of all outputs, the others of the embedding */
    size_t speech_layers; /* and so many of another stack behind the shared ones are of speech and overlap; 0:
                             all layers are of all outputs */
    double normalizer_epsilon, norm_epsilon;
    /* pooling of a segment (rill_embedder): mean of the steps' embeddings weighted by speech probability */
    double skipped_start_seconds;
    double heard_again_seconds;  /* of a segment's beginning that are heard again at its end */
    double heard_again_speed;    /* and heard apart, played so fast; 1: they are not */
    double pooling_speech_power; /* of the speech probability that is a step's weight */
    /* derived */
    size_t parameters;       /* weights, biases and decays of the network */
    size_t weights_size;     /* bytes of them as they are read, once a step */
    bool has_overlap;        /* whether it tells when two or more speak at once */
    size_t state_size;       /* bytes of one encoder state */
    double steps_per_second; /* sample_rate_hz / (hop_samples · frames_per_step) */
    double latency_seconds; /* from a sample to the embedding that has seen it at the latest: step + window −
                               hop */
} rill_model_info;

/* Reads a model. Every offset, shape, dtype and overlap of the file is checked before use. Allocates.
 * RILL_NOT_FOUND, RILL_IO_ERROR, RILL_BAD_FORMAT, RILL_UNSUPPORTED, RILL_OUT_OF_MEMORY; why (or NULL) names
 * the file and the tensor or key. The caller closes *model. */
RILL_API rill_status rill_model_open(const char *path, rill_model **model, rill_error *why);

/* The same from size bytes in memory, at any alignment. They are copied: nothing is borrowed after the call.
 * name appears in errors. */
RILL_API rill_status rill_model_from_memory(const char *name, const void *bytes, size_t size,
                                            rill_model **model, rill_error *why);

/* Frees what the model holds; NULL is allowed. No state made with the model may be stepped afterwards. */
RILL_API void rill_model_close(rill_model *model);

/* What the file says of itself; owned by the model. */
RILL_API const rill_model_info *rill_model_get_info(const rill_model *model);

/* A metadata value by its key, or NULL; owned by the model. */
RILL_API const char *rill_model_text(const rill_model *model, const char *key);

/* A metadata value read as a finite number, written as in JSON whatever the locale; fallback when the key is
 * absent or no number. May allocate: not for the audio path. */
RILL_API double rill_model_number(const rill_model *model, const char *key, double fallback);

/* A float32 tensor by its name, e.g. one the tracker needs: its values, owned by the model, and its shape (up
 * to 4 dimensions, unused ones 1). NULL when absent or not float32. */
RILL_API const float *rill_model_tensor(const rill_model *model, const char *name, size_t shape[4]);

/* Bytes of one stream's memory, a multiple of RILL_STATE_ALIGNMENT and to be aligned to it: the state, its
 * first info.state_size bytes, then the workspace of a call, which holds nothing between calls. Plain memory
 * without pointers; memcpy moves it, a copy forks it. */
#define RILL_STATE_ALIGNMENT 64
RILL_API size_t rill_encoder_size(const rill_model *model);
/* Nothing heard yet; reset forgets what was heard: the same. Real-time safe. */
RILL_API void rill_encoder_init(const rill_model *model, void *encoder);
RILL_API void rill_encoder_reset(const rill_model *model, void *encoder);

/* One step: log_mel [frames_per_step][mel_bands], normalised as the front end gives them, oldest frame first
 * → embedding [embedding_dim] of unit length (zero when the network gives zero), the logit that someone
 * speaks, and, unless overlap_logit is NULL, the logit that two or more do: −∞ from a model that cannot tell.
 * A step with a value that is not finite, or so large that the input projection overflows, is not taken in:
 * the state stays, the embedding is all NaN and the logits are −∞. Real-time safe. */
RILL_API void rill_encoder_step(const rill_model *model, void *encoder, const float *log_mel,
                                float *embedding, float *speech_logit, float *overlap_logit);

/* steps × the same, faster: log_mel [steps][frames_per_step][mel_bands] → embeddings [steps][embedding_dim],
 * speech_logits [steps], overlap_logits [steps] or NULL. Agrees with single steps to rounding (1e-5), on
 * every split. Real-time safe, but takes its time. */
RILL_API void rill_encoder_prefill(const rill_model *model, void *encoder, size_t steps, const float *log_mel,
                                   float *embeddings, float *speech_logits, float *overlap_logits);

/* A step of each of count streams, all different, for one reading of the weights: encoders [count], log_mel
 * [count][frames_per_step][mel_bands] → embeddings [count][embedding_dim], speech_logits [count],
 * overlap_logits [count] or NULL. Agrees with single steps to rounding (1e-5); a stream whose step is refused
 * is left out, and the others do not notice. Works in the workspaces that the encoders bring along. Real-time
 * safe. */
RILL_API void rill_encoder_step_batch(const rill_model *model, size_t count, void *const *encoders,
                                      const float *log_mel, float *embeddings, float *speech_logits,
                                      float *overlap_logits);

#ifdef __cplusplus
}
#endif
#endif
