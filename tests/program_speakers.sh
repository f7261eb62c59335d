#!/bin/bash
# SPDX-License-Identifier: MIT
# Voices are enrolled, found again, renamed, removed; their file is private and bound to its model.
. "$(dirname "$0")/program_functions.sh"
model=$3
"$make_audio" voice low.wav 16000 0 12
"$make_audio" voice high.wav 16000 1 12
"$make_audio" voice short.wav 16000 1 1.2

run 1 identify low.wav
said 'enroll'
run 0 speakers
[ ! -s out ] || fail "somebody is enrolled before anybody was"
run 0 enroll Low low.wav
run 0 enroll 'Hannah Überlang' high.wav
file=$XDG_DATA_HOME/rill/speakers.json
[ "$(stat -c %a "$file")" = 600 ] || fail "the speaker file can be read by others"
run 0 speakers --json
[ "$(grep -c '"name"' out)" = 2 ] || fail "not two speakers"

run 0 identify --json low.wav high.wav
sed -n 1p out | grep -q '"name": "Low"}$' || fail "the low voice is not known again: $(sed -n 1p out)"
sed -n 2p out | grep -q '"name": "Hannah Überlang"}$' || fail "the high voice is not known again"
sed -n 1p out | grep -qE '^\{"path": "low.wav", "matches": \[\{"name": "Low", "score": [0-9.]+, "cosine": [0-9.-]+\}, ' ||
    fail "the keys of identify: $(sed -n 1p out)"
run 0 identify --threshold 1 low.wav
run 1 identify --json missing.wav low.wav
told '^\{"path": "missing.wav", "error": "'
[ "$(wc -l <out)" = 2 ] || fail "a failing recording takes its line away"

# a tracked voice is called by its name
run 0 track --json low.wav
told '"name": "Low"'
run 0 track --json --speakers= low.wav
! grep -q '"name": "Low"' out || fail "a name although --speakers is empty"

# the same name again adds; too little is refused, with what is missing
before=$(grep -o '"total_seconds": [0-9.]*' <("$rill" enroll --json Low low.wav))
run 0 enroll --json Low low.wav
[ "$before" != "$(grep -o '"total_seconds": [0-9.]*' out)" ] || fail "enrolling again adds nothing"
run 1 enroll Short short.wav
said 'missing'
run 0 enroll --force Short short.wav
for hundredths in $(seq 210 2 260); do # what is told never contradicts what is decided
    "$make_audio" voice some.wav 16000 1 ${hundredths::1}.${hundredths:1}
    code=0
    "$rill" enroll --speakers some.json "Voice of $hundredths" some.wav >out 2>err || code=$?
    sane $code $code "enroll of $hundredths hundredths of a second"
    heard=$(grep -oE '[0-9]\.[0-9] s of speech' err | tail -1)
    case $code$heard in
        11.*) refused=yes ;;
        02.*) kept=yes ;;
        *) fail "enroll ends with $code after $heard" ;;
    esac
done
[ "${refused-}${kept-}" = yesyes ] || fail "no voice was near the least speech on both sides"

# a voice that is not the known one's is added with a warning, which says whose it may be
cp "$file" before.json
run 0 enroll --json Low low.wav
told '"score": (1\.0|0\.9[0-9]*), "sounds_like": null,'
! grep -q 'does not sound' err || fail "a voice is not known again"
run 0 enroll --json Low high.wav
told '"score": 0\.[0-4][0-9]*, "sounds_like": "Hannah Überlang",'
said '^rill: Low: .*does not sound like .*score 0\.[0-4].* like Hannah Überlang .*rill speakers remove "Low"'
run 0 enroll --quiet Low high.wav
[ ! -s err ] || fail "--quiet warns"
run 0 enroll --json New low.wav
told '"score": null, "sounds_like": null,'
[ ! -s err ] || fail "a new name is warned of"
cp before.json "$file"

# several at once: none is lost
for i in 1 2 3 4 5 6 7 8; do
    "$rill" enroll --force "Voice $i" --speakers new/folder/together.json short.wav >/dev/null 2>&1 &
done
wait
run 0 speakers --speakers new/folder/together.json
[ "$(wc -l <out)" = 8 ] || fail "of 8 voices enrolled at once $(wc -l <out) are known"

run 0 speakers rename Short Shorty
run 1 speakers rename Nobody Anybody
run 0 speakers rename Shorty Shorty
run 1 speakers rename Nobody Nobody
run 1 speakers rename Shorty Low
run 0 speakers remove Shorty
run 1 speakers remove Shorty
said 'Shorty'
run 1 enroll "$(printf 'a\nb')" low.wav
said 'no name'
! grep -q 'of speech' err || fail "a voice is learned before its name is looked at"

# what was asked for must be there
run 1 track --speakers missing.json low.wav
said 'missing\.json'
run 1 identify --speakers missing.json low.wav
echo '{"broken' >broken.json
for command in track identify speakers; do
    run 1 $command --speakers broken.json $([ $command = speakers ] || echo low.wav)
    said 'broken\.json'
done
run 1 enroll Low --speakers broken.json low.wav
! grep -q 'of speech' err || fail "a voice is learned before the file that it is for is read"
[ "$(cat broken.json)" = '{"broken' ] || fail "a broken speaker file was written over"

# a file that cannot be written is told before anybody talks
ln -s elsewhere.json link.json
for file in link.json /dev/null/speakers.json; do
    run 5 enroll Low --speakers $file low.wav
    said "$file"
    ! grep -q 'of speech' err || fail "a voice is learned before its file is looked at"
    run 5 enroll Low --speakers $file --listen 5 --device 'no such microphone'
    said "$file"
done

# without a home there is nobody, and no place to keep anybody
for home in "-u HOME -u XDG_DATA_HOME" "HOME= XDG_DATA_HOME=" "-u HOME XDG_DATA_HOME=data"; do
    code=0
    env $home "$rill" track --json low.wav >out 2>err || code=$?
    sane 0 $code "track with $home"
    ! grep -q '"name": "Low"' out || fail "a name with $home"
    code=0
    env $home "$rill" enroll Low low.wav >out 2>err || code=$?
    sane 1 $code "enroll with $home"
    said 'set HOME'
done

# another model: the last weight is another
cp "$model" other.safetensors
size=$(stat -c %s other.safetensors)
printf '\1' | dd of=other.safetensors bs=1 seek=$((size - 4)) conv=notrunc status=none
run 1 identify --model other.safetensors low.wav
said 'enroll'
finish
