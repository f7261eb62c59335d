/* SPDX-License-Identifier: MIT */
/* What a user's program sees of an installed rill: every public header, and one call into each library. */
#include <stdio.h>
#include <string.h>

#include <rill/rill.h>
#ifdef USES_learning
#include <rill/learning.h>
#include <rill/symbol_model.h>
#endif
#if defined(USES_encoder) || defined(USES_stream)
#include <rill/encoder.h>
#endif
#ifdef USES_stream
#include <rill/stream/audio_file.h>
#include <rill/stream/diarization.h>
#include <rill/stream/front_end.h>
#include <rill/stream/listener.h>
#include <rill/stream/live.h>
#include <rill/stream/resampler.h>
#endif

int main(void) {
    if (strcmp(rill_version(), RILL_VERSION) != 0) return printf("header and library differ\n"), 1;
#ifdef USES_learning
    const rill_symbol_model_shape shape = {RILL_SIMILARITY_PRODUCT, 2, 1, 2, 1, 4, 1, 4};
    if (rill_symbol_model_check(&shape, NULL) != RILL_OK || rill_symbol_model_parameters(&shape) == 0)
        return 1;
#endif
#if defined(USES_encoder) || defined(USES_stream)
    rill_error why = {""};
    rill_model *model = NULL;
    if (rill_model_open("no such file", &model, &why) != RILL_NOT_FOUND)
        return printf("%s\n", why.message), 1;
#endif
#ifdef USES_stream
    rill_resampler *resampler = NULL;
    if (rill_resampler_create(48000, 16000, &resampler, &why) != RILL_OK)
        return printf("%s\n", why.message), 1;
    rill_resampler_destroy(resampler);
    rill_audio_file *file = NULL;
    if (rill_audio_file_open("no such file", 0, &file, &why) != RILL_NOT_FOUND)
        return printf("%s\n", why.message), 1;
#endif
    return printf("rill %s, kernels %s\n", rill_version(), rill_kernels_name()) < 0;
}
