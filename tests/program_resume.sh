#!/bin/bash
# SPDX-License-Identifier: MIT
# A recording cut in two, with --save-state and --resume between, tells what the whole tells.
. "$(dirname "$0")/program_functions.sh"
"$make_audio" talk whole.wav 16000 1 24
run 0 track --json --rttm whole.rttm whole.wav
cp out wanted
told '"event": "turn"'
[ -s whole.rttm ] || fail "no turns in whole.rttm"

cut_at() { # SAMPLE
    "$make_audio" cut whole.wav first.wav 0 "$1"
    "$make_audio" cut whole.wav second.wav "$1" 1000000000
}
for sample in 1 33333 200001; do
    cut_at $sample
    run 0 track --json --save-state state first.wav
    cp out together
    [ "$(stat -c %a state)" = 600 ] || fail "a saved state can be read by others"
    run 0 track --json --resume state second.wav
    cat out >>together
    same together wanted "cut at sample $sample, the events differ"
done

# through three parts, one of them saved from a resumed state
"$make_audio" cut whole.wav first.wav 0 100000
"$make_audio" cut whole.wav middle.wav 100000 100000
"$make_audio" cut whole.wav last.wav 200000 1000000000
run 0 track --json --save-state state first.wav
cp out together
run 0 track --json --resume state --save-state state middle.wav
cat out >>together
run 0 track --json --resume state last.wav
cat out >>together
same together wanted "cut in three, the events differ"

# states that are none
run 1 track --resume missing whole.wav
said 'missing'
: >empty
run 1 track --resume empty whole.wav
said 'empty'
head -c 1000 state >cut
run 1 track --resume cut whole.wav
said 'cut'
cp state broken
printf '\377' | dd of=broken bs=1 seek=5000 conv=notrunc status=none
cmp -s state broken && printf '\0' | dd of=broken bs=1 seek=5000 conv=notrunc status=none
run 1 track --resume broken whole.wav
said 'broken'
run 1 track --resume whole.wav whole.wav
run 1 track --resume /dev/zero whole.wav
said '/dev/zero: larger'

# a state replaces a file, never a device, a link or a directory
mkfifo pipe
ln -s state link
mkdir folder
for path in pipe link folder; do
    before=$(stat -c '%F %i' $path)
    run 5 track --save-state $path first.wav
    said "^rill: $path: "
    [ ! -s out ] || fail "a recording is tracked before it is known that $path cannot be written"
    [ "$(stat -c '%F %i' $path)" = "$before" ] || fail "a state took the place of the $path"
done

for path in "" -; do
    run 5 track --save-state "$path" first.wav
    said "^rill: \"$path\" is no name"
    [ ! -s out ] || fail "a recording is tracked before it is known that \"$path\" is no file"
done

"$make_audio" talk other.wav 48000 1 2
run 1 track --resume state other.wav
said '48000'
finish
