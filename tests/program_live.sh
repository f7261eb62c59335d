#!/bin/bash
# SPDX-License-Identifier: MIT
# rill listen, end to end, on a microphone without hardware: every sample arrives, the recording tracked again
# tells the same, a device that vanishes and outputs that fail end as documented.
. "$(dirname "$0")/program_functions.sh"
fake=$here/fake-microphone
microphone=$directory/microphone
trap '"$fake" stop "$microphone" || true; rm -rf "$directory"' EXIT
# The sound libraries leave memory behind when they are unloaded.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 TSAN_OPTIONS="suppressions=$here/thread_suppressions.txt ${TSAN_OPTIONS:-}"

started() {
    local result=0
    "$fake" start "$microphone" 16000 || result=$?
    if [ $result = 77 ]; then
        echo "SKIPPED: rill listen was NOT tested: install pulseaudio, pulseaudio-utils, libasound2-plugins" >&2
        exit 77
    fi
    [ $result = 0 ] || exit 1
    . "$microphone/environment"
}

# listen ARGUMENT...: in the background, until it says that it listens; sets $listener
listen() {
    : >err # what the last run said must not be taken for this one's
    "$rill" listen "$@" >out 2>err </dev/null &
    listener=$!
    for ((i = 0; i < 600; i++)); do
        grep -q '^listening on' err && return
        kill -0 $listener 2>/dev/null || break
        sleep 0.05
    done
    fail "rill listen $* did not begin"
    cat err >&2
    exit 1
}

ended() { # CODE WHAT
    local code=0
    wait $listener || code=$?
    sane "$1" $code "$2"
}

# same_as_tracked RECORDING: what was told live is what track tells of the recording
same_as_tracked() {
    cp out live
    "$rill" track --json "$1" >again 2>err || fail "track $1"
    same live again "live and from the recording, the events differ"
    grep -q '"event": "end".*"lost_samples": 0}' live || fail "samples were lost, or there is no end: $(tail -1 live)"
}

started
run 0 devices --json
told '"default": true'
run 0 devices
told '^\*'
run 3 listen --device 'no such microphone'
said 'no such microphone'

# everything played arrives, bit for bit; Ctrl-C ends it well
"$make_audio" talk played.wav 16000 1 8
listen --json --record heard.wav --rttm heard.rttm
"$fake" play "$microphone" played.wav
for ((i = 0; i < 60; i++)); do # what was played last is still on its way
    "$make_audio" contains heard.wav played.wav >/dev/null 2>&1 && break
    sleep 0.25
done
kill -INT $listener
ended 0 "listen, then Ctrl-C"
"$make_audio" contains heard.wav played.wav >&2 || fail "not every sample was recorded"
same_as_tracked heard.wav
grep -q '"event": "turn"' live || fail "no turn was told live"
"$rill" track --quiet --rttm again.rttm heard.wav >/dev/null
sed 's/ again / heard /' again.rttm >named.rttm
same heard.rttm named.rttm "live and from the recording, the RTTMs differ"

# so many seconds, to the sample
listen --json --seconds 1.5 --record short.wav
ended 0 "listen --seconds 1.5"
told '"event": "end", "seconds": 1.5,'
same_as_tracked short.wav

# a voice learned from the microphone
"$make_audio" voice low.wav 16000 0 8
(sleep 0.2; exec "$fake" play "$microphone" low.wav) &
player=$!
if command -v script >/dev/null; then # its progress is a line that does not wrap
    script -qefc "stty cols 40 rows 20; \"\$rill\" enroll Low --listen 6 --force" screen >/dev/null </dev/null || fail "enroll on a terminal"
    grep -v '^Script' screen | tr '\r' '\n' | grep '^Low: ' | sed "s/$(printf '\033')\[[0-9;]*[A-Za-z]//g" >progress
    [ -s progress ] || fail "no progress of enroll"
    [ "$(wc -L <progress)" -lt 40 ] || fail "the progress of enroll is wider than the terminal"
else
    run 0 enroll Low --listen 6 --force
fi
wait $player
run 0 speakers
told '^Low'

# outputs that fail: the recording stays whole
for full in rttm output recording; do
    rm -f heard.wav
    code=0
    "$fake" play "$microphone" played.wav &
    player=$!
    case $full in
    rttm) timeout 60 "$rill" listen --json --seconds 7 --rttm /dev/full --record heard.wav >out 2>err || code=$? ;;
    output) timeout 60 "$rill" listen --json --seconds 7 --record heard.wav >/dev/full 2>err || code=$? ;;
    recording) timeout 60 "$rill" listen --json --seconds 2 --record no/such/folder.wav >out 2>err || code=$? ;;
    esac
    sane 5 $code "listen with a failing $full"
    if [ $full != recording ]; then
        run 0 track --json heard.wav
        told '"event": "end"'
    fi
    kill $player 2>/dev/null || true
    wait $player || true
done

# the microphone vanishes while a voice is learned: what was heard is kept, or too little is told; exit code 4
for seconds in 1 6; do
    : >err
    "$rill" enroll Gone --listen 60 >out 2>err </dev/null &
    listener=$!
    for ((i = 0; i < 600; i++)); do
        grep -q '^listening on' err && break
        sleep 0.05
    done
    "$fake" play "$microphone" low.wav &
    player=$!
    sleep $seconds
    "$fake" kill "$microphone"
    ended 4 "enroll on a microphone that vanishes after $seconds s"
    wait $player || true
    said 'vanished'
    "$rill" speakers >known
    if [ $seconds = 1 ]; then
        said 'missing'
        ! grep -q '^Gone' known || fail "a voice of a second of speech is kept"
    else
        grep -q '^Gone' known || fail "what was heard before the microphone vanished is lost"
    fi
    "$fake" stop "$microphone"
    started
done

# the microphone vanishes: what was heard is told and recorded, exit code 4
listen --json --record lost.wav
"$fake" play "$microphone" low.wav &
player=$!
sleep 2
"$fake" kill "$microphone"
ended 4 "listen on a microphone that vanishes"
said 'vanished'
wait $player || true
same_as_tracked lost.wav
grep -q '"seconds": 0.0' live && fail "nothing was heard before the microphone vanished"
"$fake" stop "$microphone"

# no microphone at all
code=0
env -u ALSA_CONFIG_PATH PULSE_SERVER=unix:/nonexistent "$rill" devices >out 2>err || code=$?
[ $code = 0 ] || sane 3 $code "devices without a microphone"
finish
