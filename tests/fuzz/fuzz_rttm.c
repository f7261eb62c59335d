/* SPDX-License-Identifier: MIT */
/* Any bytes as RTTM and as UEM; what was read is written, read again, and scored against itself. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <rill/stream/diarization.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int law) {
    if (!law) abort();
}

static void check_line(rill_turn turn) {
    char line[1024];
    int length = rill_rttm_line(line, sizeof line, &turn);
    check(length > 0 && length < (int)sizeof line);
    rill_turns *again;
    check(rill_rttm_parse("line", line, (size_t)length, &again, NULL) == RILL_OK);
    check(rill_turns_count(again) == 1);
    rill_turns_destroy(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rill_turns *turns = NULL, *regions = NULL;
    rill_error why;
    const char *text = (const char *)data;
    rill_status status[] = {rill_rttm_parse("fuzz", text, size, &turns, &why),
                            rill_uem_parse("fuzz", text, size, &regions, &why)};
    check((status[0] == RILL_OK) == (turns != NULL) && (status[1] == RILL_OK) == (regions != NULL));
    for (size_t i = 0; turns && i < rill_turns_count(turns); i++) check_line(rill_turns_at(turns, i));
    rill_diarization_error *errors = NULL;
    size_t count = 0;
    if (turns && rill_diarization_score(turns, turns, regions, 0.25, &errors, &count, &why) == RILL_OK) {
        const rill_diarization_error *total = &errors[count - 1];
        check(total->missed + total->false_alarm + total->confusion == 0);
    }
    rill_diarization_errors_destroy(errors);
    rill_turns_destroy(turns);
    rill_turns_destroy(regions);
    return 0;
}
