#!/bin/bash
# SPDX-License-Identifier: MIT
# The same sound at another rate gives the same turns within 80 ms, the same labels.
. "$(dirname "$0")/program_functions.sh"
"$make_audio" talk talk_16000.wav 16000 1 30
run 0 track --quiet --rttm 16000.rttm talk_16000.wav
[ -s 16000.rttm ] || fail "no turns in the artificial talk"
for rate in 48000 44100 22050 96000; do
    "$make_audio" talk talk_$rate.wav $rate 1 30
    run 0 track --quiet --rttm $rate.rttm talk_$rate.wav
    paste -d' ' 16000.rttm $rate.rttm | awk -v rate=$rate '
        function far(a, b) { d = a - b; return d > 0.0801 || d < -0.0801 }
        far($4, $14) || far($4 + $5, $14 + $15) || $8 != $18 || NF != 20 {
            print rate " Hz: " $0; wrong = 1 }
        END { exit wrong }' >&2 || fail "the turns at $rate Hz differ"
done
finish
