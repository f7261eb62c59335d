#!/bin/bash
# SPDX-License-Identifier: MIT
# The display on a terminal gives the terminal back; off one, or when asked, there is none.
. "$(dirname "$0")/program_functions.sh"
command -v script >/dev/null || { echo "SKIPPED: script (util-linux) is not installed" >&2; exit 77; }
escape=$(printf '\033')
"$make_audio" talk talk.wav 16000 1 12

# on_terminal COMMAND: standard output is a terminal; what it got is in screen
on_terminal() { env -u NO_COLOR TERM=${terminal:-xterm} script -qefc "stty cols 72 rows 20; $1" screen >/dev/null </dev/null; }
given_back() {
    grep -q "$escape\[?1049h" screen || fail "$1: nothing was drawn"
    tail -c 3000 screen | grep -q "$escape\[?25h.*$escape\[?1049l" || fail "$1: the terminal is not given back"
}
drawn() { grep -q "$escape\[?1049h" screen; }

on_terminal "\"\$rill\" track talk.wav" || fail "track on a terminal"
given_back "track"
grep -q 'S1 .*█' screen || fail "no row of a speaker"
grep -q 'real-time factor' screen || fail "no footer"
# on a line that is full the cursor stands on the last character, which must not be erased
on_terminal "stty cols 20; \"\$rill\" track talk.wav" || fail "track on a narrow terminal"
given_back "track on a narrow terminal"
grep -q 'latency 1.00 s · rea' screen || fail "no footer on a narrow terminal"
grep -q "rea$escape\[0m$escape\[[JK]" screen && fail "the end of a full line is erased"
on_terminal "NO_COLOR=1 \"\$rill\" track talk.wav"
drawn && fail "drawn in spite of NO_COLOR"
grep -q '^\[00:0' screen || fail "no lines in spite of NO_COLOR"
terminal=dumb on_terminal "\"\$rill\" track talk.wav"
drawn && fail "drawn on a dumb terminal"
for option in --json --quiet; do
    on_terminal "\"\$rill\" track $option talk.wav"
    drawn && fail "drawn in spite of $option"
done

# what goes wrong meanwhile can be read afterwards, below the picture or in the place of the progress
on_terminal "\"\$rill\" track --rttm /dev/full talk.wav" && fail "a full disk is no error"
given_back "track with a full disk"
sed "1,/$escape\[?1049l/d" screen | grep -q '^rill: /dev/full: ' || fail "what went wrong is taken away with the picture"
on_terminal "\"\$rill\" track talk.wav >/dev/full" && fail "a full disk is no error"
grep -q "$escape\[Krill: standard output" screen || fail "what went wrong stands behind the progress"

# the progress stays in one line, whatever the recording is called
long=$(printf 'a long name %.0s' 1 2 3 4 5 6 7 8)
cp talk.wav "$long.wav"
on_terminal "\"\$rill\" track '$long.wav' >told" || fail "track to a file"
tr '\r' '\n' <screen | sed "s/$escape\[K//" | grep 'times as fast' >progress || fail "no progress"
grep -q '^a long name ' progress || fail "the progress does not name the recording"
[ -z "$(awk 'length > 71' progress)" ] || fail "the progress is wider than the terminal"
# what a pipe goes to may print on the same terminal
on_terminal "\"\$rill\" track talk.wav | cat" || fail "track to a pipe"
grep -q 'times as fast' screen && fail "progress among what a pipe's reader prints"

# a signal in the middle of a recording that does not end: Ctrl-C, a polite end, a crash
"$make_audio" constant long.wav 16000 0.001 1600000
for signal in TERM INT SEGV; do
    rm -f screen pid sound
    mkfifo sound
    (head -c 2000000 long.wav && exec sleep 60) >sound &
    feeder=$!
    (
        for ((i = 0; i < 600; i++)); do
            grep -q 'now:' screen 2>/dev/null && break
            sleep 0.05
        done
        if [ $signal = TERM ]; then # after a Ctrl-Z, which a shell without jobs passes over
            kill -TSTP "$(cat pid)"
            sleep 0.3
        fi
        kill -$signal "$(cat pid)"
        kill $feeder
    ) &
    ASAN_OPTIONS=${ASAN_OPTIONS:-}:handle_segv=0 \
        on_terminal "echo \$\$ >pid; exec \"\$rill\" track - <sound" || true
    wait
    given_back "SIG$signal"
    [ $signal != TERM ] || [ "$(grep -o "$escape\[?1049h" screen | wc -l)" = 2 ] || fail "Ctrl-Z leaves the picture to the shell"
done
finish
