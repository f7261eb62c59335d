#!/bin/bash
# SPDX-License-Identifier: MIT
# A turn is told before the latency is over, under the label its start was told with, and at once.
. "$(dirname "$0")/program_functions.sh"
"$make_audio" talk talk.wav 16000 1 30

for latency in 0.5 1 2; do
    run 0 track --json --latency $latency talk.wav
    told '"event": "turn"'
    sed 's/[{}",:]/ /g' out | awk -v latency=$latency '
        function value(key,    i) { for (i = key == "event" ? 1 : 3; i < NF; i++) if ($i == key) return $(i + 1) }
        value("event") == "start" { open[value("speaker")]++ }
        value("event") == "turn" && open[value("speaker")]-- < 1 { print "no start: " $0; wrong = 1 }
        function late(since) { return value("decided_at") - value(since) > latency + 0.0011 }
        value("event") == "turn" && late("end") { print "late: " $0; wrong = 1 }
        value("event") == "start" && late("start") { print "late: " $0; wrong = 1 }
        END { exit wrong }' >&2 || fail "latency $latency"
done

# what has been told is out, although the recording goes on
mkfifo sound
(head -c 1280000 talk.wav && exec sleep 60) >sound &
feeder=$!
: >out # what the last run told must not be taken for this one's
"$rill" track --json - <sound >out 2>err &
tracker=$!
for ((i = 0; i < 600; i++)); do
    grep -q '"event": "turn"' out && break
    sleep 0.05
done
told '"event": "turn"'
kill $feeder
code=0
wait $tracker || code=$?
sane 1 $code "track of a stream that breaks off"
said 'standard input'
told '"event": "end"'
finish
