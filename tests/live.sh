#!/bin/bash
# SPDX-License-Identifier: MIT
# Live capture through PortAudio, without hardware: what is played arrives bit for bit, and a device that
# vanishes is noticed.   live.sh LIVE_CAPTURE
set -euo pipefail
capture=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
fake=$here/fake-microphone
directory=$(mktemp -d)
trap '"$fake" stop "$directory/microphone"; rm -rf "$directory"' EXIT
export TSAN_OPTIONS="suppressions=$here/thread_suppressions.txt ${TSAN_OPTIONS:-}"

started() { # RATE
    local result=0
    "$fake" start "$directory/microphone" "$1" || result=$?
    if [ $result = 77 ]; then
        echo "SKIPPED: live capture was NOT tested: install pulseaudio, pulseaudio-utils, libasound2-plugins" >&2
        exit 77
    fi
    [ $result = 0 ]
    . "$directory/microphone/environment"
}

hears_every_sample_at() { # RATE
    started "$1"
    "$capture" make "$directory/played.wav" "$1" 5
    # the last sample is followed by more silence than any buffer holds
    "$capture" hear "$directory/played.wav" > "$directory/said" &
    local listener=$! tries result=0
    for ((tries = 0; tries < 600; tries++)); do
        grep -q listening "$directory/said" && break
        sleep 0.05
    done
    "$fake" play "$directory/microphone" "$directory/played.wav"
    wait $listener || result=$?
    "$fake" stop "$directory/microphone"
    [ $result = 0 ] || { echo "FAILED: not every sample arrived at $1 Hz" >&2; exit 1; }
}

hears_every_sample_at 16000
hears_every_sample_at 48000

started 16000
"$capture" wrong || { echo "FAILED: choosing a device" >&2; exit 1; }
"$capture" lose "$(cat "$directory/microphone/pid")" || { echo "FAILED: a lost device" >&2; exit 1; }
"$fake" stop "$directory/microphone"

started 16000
server=$(cat "$directory/microphone/pid")
"$capture" stall "$server" || { echo "FAILED: a device that hangs" >&2; exit 1; }
kill -CONT "$server"
"$fake" stop "$directory/microphone"

# without the fake one, a build machine has no microphone at all
result=0
# (ALSA's modules leak, and are gone before anyone can say which)
env -u ALSA_CONFIG_PATH ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" PULSE_SERVER="$directory/nobody" "$capture" none || result=$?
case $result in
0) ;;
77) echo "not tested here: a machine without any device (this one has one)" ;;
*) echo "FAILED: no device" >&2; exit 1 ;;
esac
echo "live capture: every law held"
