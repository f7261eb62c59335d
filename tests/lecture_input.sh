#!/bin/sh
# SPDX-License-Identifier: MIT
# lecture_input.sh DIRECTORY MODEL: what a user may get wrong with the lecture's systems is refused with a message.
set -eu
cd "$1"
model=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# refused STATUS COMMAND...
refused() {
    wanted=$1
    shift
    status=0
    "$@" >"$work/out" 2>"$work/err" || status=$?
    cat "$work/err"
    [ "$status" -eq "$wanted" ] && [ -s "$work/err" ] || { echo "$*: exit $status, want $wanted and a message"; exit 1; }
}

refused 2 ./reverse backwards
refused 2 ./reverse 0
refused 2 ./complete_digits -1
refused 2 ./complete_digits 10 10
refused 2 ./speech_or_not
refused 1 ./speech_or_not "$work/no_model"
refused 1 ./speech_or_not "$model" "$work/no_recording"
printf 'RIFF' >"$work/cut.wav"
refused 1 ./speech_or_not "$model" "$work/cut.wav"
refused 1 ./who_is_it "$model" "$work/no_list"
: >"$work/empty"
refused 1 ./who_is_it "$model" "$work/empty"
printf 'Ada\n' >"$work/no_path"
refused 1 ./who_is_it "$model" "$work/no_path"
printf 'Ada\t%s/no_recording\n' "$work" >"$work/lost"
refused 1 ./who_is_it "$model" "$work/lost"
for times in '-1\t2' '0\t0' 'nan\t1' '0\tinf' '1e30\t1'; do
    printf "Ada\\t$work/cut.wav\\t$times\\n" >"$work/times"
    refused 1 ./who_is_it "$model" "$work/times"
done
echo "all refused"
