#!/bin/bash
# SPDX-License-Identifier: MIT
# rill eval against errors worked out by hand, and its laws.
. "$(dirname "$0")/program_functions.sh"

turns() { # FILE.rttm, then lines of: id start duration speaker
    while read -r id start duration speaker; do
        echo "SPEAKER $id 1 $start $duration <NA> <NA> $speaker <NA> <NA>"
    done >"$1"
}
# rates_are FILE MISSED FALSE_ALARM CONFUSION TOTAL SECONDS
rates_are() {
    told "^\{\"file\": \"$1\", \"missed\": $2, \"false_alarm\": $3, \"confusion\": $4, \"total\": $5, \"scored_seconds\": $6\}\$"
}

# 10 s of reference, of which 2 overlap (0-6 A, 4-8 B): x is A on 0-5, y is B on 5-8, z is nobody on 9-10.
# Missed: 4-5 one of two, 5-6 one of two = 2. False alarm: 1. Confusion: none.
turns reference.rttm <<END
one 0 6 A
one 4 4 B
END
turns found.rttm <<END
one 0 5 x
one 5 3 y
one 9 1 z
END
run 0 eval --json reference.rttm found.rttm
rates_are one 0.2 0.1 0.0 0.3 10.0
rates_are TOTAL 0.2 0.1 0.0 0.3 10.0
run 0 eval reference.rttm found.rttm
told '^one +20\.00% +10\.00% +0\.00% +30\.00% +10\.00 +3 of 2$'

# the same turns are no error, whatever the labels
run 0 eval --json reference.rttm reference.rttm
rates_are TOTAL 0.0 0.0 0.0 0.0 8.0
sed 's/ A / swap /; s/ B / A /; s/ swap / B /' reference.rttm >permuted.rttm
run 0 eval --json reference.rttm permuted.rttm
rates_are TOTAL 0.0 0.0 0.0 0.0 8.0

# a file the hypothesis lacks is all missed; one the reference lacks is left out, and said
turns two.rttm <<END
one 0 6 A
two 0 4 A
END
turns other.rttm <<END
one 0 6 x
three 0 4 x
END
run 0 eval --json two.rttm other.rttm
said '"three"'
rates_are two 1.0 0.0 0.0 1.0 4.0
rates_are TOTAL 0.4 0.0 0.0 0.4 10.0
run 0 eval --quiet two.rttm other.rttm
[ ! -s err ] || fail "--quiet remarks something"

# the collar leaves 0.5 s round 0, 4, 6, 8 out: the confusion of 6.2-6.4 is not scored
turns near.rttm <<END
one 0 4 x
one 4 2.4 x
one 6.4 1.6 y
one 4 2.2 y
END
run 0 eval --json --collar 0.5 reference.rttm near.rttm
told '"confusion": 0.0, "total": 0.0'

# regions
printf 'one NA 0 4\n' >only.uem
run 0 eval --json --uem only.uem reference.rttm found.rttm
rates_are one 0.0 0.0 0.0 0.0 4.0
# speakers are those heard there: A and x, and a voice told twice over for less than a second is none
turns doubled.rttm <<END
one 0 4 x
one 1 0.6 z
one 1 0.6 z
one 5 3 y
END
run 0 eval --uem only.uem reference.rttm doubled.rttm
told '^one .* 1 of 1$'
told '^TOTAL .* 1 of 1$'
run 1 eval --uem missing.uem reference.rttm found.rttm
said 'missing\.uem'

# pairs are pooled by seconds: 3 of 10 and 4 of 10 s wrong
run 0 eval --json reference.rttm found.rttm two.rttm other.rttm
rates_are TOTAL 0.3 0.05 0.0 0.35 20.0

# empty files: no reference, no rate, unless there is nothing wrong
: >empty.rttm
run 0 eval --json empty.rttm empty.rttm
rates_are TOTAL 0.0 0.0 0.0 0.0 0.0
run 0 eval --json reference.rttm empty.rttm
rates_are TOTAL 1.0 0.0 0.0 1.0 8.0

# a recording's name with blanks is one column of the scripts' tables
mkdir "a folder"
"$make_audio" talk "a folder/a talk.flac" 16000 1 8 # what is in it decides
"$rill" track --quiet --rttm "a folder/a talk.rttm" "a folder/a talk.flac" >/dev/null
RILL=$rill "$here/../scripts/score-conversations" "a folder" >out || fail "score-conversations of a name with blanks"
told '^a_talk +- +0\.0 +0\.0 +0\.0 +0\.0 '
finish
